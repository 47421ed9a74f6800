#include "net/zmtp/socket.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>

namespace baton::zmtp {
namespace {

using namespace std::string_literals;

// A peer and the other end of its connection, of which the test decides what it sends and reads.
struct Ends {
  explicit Ends(Role role, Session::Limits limits = {}) : Ends(role, limits, pair()) {}
  Ends(Role role, Session::Limits limits, std::pair<Fd, Fd> fds)
      : peer(std::move(fds.first), role, Mono(), limits), far(std::move(fds.second)) {}
  static std::pair<Fd, Fd> pair() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    return {Fd(fds[0]), Fd(fds[1])};
  }

  // As much of `bytes`, again and again, as goes in so many turns of a poll loop.
  template <class F>
  void flood(std::string_view bytes, int turns, F&& taken) {
    std::size_t at = 0;  // of bytes: a part of them may go
    for (int i = 0; i < turns; ++i) {
      while (true) {
        const auto rest = bytes.substr(at);
        const auto n = ::send(far.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) break;
        at = (at + static_cast<std::size_t>(n)) % bytes.size();
      }
      turn();
      taken();
    }
  }
  void say(std::string_view bytes) {
    ASSERT_EQ(::send(far.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    turn();
    ASSERT_TRUE(peer.next());
  }
  // Reads until nothing is left.
  void read() {
    std::array<char, 64 << 10> chunk;
    while (::recv(far.get(), chunk.data(), chunk.size(), MSG_DONTWAIT) > 0) turn();
  }
  void turn() {
    auto polled = peer.wanted();
    ::poll(&polled, 1, 0);
    ASSERT_TRUE(peer.serve(polled.revents, Mono()));
  }
  bool read_from() const { return (peer.wanted().events & POLLIN) != 0; }

  Peer peer;
  Fd far;
};

// Greeting and READY of a subscriber.
std::string hello() {
  Session session(Role::kSub);
  session.feed(Session(Role::kPub).out());
  (void)session.next();
  return session.out();
}

std::string many(const std::string& bytes) {
  std::string out;
  while (out.size() < 64 << 10) out += bytes;
  return out;
}

TEST(ZmtpPeer, WhoPingsAndDoesNotReadIsNotReadEither) {
  Ends ends(Role::kPub);
  ends.say(hello());
  std::size_t most = 0;

  ends.flood(many("\x04\x07\x04PING\0\x10"s), 200, [&] {
    ASSERT_TRUE(ends.peer.next());
    most = std::max(most, ends.peer.unsent());
  });

  EXPECT_GE(most, kMaxUnread);
  EXPECT_LT(most, 2 * kMaxUnread);
  EXPECT_FALSE(ends.read_from());
  ends.read();
  EXPECT_TRUE(ends.read_from());
}

TEST(ZmtpPeer, MessagesThatNobodyTakesAreNotReadOn) {
  Ends ends(Role::kRouter, {.message = 1024});
  Session dealer(Role::kDealer);
  dealer.feed(Session(Role::kRouter).out());
  ASSERT_TRUE(dealer.next());
  ends.say(dealer.out());

  ends.flood(many("\0\x05hello"s), 200, [] {});

  EXPECT_FALSE(ends.read_from());
  EXPECT_LT(ends.peer.held(), std::size_t{1} << 20);
  std::size_t messages = 0;
  for (auto message = ends.peer.next(); message && *message; message = ends.peer.next()) ++messages;
  EXPECT_GT(messages, 1000U);
  EXPECT_TRUE(ends.read_from());
}

TEST(ZmtpPeer, WhoLeavesWhileNotReadIsGone) {
  Ends ends(Role::kPub);
  ends.say(hello());
  ends.peer.send_encoded(std::string(4 * kMaxUnread, 'x'));
  ends.turn();
  ASSERT_FALSE(ends.read_from());

  ASSERT_EQ(::shutdown(ends.far.get(), SHUT_RDWR), 0);
  EXPECT_FALSE(ends.peer.serve(POLLHUP, Mono()));
}

TEST(ZmtpListener, WhatCannotBeTakenIsNotPolledFor) {
  http::Endpoint at{"127.0.0.1", 0};
  Listener listener(*listen_at(at));
  const auto client = connect_to(at);
  ASSERT_TRUE(client);
  auto polled = listener.wanted();
  ASSERT_EQ(::poll(&polled, 1, 30'000), 1);
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);

  const rlimit none{0, files.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool taken = static_cast<bool>(listener.accept());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_FALSE(taken);
  EXPECT_EQ(listener.wanted().fd, -1);

  EXPECT_TRUE(listener.accept());
  EXPECT_GE(listener.wanted().fd, 0);
  EXPECT_FALSE(listener.accept());  // none waits: as ever
  EXPECT_GE(listener.wanted().fd, 0);
}

}  // namespace
}  // namespace baton::zmtp
