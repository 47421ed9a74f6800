#pragma once
// TCP under a ZMTP session: endpoints as ZeroMQ spells them, and a connection that is served from a
// poll loop.

#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"
#include "net/http/resolve.hpp"
#include "net/zmtp/session.hpp"

namespace baton::zmtp {

inline constexpr Nanos kHandshakeTime = std::chrono::seconds(5);  // connecting included
// A peer that answers nothing on the way is gone after this.
inline constexpr Nanos kSilence = std::chrono::seconds(30);
// To a peer that does not read. Past it the peer is not read from either: what it sends may want
// answers.
inline constexpr std::size_t kMaxUnread = std::size_t{1} << 20;  // bytes

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

enum class Binds : bool { kNo, kYes };
struct Address {
  http::Endpoint at;
  Binds binds = Binds::kNo;  // as vLLM decides: `*` or `::` in it
};
// "tcp://*:5557", "tcp://10.0.0.1:5557", "tcp://[::]:5557". kInvalid; kUnsupported: ipc, inproc.
// `any` is the address that `*` stands for.
Result<Address> parse_address(std::string_view endpoint, std::string_view any = "0.0.0.0");

// Port 0 picks one; `at` is then where. kConflict: in use.
Result<Fd> listen_at(http::Endpoint& at);
// A connection that waits at the listener, and where it comes from; empty when none does.
Fd accept_from(const Fd& listener, http::Endpoint* from = nullptr);
// Under way. kInvalid: not an IP address. kUnavailable.
Result<Fd> connect_to(const http::Endpoint& at);
Result<Fd> connect_to(const http::Address& address);

inline constexpr pollfd kNotPolled = {-1, 0, 0};

// A listener in a poll loop. A connection that cannot be taken (no descriptors left) stays there
// and would wake the loop at once, again and again: the listener is not polled then, until an
// accept, of which every turn of the loop makes one, goes well.
class Listener {
 public:
  Listener() = default;
  explicit Listener(Fd fd) : fd_(std::move(fd)) {}
  explicit operator bool() const { return static_cast<bool>(fd_); }

  pollfd wanted() const { return rests_ ? kNotPolled : pollfd{fd_.get(), POLLIN, 0}; }
  // As accept_from().
  Fd accept(http::Endpoint* from = nullptr);

 private:
  Fd fd_;
  bool rests_ = false;
};

// One connection; confined to its owner's poll loop.
class Peer {
 public:
  Peer(Fd fd, Role role, Mono now, Session::Limits limits = {})
      : session_(role, limits), fd_(std::move(fd)), since_(now) {
    fill();
  }

  pollfd wanted() const {
    return {fd_.get(), static_cast<short>((reads() ? POLLIN : 0) | (out_.empty() ? 0 : POLLOUT)),
            0};
  }
  // Reads what is there, up to a bound, and writes what goes. kUnavailable: the connection is over;
  // kTimeout: its handshake takes too long.
  Status serve(short revents, Mono now);
  Result<std::optional<Message>> next();

  bool ready() const { return session_.ready(); }
  void send(const Message& message) { session_.send(message), fill(); }
  // Bytes of encode().
  void send_encoded(std::string_view bytes) { out_ += bytes; }
  std::size_t unsent() const { return out_.size() - sent_; }
  std::size_t held() const { return session_.held(); }

 private:
  bool reads() const { return unsent() < kMaxUnread && !session_.full(); }
  void fill() { out_ += std::exchange(session_.out(), {}); }
  Status write();

  Session session_;
  Fd fd_;
  Mono since_;
  std::string out_;
  std::size_t sent_ = 0;  // of out_
};

// Wakes a poll loop from other threads.
class Wake {
 public:
  Wake();
  pollfd wanted() const { return {fd_.get(), POLLIN, 0}; }
  void wake() const;
  void clear() const;

 private:
  Fd fd_;
};

}  // namespace baton::zmtp
