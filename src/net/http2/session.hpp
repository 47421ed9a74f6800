#pragma once
// One HTTP/2 connection (RFC 9113), pure: bytes in, bytes out, events. On libnghttp2.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::http2 {

enum class Role : bool { kServer, kClient };
enum class End : bool { kNo, kYes };  // of what one side sends on a stream

// RFC 9113 7.
enum class Reset : std::uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kRefusedStream = 7,
  kCancel = 8,
  kEnhanceYourCalm = 11,
};

// Passing a bound resets the stream, or ends the connection with a GOAWAY.
struct Limits {
  std::uint32_t streams = 1024;                // open at once: refused
  std::size_t header_bytes = 64 << 10;         // names and values of one block: reset
  std::size_t header_fields = 256;             // reset
  std::uint32_t stream_window = 1 << 20;       // bytes received and not consumed
  std::uint32_t connection_window = 16 << 20;  // the same, of all streams
  std::uint64_t reset_burst = 2000;            // streams that the client may reset at once, and
  std::uint64_t resets_per_second = 500;       // lastingly (CVE-2023-44487): GOAWAY
  std::size_t unsent_acks = 1000;              // to PING and SETTINGS: GOAWAY
};

class Session;

// One stream. Belongs to the session, from on_headers() or request() until on_closed() returns.
class Stream {
 public:
  std::int32_t id() const { return id_; }
  // Bytes sent by us that flow control, or the connection, still holds back.
  std::size_t queued() const { return out_.size() - out_at_; }
  bool remote_ended() const { return remote_ended_; }

  void* owner = nullptr;  // the application's

 private:
  friend class Session;
  friend struct Callbacks;
  enum class Ending : std::uint8_t { kNone, kPlain, kTrailers };

  std::int32_t id_ = 0;
  std::string out_;
  std::size_t out_at_ = 0;  // of out_: sent
  http::Headers trailers_;
  http::Headers fields_;  // of the block being received
  std::size_t field_bytes_ = 0;
  std::size_t unconsumed_ = 0;
  Ending ending_ = Ending::kNone;
  bool deferred_ = false;  // has run out of bytes to send
  bool remote_ended_ = false;
  bool local_ended_ = false;
};

// What arrives, called from within receive(). The session may be written to meanwhile, but not
// given bytes or asked for them.
class Events {
 public:
  virtual ~Events() = default;
  // A request, a response, or trailers. Pseudo fields (":path") come first.
  virtual void on_headers(Stream& stream, http::Headers fields, End end) = 0;
  // The bytes count against the windows until consumed().
  virtual void on_data(Stream& stream, std::string_view bytes) = 0;
  virtual void on_end(Stream& stream) = 0;
  // Nothing comes any more, nothing can be sent; the stream is gone after this. kNoError: both
  // sides ended.
  virtual void on_closed(Stream& stream, Reset reason) = 0;
  // The peer takes no new streams.
  virtual void on_goaway() = 0;
};

// Confined to one thread.
class Session {
 public:
  Session(Role role, const Limits& limits, Events& events);
  ~Session();

  // kInvalid: the peer broke the protocol or a bound; a GOAWAY is in the output, close after it.
  Status receive(std::string_view bytes);
  // Appends frames to `out` until it has `most` bytes or more, or there are none.
  void pull(std::string& out, std::size_t most);
  // Nothing is to be received or sent any more: close.
  bool done() const;

  // A client's: nullptr when no stream can be opened any more. `fields` with the pseudo fields.
  Stream* request(const http::Headers& fields);
  // A server's, once a stream.
  void respond(Stream& stream, const http::Headers& fields);
  // The answer is its head alone.
  void respond_and_end(Stream& stream, const http::Headers& fields);
  void send(Stream& stream, std::span<const std::string_view> pieces);
  // The end of what we say. A server that is done before the client tells it not to go on.
  void finish(Stream& stream);
  void finish(Stream& stream, http::Headers trailers);
  void reset(Stream& stream, Reset reason);
  // Opens the windows again, for bytes that on_data brought.
  void consumed(Stream& stream, std::size_t bytes);
  // A server's: no new streams, those that are open may end (GOAWAY, in two steps: RFC 9113 6.8).
  void drain();
  // Ends everything.
  void terminate(Reset reason);

  std::size_t open_streams() const;

 private:
  friend struct Callbacks;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::http2
