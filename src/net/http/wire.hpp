#pragma once
// A connection's socket, plain or with TLS over it. Internal to net.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/async/asio.hpp"
#include "net/http/receive.hpp"
#include "net/http/socket.hpp"
#include "net/tls/stream.hpp"

namespace baton::http {

// Confined to its loop; outlives its operations, one read and one write at a time. The plain path
// goes straight to the socket.
class Wire {
 public:
  explicit Wire(Tcp::socket socket, std::unique_ptr<tls::Stream> tls = nullptr)
      : socket_(std::move(socket)), tls_(std::move(tls)) {}

  Tcp::socket& socket() { return socket_; }
  tls::Stream* tls() { return tls_.get(); }
  void secure(std::unique_ptr<tls::Stream> tls) { tls_ = std::move(tls); }

  // Contract: tls(). What failed is in reason().
  Task<boost::system::error_code> handshake();
  // Calls `done(error, size)` later, as async_read_some does; the size is still to be committed.
  // eof: a clean end.
  void async_read(Receive::Room into, Receive::Done done) {
    receive_.start(socket_, tls_.get(), into, std::move(done));
  }
  // The same, awaited: auto [ec, size]. A read that is outstanding already, into the same room, is
  // taken over.
  auto read(Receive::Room into) {
    return asio::async_initiate<decltype(kOutcome), void(boost::system::error_code, std::size_t)>(
        Reading{*this, into}, kOutcome);
  }
  bool reading() const { return receive_.outstanding(); }
  // Who is told of the read that is outstanding.
  void redirect_read(Receive::Done done) { receive_.redirect(std::move(done)); }

  // Blocked: until the socket takes more.
  Outgoing::State write(Outgoing& out) {
    return tls_ == nullptr ? out.write(socket_.native_handle()) : write_tls(out);
  }
  // The same for bytes in one stretch; what is not taken must be offered again.
  Outgoing::State write(std::string_view bytes, std::size_t& taken);
  // Bytes outside of TLS, if the kernel takes them.
  void send_plain(std::string_view bytes);
  // TLS's close_notify, if the kernel takes it.
  void say_end() {
    if (tls_ != nullptr) tls_->shutdown();
  }
  // Whether an idle connection still looks alive: open, and silent.
  bool quiet();
  std::string reason(const boost::system::error_code& ec) const;

 private:
  struct Reading {
    Wire& wire;
    Receive::Room into;
    template <class Handler>
    void operator()(Handler handler) const {
      auto slot = asio::get_associated_cancellation_slot(handler);
      if (slot.is_connected()) {
        slot.assign([to = &wire](asio::cancellation_type) { to->receive_.cancel(to->socket_); });
      }
      if (wire.reading()) {
        wire.receive_.redirect(std::move(handler));
      } else {
        wire.async_read(into, std::move(handler));
      }
    }
  };
  Outgoing::State write_tls(Outgoing& out);

  Tcp::socket socket_;
  std::unique_ptr<tls::Stream> tls_;
  Receive receive_;
  std::string joined_;  // small pieces of one record
};

// Tells of TLS handshakes that failed: one line a second, with how many went untold.
class HandshakeLog {
 public:
  explicit HandshakeLog(const Clock& clock) : clock_(clock) {}
  void failed(std::string_view peer, std::string_view reason);

 private:
  const Clock& clock_;
  Mono next_{};
  std::size_t untold_ = 0;
};

}  // namespace baton::http
