#pragma once
// What the post-processor of a tokenizer.json adds to a single sequence.

#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/token.hpp"

namespace baton::token {

struct PostProcessor {
  std::vector<TokenId> before, after;  // with AddSpecial::kYes

  static Result<PostProcessor> parse(const text::json::Value* value);
};

}  // namespace baton::token
