#pragma once
// Stands between a decode and a prefill engine on TCP and spoils what the prefill engine sends.

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/core/clock.hpp"
#include "engine/runtime/socket.hpp"

namespace baton::runtime::testing {

class Meddler {
 public:
  enum class How : std::uint8_t { kFlip, kCut, kStall };

  // Acts on byte `at` of the answer stream.
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
      auto server = connect_tcp("127.0.0.1", target_, patience());
      if (!server) continue;  // as a dead peer
      const std::jthread up([&] { copy(*client, *server, false); });
      copy(*server, *client, true);
      ::shutdown(client->fd(), SHUT_RDWR);
      ::shutdown(server->fd(), SHUT_RDWR);
    }
  }
  void copy(const Socket& from, const Socket& to, bool meddle) {
    std::size_t seen = 0;
    std::array<char, 1> byte{};
    while (from.receive(byte, patience())) {
      if (meddle && seen++ == at_) {
        reached_ = true;
        if (how_ == How::kCut) return;
        if (how_ == How::kFlip) byte[0] = static_cast<char>(byte[0] ^ 0x10);
        while (how_ == How::kStall && !cancelled_) std::this_thread::yield();
      }
      if (!to.send(std::string_view(byte.data(), 1), patience())) return;
    }
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
