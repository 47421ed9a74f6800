#include "cli/serve_stack.hpp"

#include <fmt/format.h>

#include "base/observe/build_info.hpp"
#include "control/node/addresses.hpp"

namespace baton::cli {

std::optional<local::GatewayAt> ServeStack::Hosted::serving_at() const {
  return local::GatewayAt{stack_.bound_.host, stack_.bound_.port, stack_.is_tls_};
}

bool ServeStack::Hosted::picker_synced(std::string_view ns, std::string_view service) const {
  return stack_.gateway_->picker_synced(ns, service);
}

Result<std::unique_ptr<ServeStack>> ServeStack::start(const Clock& clock, Options options) {
  std::unique_ptr<ServeStack> stack(new ServeStack(clock));
  const auto wanted = options.gateway.listen;
  observe::tell_build(stack->registry_);
  stack->is_tls_ = options.gateway.serve_tls != nullptr;
  BATON_TRY_ASSIGN(stack->tracing_,
                   start_tracing({.service = "baton-gateway", .endpoint = options.traces_endpoint},
                                 clock, stack->random_, stack->registry_));
  stack->loop_.start();
  stack->gateway_ = std::make_unique<gateway::Gateway>(
      gateway::Gateway::Deps{stack->loop_, clock, stack->random_, stack->registry_,
                             tracer_of(stack->tracing_)},
      std::move(options.gateway), stack->cluster_);
  auto bound = stack->gateway_->start();
  if (!bound && bound.error().code() == Code::kConflict) {
    return conflict(fmt::format("port {} of {} is taken by {}: stop it, or give another --port",
                                wanted.port, wanted.host,
                                node::who_listens(wanted.host, wanted.port)));
  }
  if (!bound) return std::move(bound).error();
  stack->bound_ = *std::move(bound);
  BATON_TRY_ASSIGN(stack->node_, node::NodeAgent::start({stack->cluster_, clock, stack->random_},
                                                        std::move(options.node)));
  stack->local_ = std::make_unique<local::LocalControllers>(
      local::LocalControllers::Deps{stack->cluster_, clock, stack->hosted_},
      local::GatewayRef{options.settings.ingress_gateway_namespace,
                        options.settings.ingress_gateway_name});
  stack->reconciler_ = std::make_unique<reconcile::Reconciler>(
      reconcile::Reconciler::Deps{stack->cluster_, clock, stack->registry_},
      reconcile::Reconciler::Config{{.plan = options.settings, .url_scheme = ""},
                                    1,
                                    {},
                                    {.send = reconcile::probe_by_http(clock, stack->random_)}});
  return stack;
}

ServeStack::~ServeStack() {
  reconciler_.reset();
  local_.reset();
  node_.reset();
  if (gateway_) gateway_->stop(Deadline{clock_.now()});
  gateway_.reset();
  loop_.stop();
}

void ServeStack::stop(Deadline drained, Deadline down) {
  gateway_->stop(drained);
  reconciler_.reset();
  local_.reset();
  node_->stop(down);
}

}  // namespace baton::cli
