#pragma once
// Receives of one connection that ask the kernel only when it has something. Internal to net.
//
// Asio asks before it waits, since it cannot know whether a receive took all there was: a call in
// vain for each message. Here the kernel tells with the bytes how many are left, and whether the
// end has come (TCP_INQ, Linux 4.18); the reactor is told in turn. Where the kernel does not tell,
// receives are tried as Asio tries them.

#include <boost/asio/deferred.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <utility>

#include "base/async/asio.hpp"
#include "net/http/socket.hpp"

namespace baton::tls {
class Stream;
}

namespace baton::http {

// To await one operation of a connection: its error comes in a tuple, and it needs no coroutine
// frame of its own, as with use_awaitable.
inline constexpr auto kOutcome = asio::as_tuple(asio::deferred);

// Confined to its loop. One receive at a time; it may be given up with its connection.
class Receive {
 public:
  using Socket = asio::ip::tcp::socket;
  // Gets what async_read_some gives: at least one byte, or an error; eof for a clean end.
  using Done = std::move_only_function<void(const boost::system::error_code&, std::size_t)>;

  Receive() = default;
  Receive(Receive&& other) noexcept : operation_(std::exchange(other.operation_, nullptr)) {}
  Receive& operator=(Receive&&) = delete;
  ~Receive();

  // Whether one is outstanding.
  bool outstanding() const;
  // Where the bytes go: into memory that is there, or into a buffer that gets its memory when they
  // come. Valid until then.
  class Room {
   public:
    Room(asio::mutable_buffer fixed) : fixed_(fixed) {}  // NOLINT(google-explicit-constructor)
    Room(InBuffer& buffer) : buffer_(&buffer) {}         // NOLINT(google-explicit-constructor)
    asio::mutable_buffer prepare() const { return buffer_ ? buffer_->prepare() : fixed_; }
    void rest() const {
      if (buffer_) buffer_->rest();
    }

   private:
    InBuffer* buffer_ = nullptr;
    asio::mutable_buffer fixed_;
  };

  // `tls`: the stream over the socket, null: none. `done` is called from the loop, later. Contract:
  // none is outstanding; the socket is the same each time.
  void start(Socket& socket, tls::Stream* tls, Room into, Done done);
  // Who is called in place of the one before. Contract: one is outstanding.
  void redirect(Done done);
  void cancel(Socket& socket);

 private:
  struct Operation;
  Operation* operation_ = nullptr;  // its own while it is outstanding
};

}  // namespace baton::http
