#pragma once
// The whole stack of `serve` in one process (its pods are others).

#include <memory>
#include <string>

#include "base/async/loop.hpp"
#include "base/core/random.hpp"
#include "base/observe/metrics.hpp"
#include "cli/tracing.hpp"
#include "control/local/local_controllers.hpp"
#include "control/node/node_agent.hpp"
#include "control/plan/plan.hpp"
#include "control/reconcile/reconciler.hpp"
#include "net/kube/memory_cluster.hpp"
#include "routing/gateway/gateway.hpp"

namespace baton::cli {

// Parts in the order they start; they stop in reverse.
class ServeStack {
 public:
  struct Options {
    gateway::Config gateway;
    node::Config node;
    plan::Settings settings;
    std::string traces_endpoint;  // "": as the OTEL_… variables say
  };
  // kConflict: the gateway's port is taken.
  static Result<std::unique_ptr<ServeStack>> start(const Clock& clock, Options options);
  ~ServeStack();

  kube::Cluster& cluster() { return cluster_; }
  const http::Endpoint& listening_at() const { return bound_; }
  bool gateway_ready() const { return gateway_->ready(); }
  gateway::Stats stats() const { return gateway_->stats(); }
  void show(std::string stack) { gateway_->show(std::move(stack)); }

  // Requests may finish until `drained`, pods must be down at `down`. Blocks.
  void stop(Deadline drained, Deadline down);

 private:
  // The gateway, as the controllers see it.
  class Hosted final : public local::HostedGateway {
   public:
    explicit Hosted(const ServeStack& stack) : stack_(stack) {}
    std::optional<local::GatewayAt> serving_at() const override;
    bool picker_synced(std::string_view ns, std::string_view service) const override;

   private:
    const ServeStack& stack_;
  };

  explicit ServeStack(const Clock& clock) : clock_(clock), hosted_(*this) {}

  const Clock& clock_;
  SystemRandom random_;
  kube::MemoryCluster cluster_{clock_, random_};
  observe::Registry registry_;
  std::unique_ptr<otlp::Tracing> tracing_;
  Hosted hosted_;
  async::Loop loop_{"gateway"};
  std::unique_ptr<gateway::Gateway> gateway_;
  http::Endpoint bound_;
  bool is_tls_ = false;
  std::unique_ptr<node::NodeAgent> node_;
  std::unique_ptr<local::LocalControllers> local_;
  std::unique_ptr<reconcile::Reconciler> reconciler_;
};

}  // namespace baton::cli
