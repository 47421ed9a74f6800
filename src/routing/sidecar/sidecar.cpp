#include "routing/sidecar/sidecar.hpp"

#include <optional>
#include <utility>
#include <vector>

#include "base/async/blocking.hpp"
#include "base/async/watchdog.hpp"
#include "base/core/memory.hpp"
#include "net/http/server.hpp"
#include "routing/sidecar/proxy.hpp"

namespace baton::sidecar {

namespace {

// llm-d's listener (its sidecar 0.10): 30 s for a head, 300 s idle, heads up to 1 MiB. Beside
// 10,000 streams probes are still answered.
constexpr http::ServerLimits kLimits{
    .head_bytes = 1 << 20,
    .connections = 20'000,
    .head_timeout = std::chrono::seconds(30),
    .idle_timeout = std::chrono::seconds(300),
};

// Without a request for so long, what a burst has freed goes back to the machine.
constexpr Nanos kRest = std::chrono::seconds(2);

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
  Impl(async::Loop& l, const Clock& k, Random& random, observe::Registry& registry, Config config,
       observe::Tracer* tracer)
      : loop(l),
        probe(registry),
        registry(registry),
        ranks(config.ranks),
        serve_tls(config.serve_tls),
        clock(k),
        proxy({l, k, random, probe, tracer}, std::move(config)),
        watchdog(l.executor()),
        at_rest(watchdog, give_back_freed_memory),
        metrics(l, k, {{}, "baton-sidecar", nullptr, &registry},
                [&registry](http::Exchange& exchange) { return expose(exchange, &registry); }) {}

  async::Loop& loop;
  Probe probe;
  observe::Registry& registry;
  int ranks;
  std::shared_ptr<const tls::ServerContext> serve_tls;
  const Clock& clock;
  Proxy proxy;
  async::Watchdog watchdog;
  async::Watchdog::Entry at_rest;
  std::vector<std::unique_ptr<http::Server>> servers;  // by rank
  http::Server metrics;
};

Sidecar::Sidecar(async::Loop& loop, const Clock& clock, Random& random, observe::Registry& registry,
                 Config config, observe::Tracer* tracer)
    : impl_(std::make_unique<Impl>(loop, clock, random, registry, std::move(config), tracer)) {}

Sidecar::~Sidecar() { stop({Mono()}); }

Result<http::Endpoint> Sidecar::listen(const http::Endpoint& at) {
  Impl& self = *impl_;
  std::optional<http::Endpoint> first;
  for (int rank = 0; rank < (at.port == 0 ? 1 : self.ranks); ++rank) {
    http::Server::Config config{kLimits, "baton-sidecar", self.serve_tls, &self.registry};
    self.servers.push_back(std::make_unique<http::Server>(
        self.loop, self.clock, std::move(config), [&self, rank](http::Exchange& exchange) {
          self.at_rest.set(exchange.arrived() + kRest);
          return self.proxy.handle(exchange, rank);
        }));
    if (rank == 0) self.proxy.set_base_port(at.port);
    http::Endpoint own{at.host, static_cast<std::uint16_t>(at.port + rank)};
    BATON_TRY_ASSIGN(http::Endpoint bound, self.servers.back()->listen(own));
    if (!first) {
      first = bound;
      self.proxy.set_base_port(bound.port);
    }
  }
  return *first;
}

Result<http::Endpoint> Sidecar::listen_metrics(const http::Endpoint& at) {
  return impl_->metrics.listen(at);
}

void Sidecar::stop(Deadline deadline) {
  for (const auto& server : impl_->servers) server->stop(deadline);
  if (impl_->loop.running()) async::blocking_run(impl_->loop, impl_->proxy.join_releases());
  impl_->metrics.stop(deadline);
}

}  // namespace baton::sidecar
