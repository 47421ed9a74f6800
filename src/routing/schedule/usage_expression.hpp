#pragma once
// What an administrator computes of an answer's token counts: the numbers, comparisons and
// conditions of CEL (cel.dev, language definition) over `usage`, all numbers of one type.
//
//   usage.prompt_tokens + 2 * usage.completion_tokens
//   has(usage.total_tokens) && usage.total_tokens > 100 ? int(usage.total_tokens / 100) : 1
//
// Fields: prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details.cached_tokens.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::schedule {

// As an engine told them.
struct TokenCounts {
  std::optional<std::uint64_t> prompt, completion, total, cached;
};

// Immutable.
class UsageExpression {
 public:
  enum class Type : std::uint8_t { kNumber, kBoolean };
  static constexpr std::size_t kMostBytes = 4096;
  static constexpr int kMostNested = 64;

  // kInvalid: not such an expression, of another type, or over a limit; names the place.
  static Result<UsageExpression> parse(std::string_view text, Type type);

  // A boolean is 0 or 1. nullopt: a count that it needs was not told, or there is no such number.
  std::optional<double> of(const TokenCounts& counts) const;

  // A step of the computation; operands are earlier steps.
  enum class Step : std::uint8_t {
    kConstant,
    kField,
    kHas,
    kNegate,
    kNot,
    kTruncate,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kRemainder,
    kLess,
    kLessOrEqual,
    kEqual,
    kNotEqual,
    kAnd,
    kOr,
    kChoose,
  };
  enum class Field : std::uint8_t { kPrompt, kCompletion, kTotal, kCached };
  struct Node {
    Step step = Step::kConstant;
    double constant = 0;
    Field field = Field::kPrompt;
    std::uint32_t a = 0, b = 0, c = 0;
  };

 private:
  std::optional<double> at(std::uint32_t node, const TokenCounts& counts) const;

  std::vector<Node> nodes_;  // the last one is the whole
};

}  // namespace baton::schedule
