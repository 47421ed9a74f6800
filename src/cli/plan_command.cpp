// `baton plan`: every object that a manifest leads to, without creating any.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/text/yaml.hpp"
#include "cli/command.hpp"
#include "control/plan/describe.hpp"
#include "control/plan/plan.hpp"
#include "formats/api/manifests.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kExample =
    "Example: baton plan -f examples/quickstart.yaml -o yaml\n"
    "Exit codes: 0 planned, 2 a manifest is wrong, 4 a file, baseRef or ConfigMap is missing.";

Result<api::Source> read_source(const std::string& file) {
  std::ostringstream text;
  if (file == "-") {
    text << std::cin.rdbuf();
    return api::Source{"standard input", text.str()};
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) return not_found(fmt::format("cannot read {}", file));
  text << in.rdbuf();
  if (in.bad()) return not_found(fmt::format("cannot read {}", file));
  return api::Source{file, text.str()};
}

Result<api::Manifests> read_files(const std::vector<std::string>& files) {
  std::vector<api::Source> sources;
  for (const std::string& file : files) {
    BATON_TRY_ASSIGN(api::Source source, read_source(file));
    sources.push_back(std::move(source));
  }
  return api::read_manifests(sources);
}

std::vector<Value> objects(const std::vector<api::Manifest>& manifests) {
  std::vector<Value> out;
  for (const api::Manifest& manifest : manifests) out.push_back(manifest.object);
  return out;
}

Result<std::vector<plan::Plan>> plan_all(const api::Manifests& manifests,
                                         const plan::Settings& settings) {
  const bool nothing =
      manifests.services.empty() && manifests.pools.empty() && manifests.picker_configs.empty();
  if (nothing) return invalid("the files hold no LLMInferenceService");
  plan::ServiceView view{.service = {},
                         .configs = objects(manifests.configs),
                         .config_maps = objects(manifests.config_maps),
                         .children = {},
                         .settings = settings};
  std::vector<plan::Plan> plans;
  for (const api::Manifest& service : manifests.services) {
    view.service = service.object;
    BATON_TRY_ASSIGN(plan::Plan planned, plan::plan(view).with(service.where));
    for (const plan::Warning& warning : planned.warnings) {
      fmt::print(stderr, "warning: {}: {}{}{}\n", service.where, warning.pointer,
                 warning.pointer.empty() ? "" : ": ", warning.message);
    }
    plans.push_back(std::move(planned));
  }
  return plans;
}

void print(const std::vector<plan::Plan>& plans, const api::Manifests& manifests,
           std::string_view format) {
  if (format == "text") {
    for (const plan::Plan& planned : plans) fmt::print("{}", plan::describe(planned));
    return;
  }
  Array items = objects(manifests.pools);
  for (const plan::Plan& planned : plans) {
    items.insert(items.end(), planned.children.begin(), planned.children.end());
  }
  const Value list =
      Object{{"apiVersion", "v1"}, {"kind", "List"}, {"items", Value(std::move(items))}};
  fmt::print("{}", format == "yaml" ? text::yaml::dump(list) : text::json::pretty(list));
}

}  // namespace

int run_plan(int argc, char** argv) {
  CLI::App app("Print every object that the manifests lead to; create nothing", "plan");
  app.footer(std::string(kExample));
  std::vector<std::string> files;
  std::string format = "text";
  plan::Settings settings;
  app.add_option("-f,--file", files, "manifest files, '-' for standard input")->required();
  app.add_option("-o,--output", format, "text, yaml or json")
      ->check(CLI::IsMember({"text", "yaml", "json"}))
      ->capture_default_str();
  app.add_flag("--tls", settings.enable_tls, "plan with TLS between the parts");
  app.add_option("--system-namespace", settings.system_namespace,
                 "where shared LLMInferenceServiceConfigs live")
      ->capture_default_str();
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;

  const auto manifests = read_files(files);
  if (!manifests) return fail("plan", manifests.error());
  for (const std::string& note : manifests->notes) fmt::print(stderr, "note: {}\n", note);
  const auto plans = plan_all(*manifests, settings);
  if (!plans) return fail("plan", plans.error());
  print(*plans, *manifests, format);
  return 0;
}

}  // namespace baton::cli
