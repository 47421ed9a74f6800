#pragma once
// Splits a Go template into text and the tokens of its actions. Internal to base/text.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/go_template_syntax.hpp"

namespace baton::text::go_template::detail {

struct Token {
  enum class Kind : std::uint8_t {
    kText,      // outside actions
    kOpen,      // {{
    kClose,     // }}
    kField,     // .Name, and "." alone with empty text
    kVariable,  // $ or $name
    kWord,      // name, true, false, nil
    kNumber,
    kString,  // decoded
    kPunct,   // ( ) | , := =
    kEnd,
  };
  Kind kind;
  std::string text;
  Position at;
  bool after_space = false;  // tells `f .A` from `f.A`
};

// Ends with kEnd. Comments and what trim markers remove are gone.
Result<std::vector<Token>> tokens(std::string_view text, Trim trim);

}  // namespace baton::text::go_template::detail
