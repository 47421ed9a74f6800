#include "cli/cluster_options.hpp"

#include <arpa/inet.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "net/kube/in_cluster.hpp"

namespace baton::cli {

CLI::Option* add_cluster_flags(CLI::App& app, ClusterOptions& options) {
  auto* kubeconfig = app.add_option(
      "--kubeconfig", options.kubeconfig,
      "how to reach the API server (default: $KUBECONFIG, the pod's account, ~/.kube/config)");
  app.add_option("--context", options.context, "of the kubeconfig (default: its current one)");
  return kubeconfig;
}

Result<kube::Access> access_of(const ClusterOptions& options) {
  auto hints = kube::hints_of_environment();
  hints.kubeconfig = options.kubeconfig;
  hints.context = options.context;
  return kube::find_access(hints);
}

Result<std::unique_ptr<kube::RestCluster>> open_cluster(const kube::Access& access,
                                                        const Clock& clock, Random& random) {
  kube::RestCluster::Config config;
  config.api.access = access;
  for (char** line = ::environ; *line != nullptr; ++line) {
    config.api.environment.emplace_back(*line);
  }
  return kube::RestCluster::open(std::move(config), clock, random);
}

bool is_this_machine(std::string_view host) {
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace baton::cli
