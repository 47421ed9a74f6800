#pragma once
// For tests: a server that says what it likes.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/http/message.hpp"

namespace baton::http::testing {

// Takes one connection, reads what it must, and after its last word neither reads nor closes.
class RawServer {
 public:
  struct Word {
    std::size_t after;  // bytes that have come by then, heads included
    std::string bytes;
  };
  explicit RawServer(std::vector<Word> words)
      : words_(std::move(words)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&at), size);
    ::listen(listener_, 1);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    endpoint_ = {"127.0.0.1", ntohs(at.sin_port)};
    thread_ = std::thread([this] { serve(); });
  }
  ~RawServer() {
    ended_ = true;
    thread_.join();
    if (connection_ >= 0) ::close(connection_);
    ::close(listener_);
  }
  RawServer(const RawServer&) = delete;
  RawServer& operator=(const RawServer&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }

 private:
  bool readable(int fd) const {
    while (!ended_) {
      pollfd waiting{fd, POLLIN, 0};
      if (::poll(&waiting, 1, 10) > 0) return true;
    }
    return false;
  }
  void serve() {
    if (!readable(listener_)) return;
    connection_ = ::accept(listener_, nullptr, nullptr);
    std::size_t come = 0;
    std::vector<char> room(16 << 10);
    for (const Word& word : words_) {
      while (come < word.after) {
        if (!readable(connection_)) return;
        const ssize_t got = ::recv(connection_, room.data(), room.size(), 0);
        if (got <= 0) return;
        come += static_cast<std::size_t>(got);
      }
      ::send(connection_, word.bytes.data(), word.bytes.size(), MSG_NOSIGNAL);
    }
  }

  std::vector<Word> words_;
  int listener_;
  int connection_ = -1;
  Endpoint endpoint_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace baton::http::testing
