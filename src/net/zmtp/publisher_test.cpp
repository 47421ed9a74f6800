#include "net/zmtp/publisher.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <functional>
#include <mutex>

#include "base/core/log.hpp"
#include "net/http/testing/held_lookups.hpp"
#include "net/zmtp/socket.hpp"

namespace baton::zmtp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const SystemClock kClock;
constexpr Nanos kPatience = std::chrono::seconds(30);

// A peer of the publisher, served in the test's thread.
class Client {
 public:
  Client(Role role, const http::Endpoint& at)
      : peer_(*connect_to({"127.0.0.1", at.port}), role, kClock.now()) {}
  explicit Client(Fd fd) : peer_(std::move(fd), Role::kSub, kClock.now()) {}

  void send(const Message& message) { peer_.send(message); }
  // The next message; empty when none comes in time or the connection ends.
  Message receive() {
    const auto until = kClock.now() + kPatience;
    while (kClock.now() < until) {
      auto message = peer_.next();
      if (!message) return {};
      if (*message) return **std::move(message);
      auto polled = peer_.wanted();
      ::poll(&polled, 1, 100);
      if (!peer_.serve(polled.revents, kClock.now())) return {};
    }
    return {};
  }
  bool serve_until(const std::function<bool()>& done) {
    const auto until = kClock.now() + kPatience;
    while (!done() && kClock.now() < until) {
      auto polled = peer_.wanted();
      ::poll(&polled, 1, 10);
      if (!peer_.serve(polled.revents, kClock.now()) || !peer_.next()) return false;
    }
    return done();
  }

 private:
  Peer peer_;
};

std::unique_ptr<Publisher> publisher(std::size_t steps = 100) {
  return *Publisher::start({.endpoint = "tcp://*:0",
                            .replay_endpoint = "tcp://*:0",
                            .buffer_steps = steps,
                            .topic = "kv@p@m"},
                           kClock);
}

bool subscribe(Client& client, const Publisher& publisher, const std::string& topic) {
  client.send({"\1" + topic});
  return client.serve_until([&] { return publisher.stats().subscribers > 0; });
}

TEST(Publisher, SubscribersGetNumberedPayloadsUnderTheTopic) {
  const auto pub = publisher();
  Client client(Role::kSub, pub->at());
  ASSERT_TRUE(subscribe(client, *pub, "kv@"));
  pub->publish("one"), pub->publish("two");

  EXPECT_THAT(client.receive(), ElementsAre("kv@p@m", sequence_bytes(0), "one"));
  EXPECT_THAT(client.receive(), ElementsAre("kv@p@m", sequence_bytes(1), "two"));
}

TEST(Publisher, WhatWasMissedIsRepeatedFromTheNumberAskedFor) {
  const auto pub = publisher(3);
  for (const auto* payload : {"0", "1", "2", "3", "4"}) pub->publish(payload);
  Client client(Role::kDealer, pub->replay_at());
  client.send({"", sequence_bytes(3)});
  EXPECT_THAT(client.receive(), ElementsAre("", sequence_bytes(3), "3"));
  EXPECT_THAT(client.receive(), ElementsAre("", sequence_bytes(4), "4"));
  EXPECT_THAT(client.receive(), ElementsAre("", sequence_bytes(kReplayEnd), ""));

  client.send({"", sequence_bytes(0)});  // 0 and 1 are forgotten
  EXPECT_THAT(client.receive(), ElementsAre("", sequence_bytes(2), "2"));
}

TEST(Publisher, ARequestThatIsNoneEndsTheConnection) {
  const auto pub = publisher();
  Client client(Role::kDealer, pub->replay_at());
  client.send({"", "short"});
  EXPECT_THAT(client.receive(), ElementsAre());
}

// The connection of a publisher that connects.
Fd accept_at(const Fd& listener) {
  Fd accepted;
  const auto until = kClock.now() + kPatience;
  while (!accepted && kClock.now() < until) {
    pollfd polled{listener.get(), POLLIN, 0};
    ::poll(&polled, 1, 100);
    accepted = accept_from(listener);
  }
  return accepted;
}

TEST(Publisher, ConnectsToASubscriberThatListensAtAnAddressOrAName) {
  for (const std::string host : {"127.0.0.1", "localhost"}) {
    http::Endpoint at{"127.0.0.1", 0};
    const auto listener = listen_at(at);
    ASSERT_TRUE(listener);
    const auto pub = *Publisher::start(
        {.endpoint = "tcp://" + host + ":" + std::to_string(at.port), .topic = "t"}, kClock);
    Fd accepted = accept_at(*listener);
    ASSERT_TRUE(accepted) << host;
    Client client(std::move(accepted));
    ASSERT_TRUE(subscribe(client, *pub, ""));
    pub->publish("x");
    EXPECT_THAT(client.receive(), ElementsAre("t", sequence_bytes(0), "x"));
  }
}

TEST(Publisher, RepeatsWhatWasMissedWhileTheNameOfItsEndpointIsLookedUp) {
  http::testing::HeldLookups held;
  http::Endpoint at{"127.0.0.1", 0};
  const auto listener = listen_at(at);
  ASSERT_TRUE(listener);
  const auto pub = *Publisher::start(
      {.endpoint = "tcp://slow.example:" + std::to_string(at.port), .replay_endpoint = "tcp://*:0"},
      kClock);
  pub->publish("x");
  const auto began = kClock.now();
  for (int i = 0; i < 10; ++i) {
    Client client(Role::kDealer, pub->replay_at());
    client.send({"", sequence_bytes(0)});
    EXPECT_THAT(client.receive(), ElementsAre("", sequence_bytes(0), "x"));
  }
  // Each has some five turns of the loop, none of which waits for the name.
  EXPECT_LT(kClock.now() - began, std::chrono::seconds(20));

  held.release("127.0.0.1");
  EXPECT_TRUE(accept_at(*listener));
}

// What is logged, meanwhile.
class Log {
 public:
  Log() {
    log::redirect([this](std::string_view line) {
      const std::scoped_lock lock(mutex_);
      lines_.emplace_back(line);
      changed_.notify_all();
    });
  }
  ~Log() { log::redirect(nullptr); }
  // How many lines say it, once one does.
  std::ptrdiff_t wait_for(std::string_view what) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return saying(what) > 0; });
    return saying(what);
  }
  std::ptrdiff_t count(std::string_view what) {
    const std::scoped_lock lock(mutex_);
    return saying(what);
  }

 private:
  std::ptrdiff_t saying(std::string_view what) const {
    return std::ranges::count_if(
        lines_, [&](const std::string& line) { return line.find(what) != line.npos; });
  }

  std::mutex mutex_;  // guards lines_
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

// A port that is nobody else's, and refuses connections until somebody listens.
Fd bound(http::Endpoint& at) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* to = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(fd.get(), to, size), 0);
  EXPECT_EQ(::getsockname(fd.get(), to, &size), 0);
  at = {"127.0.0.1", ntohs(address.sin_port)};
  return fd;
}

std::unique_ptr<Publisher> publisher_to(const http::Endpoint& at, const Clock& clock) {
  return *Publisher::start({.endpoint = "tcp://" + http::to_string(at), .topic = "t"}, clock);
}

TEST(Publisher, SaysOnceThatItsEndpointCannotBeReachedAndOnceThatItCan) {
  http::Endpoint at;
  const Fd listener = bound(at);
  Log log;
  ManualClock clock;
  const auto pub = publisher_to(at, clock);
  EXPECT_EQ(log.wait_for("KV events do not reach their endpoint"), 1);
  EXPECT_EQ(log.wait_for("Connection refused"), 1);

  ASSERT_EQ(::listen(listener.get(), 1), 0);
  clock.advance(std::chrono::seconds(1));
  Client client(accept_at(listener));
  ASSERT_TRUE(subscribe(client, *pub, ""));
  clock.advance(std::chrono::seconds(1));

  EXPECT_EQ(log.wait_for("KV events reach their endpoint now"), 1);
  EXPECT_EQ(log.count("KV events do not reach their endpoint"), 1);
}

TEST(Publisher, SaysOnceThatItsSubscriberKeepsHangingUp) {
  http::Endpoint at{"127.0.0.1", 0};
  const auto listener = listen_at(at);
  ASSERT_TRUE(listener);
  Log log;
  ManualClock clock;
  const auto pub = publisher_to(at, clock);
  for (int i = 0; i < 3; ++i) {
    {
      Client client(accept_at(*listener));
      ASSERT_TRUE(subscribe(client, *pub, ""));
    }
    ASSERT_TRUE(http::testing::eventually([&] { return pub->stats().subscribers == 0; }));
    clock.advance(std::chrono::seconds(1));
  }

  EXPECT_EQ(log.count("KV events do not reach their endpoint"), 1);
  EXPECT_EQ(log.count("KV events reach their endpoint now"), 0);
}

TEST(Publisher, AddressesThatCannotBeAreRefused) {
  const auto pub = publisher();
  const auto error = [](const std::string& endpoint) {
    const auto made = Publisher::start({.endpoint = endpoint}, kClock);
    return made ? std::string() : made.error().message();
  };
  EXPECT_THAT(error("ipc:///tmp/x"), HasSubstr("only tcp://"));
  EXPECT_THAT(error("tcp://nonsense"), HasSubstr("expected tcp://HOST:PORT"));
  EXPECT_THAT(error("tcp://*:" + std::to_string(pub->at().port)), HasSubstr("in use"));
}

}  // namespace
}  // namespace baton::zmtp
