#include "net/kube/in_cluster.hpp"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/kube/kubeconfig.hpp"
#include "net/kube/small_file.hpp"

namespace baton::kube {

namespace {

std::string absolute_path(const std::string& path) {
  if (path.starts_with('/')) return path;
  char folder[4096];
  return ::getcwd(folder, sizeof folder) == nullptr ? path : fmt::format("{}/{}", folder, path);
}

Result<Kubeconfig> read_kubeconfig(const std::string& path) {
  BATON_TRY_ASSIGN(const std::string text, read_small_file(path));
  return parse_kubeconfig(text, absolute_path(path));
}

}  // namespace

Result<Access> in_cluster_access(const std::string& host, const std::string& port,
                                 const std::string& folder) {
  if (host.empty() || port.empty()) {
    return not_found("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: no pod");
  }
  Access out;
  out.source = fmt::format("service account of {}", folder);
  const bool v6 = host.find(':') != std::string::npos;
  if (auto read = set_server(
          out, fmt::format(fmt::runtime(v6 ? "https://[{}]:{}" : "https://{}:{}"), host, port));
      !read) {
    return std::move(read).error().with("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT");
  }
  out.token_file = folder + "/token";
  out.ca.file = folder + "/ca.crt";
  BATON_TRY(read_word_file(out.token_file).with("service account"));
  BATON_TRY(read_word_file(out.ca.file).with("service account"));
  const auto ns = read_word_file(folder + "/namespace");
  out.ns = ns ? *ns : "default";
  return out;
}

AccessHints hints_of_environment() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = ::getenv(name);
    return value == nullptr ? "" : value;
  };
  AccessHints out;
  out.kubeconfig_env = variable("KUBECONFIG");
  out.home = variable("HOME");
  out.service_host = variable("KUBERNETES_SERVICE_HOST");
  out.service_port = variable("KUBERNETES_SERVICE_PORT");
  return out;
}

Result<Access> find_access(const AccessHints& hints) {
  if (!hints.kubeconfig.empty()) {
    BATON_TRY_ASSIGN(const Kubeconfig config, read_kubeconfig(hints.kubeconfig).with("kubeconfig"));
    return resolve(config, hints.context);
  }
  const bool in_pod = !hints.service_host.empty() && hints.context.empty();
  if (hints.kubeconfig_env.empty() && in_pod) {
    return in_cluster_access(hints.service_host, hints.service_port, hints.service_account);
  }
  const auto files = kubeconfig_files(hints.kubeconfig_env, hints.home);
  Kubeconfig merged;
  for (const auto& file : files) {
    auto config = read_kubeconfig(file);
    if (!config && config.error().code() == Code::kNotFound) continue;
    if (!config) return std::move(config).error().with("kubeconfig");
    merge(merged, *std::move(config));
  }
  if (merged.files.empty()) {
    return not_found(
        fmt::format("no cluster: no --kubeconfig, not in a pod, and none of these files exist: {}",
                    files.empty() ? "(neither KUBECONFIG nor HOME is set)"
                                  : fmt::format("{}", fmt::join(files, ", "))));
  }
  return resolve(merged, hints.context);
}

}  // namespace baton::kube
