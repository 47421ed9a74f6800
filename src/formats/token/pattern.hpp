#pragma once
// A pattern of tokenizer.json: {"String": s}, {"Regex": r} or a plain string.

#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/regex.hpp"

namespace baton::token {

inline constexpr int kMaxSequence = 8;  // of Sequence within Sequence

// Immutable.
class Pattern {
 public:
  // The member "pattern" of `step`; `at` is the step's JSON pointer.
  static Result<Pattern> read(const text::json::Value& step, const std::string& at);
  static Result<Pattern> regex(std::string_view expression);
  static Pattern literal(std::string text);  // not empty
  // Appends; see Regex::find_all.
  Status find_all(std::string_view text, std::vector<Span>& out) const;
  // What it finds, if that is one text; "" with a regex.
  std::string_view only() const { return literal_; }

 private:
  std::string literal_;
  Regex regex_;
  bool by_regex_ = false;
};

bool flag(const text::json::Value& v, std::string_view key, bool otherwise);
// kUnsupported: "/pre_tokenizer: a pre-tokenizer of type 'X'".
Error no_such(const std::string& at, std::string_view what, std::string_view type);

}  // namespace baton::token
