#pragma once
// For tests: a peer that does not take a connection.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "net/http/message.hpp"

namespace baton::http::testing {

// Listens, accepts nobody, and its queue is full: who connects waits.
class FullListener {
 public:
  FullListener() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    EXPECT_EQ(::bind(listener_, address, size), 0);
    EXPECT_EQ(::listen(listener_, 0), 0);
    EXPECT_EQ(::getsockname(listener_, address, &size), 0);
    at_ = {"127.0.0.1", ntohs(at.sin_port)};
    for (int& one : queued_) {
      one = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      (void)::connect(one, address, size);
    }
  }
  ~FullListener() {
    for (const int one : queued_) ::close(one);
    ::close(listener_);
  }
  FullListener(const FullListener&) = delete;
  FullListener& operator=(const FullListener&) = delete;

  const Endpoint& at() const { return at_; }

 private:
  const int listener_;
  std::array<int, 4> queued_{};
  Endpoint at_;
};

}  // namespace baton::http::testing
