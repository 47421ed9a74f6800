#pragma once
// For tests: a client that sends what it likes, and a wait for what another thread does.

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::http::testing {

// Waits for a condition of another thread.
inline bool eventually(const std::function<bool()>& condition) {
  SystemClock clock;
  for (Deadline limit = Deadline::in(clock, std::chrono::seconds(20));
       !limit.passed(clock.now());) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

// A client that sends what it likes.
class Raw {
 public:
  explicit Raw(const Endpoint& to, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    ::inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Raw() { close(); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  // False when the peer broke the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // As much as goes until nothing has gone for so long; returns how much.
  std::size_t send_what_goes(std::string_view bytes, Millis quiet) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      pollfd waiting{fd_, POLLOUT, 0};
      if (::poll(&waiting, 1, static_cast<int>(quiet.count())) <= 0) break;
      const ssize_t n =
          ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    return sent;
  }
  // Until the text has come, or the end of the stream.
  std::string read_until(std::string_view text) {
    std::string got;
    while (got.find(text) == std::string::npos && receive(got)) {
    }
    return got;
  }
  std::string read_all() {
    std::string got;
    while (receive(got)) {
    }
    return got;
  }

 private:
  bool receive(std::string& into) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, 20'000) <= 0) return false;
    char bytes[4096];
    ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
    if (n > 0) into.append(bytes, static_cast<std::size_t>(n));
    return n > 0;
  }
  int fd_;
  bool connected_ = false;
};

}  // namespace baton::http::testing
