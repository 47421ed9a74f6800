// `baton crds`: the custom resource definitions, and the webhook configurations, as YAML.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "base/text/yaml.hpp"
#include "cli/command.hpp"
#include "cli/print.hpp"
#include "control/webhook/configurations.hpp"
#include "formats/api/crd.hpp"

namespace baton::cli {
namespace {

constexpr std::string_view kExample =
    "Example: baton crds --webhooks | kubectl apply --server-side -f -\n"
    "The controller fills in the caBundle. Exit codes: 0 printed, 2 a flag is wrong.";

Status read_service(const std::string& text, api::HookAddress& out) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size()) {
    return invalid(fmt::format("--service: expected NAMESPACE/NAME, is '{}'", text));
  }
  out.service_namespace = text.substr(0, slash);
  out.service_name = text.substr(slash + 1);
  return {};
}

Status read_url(std::string url, api::HookAddress& out) {
  if (!url.starts_with("https://")) {
    return invalid(fmt::format("--url: expected https://HOST:PORT, is '{}'", url));
  }
  if (url.ends_with('/')) url.pop_back();
  out.url = std::move(url);
  return {};
}

}  // namespace

int run_crds(int argc, char** argv) {
  CLI::App app("Print the custom resource definitions", "crds");
  app.footer(std::string(kExample));
  bool with_webhooks = false;
  std::string service;
  std::string url;
  api::HookAddress hooks;
  app.add_flag("--webhooks", with_webhooks, "print the webhook configurations too");
  auto* service_option = app.add_option(
      "--service", service,
      fmt::format("NAMESPACE/NAME of the Service in front of the webhooks (default: {}/{})",
                  hooks.service_namespace, hooks.service_name));
  app.add_option("--url", url, "https://HOST:PORT of webhooks outside of the cluster")
      ->excludes(service_option);
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  if (!service.empty()) {
    if (const Status read = read_service(service, hooks); !read) return fail("crds", read.error());
  }
  if (!url.empty()) {
    if (const Status read = read_url(url, hooks); !read) return fail("crds", read.error());
  }
  std::vector<text::json::Value> objects = api::crds(hooks);
  if (with_webhooks) std::ranges::move(webhook::configurations(hooks), std::back_inserter(objects));
  for (const text::json::Value& object : objects) cli::print("---\n{}", text::yaml::dump(object));
  return 0;
}

}  // namespace baton::cli
