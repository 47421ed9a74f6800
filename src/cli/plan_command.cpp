// `baton plan`: every object that a manifest leads to, without creating any.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/text/yaml.hpp"
#include "cli/cluster_options.hpp"
#include "cli/command.hpp"
#include "cli/local_rewrites.hpp"
#include "cli/manifest_files.hpp"
#include "cli/plan_diff.hpp"
#include "cli/print.hpp"
#include "control/plan/describe.hpp"
#include "control/plan/plan.hpp"
#include "formats/api/manifests.hpp"
#include "routing/watch/topology.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kExample =
    "Example: baton plan -f examples/quickstart.yaml -o yaml\n"
    "Warnings, and what `baton serve` would change locally, go to standard error.\n"
    "         baton plan -f service.yaml --diff\n"
    "--diff asks a cluster and writes nothing: what the API server's dry runs say of the "
    "manifests,\n"
    "and of every object that the controller would then create, update or delete, as `diff -u`.\n"
    "The cluster's own ConfigMaps, configurations and gateways count; values of Secrets are "
    "hidden.\n"
    "Exit codes: 0 planned, 1 (--diff) something would change, 2 a manifest is wrong, 4 a file,\n"
    "baseRef or ConfigMap is missing, 7 the API server cannot be reached.";

// Files with pools or picker configurations only are right, and lead to no plan.
Result<std::vector<plan::Plan>> plan_all(const api::Manifests& manifests,
                                         const plan::Settings& settings) {
  const bool loose = !manifests.pools.empty() || !manifests.picker_configs.empty();
  if (manifests.services.empty() && loose) return std::vector<plan::Plan>();
  return plan_manifests(manifests, settings);
}

void print_warnings(const std::vector<plan::Plan>& plans, const api::Manifests& manifests) {
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const api::Manifest& service = manifests.services[i];
    for (const plan::Warning& warning : plans[i].warnings) {
      cli::print(stderr, "warning: {}: {}{}{}\n", service.where_is(warning.pointer),
                 warning.pointer, warning.pointer.empty() ? "" : ": ", warning.message);
    }
    if (!watch::asks_for_route(plans[i].merged)) {
      cli::print(stderr,
                 "warning: {}: /spec/router: the service asks for no route; the gateway of `baton "
                 "serve` serves it all the same\n",
                 service.where_is("/spec/router"));
    }
    // Another picker may know what ours does not.
    if (const auto picker = check_picker(plans[i]); !picker) {
      cli::print(stderr, "warning: {}: baton's own picker would refuse: {}\n", service.where,
                 picker.error().message());
    }
    for (const std::string& rewrite : local_rewrites(plans[i])) {
      cli::print(stderr, "local: {}\n", rewrite);
    }
  }
}

void show(const std::vector<plan::Plan>& plans, const api::Manifests& manifests,
          std::string_view format) {
  if (format == "text") {
    for (const plan::Plan& planned : plans) cli::print("{}", plan::describe(planned));
    return;
  }
  Array items = objects_of(manifests.pools);
  for (const plan::Plan& planned : plans) {
    items.insert(items.end(), planned.children.begin(), planned.children.end());
  }
  const Value list =
      Object{{"apiVersion", "v1"}, {"kind", "List"}, {"items", Value(std::move(items))}};
  cli::print("{}", format == "yaml" ? text::yaml::dump(list) : text::json::pretty(list));
}

}  // namespace

int run_plan(int argc, char** argv) {
  CLI::App app("Print every object that the manifests lead to; create nothing", "plan");
  app.footer(std::string(kExample));
  std::vector<std::string> files;
  std::string format = "text";
  plan::Settings settings;
  app.add_option("-f,--file", files,
                 "manifest files, '-' for standard input (default: the quickstart)");
  auto* output = app.add_option("-o,--output", format, "text, yaml or json")
                     ->check(CLI::IsMember({"text", "yaml", "json"}))
                     ->capture_default_str();
  auto* tls = app.add_flag("--tls", settings.enable_tls, "plan with TLS between the parts");
  app.add_option("--system-namespace", settings.system_namespace,
                 "where shared LLMInferenceServiceConfigs live")
      ->capture_default_str();
  bool upstream = false;
  auto* images = app.add_flag("--upstream-images", upstream,
                              "plan with upstream's picker, sidecar and engine instead of Baton's");
  bool diff = false;
  ClusterOptions cluster;
  auto* differs = app.add_flag("--diff", diff, "print what would change in a cluster")
                      ->excludes(output)
                      ->excludes(tls)
                      ->excludes(images);
  add_cluster_flags(app, cluster)->needs(differs);
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  if (upstream) {
    plan::use_upstream_picker(settings);
    plan::use_upstream_engine_and_sidecar(settings);
  }

  const auto manifests = read_manifest_files(files);
  if (!manifests) return fail("plan", manifests.error());
  for (const std::string& note : manifests->notes) cli::print(stderr, "note: {}\n", note);
  if (diff) {
    reconcile::Installation installation;
    installation.plan = settings;
    const auto changed = print_diff(*manifests, installation, cluster);
    // 1 is kept for differences, as diff has it.
    if (!changed) return std::max(2, fail("plan", changed.error()));
    return *changed ? 1 : 0;
  }
  const auto plans = plan_all(*manifests, settings);
  if (!plans) return fail("plan", plans.error());
  print_warnings(*plans, *manifests);
  show(*plans, *manifests, format);
  return 0;
}

}  // namespace baton::cli
