#include "routing/watch/kv_callers.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <iterator>
#include <list>
#include <vector>

namespace baton::watch {
namespace {

using schedule::Endpoint;

Endpoint endpoint(const std::string& name, const std::string& host, std::uint16_t port,
                  std::optional<std::uint16_t> rank = {}) {
  Endpoint out;
  out.ns = "default", out.name = name, out.host = host, out.port = port, out.rank = rank;
  return out;
}

const std::vector<Endpoint> kEndpoints = {
    endpoint("a", "10.0.0.1", 8000, 0), endpoint("b", "10.0.0.2", 8000, 0),
    endpoint("b", "10.0.0.2", 8001, 1), endpoint("c", "fd00::3", 8000, 0)};

// Its id; "" when nobody is meant.
std::string publisher(std::string_view topic, std::string_view host,
                      std::optional<std::uint32_t> rank = {}) {
  std::vector<const Endpoint*> endpoints;
  for (const auto& each : kEndpoints) endpoints.push_back(&each);
  const auto* found = publisher_of(topic, host, rank, endpoints);
  return found == nullptr ? "" : found->id();
}

TEST(PublisherOf, TheTopicNamesThePodByAddressOrName) {
  EXPECT_EQ(publisher("kv@10.0.0.1:8000@m", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@10.0.0.1@org/m@v2", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@a@m", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@[fd00::3]:8000@m", "1.1.1.1"), "c-rank-0");
  EXPECT_EQ(publisher("kv@fd00::3@m", "1.1.1.1"), "c-rank-0");
}

TEST(PublisherOf, ATopicThatNamesNobodyLeavesItToTheAddressOfTheConnection) {
  EXPECT_EQ(publisher("kv@elsewhere@m", "10.0.0.1"), "a-rank-0");
  EXPECT_EQ(publisher("events", "10.0.0.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@10.0.0.1:8001@m", "1.1.1.1"), "");
}

TEST(PublisherOf, RanksOfOnePodAreToldApartByPortOrByTheBatch) {
  EXPECT_EQ(publisher("kv@10.0.0.2:8001@m", "1.1.1.1"), "b-rank-1");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1", 1), "b-rank-1");
  EXPECT_EQ(publisher("kv@elsewhere@m", "10.0.0.2", 0), "b-rank-0");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1"), "");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1", 2), "");
}

// Callers before a listener, and who connects; time stands still.
struct Rig {
  http::Endpoint at{"127.0.0.1", 0};
  KvCallers callers{*zmtp::listen_at(at), "kv@"};
  std::list<zmtp::Peer> peers;
  std::size_t refused = 0;

  zmtp::Peer& connect() {
    auto& peer = peers.emplace_back(*zmtp::connect_to(at), zmtp::Role::kPub, Mono());
    EXPECT_TRUE(becomes([&] { return peer.ready(); }));
    return peer;
  }
  // All but the end of a message of so many bytes.
  void send_half(zmtp::Peer& peer, std::size_t bytes) {
    auto message = zmtp::encode({std::string(bytes, 'x')});
    message.pop_back();
    peer.send_encoded(message);
    EXPECT_TRUE(becomes([&] { return peer.unsent() == 0; }));
  }
  // The condition holds after some turns.
  bool becomes(const std::function<bool()>& condition) {
    for (int i = 0; i < 1'000'000; ++i) {
      std::vector<pollfd> polled;
      callers.add_polled(polled);
      ::poll(polled.data(), polled.size(), 0);
      refused += callers.serve(polled, Mono(), [](auto&, auto&) { return false; });
      for (auto& peer : peers) (void)lives(peer);
      if (condition()) return true;
    }
    return false;
  }
  static bool lives(zmtp::Peer& peer) {
    auto polled = peer.wanted();
    ::poll(&polled, 1, 0);
    return peer.serve(polled.revents, Mono()) && peer.next();
  }
};

TEST(KvCallers, WhoHasSentMostByHalvesIsRefusedNotWhoCameLast) {
  Rig rig;
  auto& greedy = rig.connect();
  rig.send_half(greedy, zmtp::kMaxMessage);
  while (rig.refused == 0 && rig.peers.size() < kMaxCallers) {
    rig.send_half(rig.connect(), std::size_t{4} << 20);
  }

  EXPECT_TRUE(rig.becomes([&] { return !Rig::lives(greedy); }));
  EXPECT_EQ(rig.refused, 1U);
  for (auto it = std::next(rig.peers.begin()); it != rig.peers.end(); ++it) {
    EXPECT_TRUE(Rig::lives(*it));
  }
}

}  // namespace
}  // namespace baton::watch
