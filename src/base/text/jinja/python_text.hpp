#pragma once
// Python's str: code points over UTF-8, case, white space, and the printed forms of values.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/core/result.hpp"
#include "base/text/jinja/value.hpp"

namespace baton::text::jinja {

void append_utf8(std::string& out, char32_t point);
std::u32string points(std::string_view utf8);
std::string utf8(std::u32string_view points);
std::size_t count_points(std::string_view utf8);

// The length of the white space character at `at` (str.isspace), or 0.
std::size_t space_length(std::string_view text, std::size_t at);
enum class Side : std::uint8_t { kLeft, kRight, kBoth };
std::string_view strip(std::string_view text, Side side);
std::string_view strip(std::string_view text, Side side, std::string_view characters);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string casefold(std::string_view text);
std::string swapcase(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);  // str.title
bool alphabetic(char32_t point);
bool numeric(char32_t point);               // str.isdigit, decimal digits
std::string escape(std::string_view text);  // & < > ' " as HTML

// A text in the making, with a bound: what templates make grows by more than they read.
class Draft {
 public:
  explicit Draft(std::size_t most) : most_(most) {}  // bytes

  // kExhausted: past the bound.
  Status put(std::string_view piece);
  Status fill(std::size_t count, char c);
  std::string take() { return std::move(text_); }

 private:
  Status grow(std::size_t bytes) const;

  std::string text_;
  std::size_t most_;
};

std::string repr(double d);
// Of at most so many bytes; kExhausted past them. As print shows it: undefined is empty.
Result<std::string> str(const Value& v, std::size_t most);
Result<std::string> repr(const Value& v, std::size_t most);

struct JsonStyle {
  int indent = -1;  // < 0: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};
// json.dumps, of at most so many bytes. kInvalid for what JSON has no form for. kExhausted.
Result<std::string> to_json(const Value& v, const JsonStyle& style, std::size_t most);

}  // namespace baton::text::jinja
