#pragma once
// The "pre_tokenizer" of a tokenizer.json.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/pattern.hpp"

namespace baton::token {

// Words of a text as raw bytes.
class PreTokenizer {
 public:
  // kUnsupported unless a ByteLevel step is among them.
  static Result<PreTokenizer> parse(const text::json::Value* pre_tokenizer);
  // Appends the words of `text`.
  Status apply(std::string_view text, std::vector<std::string>& words) const;

 private:
  enum class Behavior : std::uint8_t {
    kRemoved,
    kIsolated,
    kMergedWithPrevious,
    kMergedWithNext,
    kContiguous
  };
  struct Split {
    std::optional<Pattern> pattern;  // none: nothing is split
    bool invert = false;
    bool prefix_space = false;  // ByteLevel's add_prefix_space, before splitting
    Behavior behavior = Behavior::kIsolated;
  };
  Status read(const text::json::Value& value, const std::string& at, int depth);
  Status read_split(const text::json::Value& value, const std::string& at);
  Status read_byte_level(const text::json::Value& value);
  Status add_regex(std::string_view pattern, Behavior behavior);
  static void pieces(const Split& step, std::string_view text, const std::vector<Span>& found,
                     std::vector<std::string>& out);

  std::vector<Split> steps_;
  bool byte_level_ = false;
};

}  // namespace baton::token
