#pragma once
// HTTP/1.1 wire syntax (RFC 9112), pure: bytes in, events out. Strict where lenience lets two
// parsers disagree about where a message ends.
//
// Refused: bare CR or LF in a head, folded lines, control bytes, spaces around a field name,
// several Content-Length or Host fields, Content-Length beside Transfer-Encoding, any coding but
// one "chunked", chunked in HTTP/1.0, odd chunk sizes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/message.hpp"

namespace baton::http {

struct ParseLimits {
  std::size_t head_bytes = 64 << 10;  // 431; also of trailers
  std::size_t fields = 256;           // 431
};

inline constexpr std::size_t kMaxChunkLine = 256;  // size, extensions, CRLF

enum class Event : std::uint8_t {
  kNeedMore,  // append to the input and call again
  kHead,
  kData,  // a piece of the body
  kEnd,   // of the message; the next one may follow in the input
  kError,
};

struct Step {
  Event event = Event::kNeedMore;
  std::size_t consumed = 0;  // bytes to drop from the front of the input
  std::string_view data;     // kData: part of the input
};

// Where a body ends.
enum class Framing : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

struct ParseError {
  int status = 0;  // what a server answers
  std::string message;
};

// The state that both directions share. After kError only error() makes sense.
class Parser {
 public:
  const ParseError& error() const { return error_; }
  Framing framing() const { return framing_; }
  // Of a kLength body: bytes still to come.
  std::uint64_t remaining() const { return remaining_; }
  // Whether the connection can carry another message after this one.
  bool keep_alive() const { return keep_alive_; }
  bool http10() const { return minor_ == 0; }
  // Whether the head of the current message is complete.
  bool in_body() const { return state_ != State::kHead; }
  // Takes `n` bytes of a kLength body that the caller moved itself. Contract: n <= remaining().
  void skip(std::uint64_t n) { remaining_ -= n; }

 protected:
  enum class State : std::uint8_t {
    kHead,
    kBody,  // kLength or kUntilClose, or inside a chunk
    kChunkSize,
    kChunkEnd,  // the CRLF after a chunk's data
    kTrailer,
    kFailed,
  };

  explicit Parser(const ParseLimits& limits) : limits_(limits) {}
  ~Parser() = default;

  // The length of the head with its empty line; 0 when incomplete or failed.
  std::size_t find_head_end(std::string_view input);
  // The functions below return false after a fail().
  bool parse_fields(std::string_view lines, Headers& into);
  bool parse_version(std::string_view text);
  // From the fields: kNone, kLength or kChunked; and keep_alive_.
  bool decide_framing(const Headers& headers);
  bool read_length(std::string_view value);
  Step next_in_body(std::string_view input);
  Step fail(int status, std::string message);
  Step finish(std::size_t consumed);

  ParseLimits limits_;
  ParseError error_;
  State state_ = State::kHead;
  Framing framing_ = Framing::kNone;
  std::uint64_t remaining_ = 0;  // of the body or the chunk
  std::size_t scanned_ = 0;      // of an incomplete line or head
  int minor_ = 1;
  bool keep_alive_ = true;

 private:
  // The line at the front of `input` without CRLF; nullopt when incomplete or failed.
  std::optional<std::string_view> line(std::string_view input, std::size_t limit);
  bool read_chunk_size(std::string_view line);
  bool read_trailer(std::string_view line);
  std::size_t trailer_bytes_ = 0;
};

class RequestParser : public Parser {
 public:
  explicit RequestParser(const ParseLimits& limits) : Parser(limits) {}

  // Call until kNeedMore, each time with the input that is not consumed yet.
  Step next(std::string_view input);
  RequestHead& head() { return head_; }
  bool expects_continue() const { return expects_continue_; }

 private:
  bool parse_head(std::string_view head);
  bool parse_target(std::string_view target);
  bool check_fields();

  RequestHead head_;
  bool expects_continue_ = false;
};

class ResponseParser : public Parser {
 public:
  explicit ResponseParser(const ParseLimits& limits) : Parser(limits) {}

  // Before each response: whether it answers HEAD.
  void expect(std::string_view method) { to_head_ = method == "HEAD"; }
  // As RequestParser; interim (1xx) responses are passed over.
  Step next(std::string_view input);
  // The peer closed. kEnd for a body that lasts until then, else kError.
  Step end_of_input();
  ResponseHead& head() { return head_; }

 private:
  bool parse_head(std::string_view head);

  ResponseHead head_;
  bool to_head_ = false;
};

// A number in its digits. 10 <= base <= 16.
void append_number(std::string& out, std::uint64_t number, int base = 10);
// Heads on the wire. Control bytes in values become spaces: a head cannot be split by a value.
void append_field(std::string& out, const Field& field);
void append_head(std::string& out, const RequestHead& head);
void append_head(std::string& out, const ResponseHead& head);

}  // namespace baton::http
