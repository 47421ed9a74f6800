#include "net/grpc/call.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace baton::grpc {

namespace {

Task<Status> at_once(Status status) { co_return status; }

}  // namespace

Error Call::break_reason() const {
  if (connection_.gone()) return cancelled("the connection ended: " + connection_.reason());
  return cancelled(fmt::format("the peer reset the stream ({})", static_cast<unsigned>(reset_)));
}

void Call::give_back() {
  const std::size_t bytes = inbox_.take_credit();
  if (bytes == 0 || stream_ == nullptr) return;
  connection_.session().consumed(*stream_, bytes);
  connection_.schedule_flush();
}

Task<Result<std::optional<std::string_view>>> Call::read() {
  for (;;) {
    if (std::exchange(interrupted_, false)) co_return cancelled("the read was interrupted");
    std::string_view message;
    const Inbox::State state = inbox_.next(message);
    give_back();
    switch (state) {
      case Inbox::State::kMessage:
        co_return std::optional(message);
      case Inbox::State::kTooLong:
        co_return exhausted(
            fmt::format("a message of {} bytes is over the limit", inbox_.claimed()));
      case Inbox::State::kCompressed:
        co_return expand(message);
      case Inbox::State::kNeedMore:
        break;
    }
    if (ended_ && inbox_.empty()) co_return std::optional<std::string_view>();
    if (ended_) co_return invalid("the stream ended inside a message");
    if (stream_ == nullptr) co_return break_reason();
    co_await readable_.wait();
  }
}

Result<std::optional<std::string_view>> Call::expand(std::string_view compressed) {
  if (gunzip_ == nullptr) {
    return internal("a compressed message in a stream whose grpc-encoding is identity");
  }
  BATON_TRY_ASSIGN(const auto message, gunzip_->expand(compressed, inbox_.limit()));
  return std::optional(message);
}

void Call::interrupt() {
  interrupted_ = true;
  readable_.notify();
}

Task<Status> Call::write(std::span<const std::string_view> pieces) {
  if (stream_ == nullptr || half_closed_) return at_once(break_reason());
  begin();
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  std::string prefix;  // fits the string's own buffer
  append_prefix(prefix, size);
  const std::array<std::string_view, 1> front = {prefix};
  connection_.session().send(*stream_, front);
  connection_.session().send(*stream_, pieces);
  connection_.schedule_flush();
  return stream_->queued() < kWriteAhead ? at_once({}) : wait_for_room();
}

Task<Status> Call::wait_for_room() {
  struct Waiting {
    explicit Waiting(Call& c) : call(c) { set(true); }
    ~Waiting() { set(false); }
    void set(bool on) const {
      call.waits_for_room_ = on;
      call.connection_.writer_waits(on ? 1 : -1);
    }
    Call& call;
  };
  const Waiting waiting(*this);
  while (stream_ != nullptr && stream_->queued() >= kWriteAhead) co_await writable_.wait();
  if (stream_ == nullptr) co_return break_reason();
  co_return Status();
}

void Call::half_close() {
  if (stream_ == nullptr || half_closed_) return;
  half_closed_ = true;
  connection_.session().finish(*stream_);
  connection_.schedule_flush();
}

void Call::received(std::string_view bytes) {
  inbox_.add(bytes);
  readable_.notify();
}

void Call::ended() {
  ended_ = true;
  readable_.notify();
}

void Call::closed(http2::Reset reason) {
  reset_ = reason;
  stream_ = nullptr;
  readable_.notify();
  writable_.notify();
}

void Call::reset(http2::Reset reason) {
  if (stream_ == nullptr) return;
  connection_.session().reset(*stream_, reason);
  connection_.schedule_flush();
}

}  // namespace baton::grpc
