#pragma once
// Tokens into a Program.

#include <vector>

#include "base/core/result.hpp"
#include "base/text/jinja/ast.hpp"
#include "base/text/jinja/lexer.hpp"

namespace baton::text::jinja {

// kInvalid: "line N: what", also for names of filters and tests that do not exist.
Result<Program> parse(std::vector<Token> tokens);

}  // namespace baton::text::jinja
