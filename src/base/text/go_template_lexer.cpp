#include "base/text/go_template_lexer.hpp"

#include <fmt/format.h>

#include <utility>

namespace baton::text::go_template::detail {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

class Lexer {
 public:
  Lexer(std::string_view text, Trim trim) : text_(text), trim_(trim) {}

  Result<std::vector<Token>> run() {
    while (at_ < text_.size()) {
      const std::size_t open = text_.find("{{", at_);
      const std::size_t end = std::min(open, text_.size());
      std::string plain(text_.substr(at_, end - at_));
      if (trim_next_) plain.erase(0, leading(plain));
      trim_next_ = false;
      if (open == std::string_view::npos) {
        push_text(std::move(plain));
        at_ = end;
        break;
      }
      const bool trims = starts_trim_marker(open + 2);
      if (trims) plain.resize(plain.size() - trailing(plain));
      push_text(std::move(plain));
      at_ = open;
      BATON_TRY(action(trims));
    }
    out_.push_back({Token::Kind::kEnd, "", position(at_)});
    return std::move(out_);
  }

 private:
  bool starts_trim_marker(std::size_t i) const {
    return i + 1 < text_.size() && text_[i] == '-' && is_space(text_[i + 1]);
  }
  bool trimmed(char c) const {
    return trim_ == Trim::kAllSpace ? is_space(c) : c == ' ' || c == '\t';
  }
  std::size_t leading(std::string_view s) const {
    std::size_t n = 0;
    while (n < s.size() && trimmed(s[n])) ++n;
    return n;
  }
  std::size_t trailing(std::string_view s) const {
    std::size_t n = 0;
    while (n < s.size() && trimmed(s[s.size() - 1 - n])) ++n;
    return n;
  }

  // Positions are asked for in ascending order, so counting stays linear.
  Position position(std::size_t offset) {
    for (; counted_ < offset; ++counted_) {
      if (text_[counted_] == '\n') {
        ++here_.line;
        here_.column = 1;
      } else {
        ++here_.column;
      }
    }
    return here_;
  }

  void push_text(std::string text) {
    if (!text.empty()) out_.push_back({Token::Kind::kText, std::move(text), here_});
  }

  Status action(bool trims) {
    const Position open = position(at_);
    at_ += trims ? 3 : 2;
    std::size_t i = at_ + leading_space();
    if (text_.substr(i).starts_with("/*")) return comment(open, i);
    out_.push_back({Token::Kind::kOpen, "", open});
    while (true) {
      const std::size_t spaces = leading_space();
      at_ += spaces;
      if (at_ >= text_.size()) return error_at(open, "unclosed action: no '}}'");
      if (close(spaces > 0)) return {};
      BATON_TRY(token(spaces > 0));
    }
  }

  std::size_t leading_space() const {
    std::size_t n = 0;
    while (at_ + n < text_.size() && is_space(text_[at_ + n])) ++n;
    return n;
  }

  bool close(bool after_space) {
    const std::string_view rest = text_.substr(at_);
    const bool trims = after_space && rest.starts_with("-}}");
    if (!trims && !rest.starts_with("}}")) return false;
    out_.push_back({Token::Kind::kClose, "", position(at_)});
    at_ += trims ? 3 : 2;
    trim_next_ = trims;
    return true;
  }

  Status comment(Position open, std::size_t start) {
    const std::size_t end = text_.find("*/", start + 2);
    if (end == std::string_view::npos) return error_at(open, "unclosed comment: no '*/'");
    at_ = end + 2;
    const std::size_t spaces = leading_space();
    at_ += spaces;
    const std::string_view rest = text_.substr(at_);
    trim_next_ = spaces > 0 && rest.starts_with("-}}");
    if (!trim_next_ && !rest.starts_with("}}")) {
      return error_at(open, "a comment must be the whole action");
    }
    at_ += trim_next_ ? 3 : 2;
    return {};
  }

  Status token(bool after_space) {
    const Position at = position(at_);
    const char c = text_[at_];
    if (c == '"' || c == '`') return string(at, after_space);
    if (c == '.' || c == '$' || is_name(c)) return word(at, after_space);
    const bool sign = (c == '-' || c == '+') && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]);
    if (sign) return word(at, after_space);
    const std::string_view rest = text_.substr(at_);
    for (const std::string_view punct : {":=", "(", ")", "|", ",", "="}) {
      if (!rest.starts_with(punct)) continue;
      out_.push_back({Token::Kind::kPunct, std::string(punct), at, after_space});
      at_ += punct.size();
      return {};
    }
    std::size_t size = 1;  // of the whole character, so that the text stays UTF-8
    while (size < rest.size() && (rest[size] & 0xC0) == 0x80) ++size;
    return error_at(at, fmt::format("unexpected '{}' in an action", rest.substr(0, size)));
  }

  Status word(Position at, bool after_space) {
    const char first = text_[at_];
    std::size_t end = at_ + 1;
    const bool number = is_digit(first) || first == '-' || first == '+';
    while (end < text_.size() && (is_name(text_[end]) || (number && text_[end] == '.'))) ++end;
    const bool skips_mark = first == '.';
    const std::size_t from = at_ + (skips_mark ? 1U : 0U);
    const auto kind = first == '.'   ? Token::Kind::kField
                      : first == '$' ? Token::Kind::kVariable
                      : number       ? Token::Kind::kNumber
                                     : Token::Kind::kWord;
    out_.push_back({kind, std::string(text_.substr(from, end - from)), at, after_space});
    at_ = end;
    return {};
  }

  Status string(Position at, bool after_space) {
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (quote == '"' && c == '\n') break;
      if (quote == '"' && c == '\\') {
        static constexpr std::string_view kLetters = "nrt\\\"'";
        static constexpr std::string_view kMeanings = "\n\r\t\\\"'";
        const std::size_t which =
            at_ < text_.size() ? kLetters.find(text_[at_]) : std::string_view::npos;
        if (which == std::string_view::npos) {
          return error_at(at, R"(unknown escape in a string (known: \n \r \t \\ \" \'))");
        }
        c = kMeanings[which];
        ++at_;
      }
      value += c;
    }
    if (at_ >= text_.size() || text_[at_] != quote) return error_at(at, "unclosed string");
    ++at_;
    out_.push_back({Token::Kind::kString, std::move(value), at, after_space});
    return {};
  }

  std::string_view text_;
  Trim trim_;
  std::size_t at_ = 0;
  bool trim_next_ = false;
  std::size_t counted_ = 0;
  Position here_;
  std::vector<Token> out_;
};

}  // namespace

Error error_at(Position at, std::string_view what) {
  return invalid(fmt::format("line {}, column {}: {}", at.line, at.column, what));
}

Result<std::vector<Token>> tokens(std::string_view text, Trim trim) {
  return Lexer(text, trim).run();
}

}  // namespace baton::text::go_template::detail
