#pragma once
// The "normalizer" of a tokenizer.json.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/pattern.hpp"

namespace baton::token {

// Its steps in order; none for null. Immutable after parse.
class Normalizer {
 public:
  static Result<Normalizer> parse(const text::json::Value* normalizer);
  Result<std::string> apply(std::string_view text) const;
  bool empty() const { return steps_.empty(); }
  // How many times as long as its normal form a text can be, in bytes; nullopt: any.
  std::optional<std::size_t> most_shortening() const;

 private:
  struct Form {
    int options;  // of utf8proc
  };
  struct Lowercase {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Strip {
    bool left, right;
  };
  using Step = std::variant<Form, Lowercase, Prepend, Replace, Strip>;
  Status read(const text::json::Value& value, const std::string& at, int depth);
  std::vector<Step> steps_;
};

}  // namespace baton::token
