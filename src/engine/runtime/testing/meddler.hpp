#pragma once
// Stands between a decode and a prefill engine on TCP and spoils what the prefill engine sends.

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "base/core/clock.hpp"
#include "engine/runtime/socket.hpp"

namespace baton::runtime::testing {

class Meddler {
 public:
  // kCutOnce: of the first connection only. kCutAndClose: there is no second one.
  enum class How : std::uint8_t { kFlip, kCut, kCutOnce, kCutAndClose, kStall };

  // Acts on byte `at` of the answer stream of each connection.
  Meddler(std::uint16_t target, How how, std::size_t at)
      : target_(target), how_(how), at_(at), listener_(*listen_tcp("127.0.0.1", 0)) {
    thread_ = std::jthread([this] { run(); });
  }
  ~Meddler() {
    cancelled_ = true;
    stop_.raise();
  }

  std::uint16_t port() const { return listener_.port; }
  // Waits for the byte; false: it did not come.
  bool reached() const {
    const Deadline deadline = Deadline::in(clock_, std::chrono::seconds(60));
    while (!reached_ && !deadline.passed(clock_.now())) std::this_thread::yield();
    return reached_;
  }

 private:
  void run() {
    const std::span<const Socket> listeners(&listener_.socket, 1);
    while (auto client = accept_any(listeners, stop_)) {
      if (how_ == How::kCutAndClose) listener_.socket = Socket();
      auto server = connect_tcp("127.0.0.1", target_, patience());
      if (!server) continue;  // as a dead peer
      const std::jthread up([&] { copy(*client, *server, false); });
      copy(*server, *client, how_ != How::kCutOnce || !reached_);
      ::shutdown(client->fd(), SHUT_RDWR);
      ::shutdown(server->fd(), SHUT_RDWR);
      if (how_ == How::kCutAndClose) return;
    }
  }
  void copy(const Socket& from, const Socket& to, bool meddle) {
    std::array<char, 4096> room{};
    for (std::size_t seen = 0;;) {
      // Up to the byte that matters, then that one.
      std::size_t most = room.size();
      if (meddle && seen <= at_) most = seen == at_ ? 1 : std::min(most, at_ - seen);
      const std::size_t got = some(from, std::span(room).first(most));
      if (got == 0) return;
      if (meddle && seen == at_) {
        reached_ = true;
        if (how_ == How::kFlip) room[0] = static_cast<char>(room[0] ^ 0x10);
        while (how_ == How::kStall && !cancelled_) std::this_thread::yield();
        if (how_ != How::kFlip) return;
      }
      seen += got;
      if (!to.send(std::string_view(room.data(), got), patience())) return;
    }
  }
  // What has come, at least a byte; 0: the end.
  std::size_t some(const Socket& from, std::span<char> room) const {
    while (!cancelled_) {
      pollfd p{from.fd(), POLLIN, 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const ssize_t got = ::recv(from.fd(), room.data(), room.size(), 0);
      return got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    return 0;
  }
  Patience patience() const { return {clock_, {}, cancelled_}; }

  const std::uint16_t target_;
  const How how_;
  const std::size_t at_;
  Listener listener_;
  SystemClock clock_;
  Signal stop_;
  std::atomic<bool> cancelled_ = false, reached_ = false;
  std::jthread thread_;
};

}  // namespace baton::runtime::testing
