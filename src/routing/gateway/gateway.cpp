#include "routing/gateway/gateway.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/async/blocking.hpp"
#include "base/async/task_group.hpp"
#include "base/core/log.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"
#include "routing/gateway/front.hpp"
#include "routing/watch/cluster_watch.hpp"
#include "routing/watch/followed.hpp"
#include "routing/watch/scraper.hpp"

namespace baton::gateway {
namespace {

constexpr Nanos kTick = std::chrono::milliseconds(200);  // of the statistics
constexpr double kSmoothing = 0.3;                       // of tokens per second, per tick

bool is_loopback(std::string_view host) {
  return host.starts_with("127.") || host == "::1" || host == "localhost";
}

http::Server::Config server_config(const Config& config, observe::Registry& registry) {
  http::Server::Config out;
  out.tls = config.serve_tls;
  out.registry = &registry;
  out.limits.body_bytes = std::max(out.limits.body_bytes, config.body_bytes);
  return out;
}

std::string_view role_of(const schedule::Endpoint& endpoint) {
  return endpoint.role().empty() ? "both" : endpoint.role();
}

}  // namespace

struct Gateway::Impl {
  Impl(Deps d, Config c)
      : deps(d),
        config(std::move(c)),
        probe(d.registry),
        client(d.clock, {.tls = config.dial_tls}),
        front({d.clock, d.random, d.registry, client, probe, tasks, d.tracer}, config),
        server(d.loop, d.clock, server_config(config, d.registry),
               [this](http::Exchange& exchange) { return front.handle(exchange); }),
        tasks(d.loop.executor()) {}

  void apply(const watch::Topology& topology);
  void apply(const watch::Service& service, Front::Services& next);
  void scrape(const std::shared_ptr<ServicePool>& pool, const schedule::Endpoint& endpoint);
  Task<void> tick_forever();
  void tick(double elapsed);
  Task<void> end_tasks();

  Deps deps;
  const Config config;
  Probe probe;
  http::Client client;
  Front front;
  http::Server server;
  std::optional<watch::Topology> fixed;
  kube::Cluster* cluster = nullptr;
  std::unique_ptr<watch::ClusterWatch> watch;
  bool started = false;

  // The loop's.
  Front::Services services;
  std::map<const ServicePool*, watch::Followed> followed;  // of those services
  std::set<std::pair<std::string, std::string>> warned;    // unrouted services already told of

  // Any thread.
  std::atomic<bool> ready = false;
  mutable std::mutex mutex;  // guards the next two
  Stats stats;
  std::set<std::pair<std::string, std::string>> synced;

  async::TaskGroup tasks;
};

Gateway::Gateway(Deps deps, Config config, kube::Cluster& cluster)
    : impl_(std::make_unique<Impl>(deps, std::move(config))) {
  impl_->cluster = &cluster;
}

Gateway::Gateway(Deps deps, Config config, watch::Topology endpoints)
    : impl_(std::make_unique<Impl>(deps, std::move(config))) {
  impl_->fixed = std::move(endpoints);
}

Gateway::~Gateway() { stop({impl_->deps.clock.now()}); }

Result<http::Endpoint> Gateway::start() {
  auto& self = *impl_;
  if (!is_loopback(self.config.listen.host) && self.config.api_keys.empty()) {
    log::warn(
        "the gateway listens beyond this machine and asks for no API key: anyone who reaches "
        "it can use the models (--api-key-file)",
        {{"address", http::to_string(self.config.listen)}});
  }
  BATON_TRY_ASSIGN(auto bound, self.server.listen(self.config.listen));
  self.started = true;
  self.deps.loop.post([&self] { self.tasks.spawn(self.tick_forever()); });
  if (self.fixed) {
    self.deps.loop.post([&self] { self.apply(*self.fixed); });
  } else {
    self.watch = std::make_unique<watch::ClusterWatch>(
        *self.cluster, self.deps.clock, [&self](watch::Topology topology) {
          self.deps.loop.post([&self, given = std::move(topology)] { self.apply(given); });
        });
  }
  return bound;
}

void Gateway::stop(Deadline deadline) {
  auto& self = *impl_;
  if (!std::exchange(self.started, false)) return;
  self.watch.reset();
  self.server.stop(deadline);
  if (self.deps.loop.running()) async::blocking_run(self.deps.loop, self.end_tasks());
}

bool Gateway::ready() const { return impl_->ready; }

bool Gateway::picker_synced(std::string_view ns, std::string_view service) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->synced.contains({std::string(ns), std::string(service)});
}

Stats Gateway::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

void Gateway::show(std::string stack) {
  impl_->deps.loop.post([self = impl_.get(), given = std::move(stack)]() mutable {
    self->front.show(std::move(given));
  });
}

void Gateway::Impl::apply(const watch::Topology& topology) {
  Front::Services next;
  for (const auto& service : topology.services) apply(service, next);
  services = std::move(next);
  std::erase_if(followed, [&](const auto& each) {
    const auto is = [&](const auto& service) { return service.second.get() == each.first; };
    return std::ranges::none_of(services, is);
  });
  front.serve(services);
  {
    const std::lock_guard lock(mutex);
    synced.clear();
    for (const auto& [key, pool] : services) {
      if (!pool->broken()) synced.insert(key);
    }
  }
  tick(0);
}

void Gateway::Impl::apply(const watch::Service& service, Front::Services& next) {
  const std::pair key(service.ns, service.name);
  const auto old = services.find(key);
  std::shared_ptr<ServicePool> pool;
  if (old != services.end() && old->second->service().picker == service.picker &&
      old->second->service().picker_problem == service.picker_problem &&
      old->second->service().models == service.models) {
    pool = old->second;
  } else {
    pool = std::make_shared<ServicePool>(service);
  }
  if (!service.routed && warned.insert(key).second) {
    log::warn("the service asks for no route; the gateway serves it all the same",
              {{"service", service.ns + "/" + service.name}});
  }
  const auto change = pool->update(service);
  for (const auto& removed : change.removed) followed[pool.get()].end(removed);
  for (const auto& added : change.added) scrape(pool, added);
  next.emplace(key, std::move(pool));
}

void Gateway::Impl::scrape(const std::shared_ptr<ServicePool>& pool,
                           const schedule::Endpoint& endpoint) {
  const std::weak_ptr<ServicePool> weak = pool;
  const auto turn = followed[pool.get()].begin(endpoint);
  const auto wanted = [this, weak, endpoint, turn] {
    const auto turns = followed.find(weak.lock().get());
    return turns != followed.end() && turns->second.goes_on(endpoint, turn);
  };
  const auto loaded = [this, weak, endpoint](const watch::Scraped& scraped) {
    probe.scraped();
    if (const auto alive = weak.lock()) alive->loaded(endpoint, scraped, deps.clock.now());
  };
  tasks.spawn(watch::scrape_while({client, deps.clock}, address(endpoint), {wanted, loaded}));
}

Task<void> Gateway::Impl::tick_forever() {
  auto last = deps.clock.now();
  for (;;) {
    co_await async::sleep_until(last + kTick);
    const auto now = deps.clock.now();
    tick(seconds(now - last));
    last = now;
  }
}

// Readiness and statistics. `elapsed` is 0 when it is not the time that has passed.
void Gateway::Impl::tick(double elapsed) {
  Stats next;
  next.requests = front.requests();
  next.failures = front.failures();
  bool all = !services.empty();
  SeededRandom random(0);
  for (const auto& [key, pool] : services) {
    all = pool->serves(deps.clock.now(), random) && all;
    for (const auto& endpoint : pool->endpoints()) {
      auto& tally = *pool->tally(endpoint);
      if (elapsed > 0) {
        const auto rate = static_cast<double>(tally.tokens - tally.tokens_before) / elapsed;
        tally.tokens_per_second += kSmoothing * (rate - tally.tokens_per_second);
        tally.tokens_before = tally.tokens;
      }
      next.tokens_per_second += tally.tokens_per_second;
      next.pods.push_back({.ns = endpoint.ns,
                           .name = endpoint.name,
                           .address = address(endpoint),
                           .role = std::string(role_of(endpoint)),
                           .requests = tally.requests,
                           .tokens = tally.tokens,
                           .tokens_per_second = tally.tokens_per_second,
                           .kv_bytes = tally.kv_bytes});
    }
  }
  std::ranges::sort(next.pods, [](const PodStats& a, const PodStats& b) {
    return std::tie(a.ns, a.name, a.address.port) < std::tie(b.ns, b.name, b.address.port);
  });
  ready = all;
  const std::lock_guard lock(mutex);
  stats = std::move(next);
}

Task<void> Gateway::Impl::end_tasks() {
  tasks.cancel();
  co_await tasks.join();
  client.close_idle();
}

}  // namespace baton::gateway
