#include "net/http/wire.hpp"

#include <boost/asio/error.hpp>

#include "base/core/log.hpp"

namespace baton::http {

namespace {

using State = tls::Stream::State;

// A break for which reason() has the words.
boost::system::error_code broken() { return asio::error::connection_reset; }

}  // namespace

Task<boost::system::error_code> Wire::handshake() {
  for (;;) {
    const State state = tls_->handshake();
    if (state == State::kDone) co_return boost::system::error_code();
    if (state != State::kWantRead && state != State::kWantWrite) co_return broken();
    auto [ec] = co_await socket_.async_wait(
        state == State::kWantRead ? Tcp::socket::wait_read : Tcp::socket::wait_write, kOutcome);
    if (ec) co_return ec;
  }
}

Outgoing::State Wire::write_tls(Outgoing& out) {
  for (;;) {
    const std::string_view bytes = out.next(joined_, tls::kRecordBytes);
    if (bytes.empty()) return Outgoing::State::kDone;
    std::size_t taken = 0;
    const State state = tls_->write(bytes, taken);
    out.advance(taken);
    if (state == State::kDone) continue;
    return state == State::kWantWrite ? Outgoing::State::kBlocked : Outgoing::State::kBroken;
  }
}

Outgoing::State Wire::write(std::string_view bytes, std::size_t& taken) {
  taken = 0;
  if (tls_ != nullptr) {
    const State state = tls_->write(bytes, taken);
    if (state == State::kDone) return Outgoing::State::kDone;
    return state == State::kWantWrite ? Outgoing::State::kBlocked : Outgoing::State::kBroken;
  }
  while (taken < bytes.size()) {
    const ssize_t sent = ::send(socket_.native_handle(), bytes.data() + taken, bytes.size() - taken,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) {
      return errno == EAGAIN || errno == EWOULDBLOCK ? Outgoing::State::kBlocked
                                                     : Outgoing::State::kBroken;
    }
    taken += static_cast<std::size_t>(sent);
  }
  return Outgoing::State::kDone;
}

void Wire::send_plain(std::string_view bytes) {
  [[maybe_unused]] const auto sent =
      ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool Wire::quiet() {
  if (tls_ != nullptr) return tls_->quiet();
  char byte = 0;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::string Wire::reason(const boost::system::error_code& ec) const {
  if (tls_ != nullptr && tls_->broken()) return tls_->error().message();
  return ec.message();
}

void HandshakeLog::failed(std::string_view peer, std::string_view reason) {
  const Mono now = clock_.now();
  if (now < next_) {
    ++untold_;
    return;
  }
  log::warn("TLS handshake failed",
            {{"peer", peer}, {"reason", reason}, {"others since the last line", untold_}});
  next_ = now + std::chrono::seconds(1);
  untold_ = 0;
}

}  // namespace baton::http
