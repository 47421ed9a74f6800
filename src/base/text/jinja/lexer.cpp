#include "base/text/jinja/lexer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

using Kind = Token::Kind;

bool name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}
bool digit(char c) { return c >= '0' && c <= '9'; }
bool name_part(char c) { return name_start(c) || digit(c); }

// Line ends become \n, and one at the very end is dropped.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

int hex(char c) {
  if (digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Python's escapes in a string literal; unknown ones stay as they are.
std::string unescape(std::string_view body) {
  std::string out;
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (body[i] != '\\' || i + 1 == body.size()) {
      out += body[i];
      continue;
    }
    const char c = body[++i];
    constexpr std::string_view kFrom = "ntrabfv\\'\"";
    constexpr std::string_view kTo = "\n\t\r\a\b\f\v\\'\"";
    const std::size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (const std::size_t at = kFrom.find(c); at != std::string_view::npos) {
      out += kTo[at];
    } else if (c == '\n') {
    } else if (width > 0 && i + width < body.size() &&
               std::all_of(
                   body.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                   body.begin() + static_cast<std::ptrdiff_t>(i + width) + 1,
                   [](char h) { return hex(h) >= 0; })) {
      char32_t point = 0;
      for (std::size_t k = 1; k <= width; ++k)
        point = point * 16 + static_cast<char32_t>(hex(body[i + k]));
      append_utf8(out, point);
      i += width;
    } else if (c >= '0' && c <= '7') {
      char32_t point = 0;
      std::size_t k = i;
      for (; k < std::min(i + 3, body.size()) && body[k] >= '0' && body[k] <= '7'; ++k) {
        point = point * 8 + static_cast<char32_t>(body[k] - '0');
      }
      append_utf8(out, point);
      i = k - 1;
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(source) {}

  Result<std::vector<Token>> run() {
    while (at_ < text_.size()) {
      BATON_TRY(data());
    }
    push(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void push(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(std::size_t to) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  bool looking_at(std::size_t at, std::string_view word) const {
    return text_.substr(at, word.size()) == word;
  }
  std::size_t skip_space(std::size_t at) const {
    while (at < text_.size()) {
      const std::size_t n = space_length(text_, at);
      if (n == 0) break;
      at += n;
    }
    return at;
  }

  // Text up to a tag that begins with `sign` after it; '{' of a print tag is not lstripped.
  void text(std::string_view data, char sign, bool print) {
    std::string_view kept = data;
    if (sign == '-') {
      kept = strip(data, Side::kRight);
    } else if (sign != '+' && !print) {
      const std::size_t newline = data.rfind('\n');
      const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if ((start > 0 || line_starting_) && strip(data.substr(start), Side::kBoth).empty()) {
        kept = data.substr(0, start);
      }
    }
    if (!kept.empty()) push(Kind::kData, std::string(kept));
  }

  // After the end of a block or comment tag: "-" takes all space, nothing takes one newline.
  void after(std::size_t end, char sign, bool trim_newline) {
    std::size_t to = end;
    if (sign == '-') {
      to = skip_space(end);
    } else if (sign != '+' && trim_newline && end < text_.size() && text_[end] == '\n') {
      ++to;
    }
    line_starting_ = to > 0 && text_[to - 1] == '\n';
    advance(to);
  }

  Status data() {
    const std::size_t from = at_;
    std::size_t tag = text_.find('{', at_);
    while (tag != std::string_view::npos && tag + 1 < text_.size() && text_[tag + 1] != '{' &&
           text_[tag + 1] != '%' && text_[tag + 1] != '#') {
      tag = text_.find('{', tag + 1);
    }
    if (tag == std::string_view::npos || tag + 1 >= text_.size()) {
      push(Kind::kData, std::string(text_.substr(from)));
      advance(text_.size());
      return {};
    }
    const char type = text_[tag + 1];
    std::size_t inside = tag + 2;
    char sign = 0;
    if (inside < text_.size() && (text_[inside] == '-' || text_[inside] == '+'))
      sign = text_[inside++];
    text(text_.substr(from, tag - from), sign, type == '{');
    if (type == '#') return comment(tag, inside);
    advance(inside);
    if (type == '%' && raw_begins()) return raw();
    line_starting_ = false;
    push(type == '{' ? Kind::kPrintBegin : Kind::kBlockBegin, "");
    return tag_body(type == '{');
  }

  Status comment(std::size_t tag, std::size_t inside) {
    // "{#-#}": the sign may belong to both ends.
    const std::size_t close = text_.find("#}", inside);
    if (close == std::string_view::npos)
      return at_line(line_, "a comment is never closed: no '#}'");
    const char sign = close > tag + 2 ? text_[close - 1] : '\0';
    after(close + 2, sign == '-' || sign == '+' ? sign : '\0', true);
    return {};
  }

  bool raw_begins() {
    std::size_t at = skip_space(at_);
    if (!looking_at(at, "raw")) return false;
    at = skip_space(at + 3);
    return looking_at(at, "%}") || looking_at(at, "-%}");
  }

  Status raw() {
    std::size_t at = skip_space(skip_space(at_) + 3);
    const int opened = line_;
    if (text_[at] == '-') {
      at = skip_space(at + 3);
    } else {
      at += 2;
    }
    line_starting_ = text_[at - 1] == '\n';
    advance(at);
    for (std::size_t tag = text_.find("{%", at); tag != std::string_view::npos;
         tag = text_.find("{%", tag + 2)) {
      std::size_t word = tag + 2;
      char sign = 0;
      if (word < text_.size() && (text_[word] == '-' || text_[word] == '+')) sign = text_[word++];
      word = skip_space(word);
      if (!looking_at(word, "endraw")) continue;
      std::size_t end = skip_space(word + 6);
      char last = 0;
      if (end < text_.size() && (text_[end] == '-' || text_[end] == '+')) last = text_[end++];
      if (!looking_at(end, "%}")) continue;
      text(text_.substr(at, tag - at), sign, false);
      after(end + 2, last, true);
      return {};
    }
    return at_line(opened, "a raw block is never closed: no '{% endraw %}'");
  }

  // The end of the tag at `at`: its length, or 0.
  std::size_t tag_end(bool print, char& sign) const {
    std::size_t at = at_;
    sign = 0;
    if (text_[at] == '-' || (text_[at] == '+' && !print)) sign = text_[at++];
    return looking_at(at, print ? "}}" : "%}") ? at + 2 - at_ : 0;
  }

  Status tag_body(bool print) {
    std::string open;  // brackets not closed yet
    const int opened = line_;
    while (true) {
      advance(skip_space(at_));
      if (at_ >= text_.size()) {
        return at_line(opened, fmt::format("a tag is never closed: no '{}'", print ? "}}" : "%}"));
      }
      char sign = 0;
      if (const std::size_t n = open.empty() ? tag_end(print, sign) : 0; n > 0) {
        push(print ? Kind::kPrintEnd : Kind::kBlockEnd, "");
        after(at_ + n, sign, !print);
        return {};
      }
      BATON_TRY(token(open));
    }
  }

  Status token(std::string& open) {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return string(c);
    if (digit(c)) return number();
    if (name_start(c)) {
      std::size_t end = at_;
      while (end < text_.size() && name_part(text_[end])) ++end;
      push(Kind::kName, std::string(text_.substr(at_, end - at_)));
      at_ = end;
      return {};
    }
    static constexpr std::array<std::string_view, 8> kTwo = {
        "//", "**", "==", "!=", ">=", "<=", "->", "::"};
    for (const std::string_view two : kTwo) {
      if (two[0] != '-' && two[0] != ':' && looking_at(at_, two)) {
        push(Kind::kOperator, std::string(two));
        at_ += 2;
        return {};
      }
    }
    if (std::string_view("+-*/%~[]{}()<>=.:|,").find(c) == std::string_view::npos) {
      return at_line(line_, fmt::format("unexpected character '{}'", c));
    }
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) return at_line(line_, fmt::format("unexpected '{}'", c));
      if (open.back() != c)
        return at_line(line_, fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    push(Kind::kOperator, std::string(1, c));
    ++at_;
    return {};
  }

  Status string(char quote) {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return at_line(line_, "a string is never closed");
    push(Kind::kString, unescape(text_.substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
    return {};
  }

  std::size_t digits(std::size_t at) const {
    while (at < text_.size() && (digit(text_[at]) || (text_[at] == '_' && at + 1 < text_.size() &&
                                                      digit(text_[at + 1]))))
      ++at;
    return at;
  }

  Status number() {
    const auto is = [&](std::size_t i, auto test) { return i < text_.size() && test(text_[i]); };
    std::size_t end = digits(at_);
    Kind kind = Kind::kInt;
    if (text_[at_] == '0' && is(at_ + 1, [](char c) { return c == 'x' || c == 'X'; }) &&
        is(at_ + 2, [](char c) { return hex(c) >= 0; })) {
      end = at_ + 2;
      while (is(end, [](char c) { return hex(c) >= 0 || c == '_'; })) ++end;
    } else {
      if (is(end, [](char c) { return c == '.'; }) && is(end + 1, digit)) {
        end = digits(end + 1);
        kind = Kind::kFloat;
      }
      if (is(end, [](char c) { return c == 'e' || c == 'E'; })) {
        std::size_t exponent = end + 1;
        if (is(exponent, [](char c) { return c == '+' || c == '-'; })) ++exponent;
        if (is(exponent, digit)) {
          end = digits(exponent);
          kind = Kind::kFloat;
        }
      }
    }
    std::string word(text_.substr(at_, end - at_));
    std::erase(word, '_');
    push(kind, std::move(word));
    at_ = end;
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Error at_line(int line, std::string_view what) {
  return invalid(fmt::format("line {}: {}", line, what));
}

Result<std::vector<Token>> lex(std::string_view source) {
  const std::string text = normalized(source);
  return Lexer(text).run();
}

}  // namespace baton::text::jinja
