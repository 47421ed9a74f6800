#pragma once
// A template's source as tokens, white space control applied (trim_blocks and lstrip_blocks on).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::text::jinja {

struct Token {
  enum class Kind : std::uint8_t {
    kData,        // text between the tags
    kPrintBegin,  // {{
    kPrintEnd,    // }}
    kBlockBegin,  // {%
    kBlockEnd,    // %}
    kName,
    kString,  // text: escapes resolved
    kInt,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 1;
};

Error at_line(int line, std::string_view what);  // kInvalid: "line 3: what"
Result<std::vector<Token>> lex(std::string_view source);

}  // namespace baton::text::jinja
