#pragma once
// One HTTP/2 connection on an event loop: carries bytes between a socket and a session. Internal to
// net/grpc.

#include <string>
#include <string_view>
#include <vector>

#include "base/async/event.hpp"
#include "base/async/watchdog.hpp"
#include "base/core/clock.hpp"
#include "net/http/wire.hpp"
#include "net/http2/session.hpp"

namespace baton::grpc {

struct ConnectionLimits {
  Nanos handshake_timeout = std::chrono::seconds(10);
  Nanos write_timeout = std::chrono::seconds(30);  // a write that makes no progress: close
};

// Confined to its loop. What handlers write during one turn of the loop goes out in one piece.
//
//   (handshake ->) open -> closing (nothing is read or written, streams unwind) -> run() returns
class Connection : public http2::Events {
 public:
  Connection(const Clock& clock, async::Watchdog& watchdog, http::Wire wire, http2::Role role,
             const http2::Limits& limits, const ConnectionLimits& times);

  // Until the connection has ended and no stream is left. kUnavailable: the TLS handshake failed,
  // or the peer agreed on something else than HTTP/2; kTimeout.
  Task<Status> handshake();
  Task<void> run();
  // Breaks the connection.
  void abort();
  bool gone() const { return gone_; }
  // Whether nothing at all has come over TLS: a probe that only connects.
  bool silent() { return wire_.tls() != nullptr && wire_.tls()->silent(); }
  const std::string& reason() const { return reason_; }  // why it is gone, if anything is wrong
  Mono heard() const { return heard_; }                  // when something came last

  http2::Session& session() { return session_; }
  // How many writers wait for room on their streams: on_flushed() is called only for them.
  void writer_waits(int change) { waiting_writers_ += change; }
  // Sends what the session has to say, after what is ready to run now has run.
  void schedule_flush();
  const Clock& clock() const { return clock_; }
  async::Watchdog& watchdog() { return watchdog_; }
  asio::any_io_executor executor() { return wire_.socket().get_executor(); }

 protected:
  // The connection is gone: whoever waits on a stream must be told.
  virtual void on_gone() = 0;
  // More may be sent.
  virtual void on_flushed() = 0;
  // Whether a stream, or what serves it, is still there.
  virtual bool busy() const = 0;
  // To be called when busy() may have become false.
  void settle() { changed_.notify(); }
  ~Connection() override = default;

 private:
  void start_read();
  void on_read(const boost::system::error_code& ec, std::size_t size);
  void flush();
  void wait_writable();
  void end(std::string reason);
  void on_expiry();

  const Clock& clock_;
  async::Watchdog& watchdog_;
  const ConnectionLimits times_;
  http::Wire wire_;
  http2::Session session_;
  async::Event changed_;
  async::Watchdog::Entry limit_;  // of the handshake, then of a write
  std::vector<char> in_;
  std::string out_;
  std::size_t out_at_ = 0;  // of out_: sent
  std::string reason_;
  Mono heard_ = Mono::min();
  int waiting_writers_ = 0;
  bool running_ = false;  // run() has begun: before that there is nothing to send on
  bool reading_ = false;
  bool writing_ = false;  // waits for the socket to take more
  bool flush_posted_ = false;
  bool gone_ = false;
  bool expired_ = false;
  bool broken_ = false;  // the session refused what it got: say so, then close
};

}  // namespace baton::grpc
