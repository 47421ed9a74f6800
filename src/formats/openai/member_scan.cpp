#include "formats/openai/member_scan.hpp"

#include <optional>

namespace baton::openai {

namespace {

std::optional<std::uint32_t> hex(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
  return std::nullopt;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

// One more character of a name, its escapes undone.
void MemberScan::take(char c) {
  equal_ = equal_ && matched_ < name_.size() && name_[matched_] == c;
  ++matched_;
}

void MemberScan::end_string() {
  text_ = Text::kNone;
  waits_ = reading_key_ && equal_ && matched_ == name_.size();
  reading_key_ = false;
}

// Follows a string up to its end or the end of the piece; returns where it stopped.
std::size_t MemberScan::skip_string(std::string_view piece, std::size_t at) {
  while (at < piece.size() && text_ != Text::kNone) {
    if (text_ == Text::kPlain && !reading_key_) {
      // The common case, long text: to the next quote, and to the first backslash before it.
      const std::size_t quote = piece.find('"', at);
      const std::string_view run = piece.substr(at, quote - at);
      const std::size_t escape = run.find('\\');
      if (escape != std::string_view::npos) {
        at += escape + 1;
        text_ = Text::kEscape;
      } else if (quote == std::string_view::npos) {
        return piece.size();
      } else {
        at = quote + 1;
        end_string();
      }
      continue;
    }
    const char c = piece[at++];
    switch (text_) {
      case Text::kPlain:
        if (c == '"') {
          end_string();
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

bool MemberScan::feed(std::string_view piece) {
  for (std::size_t at = 0; at < piece.size() && !found_;) {
    if (text_ != Text::kNone) {
      at = skip_string(piece, at);
      continue;
    }
    const char c = piece[at++];
    if (is_space(c)) continue;
    if (waits_) {
      found_ = c == ':';
      waits_ = false;
      if (found_) break;
    }
    const bool top = object_ && depth_ == 1;
    switch (c) {
      case '"':
        text_ = Text::kPlain;
        reading_key_ = top && key_;
        key_ = false;
        equal_ = true;
        matched_ = 0;
        break;
      case '{':
      case '[':
        if (depth_ == 0) object_ = key_ = c == '{';
        ++depth_;
        break;
      case '}':
      case ']':
        if (depth_ > 0) --depth_;
        break;
      case ',':
        key_ = top;
        break;
      default:
        break;
    }
  }
  return found_;
}

}  // namespace baton::openai
