// `baton node`: equipment of tests. Beside a control plane on this machine it is the kubelet, the
// scheduler, and what the gateway's own controller would be.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "cli/cluster_options.hpp"
#include "cli/command.hpp"
#include "cli/node_options.hpp"
#include "cli/print.hpp"
#include "cli/state_dir.hpp"
#include "cli/stop_signal.hpp"
#include "control/local/local_controllers.hpp"
#include "control/node/node_agent.hpp"
#include "control/node/probe.hpp"
#include "net/http/message.hpp"

namespace baton::cli {
namespace {

constexpr Nanos kDown = std::chrono::seconds(30);  // for the pods, after the signal
constexpr Nanos kAsk = std::chrono::seconds(1);    // the gateway, whether it is there

struct NodeFlags {
  ClusterOptions cluster;
  NodeOptions node;
  bool pod_tls = false;
  bool run_pickers = false;
  double pre_stop_least = 0;  // seconds
  std::string name = "baton", network = "10.244.0.0/24", state_dir, gateway_host;
  std::uint16_t gateway_port = 0;
};

// A `baton gateway` beside this process.
class GatewayProcess final : public local::HostedGateway {
 public:
  GatewayProcess(local::GatewayAt at, const Clock& clock) : at_(std::move(at)), clock_(clock) {}

  std::optional<local::GatewayAt> serving_at() const override {
    const auto answer =
        node::blocking_get({at_.host, at_.port, "/health"}, Deadline::in(clock_, kAsk), clock_);
    return answer ? std::optional(at_) : std::nullopt;
  }
  // Pickers' pods are the node agent's; nobody asks here.
  bool picker_synced(std::string_view, std::string_view) const override { return true; }

 private:
  const local::GatewayAt at_;
  const Clock& clock_;
};

Status refuse_other_machines(const kube::Access& access) {
  if (is_this_machine(access.server.host)) return {};
  return denied(fmt::format(
      "{} names the API server {}, which is not on this machine: this command runs the pods of a "
      "test's control plane as processes of yours, and takes only 127.0.0.0/8, ::1 and localhost",
      access.source, access.server.host));
}

Status run(const NodeFlags& options) {
  const StopSignal stop;  // before any thread
  const SystemClock clock;
  SystemRandom random;
  BATON_TRY_ASSIGN(const auto access, access_of(options.cluster));
  BATON_TRY(refuse_other_machines(access));
  BATON_TRY_ASSIGN(const auto state, StateDir::open(options.state_dir));
  BATON_TRY_ASSIGN(auto config, node_config(options.node, state->path()));
  BATON_TRY_ASSIGN(config.pod_addresses,
                   node::parse_address_range(options.network).with("--pod-network"));
  config.node_name = options.name;
  config.api_host = access.server.host;
  config.api_port = access.server.port;
  config.hosts_picker = !options.run_pickers;
  config.pre_stop_least =
      std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(options.pre_stop_least));
  if (options.pod_tls) config.pod_tls = node::PodTls::kAsPlanned;
  BATON_TRY_ASSIGN(const auto cluster, open_cluster(access, clock, random));
  BATON_TRY_ASSIGN(const auto agent,
                   node::NodeAgent::start({*cluster, clock, random}, std::move(config)));
  const GatewayProcess gateway({options.gateway_host, options.gateway_port}, clock);
  std::optional<local::LocalControllers> controllers;
  if (options.gateway_port != 0) {
    controllers.emplace(local::LocalControllers::Deps{*cluster, clock, gateway},
                        local::GatewayRef{"kserve", "kserve-ingress-gateway"},
                        local::Scope::kGateways);
  }
  cli::print("ready node {}\n", options.name);
  cli::flush();
  stop.wait();
  stop.arm();
  controllers.reset();
  agent->stop(Deadline::in(clock, kDown));
  return {};
}

}  // namespace

int run_node(int argc, char** argv) {
  NodeFlags options;
  CLI::App app(
      "Equipment of tests: runs the pods of a control plane on this machine as processes, and "
      "writes what a gateway's controller would",
      "node");
  add_cluster_flags(app, options.cluster);
  app.add_option("--state-dir", options.state_dir, "folder for pods and logs")->required();
  app.add_option("--name", options.name, "of the Node object")->capture_default_str();
  app.add_option("--pod-network", options.network,
                 "where pods get their addresses; it must be this machine's")
      ->capture_default_str();
  app.add_option("--gateway-host", options.gateway_host, "IPv4 address of the `baton gateway`")
      ->default_val("127.0.0.1");
  app.add_option("--gateway-port", options.gateway_port,
                 "its port; 0: gateways, routes and pools get no status")
      ->capture_default_str();
  app.add_flag("--pod-tls", options.pod_tls,
               "sidecars serve TLS where their manifest says so (default: none does)");
  app.add_flag(
      "--run-pickers", options.run_pickers,
      "pods of endpoint pickers run, too (default: they are said to, a `baton gateway` does "
      "their work)");
  app.add_option(
         "--pre-stop-least", options.pre_stop_least,
         "seconds that a preStop which sleeps longer goes on in an idle container, for gateways "
         "that learn late")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  add_node_flags(app, options.node);
  app.footer(
      "Example: baton node --kubeconfig admin.kubeconfig --state-dir /tmp/node --gateway-port "
      "8080\n"
      "Exit codes: 0 stopped, 2 a flag is wrong, 3 the API server is not on this machine, 7 it "
      "does "
      "not answer.");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto done = run(options);
  return done ? 0 : fail("node", done.error());
}

}  // namespace baton::cli
