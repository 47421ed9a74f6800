#pragma once
// The "pre_tokenizer" of a tokenizer.json.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/pattern.hpp"

namespace baton::token {

// Words of a text.
class PreTokenizer {
 public:
  static Result<PreTokenizer> parse(const text::json::Value* pre_tokenizer);
  // The words of a text: views into it, and into `own` where a step changed it.
  struct Words {
    std::vector<std::string_view> words;
    std::deque<std::string> own;
    std::vector<std::string_view> before;  // scratch
    std::vector<Span> found;               // scratch

    // Forgets the words, and gives back what a long text made it grow to.
    void shrink();
  };
  // Replaces `words`; `text` must outlive them. `first`: nothing of the text comes before it.
  Status apply(std::string_view text, bool first, Words& words) const;
  // Whether a ByteLevel step is among them: words are bytes then, else characters.
  bool byte_level() const { return byte_level_; }
  // Whether some of a text may be in none of its words.
  bool drops_text() const;

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
  // Spaces become marks, one is put in front, and words begin with them.
  struct Metaspace {
    std::string mark;
    enum class Prepend : std::uint8_t { kAlways, kFirst, kNever } prepend = Prepend::kAlways;
    Split split;  // without a pattern: nothing is split
  };
  using Step = std::variant<Split, Metaspace>;
  Status read(const text::json::Value& value, const std::string& at, int depth);
  Status read_split(const text::json::Value& value, const std::string& at);
  static Result<Behavior> read_behavior(const text::json::Value& value, const std::string& at,
                                        std::string_view absent);
  Status read_byte_level(const text::json::Value& value);
  Status read_metaspace(const text::json::Value& value, const std::string& at);
  static void mark_spaces(const Metaspace& step, bool first, std::string& text);
  Status add_regex(std::string_view pattern, Behavior behavior);
  static void pieces(const Split& step, std::string_view text, const std::vector<Span>& found,
                     std::vector<std::string_view>& out);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace baton::token
