#include "formats/openai/member_scan.hpp"

#include <bit>
#include <cstring>
#include <optional>

namespace baton::openai {

namespace {

std::optional<std::uint32_t> hex(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
  return std::nullopt;
}

// Bytes before the first quote or backslash; all when there is none.
std::size_t text_prefix(std::string_view text) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const auto zeros = [](std::uint64_t word) { return (word - kOnes) & ~word; };
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    // The lowest flag is exact: a borrow only sets flags above a true one.
    const std::uint64_t flags =
        (zeros(word ^ ('"' * kOnes)) | zeros(word ^ ('\\' * kOnes))) & (0x80 * kOnes);
    if (flags != 0) return at + static_cast<std::size_t>(std::countr_zero(flags)) / 8;
  }
  while (at < text.size() && text[at] != '"' && text[at] != '\\') ++at;
  return at;
}

// Whether the name, or \u00 and with it any of its letters, begins at the front.
bool begins(std::string_view text, std::string_view name) {
  return text.starts_with(name) || text.starts_with("\\u00");
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

// One more character of a name, its escapes undone.
void MemberScan::take(char c) {
  equal_ = equal_ && matched_ < name_.size() && name_[matched_] == c;
  ++matched_;
}

// Follows a string up to its end or the end of the piece; returns where it stopped.
std::size_t MemberScan::skip_string(std::string_view piece, std::size_t at) {
  while (at < piece.size() && text_ != Text::kNone) {
    if (text_ == Text::kPlain && !equal_) {  // the common case, also of long text
      at += text_prefix(piece.substr(at));
      if (at == piece.size()) return at;
    }
    const char c = piece[at++];
    switch (text_) {
      case Text::kPlain:
        if (c == '"') {
          text_ = Text::kNone;
          waits_ = equal_ && matched_ == name_.size();
        } else if (c == '\\') {
          text_ = Text::kEscape;
        } else {
          take(c);
        }
        break;
      case Text::kEscape:
        text_ = c == 'u' ? Text::kUnicode : Text::kPlain;
        code_ = 0;
        digits_ = 0;
        if (c != 'u') take(c == '/' ? '/' : '\0');  // no other escape is part of a name
        break;
      case Text::kUnicode: {
        const auto digit = hex(c);
        code_ = code_ << 4 | digit.value_or(0);
        if (!digit) equal_ = false;
        if (++digits_ == 4) {
          text_ = Text::kPlain;
          take(code_ < 0x80 ? static_cast<char>(code_) : '\0');
        }
        break;
      }
      case Text::kNone:
        break;
    }
  }
  return at;
}

bool may_name(std::string_view body, std::string_view name) {
  constexpr std::size_t kBlock = 64;
  std::size_t at = 0;
  for (; at + kBlock < body.size(); at += kBlock) {
    const char* block = body.data() + at;
    const auto is = [&](std::size_t i, char c) -> unsigned char { return block[i] == c ? 1 : 0; };
    unsigned char pairs = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {  // without a branch, so that it becomes vector code
      pairs |= is(i, name[0]) & is(i + 1, name[1]);
      pairs |= is(i, '\\') & is(i + 1, 'u');
    }
    if (pairs == 0) continue;
    for (std::size_t i = 0; i < kBlock; ++i) {
      if (begins(body.substr(at + i), name)) return true;
    }
  }
  for (; at < body.size(); ++at) {
    if (begins(body.substr(at), name)) return true;
  }
  return false;
}

bool MemberScan::feed(std::string_view piece) {
  for (std::size_t at = 0; at < piece.size() && !found_;) {
    if (text_ != Text::kNone) {
      at = skip_string(piece, at);
      continue;
    }
    const char c = piece[at++];
    if (is_space(c)) continue;
    if (waits_) {
      found_ = c == ':' && depth_ > 0;
      waits_ = false;
      if (found_) break;
    }
    switch (c) {
      case '"':
        text_ = Text::kPlain;
        equal_ = true;
        matched_ = 0;
        break;
      case '{':
      case '[':
        ++depth_;
        break;
      case '}':
      case ']':
        if (depth_ > 0) --depth_;
        break;
      default:
        break;
    }
  }
  return found_;
}

}  // namespace baton::openai
