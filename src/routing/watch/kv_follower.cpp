#include "routing/watch/kv_follower.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <optional>
#include <utility>

#include "base/core/log.hpp"
#include "net/http/message.hpp"
#include "net/zmtp/publisher.hpp"
#include "net/zmtp/socket.hpp"
#include "routing/watch/event_stream.hpp"
#include "routing/watch/kv_cache_metrics.hpp"
#include "routing/watch/kv_callers.hpp"

namespace baton::watch {
namespace {

using schedule::Endpoint;
using zmtp::Peer;

constexpr int kLookMillis = 100;             // timers are late by this
constexpr std::size_t kMaxRouted = 1 << 14;  // prompts on their way to the thread

// Counters of all engines together; those with a label are by "ip:port".
struct Meters {
  explicit Meters(observe::Registry& registry)
      : messages(counter(registry, "messages", "batches of KV events received")),
        malformed(counter(registry, "malformed", "batches that could not be read")),
        gaps(counter(registry, "gaps", "times that numbers were missing")),
        restarts(counter(registry, "restarts", "engines found to have started anew")),
        truncated(counter(registry, "truncated_replays", "histories that lacked their beginning")),
        replays(counter(registry, "replays", "histories asked for")),
        failed(counter(registry, "failed_replays", "histories that did not come")),
        reconnects(counter(registry, "reconnects", "connections to engines lost or not made")),
        stored(counter(registry, "stored_blocks", "blocks that engines told of")),
        removed(counter(registry, "removed_blocks", "blocks that engines told to be gone")),
        orphans(counter(registry, "orphan_blocks", "blocks behind an unknown parent, left out")),
        suppressed(counter(registry, "suppressed_removals", "removals of blocks announced again")),
        overflows(counter(registry, "overflows", "engines that told of too many blocks")),
        unsent(counter(registry, "speculation_dropped", "routed prompts that were not noted")),
        strangers(counter(registry, "strangers", "batches of engines that are no endpoint here")),
        refused(counter(registry, "refused_callers", "engines refused: too much sent by halves")),
        followed(
            registry.gauge("baton_epp_kv_events_engines", "engines whose KV events are wanted")),
        in_sync(registry.gauge("baton_epp_kv_events_engines_in_sync",
                               "engines of which nothing is missing")),
        position(registry.gauge("baton_epp_kv_events_position",
                                "batches that engines published, as far as they were read")) {}

  static observe::Counter& counter(observe::Registry& registry, std::string_view name,
                                   std::string_view help) {
    return registry.counter(fmt::format("baton_epp_kv_events_{}_total", name), help);
  }
  observe::Counter &messages, &malformed, &gaps, &restarts, &truncated, &replays, &failed,
      &reconnects, &stored, &removed, &orphans, &suppressed, &overflows, &unsent, &strangers,
      &refused;
  observe::Gauge &followed, &in_sync, &position;
};

void follow(observe::Counter& counter, std::uint64_t now, std::uint64_t& before) {
  counter.add(static_cast<double>(now - std::exchange(before, now)));
}

}  // namespace

struct KvFollower::Impl {
  Impl(FollowConfig c, Deps d, std::array<std::atomic<bool>, schedule::kMaxEndpoints>& sync,
       zmtp::Fd listener)
      : config(std::move(c)), deps(d), in_sync(sync), meters(d.registry) {
    if (config.metrics) named.emplace(d.registry);
    if (listener) callers.emplace(std::move(listener), config.topic);
    thread = std::thread([this] { run(); });
  }
  ~Impl() {
    stopping = true;
    wake.wake();
    thread.join();
  }

  // One engine.
  struct Engine final : EventTaker {
    Engine(Impl& o, Endpoint e, std::uint16_t r)
        : owner(o),
          endpoint(std::move(e)),
          rank(r),
          stream(o.config.replay_port == 0 ? EventStream::Replays::kNo : EventStream::Replays::kYes,
                 *this) {}
    void apply(std::string_view payload) override { owner.apply(*this, payload); }
    void clear() override { owner.deps.index.clear(endpoint.slot); }

    Impl& owner;
    Endpoint endpoint;
    std::uint16_t rank;
    EventStream stream;
    EventStream::Counts counted = {};
    std::optional<Peer> events = {}, history = {};
    std::string topic = {};  // of a connection that the engine made; "": it was made here
    Mono try_at = Mono::min();
    Nanos pause = kFirstReconnect;
    bool subscribed = false;
    bool told = false;  // that it cannot be reached
    Mono history_until{}, history_idle{};
  };

  void run();
  void take_endpoints(const std::vector<Endpoint>& wanted);
  void take_routed();
  void serve(Engine& engine, short events, short history);
  void take(Engine& engine, std::uint64_t number, std::string payload, Mono now);
  bool take_caller(KvCallers::Caller& caller, zmtp::Message& message);
  void connect(Engine& engine, Mono now);
  void drop(Engine& engine, const Error& why, Mono now);
  void serve_events(Engine& engine, short revents, Mono now);
  void serve_history(Engine& engine, short revents, Mono now);
  void ask_history(Engine& engine, Mono now);
  void apply(Engine& engine, std::string_view payload);
  void count(Engine& engine);
  static std::string name_of(const Engine& engine) {
    return http::to_string({engine.endpoint.host, engine.endpoint.port});
  }
  http::Endpoint at(const Engine& engine, std::uint16_t port) const {
    return {engine.endpoint.host, static_cast<std::uint16_t>(port + engine.rank)};
  }

  const FollowConfig config;
  const Deps deps;
  std::array<std::atomic<bool>, schedule::kMaxEndpoints>& in_sync;
  zmtp::Wake wake;
  std::atomic<bool> stopping = false;

  struct Routed {
    schedule::Slot slot;
    std::vector<kv::BlockKey> keys;
    Mono until;
  };
  std::mutex mutex;  // guards the next two
  std::optional<std::vector<Endpoint>> wanted;
  std::vector<Routed> routed;

  // The thread's.
  std::list<Engine> engines;
  std::optional<KvCallers> callers;  // nullopt: nobody may connect
  index::EventIndex::Counts counted = {};
  std::size_t replaying = 0;
  Meters meters;
  std::optional<KvEventMetrics> named;  // nullopt: nobody asks for those names
  std::thread thread;
};

void KvFollower::Impl::run() {
  std::vector<pollfd> polled;
  while (!stopping) {
    std::optional<std::vector<Endpoint>> fresh;
    {
      const std::scoped_lock lock(mutex);
      fresh = std::exchange(wanted, std::nullopt);
    }
    if (fresh) take_endpoints(*fresh);
    polled = {wake.wanted()};
    const auto none = pollfd{-1, 0, 0};
    for (const auto& e : engines) {
      polled.push_back(e.events ? e.events->wanted() : none);
      polled.push_back(e.history ? e.history->wanted() : none);
    }
    if (callers) callers->add_polled(polled);
    ::poll(polled.data(), polled.size(), kLookMillis);
    wake.clear();
    std::size_t i = 1;
    std::size_t synced = 0;
    std::size_t subscribed = 0;
    std::uint64_t position = 0;
    for (auto& engine : engines) {
      serve(engine, polled[i].revents, polled[i + 1].revents);
      i += 2;
      const bool is = engine.stream.in_sync();
      in_sync[engine.endpoint.slot].store(is, std::memory_order_relaxed);
      synced += is ? 1 : 0;
      subscribed += engine.events && engine.subscribed ? 1 : 0;
      position += engine.stream.position();
    }
    if (callers) {
      const auto refused = callers->serve(
          std::span(polled).subspan(i), deps.clock.now(),
          [this](auto& caller, auto& message) { return take_caller(caller, message); });
      meters.refused.add(static_cast<double>(refused));
    }
    take_routed();
    deps.index.expire(deps.clock.now());
    meters.in_sync.set(static_cast<double>(synced));
    meters.position.set(static_cast<double>(position));
    const auto& now = deps.index.counts();
    follow(meters.stored, now.stored, counted.stored);
    follow(meters.removed, now.removed, counted.removed);
    follow(meters.orphans, now.orphans, counted.orphans);
    follow(meters.suppressed, now.suppressed, counted.suppressed);
    follow(meters.overflows, now.overflows, counted.overflows);
    if (!named) continue;
    named->indexed(now);
    named->subscribers(subscribed);
  }
}

void KvFollower::Impl::take_endpoints(const std::vector<Endpoint>& endpoints) {
  const auto same = [](const Endpoint& a, const Endpoint& b) {
    return a.slot == b.slot && a.host == b.host && a.port == b.port && a.name == b.name;
  };
  std::erase_if(engines, [&](const Engine& engine) {
    const auto stays = [&](const Endpoint& e) { return same(e, engine.endpoint); };
    if (std::ranges::any_of(endpoints, stays)) return false;
    in_sync[engine.endpoint.slot] = false;
    if (engine.history) --replaying;
    deps.index.clear(engine.endpoint.slot);
    return true;
  });
  for (const auto& endpoint : endpoints) {
    const auto known = [&](const Engine& engine) { return same(endpoint, engine.endpoint); };
    if (std::ranges::any_of(engines, known)) continue;
    engines.emplace_back(*this, endpoint, endpoint.rank.value_or(0));
  }
  meters.followed.set(static_cast<double>(engines.size()));
}

void KvFollower::Impl::take_routed() {
  std::vector<Routed> prompts;
  {
    const std::scoped_lock lock(mutex);
    prompts.swap(routed);
  }
  for (const auto& p : prompts) deps.index.speculate(p.slot, p.keys, p.until);
}

void KvFollower::Impl::serve(Engine& engine, short events, short history) {
  const auto now = deps.clock.now();
  if (!engine.events && config.connects) connect(engine, now);
  if (engine.events) serve_events(engine, events, now);
  if (engine.history) serve_history(engine, history, now);
  ask_history(engine, now);
  count(engine);
}

// The engine's own connection is the one that counts.
bool KvFollower::Impl::take_caller(KvCallers::Caller& caller, zmtp::Message& message) {
  const auto number = message.size() == 3 ? zmtp::read_sequence(message[1]) : std::nullopt;
  if (!number) {
    meters.malformed.add();
    return false;
  }
  std::vector<const Endpoint*> endpoints;
  for (const auto& engine : engines) endpoints.push_back(&engine.endpoint);
  const auto batch = kv::decode_events(message[2]);
  const auto* endpoint =
      publisher_of(message[0], caller.host, batch ? batch->rank : std::nullopt, endpoints);
  if (endpoint == nullptr) {
    meters.strangers.add();
    if (!std::exchange(caller.told, true)) {
      log::warn(
          "KV events come from an engine that is no endpoint of the pool, or not clearly one: give "
          "it the topic kv@$(POD_IP):PORT@MODEL, with the port that the pool names",
          {{"from", caller.host}, {"topic", message[0].substr(0, 256)}});
    }
    return false;
  }
  auto& engine =
      *std::ranges::find_if(engines, [&](const Engine& one) { return &one.endpoint == endpoint; });
  const auto now = deps.clock.now();
  if (engine.history) --replaying;
  engine.history.reset();
  engine.stream.lost();
  engine.events.emplace(std::move(caller.peer));
  engine.topic = message[0];
  engine.subscribed = true;
  engine.told = false;
  engine.pause = kFirstReconnect;
  engine.stream.connected(now);
  take(engine, *number, std::move(message[2]), now);
  serve_events(engine, 0, now);  // what else has come
  return true;
}

void KvFollower::Impl::connect(Engine& engine, Mono now) {
  if (now < engine.try_at) return;
  auto fd = zmtp::connect_to(at(engine, config.port));
  if (!fd) return drop(engine, fd.error(), now);
  engine.events.emplace(*std::move(fd), zmtp::Role::kSub, now);
  engine.subscribed = false;
}

void KvFollower::Impl::drop(Engine& engine, const Error& why, Mono now) {
  if (!std::exchange(engine.told, true)) {
    log::warn("KV events of an engine do not come: its prefixes are estimated meanwhile",
              {{"endpoint", engine.endpoint.name},
               {"at", engine.topic.empty() ? http::to_string(at(engine, config.port))
                                           : "a connection of its own"},
               {"why", why.message()}});
  }
  meters.reconnects.add();
  if (named) {
    named->reconnected();
    named->failed(name_of(engine), engine.events && engine.subscribed ? "receive" : "connect");
  }
  engine.events.reset();
  engine.topic.clear();
  if (engine.history) --replaying;
  engine.history.reset();
  engine.stream.lost();
  engine.try_at = now + engine.pause;
  engine.pause = std::min(engine.pause * 2, kReconnectPause);
}

void KvFollower::Impl::serve_events(Engine& engine, short revents, Mono now) {
  if (auto served = engine.events->serve(revents, now); !served) {
    return drop(engine, served.error(), now);
  }
  while (true) {
    auto message = engine.events->next();
    if (!message) return drop(engine, message.error(), now);
    if (!*message) break;
    auto& frames = **message;
    const auto number = frames.size() == 3 ? zmtp::read_sequence(frames[1]) : std::nullopt;
    if (!number) {  // not an event: another frame count, or a short number
      meters.malformed.add();
      continue;
    }
    if (!engine.topic.empty() && frames[0] != engine.topic) {
      return drop(engine, invalid("it publishes for more than one engine"), now);
    }
    take(engine, *number, std::move(frames[2]), now);
  }
  if (engine.subscribed || !engine.events->ready()) return;
  engine.events->send({"\1" + config.topic});
  engine.subscribed = true;
  engine.told = false;
  engine.pause = kFirstReconnect;
  engine.stream.connected(now);
}

void KvFollower::Impl::take(Engine& engine, std::uint64_t number, std::string payload, Mono now) {
  meters.messages.add();
  if (named) named->received(name_of(engine));
  engine.stream.live(number, std::move(payload), now);
}

void KvFollower::Impl::ask_history(Engine& engine, Mono now) {
  if (now < engine.stream.due() || replaying >= kMaxReplays) return;
  const auto from = engine.stream.take_request(now);
  if (!from) return;
  if (engine.history) --replaying;
  engine.history.reset();
  meters.replays.add();
  auto fd = zmtp::connect_to(at(engine, config.replay_port));
  if (!fd) return engine.stream.replay_failed(now);
  engine.history.emplace(*std::move(fd), zmtp::Role::kDealer, now);
  engine.history->send({"", zmtp::sequence_bytes(*from)});
  engine.history_until = now + kReplayLimit;
  engine.history_idle = now + kReplayIdle;
  ++replaying;
}

void KvFollower::Impl::serve_history(Engine& engine, short revents, Mono now) {
  const auto over = [&](bool ended) {
    engine.history.reset();
    --replaying;
    ended ? engine.stream.replay_ended(now) : engine.stream.replay_failed(now);
  };
  if (!engine.history->serve(revents, now) || now > engine.history_until ||
      now > engine.history_idle) {
    return over(false);
  }
  while (true) {
    auto message = engine.history->next();
    if (!message) return over(false);
    if (!*message) return;
    // Some engines put the topic before the number.
    const auto& frames = **message;
    const auto n = frames.size();
    const auto number = n >= 2 ? zmtp::read_sequence(frames[n - 2]) : std::nullopt;
    if (!number) return over(false);
    engine.history_idle = now + kReplayIdle;
    if (*number == zmtp::kReplayEnd) return over(true);
    engine.stream.replayed(*number, frames[n - 1]);
  }
}

void KvFollower::Impl::apply(Engine& engine, std::string_view payload) {
  const auto batch = kv::decode_events(payload);
  if (batch) return deps.index.apply(engine.endpoint.slot, *batch);
  meters.malformed.add();
  log::warn("a batch of KV events cannot be read",
            {{"endpoint", engine.endpoint.name}, {"why", batch.error().message()}});
}

void KvFollower::Impl::count(Engine& engine) {
  const auto& now = engine.stream.counts();
  follow(meters.gaps, now.gaps, engine.counted.gaps);
  follow(meters.restarts, now.restarts, engine.counted.restarts);
  follow(meters.truncated, now.truncated, engine.counted.truncated);
  follow(meters.failed, now.failures, engine.counted.failures);
}

KvFollower::KvFollower(FollowConfig config, Deps deps, zmtp::Fd listener)
    : impl_(std::make_unique<Impl>(std::move(config), deps, in_sync_, std::move(listener))) {}

KvFollower::~KvFollower() = default;

void KvFollower::update(const std::vector<Endpoint>& endpoints) {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->wanted = endpoints;
  }
  impl_->wake.wake();
}

void KvFollower::routed(schedule::Slot slot, std::span<const kv::BlockKey> keys) {
  if (impl_->config.speculative <= Nanos(0) || keys.empty()) return;
  {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->routed.size() >= kMaxRouted) return impl_->meters.unsent.add();
    impl_->routed.push_back(
        {slot, {keys.begin(), keys.end()}, impl_->deps.clock.now() + impl_->config.speculative});
  }
  impl_->wake.wake();
}

}  // namespace baton::watch
