#include "net/http/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/async/task_group.hpp"
#include "base/core/assert.hpp"
#include "base/core/log.hpp"

namespace baton::http {

namespace {

// A peer that still sends gets this much patience before the close, so that it sees the answer.
constexpr Nanos kLingerTime = std::chrono::seconds(1);
constexpr std::size_t kLingerBytes = 1 << 20;
// Beyond a head, pipelined requests are buffered up to this.
constexpr std::size_t kReadAhead = 16 << 10;
// Room behind a body, so that a JSON parser that reads beyond its end needs no copy.
constexpr std::size_t kSpareBytes = 64;

// In the clear, to a client that speaks HTTP to a port with TLS.
constexpr std::string_view kSpeakTls =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 39\r\n\r\nThis port speaks TLS: say https:// to it";
constexpr std::array<std::string_view, 1> kGoOn = {"HTTP/1.1 100 Continue\r\n\r\n"};

bool framing_field(std::string_view name) {
  return equal_names(name, "Content-Length") || equal_names(name, "Transfer-Encoding") ||
         equal_names(name, "Connection") || equal_names(name, "Keep-Alive");
}

Task<Status> ended(Status how) { co_return how; }

}  // namespace

Session::Session(const Deps& deps, Wire wire, std::string peer)
    : deps_(deps),
      wire_(std::move(wire)),
      peer_(std::move(peer)),
      parser_({.head_bytes = deps.config.limits.head_bytes}),
      in_(deps.config.limits.head_bytes + kReadAhead, deps.buffers),
      limit_(deps.watchdog, [this] { on_expiry(); }) {}

Task<void> Session::run() {
  std::exception_ptr failure;
  try {
    co_await serve();
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  async::report_failure(failure);
  const bool broken = reply_ == Reply::kUntilClose && !finished_;
  if (!broken) wire_.say_end();
  if (unread_ && !gone_ && !failure) co_await linger();
  boost::system::error_code ignored;
  if (broken) {
    wire_.socket().set_option(asio::socket_base::linger(true, 0), ignored);  // not a clean end
  }
  wire_.socket().close(ignored);
  leave();
  if (wire_.reading()) (void)co_await wire_.read(in_);
  // Who is at the other end on this same loop hears of it before the session counts as ended.
  co_await asio::post(wire_.socket().get_executor(), asio::use_awaitable);
}

Task<void> Session::serve() {
  if (wire_.tls() != nullptr && !co_await secure()) co_return;
  for (bool more = true; more;) {
    if (!co_await next_head()) break;
    more = co_await answer();
  }
}

// The TLS handshake. False: there is no connection to speak on.
Task<bool> Session::secure() {
  enter(Phase::kHandshake, deps_.config.limits.handshake_timeout);
  const boost::system::error_code ec = co_await wire_.handshake();
  leave();
  tls::Stream& tls = *wire_.tls();
  if (!ec && tls.alpn() != tls::kHttp2) co_return true;
  if (!ec) {
    deps_.handshakes.failed(peer_, "it was promised HTTP/2, which is not spoken here");
  } else if (expired_) {
    deps_.handshakes.failed(peer_, "the TLS handshake took too long");
  } else if (ec != asio::error::operation_aborted && !tls.silent()) {
    deps_.handshakes.failed(peer_, wire_.reason(ec));
  }
  if (tls.spoken_to_in_http()) wire_.send_plain(kSpeakTls);
  co_return false;
}

// False: nothing more is to be read from this connection.
Task<bool> Session::next_head() {
  const ServerLimits& limits = deps_.config.limits;
  head_ = {};  // it may be long until the next one
  enter(Phase::kIdle, limits.idle_timeout);
  for (;;) {
    Step step = parser_.next(in_.view());
    in_.consume(step.consumed);
    if (step.event == Event::kHead) break;
    if (step.event == Event::kError) {
      leave();
      co_await refuse(parser_.error().status, parser_.error().message);
      co_return false;
    }
    if (gone_ || (deps_.stopping && in_.empty())) co_return false;
    if (expired_) {
      if (phase_ == Phase::kHead) co_await refuse(408, "the request head took too long");
      co_return false;
    }
    if (!in_.empty() && phase_ == Phase::kIdle) enter(Phase::kHead, limits.head_timeout);
    const auto [ec, size] = co_await wire_.read(in_);
    received(ec, size);
  }
  leave();
  head_ = std::move(parser_.head());
  arrived_ = deps_.clock.now();
  co_return true;
}

// False: close.
Task<bool> Session::answer() {
  handling_ = true;
  started_ = finished_ = body_done_ = body_dropped_ = false;
  body_taken_ = 0;
  body_left_ = deps_.config.limits.body_timeout;
  reply_ = Reply::kNone;
  keep_ = parser_.keep_alive();
  bool bodiless = parser_.framing() == Framing::kNone ||
                  (parser_.framing() == Framing::kLength && parser_.remaining() == 0);
  if (bodiless) end_body();
  std::exception_ptr failure;
  try {
    co_await deps_.handler(*this);
  } catch (...) {
    failure = std::current_exception();
  }
  if (async::is_cancellation(failure)) std::rethrow_exception(failure);
  async::report_failure(failure);
  if (!started_) {
    co_await refuse(500, "the request was not answered");
    co_return false;
  }
  handling_ = false;
  unread_ = !body_done_;
  co_return finished_&& keep_&& body_done_;
}

Task<void> Session::refuse(int status, std::string_view message) {
  handling_ = false;
  keep_ = false;
  started_ = false;
  unread_ = true;
  ResponseHead head{status, {{"Content-Type", "application/json"}}};
  Status sent = co_await respond(std::move(head), plain_error_body(status, message));
  if (!sent) unread_ = false;
}

Task<void> Session::linger() {
  boost::system::error_code ignored;
  wire_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
  expired_ = false;
  enter(Phase::kIdle, kLingerTime);
  std::size_t dropped = in_.view().size();
  in_.consume(dropped);
  while (!gone_ && !expired_ && dropped < kLingerBytes) {
    const auto [ec, size] = co_await wire_.read(in_);
    received(ec, size);
    dropped += in_.view().size();
    in_.consume(in_.view().size());
  }
}

void Session::end_body() {
  Step end = parser_.next({});
  BATON_ASSERT(end.event == Event::kEnd);
  body_done_ = true;
  watch();
}

// Before anything of the body is read.
Status Session::admits_body(std::size_t limit) const {
  if (parser_.framing() != Framing::kLength || parser_.remaining() <= limit) return {};
  return exhausted(fmt::format("the request body has {} bytes, at most {} are accepted",
                               parser_.remaining(), limit));
}

bool Session::waits_to_be_asked() const {
  return parser_.expects_continue() && in_.empty() && !started_;
}

Task<Result<std::string>> Session::read_body(std::size_t limit) {
  if (body_done_) co_return std::string();
  limit = std::min(limit, deps_.config.limits.body_bytes);
  BATON_CO_TRY(admits_body(limit));
  if (waits_to_be_asked()) {
    BATON_CO_TRY(co_await send(kGoOn));
  }
  std::string body;
  Result<bool> whole = take_body(body, limit);
  if (whole && !*whole) {
    enter(Phase::kBody, deps_.config.limits.body_timeout);
    whole = co_await fill_body(body, limit);
    leave();
  }
  if (!whole) co_return std::move(whole).error();
  body_done_ = true;
  watch();
  co_return body;
}

Task<Result<std::string_view>> Session::read_some(std::size_t limit) {
  if (body_done_) co_return std::string_view();
  limit = std::min(limit, deps_.config.limits.body_bytes);
  if (body_taken_ == 0) {
    BATON_CO_TRY(admits_body(limit));
    if (waits_to_be_asked()) {
      BATON_CO_TRY(co_await send(kGoOn));
    }
  }
  for (;;) {
    Step step = parser_.next(in_.view());
    in_.consume(step.consumed);  // the bytes stay until more is received
    if (step.event == Event::kEnd) {
      body_done_ = true;
      watch();
      co_return std::string_view();
    }
    if (step.event == Event::kError) co_return invalid(parser_.error().message);
    body_taken_ += step.data.size();
    if (body_taken_ > limit) {
      co_return exhausted(fmt::format("the request body has over {} bytes", limit));
    }
    if (body_dropped_) co_return cancelled("the rest of the body is not wanted");
    if (!step.data.empty()) co_return step.data;
    if (step.event == Event::kData) continue;
    if (gone_) co_return cancelled("the client left inside the request body");
    if (expired_) co_return timed_out("the request body took too long");
    const Mono began = deps_.clock.now();
    enter(Phase::kBody, body_left_);
    const auto [ec, size] = co_await wire_.read(in_);
    leave();
    received(ec, size);
    body_left_ -= deps_.clock.now() - began;
  }
}

void Session::drop_body() {
  body_dropped_ = true;
  boost::system::error_code ignored;
  if (phase_ == Phase::kBody) wire_.socket().cancel(ignored);
}

// What has come of the body. True: that was all.
Result<bool> Session::take_body(std::string& body, std::size_t limit) {
  for (;;) {
    Step step = parser_.next(in_.view());
    if (step.event == Event::kData) {
      if (body.size() + step.data.size() > limit) {
        return exhausted(fmt::format("the request body has over {} bytes", limit));
      }
      body += step.data;
    }
    in_.consume(step.consumed);
    if (step.event == Event::kEnd) return true;
    if (step.event == Event::kError) return invalid(parser_.error().message);
    if (step.event == Event::kNeedMore) return false;
  }
}

Task<Result<bool>> Session::fill_body(std::string& body, std::size_t limit) {
  for (;;) {
    if (gone_) co_return cancelled("the client left inside the request body");
    if (expired_) co_return timed_out("the request body took too long");
    if (parser_.framing() == Framing::kLength && !wire_.reading()) {
      BATON_CO_TRY(co_await receive_into(body));
    } else {
      const auto [ec, size] = co_await wire_.read(in_);
      received(ec, size);
    }
    Result<bool> whole = take_body(body, limit);
    if (!whole || *whole) co_return whole;
  }
}

// The rest of a body of known length, without a copy.
Task<Status> Session::receive_into(std::string& body) {
  in_.stay();
  std::size_t at = body.size();
  std::size_t size = at + static_cast<std::size_t>(parser_.remaining());
  body.reserve(size + kSpareBytes);
  // libstdc++ 12 passes its grown capacity, not the size asked for.
  body.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
  while (parser_.remaining() > 0) {
    asio::mutable_buffer room(body.data() + at, size - at);
    const auto [ec, got] = co_await wire_.read(room);
    if (expired_) co_return timed_out("the request body took too long");
    if (ec) {
      gone_ = true;
      co_return cancelled("the client left inside the request body");
    }
    at += got;
    parser_.skip(got);
  }
  co_return Status();
}

void Session::serialize(const ResponseHead& head, std::uint64_t length) {
  keep_ = keep_ && !deps_.stopping && body_done_;
  bool bodiless = head.status == 204 || head.status == 304 || head.status < 200;
  out_.clear();
  out_ += "HTTP/1.1 ";
  append_number(out_, static_cast<std::uint64_t>(head.status));
  out_ += ' ';
  out_ += reason(head.status);
  out_ += "\r\n";
  for (const Field& field : head.headers) {
    if (!framing_field(field.name)) append_field(out_, field);
  }
  if (reply_ == Reply::kLength && !bodiless) {
    out_ += "Content-Length: ";
    append_number(out_, length);
    out_ += "\r\n";
  } else if (reply_ == Reply::kChunked) {
    out_ += "Transfer-Encoding: chunked\r\n";
  }
  if (!head.headers.has("Server")) append_field(out_, {"Server", deps_.config.server_name});
  if (!keep_) {
    out_ += "Connection: close\r\n";
  } else if (parser_.http10()) {
    out_ += "Connection: keep-alive\r\n";
  }
  out_ += "\r\n";
}

// No coroutine of its own, as write().
Task<Status> Session::respond(ResponseHead head, std::string_view body) {
  BATON_ASSERT(!started_);
  started_ = finished_ = true;
  reply_ = Reply::kLength;
  serialize(head, body.size());
  gathered_.assign({out_, head_.method == "HEAD" ? "" : body});
  return send(gathered_);
}

Task<Status> Session::start(ResponseHead head) {
  BATON_ASSERT(!started_);
  started_ = true;
  std::uint64_t length = 0;
  std::optional<std::string_view> stated = head.headers.get("Content-Length");
  if (stated || head.status == 204 || head.status == 304) {
    reply_ = Reply::kLength;
    if (stated) std::from_chars(stated->data(), stated->data() + stated->size(), length);
    reply_left_ = length;
  } else if (parser_.http10()) {
    reply_ = Reply::kUntilClose;
    keep_ = false;
  } else {
    reply_ = Reply::kChunked;
  }
  serialize(head, length);
  std::array<std::string_view, 1> pieces = {out_};
  co_return co_await send(pieces);
}

// No coroutine of its own: a streamed token passes here.
Task<Status> Session::write(std::span<const std::string_view> pieces) {
  BATON_ASSERT(started_ && !finished_);
  std::size_t size = 0;
  for (std::string_view piece : pieces) size += piece.size();
  if (size == 0 || head_.method == "HEAD") return ended({});
  if (reply_ == Reply::kLength) {
    if (size > reply_left_) return ended(internal("an answer is longer than its Content-Length"));
    reply_left_ -= size;
  }
  if (reply_ != Reply::kChunked) return send(pieces);
  out_.clear();
  append_number(out_, size, 16);
  out_ += "\r\n";
  gathered_.assign(1, out_);
  gathered_.insert(gathered_.end(), pieces.begin(), pieces.end());
  gathered_.push_back("\r\n");
  return send(gathered_);
}

Task<Status> Session::finish() {
  BATON_ASSERT(started_ && !finished_);
  if (reply_ == Reply::kLength && reply_left_ > 0 && head_.method != "HEAD") {
    co_return internal("an answer is shorter than its Content-Length");
  }
  finished_ = true;
  if (reply_ != Reply::kChunked || head_.method == "HEAD") co_return Status();
  std::array<std::string_view, 1> pieces = {"0\r\n\r\n"};
  co_return co_await send(pieces);
}

Task<Status> Session::send(std::span<const std::string_view> pieces) {
  if (gone_) co_return cancelled("the client left");
  Outgoing out(pieces);
  for (;;) {
    Outgoing::State state = wire_.write(out);
    if (state == Outgoing::State::kDone) co_return Status();
    if (state == Outgoing::State::kBroken) {
      gone_ = true;
      co_return cancelled("the client left");
    }
    enter(Phase::kWrite, deps_.config.limits.write_timeout);
    auto [ec] = co_await wire_.socket().async_wait(Tcp::socket::wait_write, kOutcome);
    leave();
    if (expired_ || ec) {
      gone_ = true;
      co_return cancelled("the client does not read its answer");
    }
  }
}

void Session::wake() {
  boost::system::error_code ignored;
  if (phase_ == Phase::kHandshake || phase_ == Phase::kIdle) wire_.socket().cancel(ignored);
}

// What a receive came to. An aborted one has another reason, which whoever awaited it looks at.
void Session::received(const boost::system::error_code& ec, std::size_t size) {
  if (!ec) {
    in_.commit(size);
  } else if (ec != asio::error::operation_aborted) {
    gone_ = true;
  }
}

// Notices that the client leaves, while the handler runs.
void Session::watch() {
  if (wire_.reading() || gone_ || in_.full()) return;
  wire_.async_read(in_, [this](const boost::system::error_code& ec, std::size_t size) {
    received(ec, size);
    if (!handling_) return;
    if (gone_) {
      cancel();
    } else if (body_done_ && !ec) {
      watch();
    }
  });
}

void Session::on_expiry() {
  expired_ = true;
  boost::system::error_code ignored;
  wire_.socket().cancel(ignored);
}

void Session::enter(Phase phase, Nanos budget) {
  phase_ = phase;
  limit_.set(deps_.clock.now() + budget);
}

void Session::leave() {
  phase_ = Phase::kNone;
  limit_.clear();
}

}  // namespace baton::http
