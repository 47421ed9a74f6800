#include "net/grpc/connection.hpp"

#include <fmt/format.h>

#include <utility>

namespace baton::grpc {

namespace {

constexpr std::size_t kReadBytes = 64 << 10;
constexpr std::size_t kBatchBytes = 64 << 10;  // pulled from the session at once

}  // namespace

Connection::Connection(const Clock& clock, async::Watchdog& watchdog, http::Wire wire,
                       http2::Role role, const http2::Limits& limits, const ConnectionLimits& times)
    : clock_(clock),
      watchdog_(watchdog),
      times_(times),
      wire_(std::move(wire)),
      session_(role, limits, *this),
      changed_(wire_.socket().get_executor()),
      limit_(watchdog, [this] { on_expiry(); }) {}

Task<Status> Connection::handshake() {
  if (wire_.tls() == nullptr) co_return Status();
  limit_.set(clock_.now() + times_.handshake_timeout);
  const boost::system::error_code ec = co_await wire_.handshake();
  limit_.clear();
  if (expired_) co_return timed_out("the TLS handshake took too long");
  if (ec) co_return unavailable(wire_.reason(ec));
  if (wire_.tls()->alpn() != tls::kHttp2) {
    co_return unavailable("HTTP/2 was not agreed on: ALPN must name h2");
  }
  wire_.tls()->keep_buffers();
  co_return Status();
}

Task<void> Connection::run() {
  in_.resize(kReadBytes);
  running_ = true;
  start_read();
  schedule_flush();
  while (!gone_) co_await changed_.wait();
  on_gone();
  boost::system::error_code ignored;
  wire_.say_end();
  wire_.socket().close(ignored);
  limit_.clear();
  while (reading_ || writing_ || flush_posted_ || busy()) co_await changed_.wait();
}

void Connection::abort() {
  end("the connection was closed here");
  boost::system::error_code ignored;
  wire_.socket().cancel(ignored);  // of a handshake
}

void Connection::end(std::string reason) {
  if (gone_) return;
  gone_ = true;
  reason_ = std::move(reason);
  changed_.notify();
}

void Connection::start_read() {
  if (reading_ || gone_) return;
  reading_ = true;
  wire_.async_read(asio::buffer(in_), [this](const boost::system::error_code& ec,
                                             std::size_t size) { on_read(ec, size); });
}

void Connection::on_read(const boost::system::error_code& ec, std::size_t size) {
  reading_ = false;
  if (gone_) return changed_.notify();
  if (ec) {
    end(ec == asio::error::eof ? "the peer closed the connection" : wire_.reason(ec));
    return;
  }
  heard_ = clock_.now();
  if (const Status taken = session_.receive({in_.data(), size}); !taken) {
    broken_ = true;
    reason_ = taken.error().message();
  }
  schedule_flush();
  if (!broken_) start_read();
}

void Connection::schedule_flush() {
  if (!running_ || flush_posted_ || writing_ || gone_) return;
  flush_posted_ = true;
  asio::post(wire_.socket().get_executor(), [this] { flush(); });
}

void Connection::flush() {
  flush_posted_ = false;
  if (gone_) return changed_.notify();
  for (;;) {
    if (out_at_ == out_.size()) {
      out_.clear();
      out_at_ = 0;
      session_.pull(out_, kBatchBytes);
      if (out_.empty()) break;
    }
    std::size_t taken = 0;
    const auto state = wire_.write(std::string_view(out_).substr(out_at_), taken);
    out_at_ += taken;
    if (state == http::Outgoing::State::kBlocked) return wait_writable();
    if (state == http::Outgoing::State::kBroken) return end("the peer closed the connection");
  }
  if (broken_) return end(std::exchange(reason_, {}));
  if (session_.done()) return end("");
  if (waiting_writers_ > 0) on_flushed();
}

void Connection::wait_writable() {
  writing_ = true;
  limit_.set(clock_.now() + times_.write_timeout);
  wire_.socket().async_wait(http::Tcp::socket::wait_write,
                            [this](const boost::system::error_code& ec) {
                              writing_ = false;
                              limit_.clear();
                              if (expired_) end("the peer does not read what it is sent");
                              if (ec || gone_) return changed_.notify();
                              flush();
                            });
}

void Connection::on_expiry() {
  expired_ = true;
  boost::system::error_code ignored;
  wire_.socket().cancel(ignored);
}

}  // namespace baton::grpc
