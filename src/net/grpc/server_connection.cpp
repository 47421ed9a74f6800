#include "net/grpc/server_connection.hpp"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "base/async/task_group.hpp"

namespace baton::grpc {

namespace {

const http::Headers& response_head() {
  static const http::Headers kHead{{":status", "200"},
                                   {"content-type", "application/grpc"},
                                   {"grpc-accept-encoding", std::string(kEncodings)}};
  return kHead;
}

void add_status(http::Headers& fields, const RpcStatus& status) {
  fields.add("grpc-status", fmt::to_string(static_cast<unsigned>(status.code)));
  if (!status.message.empty()) fields.add("grpc-message", percent_encode(status.message));
}

Call* call_of(const http2::Stream& stream) { return static_cast<Call*>(stream.owner); }

}  // namespace

ServerCall::ServerCall(ServerConnection& connection, http2::Stream& stream, http::Headers metadata,
                       Deadline deadline)
    : Call(connection, stream, connection.message_limit()),
      owner_(connection),
      metadata_(std::move(metadata)),
      deadline_(deadline),
      limit_(connection.watchdog(), [this] { on_expiry(); }) {
  if (deadline_.at != Mono::max()) limit_.set(deadline_.at);
  if (metadata_.get("grpc-encoding") == "gzip") expect_gzip();
}

std::string_view ServerCall::peer() const { return owner_.peer(); }

void ServerCall::start(const Handler& handler) {
  asio::co_spawn(
      connection_.executor(), serve(handler),
      asio::bind_cancellation_slot(
          signal_.slot(), [this](const std::exception_ptr& failure) { finished(failure); }));
}

Task<void> ServerCall::serve(const Handler& handler) { status_ = co_await handler(*this); }

void ServerCall::finished(const std::exception_ptr& failure) {
  limit_.clear();
  running_ = false;
  async::report_failure(failure);
  if (expired_) {
    conclude({StatusCode::kDeadlineExceeded, "the call's deadline passed"});
  } else if (status_) {
    conclude(*status_);
  } else if (async::is_cancellation(failure)) {
    conclude({StatusCode::kCancelled, "the call was cancelled"});
  } else {
    conclude({StatusCode::kInternal, "the handler failed"});
  }
  owner_.forget_if_ended(*this);
}

void ServerCall::begin() {
  if (started_) return;
  started_ = true;
  connection_.session().respond(*stream_, response_head());
}

void ServerCall::conclude(const RpcStatus& status) {
  if (stream_ == nullptr) return;
  if (started_) {
    http::Headers trailers;
    add_status(trailers, status);
    connection_.session().finish(*stream_, std::move(trailers));
  } else {
    http::Headers fields = response_head();
    add_status(fields, status);
    connection_.session().respond_and_end(*stream_, fields);
  }
  half_closed_ = true;
  connection_.schedule_flush();
}

void ServerCall::on_expiry() {
  expired_ = true;
  cancel();
}

ServerConnection::ServerConnection(const Deps& deps, http::Wire wire, std::string peer)
    : Connection(deps.clock, deps.watchdog, std::move(wire), http2::Role::kServer,
                 deps.config.http2, {deps.config.handshake_timeout, deps.config.write_timeout}),
      deps_(deps),
      peer_(std::move(peer)) {}

std::size_t ServerConnection::message_limit() const { return deps_.config.message_bytes; }

void ServerConnection::refuse(http2::Stream& stream, const RpcStatus& status) {
  http::Headers fields = response_head();
  add_status(fields, status);
  session().respond_and_end(stream, fields);
}

void ServerConnection::on_headers(http2::Stream& stream, http::Headers fields, http2::End end) {
  if (Call* call = call_of(stream)) {  // trailers: they say nothing in gRPC requests
    if (end == http2::End::kYes) call->ended();
    return;
  }
  const std::string_view path = fields.get(":path").value_or("");
  const std::string_view type = fields.get("content-type").value_or("");
  if (fields.get(":method") != "POST" || !type.starts_with("application/grpc")) {
    session().respond_and_end(stream, {{":status", "415"}});
    return;
  }
  const std::string_view encoding = fields.get("grpc-encoding").value_or("identity");
  if (encoding != "identity" && encoding != "gzip") {
    refuse(stream,
           {StatusCode::kUnimplemented,
            fmt::format("messages in '{}' are not read here, only identity and gzip", encoding)});
    return;
  }
  const auto handler = deps_.handlers.find(path);
  if (handler == deps_.handlers.end()) {
    refuse(stream, {StatusCode::kUnimplemented, fmt::format("no method {}", path)});
    return;
  }
  Deadline deadline;
  if (const auto text = fields.get("grpc-timeout")) {
    const auto timeout = parse_timeout(*text);
    if (!timeout) {
      refuse(stream, {StatusCode::kInternal, fmt::format("grpc-timeout: '{}' is none", *text)});
      return;
    }
    const Mono now = deps_.clock.now();
    if (*timeout < Mono::max() - now) deadline.at = now + *timeout;
  }
  ServerCall& call = calls_.emplace_back(*this, stream, std::move(fields), deadline);
  call.place = std::prev(calls_.end());
  if (end == http2::End::kYes) call.ended();
  call.start(handler->second);
}

void ServerConnection::on_data(http2::Stream& stream, std::string_view bytes) {
  if (Call* call = call_of(stream)) {
    call->received(bytes);
  } else {
    session().consumed(stream, bytes.size());
  }
}

void ServerConnection::on_end(http2::Stream& stream) {
  if (Call* call = call_of(stream)) call->ended();
}

void ServerConnection::on_closed(http2::Stream& stream, http2::Reset reason) {
  if (stream.owner == nullptr) return;
  auto* call = static_cast<ServerCall*>(call_of(stream));
  call->closed(reason);
  if (call->running()) call->cancel();
  forget_if_ended(*call);
}

void ServerConnection::on_gone() {
  for (ServerCall& call : calls_) {
    call.closed(http2::Reset::kCancel);
    if (call.running()) call.cancel();
    forget_if_ended(call);
  }
}

void ServerConnection::on_flushed() {
  for (ServerCall& call : calls_) call.flushed();
}

void ServerConnection::drain() {
  session().drain();
  schedule_flush();
}

void ServerConnection::cancel_calls() {
  for (ServerCall& call : calls_) {
    if (call.running()) call.cancel();
  }
}

// Later: the call that asks is on the stack, or its signal is emitting.
void ServerConnection::forget_if_ended(ServerCall& call) {
  if (call.running() || call.open() || std::exchange(call.forgotten, true)) return;
  ended_.push_back(&call);
  if (ended_.size() > 1) return;
  asio::post(executor(), [this] {
    for (const ServerCall* ended : ended_) calls_.erase(ended->place);
    ended_.clear();
    settle();
  });
}

}  // namespace baton::grpc
