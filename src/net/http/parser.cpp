#include "net/http/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/core/trim.hpp"

namespace baton::http {

namespace {

constexpr std::array<bool, 256> kTokenBytes = [] {
  std::array<bool, 256> table{};
  for (char c = '0'; c <= '9'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return kTokenBytes[static_cast<unsigned char>(c)];
  });
}

bool is_control(char c) {
  auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_control);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::size_t kMaxLengthDigits = 18;  // fits 64 bits with room
constexpr std::size_t kMaxChunkDigits = 15;

}  // namespace

Step Parser::fail(int status, std::string message) {
  state_ = State::kFailed;
  keep_alive_ = false;
  error_ = {status, std::move(message)};
  return {Event::kError, 0, {}};
}

Step Parser::finish(std::size_t consumed) {
  state_ = State::kHead;
  scanned_ = 0;
  return {Event::kEnd, consumed, {}};
}

std::size_t Parser::find_head_end(std::string_view input) {
  std::string_view head = input.substr(0, limits_.head_bytes);
  for (std::size_t at = head.find('\n', scanned_); at != std::string_view::npos;
       at = head.find('\n', at + 1)) {
    if (at == 0 || head[at - 1] != '\r') {
      fail(400, "a line of the head ends in LF without CR");
      return 0;
    }
    if (at == 1 || (at >= 3 && head[at - 2] == '\n')) return at + 1;
  }
  scanned_ = head.size();
  if (input.size() >= limits_.head_bytes) {
    fail(431, fmt::format("the head is over {} bytes", limits_.head_bytes));
  }
  return 0;
}

bool Parser::parse_version(std::string_view text) {
  if (text != "HTTP/1.1" && text != "HTTP/1.0") {
    bool other = text.size() == 8 && text.starts_with("HTTP/");
    fail(other ? 505 : 400, other ? "only HTTP/1.0 and HTTP/1.1 are spoken here"
                                  : "the start line names no HTTP version");
    return false;
  }
  minor_ = text.back() - '0';
  return true;
}

bool Parser::parse_fields(std::string_view lines, Headers& into) {
  into.reserve(lines.size());
  while (!lines.empty()) {
    std::size_t end = lines.find("\r\n");
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    std::size_t colon = line.find(':');
    if (line.starts_with(' ') || line.starts_with('\t')) {
      fail(400, "a header field is folded over several lines");
    } else if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      fail(400, "a header line is not 'Name: value'");
    } else if (has_control(line)) {
      fail(400, "a header field has a control byte");
    } else if (into.size() == limits_.fields) {
      fail(431, fmt::format("the head has over {} fields", limits_.fields));
    }
    if (state_ == State::kFailed) return false;
    into.add(line.substr(0, colon), trim(line.substr(colon + 1)));
  }
  return true;
}

bool Parser::read_length(std::string_view value) {
  bool digits = !value.empty() && std::all_of(value.begin(), value.end(),
                                              [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || value.size() > kMaxLengthDigits) {
    fail(400, "Content-Length is not one decimal number");
    return false;
  }
  remaining_ = 0;
  for (char c : value) remaining_ = remaining_ * 10 + static_cast<std::uint64_t>(c - '0');
  return true;
}

bool Parser::decide_framing(const Headers& headers) {
  std::size_t lengths = 0;
  std::size_t codings = 0;
  bool chunked = false;
  bool close = false;
  bool keep = false;
  for (const Field& field : headers) {
    if (equal_names(field.name, "Content-Length")) {
      ++lengths;
      if (!read_length(field.value)) return false;
    } else if (equal_names(field.name, "Transfer-Encoding")) {
      ++codings;
      chunked = equal_names(field.value, "chunked");
    } else if (equal_names(field.name, "Connection")) {
      close = close || lists_token(field.value, "close");
      keep = keep || lists_token(field.value, "keep-alive");
    }
  }
  if (lengths > 1) {
    fail(400, "several Content-Length fields");
  } else if (codings > 0 && lengths > 0) {
    fail(400, "Content-Length beside Transfer-Encoding");
  } else if (codings > 0 && http10()) {
    fail(400, "Transfer-Encoding in HTTP/1.0");
  } else if (codings > 0 && (codings > 1 || !chunked)) {
    fail(501, "the only Transfer-Encoding understood is 'chunked'");
  }
  if (state_ == State::kFailed) return false;
  framing_ = codings > 0 ? Framing::kChunked : lengths > 0 ? Framing::kLength : Framing::kNone;
  keep_alive_ = !close && (!http10() || keep);
  return true;
}

std::optional<std::string_view> Parser::line(std::string_view input, std::size_t limit) {
  std::string_view window = input.substr(0, limit);
  std::size_t end = window.find('\n');
  if (end == std::string_view::npos) {
    if (input.size() >= limit) fail(400, fmt::format("a chunk line is over {} bytes", limit));
    return std::nullopt;
  }
  if (end == 0 || window[end - 1] != '\r') {
    fail(400, "a chunk line ends in LF without CR");
    return std::nullopt;
  }
  return window.substr(0, end - 1);
}

bool Parser::read_chunk_size(std::string_view line) {
  std::size_t digits = 0;
  std::uint64_t size = 0;
  while (digits < line.size() && hex_value(line[digits]) >= 0) {
    size = size * 16 + static_cast<std::uint64_t>(hex_value(line[digits]));
    if (++digits > kMaxChunkDigits) break;
  }
  std::string_view extension = line.substr(digits);
  bool clean = extension.empty() || (extension.starts_with(';') && !has_control(extension));
  if (digits == 0 || digits > kMaxChunkDigits || !clean) {
    fail(400, "a chunk size is not a hexadecimal number");
    return false;
  }
  remaining_ = size;
  trailer_bytes_ = 0;
  state_ = size == 0 ? State::kTrailer : State::kBody;
  return true;
}

bool Parser::read_trailer(std::string_view line) {
  trailer_bytes_ += line.size() + 2;
  if (trailer_bytes_ > limits_.head_bytes) {
    fail(431, fmt::format("the trailers are over {} bytes", limits_.head_bytes));
    return false;
  }
  Headers dropped;
  return parse_fields(fmt::format("{}\r\n", line), dropped);
}

Step Parser::next_in_body(std::string_view input) {
  std::size_t used = 0;
  while (state_ != State::kFailed) {
    std::string_view rest = input.substr(used);
    if (state_ == State::kBody) {
      if (framing_ == Framing::kNone) return finish(used);
      if (framing_ == Framing::kLength && remaining_ == 0) return finish(used);
      if (rest.empty()) return {Event::kNeedMore, used, {}};
      if (framing_ == Framing::kUntilClose) return {Event::kData, used + rest.size(), rest};
      auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, rest.size()));
      remaining_ -= size;
      if (framing_ == Framing::kChunked && remaining_ == 0) state_ = State::kChunkEnd;
      return {Event::kData, used + size, rest.substr(0, size)};
    }
    if (state_ == State::kChunkEnd) {
      if (!std::string_view("\r\n").starts_with(rest.substr(0, 2))) {
        fail(400, "a chunk is longer than its size says");
        break;
      }
      if (rest.size() < 2) return {Event::kNeedMore, used, {}};
      used += 2;
      state_ = State::kChunkSize;
      continue;
    }
    bool trailing = state_ == State::kTrailer;
    std::optional<std::string_view> text =
        line(rest, trailing ? limits_.head_bytes : kMaxChunkLine);
    if (state_ == State::kFailed) break;
    if (!text) return {Event::kNeedMore, used, {}};
    used += text->size() + 2;
    if (trailing && text->empty()) return finish(used);
    if (trailing) {
      read_trailer(*text);
    } else {
      read_chunk_size(*text);
    }
  }
  return {Event::kError, 0, {}};
}

Step RequestParser::next(std::string_view input) {
  if (state_ != State::kHead) return next_in_body(input);
  if (input.empty() || input == "\r") return {};
  std::size_t lead = input.starts_with("\r\n") ? 2 : 0;  // RFC 9112 2.2: one empty line before
  std::size_t size = find_head_end(input.substr(lead));
  if (state_ == State::kFailed) return {Event::kError, 0, {}};
  if (size == 0) return {};
  if (!parse_head(input.substr(lead, size))) return {Event::kError, 0, {}};
  state_ = framing_ == Framing::kChunked ? State::kChunkSize : State::kBody;
  return {Event::kHead, lead + size, {}};
}

bool RequestParser::parse_head(std::string_view head) {
  head_ = {};
  head.remove_suffix(2);
  std::size_t end = head.find("\r\n");
  std::string_view line = head.substr(0, end);
  std::size_t first = line.find(' ');
  std::size_t last = line.rfind(' ');
  if (end == std::string_view::npos || first == std::string_view::npos || first == last ||
      !is_token(line.substr(0, first))) {
    fail(400, "the request line is not 'METHOD target HTTP/1.1'");
    return false;
  }
  if (!parse_version(line.substr(last + 1))) return false;
  head_.method = line.substr(0, first);
  if (!parse_fields(head.substr(end + 2), head_.headers)) return false;
  return parse_target(line.substr(first + 1, last - first - 1)) && check_fields() &&
         decide_framing(head_.headers);
}

bool RequestParser::parse_target(std::string_view target) {
  bool clean = std::all_of(target.begin(), target.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '#';
  });
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!clean || !target.starts_with(scheme)) continue;
    // Absolute form: its authority stands for Host (RFC 9112 3.2.2).
    std::string_view rest = target.substr(scheme.size());
    std::size_t slash = std::min(rest.find_first_of("/?"), rest.size());
    head_.headers.set("Host", rest.substr(0, slash));
    std::string path(rest.substr(slash));
    head_.target = path.starts_with('/') ? path : "/" + path;
    return true;
  }
  if (!clean || (!target.starts_with('/') && target != "*")) {
    fail(400, "the request target is not a path");
    return false;
  }
  head_.target = target;
  return true;
}

bool RequestParser::check_fields() {
  std::size_t hosts = 0;
  expects_continue_ = false;
  for (const Field& field : head_.headers) {
    if (equal_names(field.name, "Host")) {
      ++hosts;
    } else if (equal_names(field.name, "Expect")) {
      if (!equal_names(field.value, "100-continue")) {
        fail(417, "the only expectation understood is '100-continue'");
        return false;
      }
      expects_continue_ = !http10();
    }
  }
  if (hosts > 1 || (hosts == 0 && !http10())) {
    fail(400, hosts == 0 ? "no Host field" : "several Host fields");
    return false;
  }
  return true;
}

Step ResponseParser::next(std::string_view input) {
  if (state_ != State::kHead) return next_in_body(input);
  std::size_t used = 0;
  for (;;) {
    std::string_view rest = input.substr(used);
    std::size_t size = rest.empty() ? 0 : find_head_end(rest);
    if (state_ == State::kFailed) return {Event::kError, 0, {}};
    if (size == 0) return {Event::kNeedMore, used, {}};
    if (!parse_head(rest.substr(0, size))) return {Event::kError, 0, {}};
    used += size;
    scanned_ = 0;
    if (head_.status >= 200) break;
  }
  state_ = framing_ == Framing::kChunked ? State::kChunkSize : State::kBody;
  return {Event::kHead, used, {}};
}

bool ResponseParser::parse_head(std::string_view head) {
  head_ = {};
  head.remove_suffix(2);
  std::size_t end = head.find("\r\n");
  std::string_view line = head.substr(0, end);
  std::string_view code = line.size() >= 12 ? line.substr(9, 3) : std::string_view();
  bool digits = code.size() == 3 &&
                std::all_of(code.begin(), code.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (end == std::string_view::npos || !digits || line[8] != ' ' || code[0] == '0' ||
      (line.size() > 12 && line[12] != ' ') || has_control(line)) {
    fail(502, "the status line is not 'HTTP/1.1 200 OK'");
    return false;
  }
  if (!parse_version(line.substr(0, 8))) return false;
  head_.status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
  if (head_.status == 101) {
    fail(502, "switching protocols was not asked for");
    return false;
  }
  if (!parse_fields(head.substr(end + 2), head_.headers)) return false;
  if (!decide_framing(head_.headers)) return false;
  bool bodiless = to_head_ || head_.status < 200 || head_.status == 204 || head_.status == 304;
  if (bodiless) {
    framing_ = Framing::kNone;
  } else if (framing_ == Framing::kNone) {
    framing_ = Framing::kUntilClose;
    keep_alive_ = false;
  }
  return true;
}

Step ResponseParser::end_of_input() {
  keep_alive_ = false;
  if (state_ == State::kBody && framing_ == Framing::kUntilClose) return finish(0);
  if (state_ == State::kFailed) return {Event::kError, 0, {}};
  return fail(502, state_ == State::kHead ? "the connection closed before an answer"
                                          : "the connection closed inside the answer");
}

namespace {

void append_fields(std::string& out, const Headers& headers) {
  for (const Field& field : headers) append_field(out, field);
  out += "\r\n";
}

}  // namespace

void append_number(std::string& out, std::uint64_t number, int base) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  out.append(digits.data(), end);
}

void append_field(std::string& out, const Field& field) {
  out += field.name;
  out += ": ";
  std::size_t from = out.size();
  out += field.value;
  out += "\r\n";
  if (!has_control(field.value)) return;
  std::replace_if(out.begin() + static_cast<std::ptrdiff_t>(from), out.end() - 2, is_control, ' ');
}

void append_head(std::string& out, const RequestHead& head) {
  out += head.method;
  out += ' ';
  out += head.target;
  out += " HTTP/1.1\r\n";
  append_fields(out, head.headers);
}

void append_head(std::string& out, const ResponseHead& head) {
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::uint64_t>(head.status));
  out += ' ';
  out += reason(head.status);
  out += "\r\n";
  append_fields(out, head.headers);
}

}  // namespace baton::http
