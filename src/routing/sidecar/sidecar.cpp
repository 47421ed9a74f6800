#include "routing/sidecar/sidecar.hpp"

#include <utility>

#include "base/async/blocking.hpp"
#include "net/http/server.hpp"
#include "routing/sidecar/proxy.hpp"

namespace baton::sidecar {

namespace {

// llm-d's listener (its sidecar 0.10): 30 s for a head, 300 s idle, heads up to 1 MiB.
constexpr http::ServerLimits kLimits{
    .head_bytes = 1 << 20,
    .head_timeout = std::chrono::seconds(30),
    .idle_timeout = std::chrono::seconds(300),
};

Task<void> expose(http::Exchange& exchange, observe::Registry* registry) {
  if (exchange.head().path() != "/metrics") {
    (void)co_await exchange.respond({404, {}}, "");
    co_return;
  }
  std::string text = registry->expose();
  (void)co_await exchange.respond(
      {200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}}, text);
}

}  // namespace

struct Sidecar::Impl {
  Impl(async::Loop& l, const Clock& clock, Random& random, observe::Registry& registry,
       Config config)
      : loop(l),
        probe(registry),
        proxy({l, clock, random, probe}, std::move(config)),
        server(l, clock, {kLimits, "baton-sidecar"},
               [this](http::Exchange& exchange) { return proxy.handle(exchange); }),
        metrics(l, clock, {{}, "baton-sidecar"},
                [&registry](http::Exchange& exchange) { return expose(exchange, &registry); }) {}

  async::Loop& loop;
  Probe probe;
  Proxy proxy;
  http::Server server;
  http::Server metrics;
};

Sidecar::Sidecar(async::Loop& loop, const Clock& clock, Random& random, observe::Registry& registry,
                 Config config)
    : impl_(std::make_unique<Impl>(loop, clock, random, registry, std::move(config))) {}

Sidecar::~Sidecar() { stop({Mono()}); }

Result<http::Endpoint> Sidecar::listen(const http::Endpoint& at) {
  return impl_->server.listen(at);
}

Result<http::Endpoint> Sidecar::listen_metrics(const http::Endpoint& at) {
  return impl_->metrics.listen(at);
}

void Sidecar::stop(Deadline deadline) {
  impl_->server.stop(deadline);
  if (impl_->loop.running()) async::blocking_run(impl_->loop, impl_->proxy.join_releases());
  impl_->metrics.stop(deadline);
}

}  // namespace baton::sidecar
