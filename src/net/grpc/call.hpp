#pragma once
// What both ends of a call share: messages in, messages out, over one stream. Internal to net/grpc.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/async/event.hpp"
#include "base/core/result.hpp"
#include "net/grpc/connection.hpp"
#include "net/grpc/gzip.hpp"
#include "net/grpc/inbox.hpp"
#include "net/grpc/status.hpp"

namespace baton::grpc {

// Bytes of one stream that may wait for flow control before a writer has to.
inline constexpr std::size_t kWriteAhead = 256 << 10;

// Confined to the connection's loop; one reader and one writer at a time.
class Call {
 public:
  Call(Connection& connection, http2::Stream& stream, std::size_t message_limit)
      : connection_(connection),
        stream_(&stream),
        inbox_(message_limit),
        readable_(connection.executor()),
        writable_(connection.executor()) {
    stream.owner = this;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // The next message; the view is valid until the next read. nullopt: the peer has said everything.
  Task<Result<std::optional<std::string_view>>> read();
  // The read() that waits, or else the next one, returns kCancelled.
  void interrupt();
  // Queues one message, made of the pieces; returns when there is room for more.
  Task<Status> write(std::span<const std::string_view> pieces);
  // Says nothing more (a client's).
  void half_close();

  // From the session.
  void received(std::string_view bytes);
  void ended();
  void closed(http2::Reset reason);
  void flushed() {
    if (stream_ != nullptr && waits_for_room_ && stream_->queued() < kWriteAhead) {
      writable_.notify();
    }
  }

  bool open() const { return stream_ != nullptr; }
  void reset(http2::Reset reason);

 protected:
  ~Call() = default;
  // The peer's messages may be compressed by gzip.
  void expect_gzip() { gunzip_ = std::make_unique<Gunzip>(); }
  // Before the first message goes out.
  virtual void begin() {}
  // Why nothing more comes, when closed() came before the end.
  virtual Error break_reason() const;

  Connection& connection_;
  http2::Stream* stream_;  // null: closed
  Inbox inbox_;
  async::Event readable_;
  async::Event writable_;
  http2::Reset reset_ = http2::Reset::kNoError;
  bool ended_ = false;
  bool interrupted_ = false;
  bool half_closed_ = false;
  bool waits_for_room_ = false;

 private:
  Task<Status> wait_for_room();
  void give_back();
  Result<std::optional<std::string_view>> expand(std::string_view compressed);

  std::unique_ptr<Gunzip> gunzip_;  // null: the peer has not said that it compresses
};

}  // namespace baton::grpc
