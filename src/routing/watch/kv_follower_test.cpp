#include "routing/watch/kv_follower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <numeric>
#include <thread>

#include "net/zmtp/publisher.hpp"
#include "net/zmtp/socket.hpp"
#include "routing/watch/kv_callers.hpp"

namespace baton::watch {
namespace {

using ::testing::ElementsAre;
using zmtp::Publisher;

const SystemClock kClock;
constexpr Nanos kPatience = std::chrono::seconds(30);

bool eventually(const std::function<bool()>& holds) {
  const auto until = kClock.now() + kPatience;
  while (!holds()) {
    if (kClock.now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

std::vector<std::uint32_t> tokens(std::size_t count, std::uint32_t first = 1) {
  std::vector<std::uint32_t> out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

// Block `n` of a prompt of ascending tokens, as one batch.
std::string stored(std::uint64_t n) {
  kv::BlockStored block;
  block.hashes = {100 + n};
  if (n > 0) block.parent = 99 + n;
  block.tokens = tokens(4, 1 + static_cast<std::uint32_t>(n) * 4);
  block.block_size = 4;
  block.medium = "gpu";
  return kv::encode_events({.ts = 1, .events = {block}, .rank = 0}, kv::EventShape::kArrays);
}

std::unique_ptr<Publisher> publisher(const std::string& host, std::uint16_t port = 0,
                                     std::uint16_t replay = 0) {
  auto made = Publisher::start({.any = host,
                                .endpoint = "tcp://*:" + std::to_string(port),
                                .replay_endpoint = "tcp://*:" + std::to_string(replay),
                                .topic = "kv@same@m"},
                               kClock);
  EXPECT_TRUE(made) << made.error().message();
  return *std::move(made);
}

schedule::Endpoint endpoint(schedule::Slot slot, const std::string& host,
                            std::uint16_t port = 8000) {
  schedule::Endpoint out;
  out.ns = "default", out.name = "p" + std::to_string(slot), out.host = host, out.port = port;
  out.slot = slot;
  return out;
}

struct Rig {
  observe::Registry registry;
  index::EventIndex index{{.seed = "", .block_tokens = 4, .slots = 4}};
  KvFollower follower;

  explicit Rig(FollowConfig config, zmtp::Fd listener = {})
      : follower(std::move(config), {index, kClock, registry}, std::move(listener)) {}
  Rig(std::uint16_t port, std::uint16_t replay)
      : Rig(FollowConfig{.port = port, .replay_port = replay}) {}

  std::vector<std::uint32_t> held(std::size_t blocks = 8) const {
    std::vector<std::uint32_t> out(4), weighted(4);
    index.match(index.keys_of("m", tokens(blocks * 4)), out, weighted);
    return out;
  }
  bool becomes(const std::vector<std::uint32_t>& wanted) const {
    return eventually([&] { return held() == wanted; });
  }
  double value(const std::string& name) {
    const auto text = registry.expose();
    const auto at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
};

TEST(KvFollower, AnEngineIsKnownByItsAddressWhateverItsTopicSays) {  // epp:K018
  const auto a = publisher("127.0.0.1");
  const auto port = a->at().port, replay = a->replay_at().port;
  const auto b = publisher("127.0.0.2", port, replay);
  a->publish(stored(0)), a->publish(stored(1));
  b->publish(stored(0));
  Rig rig(port, replay);
  rig.follower.update({endpoint(0, "127.0.0.1"), endpoint(2, "127.0.0.2")});

  EXPECT_TRUE(rig.becomes({2, 0, 1, 0}));
  EXPECT_TRUE(eventually([&] { return rig.follower.in_sync(0) && rig.follower.in_sync(2); }));
  EXPECT_FALSE(rig.follower.in_sync(1));
  b->publish(stored(1)), b->publish(stored(2));
  EXPECT_TRUE(rig.becomes({2, 0, 3, 0}));

  rig.follower.update({endpoint(2, "127.0.0.2")});
  EXPECT_TRUE(rig.becomes({0, 0, 3, 0}));
  EXPECT_FALSE(rig.follower.in_sync(0));
}

TEST(KvFollower, TheRankOfAPortOffsetsTheEventsPorts) {  // epp:K018
  // Two neighbouring free ports: the second rank's.
  std::unique_ptr<Publisher> first, second;
  for (int i = 0; i < 100 && second == nullptr; ++i) {
    first = publisher("127.0.0.1");
    auto made = Publisher::start({.any = "127.0.0.1",
                                  .endpoint = "tcp://*:" + std::to_string(first->at().port + 1),
                                  .topic = "kv@"},
                                 kClock);
    if (made) second = *std::move(made);
  }
  ASSERT_NE(second, nullptr);
  Rig rig(FollowConfig{.port = first->at().port});
  rig.follower.update({endpoint(0, "127.0.0.1", 8001), endpoint(1, "127.0.0.1", 8002)});
  auto ranks = std::vector{endpoint(0, "127.0.0.1", 8001), endpoint(1, "127.0.0.1", 8002)};
  ranks[1].name = ranks[0].name;
  ranks[0].rank = 0, ranks[1].rank = 1;
  rig.follower.update(ranks);
  ASSERT_TRUE(eventually(
      [&] { return second->stats().subscribers == 1 && first->stats().subscribers == 1; }));
  second->publish(stored(0));
  EXPECT_TRUE(rig.becomes({0, 1, 0, 0}));
}

TEST(KvFollower, ARestartedEngineIsFollowedFromItsBeginning) {  // epp:K018
  auto engine = publisher("127.0.0.1");
  const auto port = engine->at().port, replay = engine->replay_at().port;
  engine->publish(stored(0)), engine->publish(stored(1)), engine->publish(stored(2));
  Rig rig(port, replay);
  rig.follower.update({endpoint(0, "127.0.0.1")});
  ASSERT_TRUE(rig.becomes({3, 0, 0, 0}));
  engine.reset();
  EXPECT_TRUE(eventually([&] { return !rig.follower.in_sync(0); }));

  engine = publisher("127.0.0.1", port, replay);
  engine->publish(stored(0));
  EXPECT_TRUE(rig.becomes({1, 0, 0, 0}));
  EXPECT_TRUE(eventually([&] { return rig.follower.in_sync(0); }));
  EXPECT_GE(rig.value("baton_epp_kv_events_reconnects_total"), 1);
}

// Where a picker lets engines connect.
struct Listening {
  http::Endpoint at{"127.0.0.1", 0};
  zmtp::Fd listener = *zmtp::listen_at(at);

  std::unique_ptr<Publisher> engine(const std::string& topic) const {
    return *Publisher::start({.endpoint = "tcp://" + http::to_string(at), .topic = topic}, kClock);
  }
};

bool connected(const Publisher& engine) {
  return eventually([&] { return engine.stats().subscribers == 1; });
}

TEST(KvFollower, EnginesThatConnectAreKnownByTheirTopic) {  // epp:K018 epp:C010
  Listening where;
  Rig rig(FollowConfig{.connects = false}, std::move(where.listener));
  rig.follower.update({endpoint(0, "127.0.0.5"), endpoint(2, "127.0.0.6")});
  const auto a = where.engine("kv@127.0.0.5:8000@m"), b = where.engine("kv@p2@m");
  ASSERT_TRUE(connected(*a) && connected(*b));
  a->publish(stored(0)), a->publish(stored(1));
  b->publish(stored(0));

  EXPECT_TRUE(rig.becomes({2, 0, 1, 0}));
  EXPECT_TRUE(eventually([&] { return rig.follower.in_sync(0) && rig.follower.in_sync(2); }));
  b->publish(stored(1)), b->publish(stored(2));
  EXPECT_TRUE(rig.becomes({2, 0, 3, 0}));
}

TEST(KvFollower, AnEngineThatConnectsAgainStartsAnew) {  // epp:K018
  Listening where;
  Rig rig(FollowConfig{.connects = false}, std::move(where.listener));
  rig.follower.update({endpoint(0, "127.0.0.5")});
  auto engine = where.engine("kv@127.0.0.5:8000@m");
  ASSERT_TRUE(connected(*engine));
  engine->publish(stored(0)), engine->publish(stored(1));
  ASSERT_TRUE(rig.becomes({2, 0, 0, 0}));
  engine.reset();
  EXPECT_TRUE(eventually([&] { return !rig.follower.in_sync(0); }));

  engine = where.engine("kv@127.0.0.5:8000@m");
  ASSERT_TRUE(connected(*engine));
  engine->publish(stored(0));
  EXPECT_TRUE(rig.becomes({1, 0, 0, 0}));
}

TEST(KvFollower, AnEngineThatIsNoEndpointIsCountedUntilItIsOne) {
  Listening where;
  Rig rig(FollowConfig{.connects = false}, std::move(where.listener));
  const auto engine = where.engine("kv@127.0.0.5:8000@m");
  ASSERT_TRUE(connected(*engine));
  engine->publish(stored(0));
  EXPECT_TRUE(eventually([&] { return rig.value("baton_epp_kv_events_strangers_total") == 1; }));

  rig.follower.update({endpoint(1, "127.0.0.5")});
  EXPECT_TRUE(eventually([&] { return rig.value("baton_epp_kv_events_engines") == 1; }));
  engine->publish(stored(0));
  EXPECT_TRUE(rig.becomes({0, 1, 0, 0}));
}

TEST(KvFollower, AConnectionThatSpeaksForTwoEnginesEnds) {
  Listening where;
  Rig rig(FollowConfig{.connects = false}, std::move(where.listener));
  rig.follower.update({endpoint(0, "127.0.0.5"), endpoint(1, "127.0.0.6")});
  zmtp::Peer peer(*zmtp::connect_to(where.at), zmtp::Role::kPub, kClock.now());
  peer.send({"kv@127.0.0.5:8000@m", zmtp::sequence_bytes(0), stored(0)});
  peer.send({"kv@127.0.0.6:8000@m", zmtp::sequence_bytes(0), stored(0)});
  EXPECT_TRUE(eventually([&] {
    auto polled = peer.wanted();
    ::poll(&polled, 1, 1);
    return !peer.serve(polled.revents, kClock.now()) || !peer.next();
  }));
  EXPECT_TRUE(eventually([&] { return !rig.follower.in_sync(0); }));
  EXPECT_EQ(rig.held()[1], 0U);
}

TEST(KvFollower, WhatStrangersSendByHalvesIsBoundedTogetherAndCounted) {
  auto most = zmtp::encode({std::string(zmtp::kMaxMessage, 'x')});
  most.pop_back();
  Listening where;
  Rig rig(FollowConfig{.connects = false}, std::move(where.listener));
  std::list<zmtp::Peer> strangers;
  for (std::size_t i = 0; i < kMaxCallerBytes / zmtp::kMaxMessage + 1; ++i) {
    strangers.emplace_back(*zmtp::connect_to(where.at), zmtp::Role::kPub, kClock.now());
  }
  const auto serve = [](zmtp::Peer& peer) {
    auto polled = peer.wanted();
    ::poll(&polled, 1, 1);
    return peer.serve(polled.revents, kClock.now()) && peer.next();
  };
  for (auto& peer : strangers) {
    ASSERT_TRUE(eventually([&] { return !serve(peer) || peer.ready(); }));
    ASSERT_TRUE(peer.ready());
  }

  for (auto& peer : strangers) peer.send_encoded(most);
  std::size_t refused = 0;
  EXPECT_TRUE(eventually([&] {
    refused += std::erase_if(strangers, [&](zmtp::Peer& peer) { return !serve(peer); });
    return refused > 0 && rig.value("baton_epp_kv_events_refused_callers_total") >= 1;
  }));
  EXPECT_FALSE(strangers.empty());
}

// A PUB socket of which the test decides what it sends.
class Wire {
 public:
  Wire() : listener_(*zmtp::listen_at(at_)) {}
  std::uint16_t port() const { return at_.port; }
  bool subscribed() {
    return eventually([&] {
      if (!peer_) {
        if (auto fd = zmtp::accept_from(listener_)) {
          peer_.emplace(std::move(fd), zmtp::Role::kPub, kClock.now());
        }
        return false;
      }
      const auto message = serve();
      return message && message->front() == "\1kv@";
    });
  }
  void send(const zmtp::Message& message) {
    peer_->send(message);
    EXPECT_TRUE(eventually([&] {
      serve();
      return peer_->unsent() == 0;
    }));
  }

 private:
  std::optional<zmtp::Message> serve() {
    auto polled = peer_->wanted();
    ::poll(&polled, 1, 1);
    EXPECT_TRUE(peer_->serve(polled.revents, kClock.now()));
    return *peer_->next();
  }
  http::Endpoint at_{"127.0.0.1", 0};
  zmtp::Fd listener_;
  std::optional<zmtp::Peer> peer_;
};

TEST(KvFollower, ALostEventIsRepairedFromTheHistory) {  // epp:K018
  Wire wire;
  const auto history = publisher("127.0.0.1");
  for (std::uint64_t n = 0; n < 4; ++n) history->publish(stored(n));
  Rig rig(wire.port(), history->replay_at().port);
  rig.follower.update({endpoint(0, "127.0.0.1")});
  ASSERT_TRUE(wire.subscribed());
  ASSERT_TRUE(rig.becomes({4, 0, 0, 0}));

  for (std::uint64_t n = 4; n < 7; ++n) history->publish(stored(n));
  wire.send({"kv@p@m", zmtp::sequence_bytes(6), stored(6)});  // 4 and 5 are lost
  EXPECT_TRUE(rig.becomes({7, 0, 0, 0}));
}

TEST(KvFollower, WhatIsNoEventIsSkippedAndCounted) {  // epp:K018
  Wire wire;
  Rig rig(wire.port(), 0);
  rig.follower.update({endpoint(0, "127.0.0.1")});
  ASSERT_TRUE(wire.subscribed());
  wire.send({"kv@p@m", "short", stored(0)});
  wire.send({"kv@p@m", stored(0)});
  wire.send({"kv@p@m", zmtp::sequence_bytes(0), "\xc1"});
  wire.send({"kv@p@m", zmtp::sequence_bytes(1), stored(0)});
  EXPECT_TRUE(rig.becomes({1, 0, 0, 0}));
  EXPECT_EQ(rig.value("baton_epp_kv_events_malformed_total"), 3);
  EXPECT_TRUE(rig.follower.in_sync(0));
}

TEST(KvFollower, WhatEnginesTellIsCountedUnderUpstreamsNamesWhereAskedFor) {
  const auto engine = publisher("127.0.0.1");
  Rig rig(FollowConfig{.port = engine->at().port, .metrics = true});
  rig.follower.update({endpoint(0, "127.0.0.1"), endpoint(1, "127.0.0.9")});  // nobody is at .9
  ASSERT_TRUE(connected(*engine));
  engine->publish(stored(0)), engine->publish(stored(1));
  ASSERT_TRUE(rig.becomes({2, 0, 0, 0}));
  for (const std::string prefix : {"llm_d_epp_kv_cache_", "kvcache_"}) {
    const auto events = prefix + (prefix == "kvcache_" ? "kvevents_" : "events_");
    const auto is = [&](const std::string& name, double value) {
      return eventually([&] { return rig.value(name) == value; });
    };
    EXPECT_TRUE(is(prefix + "index_admissions_total", 2));
    EXPECT_TRUE(is(events + "active_subscribers", 1));
    EXPECT_TRUE(is(events + "messages_received_total{pod_identifier=\"127.0.0.1:8000\"}", 2));
    EXPECT_TRUE(eventually([&] {
      return rig.value(events +
                       "zmq_errors_total{pod_identifier=\"127.0.0.9:8000\",operation="
                       "\"connect\"}") >= 1;
    }));
  }
  kv::BlockRemoved gone;
  gone.hashes = {101};
  gone.medium = "gpu";
  engine->publish(
      kv::encode_events({.ts = 1, .events = {gone}, .rank = 0}, kv::EventShape::kArrays));
  for (const std::string name :
       {"kvcache_index_evictions_total", "kvcache_kvevents_dedup_removed_hashes_forwarded_total"}) {
    EXPECT_TRUE(eventually([&] { return rig.value(name) == 1; })) << name;
  }
}

TEST(KvFollower, ARoutedPromptCountsAtOnceAndForATime) {  // epp:K020
  Wire wire;
  Rig rig(FollowConfig{.port = wire.port(), .speculative = std::chrono::milliseconds(300)});
  rig.follower.update({endpoint(0, "127.0.0.1"), endpoint(1, "127.0.0.1")});
  const auto keys = rig.index.keys_of("m", tokens(8));
  rig.follower.routed(0, keys), rig.follower.routed(1, keys);
  EXPECT_TRUE(rig.becomes({2, 2, 0, 0}));
  EXPECT_TRUE(rig.becomes({0, 0, 0, 0}));
}

}  // namespace
}  // namespace baton::watch
