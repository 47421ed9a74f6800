#pragma once
// A connection's socket, plain or with TLS over it. Internal to net.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/async/asio.hpp"
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
  Task<boost::system::error_code> read(asio::mutable_buffer into, std::size_t& got);

  // Calls `handler(error, size)` later, as async_read_some does. eof: a clean end.
  template <class Handler>
  void async_read(asio::mutable_buffer into, Handler handler) {
    if (tls_ == nullptr) {
      socket_.async_read_some(into, std::move(handler));
      return;
    }
    std::size_t got = 0;
    boost::system::error_code ec = read_known(into, got);
    if (ec == asio::error::would_block) {
      read_when_ready(into, std::move(handler));
      return;
    }
    asio::post(socket_.get_executor(),
               [handler = std::move(handler), ec, got]() mutable { handler(ec, got); });
  }

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
  // would_block: nothing there yet.
  boost::system::error_code read_now(asio::mutable_buffer into, std::size_t& got);
  // The same, but the kernel is not asked when nothing more is to be expected of it.
  boost::system::error_code read_known(asio::mutable_buffer into, std::size_t& got);
  Outgoing::State write_tls(Outgoing& out);

  template <class Handler>
  void read_when_ready(asio::mutable_buffer into, Handler handler) {
    socket_.async_wait(Tcp::socket::wait_read, [this, into, handler = std::move(handler)](
                                                   boost::system::error_code ec) mutable {
      std::size_t got = 0;
      if (!ec) ec = read_now(into, got);
      if (ec == asio::error::would_block) {
        read_when_ready(into, std::move(handler));
      } else {
        handler(ec, got);
      }
    });
  }

  Tcp::socket socket_;
  std::unique_ptr<tls::Stream> tls_;
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
