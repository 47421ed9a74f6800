#include "routing/epp/server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <list>

#include "base/async/blocking.hpp"
#include "base/async/cpu_pool.hpp"
#include "base/async/task_group.hpp"
#include "base/core/assert.hpp"
#include "base/core/log.hpp"
#include "net/grpc/health.hpp"
#include "net/grpc/server.hpp"
#include "net/http/server.hpp"
#include "routing/epp/admin.hpp"
#include "routing/epp/endpoint_states.hpp"
#include "routing/epp/engine_scrapes.hpp"
#include "routing/epp/ext_proc.hpp"
#include "routing/epp/gate.hpp"
#include "routing/epp/model_lists.hpp"
#include "routing/epp/parsers.hpp"
#include "routing/epp/plugin_states.hpp"
#include "routing/epp/pool_gauges.hpp"
#include "routing/epp/stream_metrics.hpp"
#include "routing/watch/followed.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kProcess = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

grpc::Server::Config ext_proc_config(const Server::Config& config, observe::Registry& registry) {
  grpc::Server::Config out;
  out.tls = config.tls;
  out.message_bytes = config.message_bytes;
  out.server_name = "ext_proc";
  out.registry = &registry;
  return out;
}

Task<Status> write_all(grpc::ServerStream& stream, std::vector<Reply>& replies) {
  for (const auto& reply : replies) {
    const std::array<std::string_view, 2> pieces = {reply.head, reply.body};
    auto written = co_await stream.write(pieces);
    if (!written) co_return written;
  }
  replies.clear();
  co_return Status();
}

http::Server::Config metrics_config(const Server::Config& config, observe::Registry& registry) {
  http::Server::Config out;
  out.tls = config.metrics_tls;
  out.registry = &registry;
  return out;
}

// What serves one stream.
struct Parts {
  Desk& desk;
  Gate& gate;
  async::CpuPool* cpu;   // where prompts are tokenized; null: nowhere
  Predictor* predictor;  // null: nothing is predicted
  Renderer* renderer;    // null: nobody else makes tokens
};

// By its bytes when the pool has too much to do.
Task<std::optional<pick::KeyedPrompt>> key(ExtProc& machine, const Parts& parts) {
  if (parts.renderer != nullptr) {
    if (auto wanted = machine.render()) {
      auto answer = co_await parts.renderer->ask(*std::move(wanted));
      if (answer) machine.rendered(*std::move(answer));
    }
  }
  auto made = co_await parts.cpu->run([&machine] { return machine.key(); });
  if (made) co_return *std::move(made);
  log::debug("a prompt is compared by its bytes", {{"why", made.error().message()}});
  co_return std::nullopt;
}

Task<grpc::RpcStatus> process(grpc::ServerStream& stream, Parts parts) {
  auto& gate = parts.gate;
  ExtProc machine(parts.desk);
  std::vector<Reply> replies;
  Gate::Running running;
  for (;;) {
    const auto message = co_await stream.read();
    if (const auto demand = running.evicted()) {
      machine.evict(*demand, replies);
      const auto written = co_await write_all(stream, replies);
      co_return written ? grpc::RpcStatus() : grpc::to_status(written.error());
    }
    if (!message) co_return grpc::to_status(message.error());
    if (!*message) co_return grpc::RpcStatus();
    auto next = machine.on_message(**message, replies);
    if (!next) co_return grpc::to_status(next.error());
    if (*next == ExtProc::Next::kKey) {
      auto prompt = co_await key(machine, parts);
      next = machine.keyed(std::move(prompt), replies);
    }
    if (*next == ExtProc::Next::kPredict) {
      const auto made = co_await parts.predictor->predict(machine.rows());
      next = machine.predicted(made, replies);
    }
    if (*next == ExtProc::Next::kWait) {
      const auto entered = co_await gate.enter(machine.admission(), machine.labels());
      next = machine.admitted(entered.outcome, replies);
      if (!machine.over()) {
        running = gate.run(entered.pass, machine.priority(), co_await asio::this_coro::executor,
                           [&stream] { stream.interrupt(); });
      }
    }
    if (machine.over()) running = {};
    const auto written = co_await write_all(stream, replies);
    if (!written) co_return grpc::to_status(written.error());
    if (*next == ExtProc::Next::kEnd) co_return grpc::RpcStatus();
  }
}

Metrics::Plugins plugins_of(const SharedPool& pool) {
  return pool.broken() ? Metrics::Plugins{} : Metrics::plugins_of(pool.setup());
}

}  // namespace

struct Server::Impl {
  Impl(Deps d, Config c, const watch::Service& picker)
      : deps(std::move(d)),
        config(std::move(c)),
        pool(picker),
        metrics(deps.registry, plugins_of(pool)),
        rules({.group = config.pool_group, .name = picker.name}),
        gate(pool, deps.clock, deps.registry, picker.name,
             config.scrape_interval + config.stale_after),
        recorder(deps.registry, config.records),
        gauges(deps.registry, picker.name),
        ext_proc(deps.loops, deps.clock, ext_proc_config(config, deps.registry)),
        health({deps.loops.front()}, deps.clock, {}),
        admin(deps.registry, recorder, deps.review,
              {.refresh =
                   [this] {
                     const auto snapshot = pool.snapshot();
                     gauges.show_endpoints(snapshot);
                     if (pool.broken()) return;
                     gauges.show_plugins(pool.setup(), snapshot, pool.remembered());
                   },
               .endpoints = [this] { return endpoint_states(pool.snapshot(), deps.clock.now()); },
               .plugins =
                   [this] {
                     return plugin_states(pool.setup(), pool.snapshot(), pool.remembered(),
                                          deps.clock.wall());
                   }}),
        metrics_server(*deps.loops.front(), deps.clock, metrics_config(config, deps.registry),
                       [this](http::Exchange& exchange) { return admin.answer(exchange); }),
        tasks(deps.loops.front()->executor()) {
    for (std::size_t i = 0; i < deps.loops.size(); ++i) {
      auto* book = foretell(*deps.loops[i], deps.seed + i);
      desks.emplace_back(
          Desk::Deps{pool, metrics, deps.clock, rules, gate, recorder, deps.tracer, book},
          config.desk, deps.seed + i);
    }
    if (config.stream_metrics) stream_metrics.emplace(deps.registry, deps.clock);
    ext_proc.handle(std::string(kProcess),
                    [this](grpc::ServerStream& stream) { return serve(stream); });
    const grpc::HealthSource source{
        .status = [this](std::string_view service) { return state_of(service); },
        .listed = grpc::picker_services(state())};
    grpc::add_health(health, source, deps.clock);
    if (config.health_on_ext_proc) grpc::add_health(ext_proc, source, deps.clock);
  }

  // Null: the configuration does not ask for it.
  LatencyBook* foretell(async::Loop& loop, std::uint64_t seed) {
    if (pool.broken() || !pool.setup().latency) return nullptr;
    if (!latency_metrics) latency_metrics.emplace(deps.registry, pool.setup().latency->name);
    auto of_loop = config.predictor;
    of_loop.calls = std::max<std::size_t>(1, of_loop.calls / deps.loops.size());
    auto& predictor = predictors.emplace_back(
        loop.executor(), Predictor::Deps{deps.clock, *latency_metrics, seed}, std::move(of_loop));
    return &books.emplace_back(
        LatencyBook::Deps{pool, deps.clock, tpot_slos, *latency_metrics, predictor.samples()});
  }

  grpc::PickerState state() const {
    return {.pool_synced = pool.synced(),
            .protocol_fits = protocol_fits,
            .plugins_ready = !pool.broken(),
            .draining = draining,
            .elects_leader = config.elects_leader,
            .leader = leader};
  }
  grpc::Serving state_of(std::string_view service) const {
    return grpc::picker_health(service, state());
  }

  Task<grpc::RpcStatus> serve(grpc::ServerStream& stream) {
    const auto executor = co_await asio::this_coro::executor;
    auto desk = desks.begin();
    auto predictor = predictors.begin();
    auto renderer = renderers.begin();
    for (async::Loop* loop : deps.loops) {
      if (loop->executor() == executor) break;
      ++desk;
      if (predictor != predictors.end()) ++predictor;
      if (renderer != renderers.end()) ++renderer;
    }
    BATON_ASSERT(desk != desks.end());
    const Parts parts{*desk, gate, cpu.get(), predictors.empty() ? nullptr : &*predictor,
                      renderers.empty() ? nullptr : &*renderer};
    if (!stream_metrics) co_return co_await process(stream, parts);
    StreamMetrics::Open open(*stream_metrics);
    auto status = co_await process(stream, parts);
    open.ended(status.code);
    co_return status;
  }

  void scrape(const schedule::Endpoint& endpoint) {
    const auto turn = followed.begin(endpoint);
    const auto wanted = [this, endpoint, turn] { return followed.goes_on(endpoint, turn); };
    if (models != nullptr) {
      tasks.spawn(
          models->follow(endpoint, wanted, [this, endpoint](std::vector<std::string> names) {
            pool.serves(endpoint, std::move(names));
          }));
    }
    if (scrapes == nullptr) return;
    const auto loaded = [this, endpoint](const watch::Scraped& scraped) {
      pool.loaded(endpoint, scraped, deps.clock.now());
    };
    tasks.spawn(scrapes->follow(endpoint, {.wanted = wanted, .on_scraped = loaded}));
  }
  Task<void> show_pool() {
    for (;;) {
      gauges.show(pool.snapshot(), deps.clock.now(), config.stale_after);
      co_await async::sleep_until(deps.clock.now() + config.gauge_interval);
    }
  }
  Task<void> end_tasks() {
    tasks.cancel();
    co_await tasks.join();
    if (scrapes != nullptr) scrapes->close_idle();
    if (models != nullptr) models->close_idle();
  }

  Deps deps;
  const Config config;
  // Null: the configuration does not ask for them.
  std::unique_ptr<async::CpuPool> cpu;
  std::unique_ptr<pick::PrecisePrefix> precise;
  SharedPool pool;
  Metrics metrics;
  Rules rules;
  Gate gate;
  Recorder recorder;  // goes before the pool, whose scheduler its records name
  std::optional<StreamMetrics> stream_metrics;
  TpotSlos tpot_slos;
  std::optional<LatencyMetrics> latency_metrics;
  std::list<Predictor> predictors;  // by loop; none: nothing is predicted or learnt
  std::list<LatencyBook> books;     // by loop
  std::list<Renderer> renderers;    // by loop; none: nobody else makes tokens
  PoolGauges gauges;
  std::list<Desk> desks;                   // by loop
  std::unique_ptr<EngineScrapes> scrapes;  // null: the configuration asks for none
  std::unique_ptr<ModelLists> models;      // null: likewise
  grpc::Server ext_proc;
  grpc::Server health;
  Admin admin;
  http::Server metrics_server;
  std::atomic<bool> protocol_fits = true;
  std::atomic<bool> draining = false;
  std::atomic<bool> leader = false;
  bool started = false;
  watch::Followed followed;  // of the first loop, as the next one
  async::TaskGroup tasks;
};

Server::Server(Deps deps, Config config, const watch::Service& picker)
    : impl_(std::make_unique<Impl>(std::move(deps), std::move(config), picker)) {}

Server::~Server() { stop({impl_->deps.clock.now()}); }

Result<Server::Bound> Server::start() {
  auto& self = *impl_;
  if (const auto& broken = self.pool.broken()) return *broken;
  if (!self.config.record_file.empty()) {
    BATON_TRY(self.recorder.write_to(self.config.record_file));
  }
  if (self.pool.setup().scrapes) {
    BATON_TRY_ASSIGN(self.scrapes,
                     EngineScrapes::open(self.pool.setup(), self.config.scrape_interval,
                                         {self.deps.clock, self.metrics}));
  }
  if (const auto& source = self.pool.setup().models) {
    BATON_TRY_ASSIGN(self.models, ModelLists::open(*source, self.config.scrape_interval,
                                                   {self.deps.clock, self.metrics}));
  }
  if (const auto& wanted = self.pool.setup().precise) {
    BATON_TRY_ASSIGN(self.precise,
                     pick::PrecisePrefix::open(*wanted, {self.deps.clock, self.deps.registry}));
    if (wanted->render) {
      BATON_TRY_ASSIGN(const auto config, Renderer::config_of(*wanted->render));
      for (std::size_t i = 0; i < self.deps.loops.size(); ++i) {
        self.renderers.emplace_back(self.deps.clock, config);
      }
    }
    self.pool.follow(*self.precise);
    self.cpu =
        std::make_unique<async::CpuPool>(async::CpuPool::Config{.threads = self.deps.loops.size()});
  }
  self.started = true;
  Bound bound;
  BATON_TRY_ASSIGN(bound.health, self.health.listen(self.config.health));
  BATON_TRY_ASSIGN(bound.ext_proc, self.ext_proc.listen(self.config.ext_proc));
  BATON_TRY_ASSIGN(bound.metrics, self.metrics_server.listen(self.config.metrics));
  self.deps.loops.front()->post([&self] {
    self.tasks.spawn(self.show_pool());
    self.tasks.spawn(self.gate.run());
  });
  auto loop = self.deps.loops.begin();
  for (auto& predictor : self.predictors) {
    (*loop++)->post([&predictor] { predictor.start(); });
  }
  return bound;
}

void Server::update(const std::vector<schedule::Endpoint>& endpoints) {
  auto& self = *impl_;
  const auto change = self.pool.update(endpoints);
  if (change.over_limit > 0) {
    log::warn("more ready endpoints than a pool can have, the rest gets no requests",
              {{"limit", schedule::kMaxEndpoints}, {"left_out", change.over_limit}});
  }
  log::info("endpoints changed", {{"endpoints", endpoints.size()},
                                  {"added", change.added.size()},
                                  {"removed", change.removed.size()}});
  for (const auto& endpoint : change.removed) self.metrics.left(endpoint);
  self.deps.loops.front()->post([&self, change] {
    for (const auto& endpoint : change.removed) self.followed.end(endpoint);
    for (const auto& endpoint : change.added) self.scrape(endpoint);
  });
}

void Server::speak(std::string_view app_protocol) {
  const bool fits = epp::speak(impl_->pool.setup().parsers, app_protocol);
  if (impl_->protocol_fits.exchange(fits) && !fits) {
    log::error(
        "not ready: a parser of requestHandler does not speak the pool's appProtocol; gRPC "
        "parsers need kubernetes.io/h2c",
        {{"app_protocol", app_protocol}});
  }
}

void Server::clear() {
  auto& self = *impl_;
  const auto change = self.pool.clear();
  for (const auto& endpoint : change.removed) self.metrics.left(endpoint);
  self.deps.loops.front()->post([&self] { self.followed.end_all(); });
}

void Server::set_objectives(const std::vector<text::json::Value>& objects) {
  impl_->rules.set_objectives(objects);
  impl_->gate.want(impl_->rules.priorities());
}

void Server::set_rewrites(const std::vector<text::json::Value>& objects) {
  impl_->rules.set_rewrites(objects);
  impl_->metrics.pin_models(impl_->rules.models());
}

void Server::lead(bool leading) { impl_->leader = leading; }

void Server::drain() { impl_->draining = true; }

void Server::stop(Deadline deadline) {
  auto& self = *impl_;
  if (!std::exchange(self.started, false)) return;
  self.draining = true;
  self.gate.shut_down();
  self.ext_proc.stop(deadline);
  self.health.stop({self.deps.clock.now()});
  self.metrics_server.stop({self.deps.clock.now()});
  if (self.deps.loops.front()->running()) {
    async::blocking_run(*self.deps.loops.front(), self.end_tasks());
  }
  // One of each for a loop, in the order of the loops.
  const auto stop_all = [&](auto& servers) {
    auto loop = self.deps.loops.begin();
    for (auto& server : servers) {
      if ((*loop)->running()) async::blocking_run(**loop, server.stop());
      ++loop;
    }
  };
  stop_all(self.predictors);
  stop_all(self.renderers);
}

}  // namespace baton::epp
