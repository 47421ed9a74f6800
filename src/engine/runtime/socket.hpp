#pragma once
// Blocking stream sockets whose every wait has a deadline and can be cancelled. TCP on an IP
// literal, with or without TLS, or an abstract unix socket for peers on this machine.

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/tls/stream.hpp"

namespace baton::runtime {

// Until when, by which clock, and whether somebody has lost interest.
struct Patience {
  const Clock& clock;
  Deadline deadline;
  const std::atomic<bool>& cancelled;

  Patience until(Deadline other) const { return {clock, deadline.earlier(other), cancelled}; }
};

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(tls_, other.tls_);
    return *this;
  }
  ~Socket();

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  bool is_local() const;         // a unix socket
  bool is_of_same_user() const;  // a unix socket whose other end is ours
  bool is_secure() const { return tls_ != nullptr; }

  // TLS from here on, as the one that accepted the connection or dialled `host`.
  Status secure(const tls::ServerContext& context, const Patience& patience);
  Status secure(const tls::ClientContext& context, const std::string& host, std::uint16_t port,
                const Patience& patience);

  // All of the bytes, in order; the parts are consumed. kTimeout, kCancelled; kUnavailable: the
  // peer is gone.
  Status send(std::span<iovec> parts, const Patience& patience) const;
  Status receive(std::span<iovec> parts, const Patience& patience) const;
  // The same, and of what follows as much as has come and has room in `beyond`: how much that is.
  // Contract: TCP without TLS; somebody sends as much as `parts` hold.
  Result<std::size_t> receive(std::span<iovec> parts, std::span<char> beyond,
                              const Patience& patience) const;
  Status send(std::string_view bytes, const Patience& patience) const;
  Status receive(std::span<char> bytes, const Patience& patience) const;

  // A file descriptor, to a process on this machine: goes with a byte of its own. The one received
  // is the caller's. Contract: a unix socket.
  Status send_descriptor(int descriptor, const Patience& patience) const;
  Result<Descriptor> receive_descriptor(const Patience& patience) const;

 private:
  Status handshake(const Patience& patience);

  int fd_ = -1;
  std::unique_ptr<tls::Stream> tls_;  // null: plain
};

struct Listener {
  Socket socket;
  std::uint16_t port = 0;
};

// kInvalid: `host` is no IP literal. kUnavailable: cannot bind.
Result<Listener> listen_tcp(const std::string& host, std::uint16_t port);
Result<Socket> connect_tcp(const std::string& host, std::uint16_t port, const Patience& patience);

// The abstract name that goes with the TCP address. kDenied: another user listens there.
Result<Socket> listen_local(const std::string& host, std::uint16_t port);
Result<Socket> connect_local(const std::string& host, std::uint16_t port);

// Readable for ever once `raise` was called: wakes every thread that polls it.
class Signal {
 public:
  Signal();
  int fd() const { return socket_.fd(); }
  void raise();

 private:
  Socket socket_;
};

// The next connection on any of the listeners. kCancelled: `stop` was raised.
Result<Socket> accept_any(std::span<const Socket> listeners, const Signal& stop);

}  // namespace baton::runtime
