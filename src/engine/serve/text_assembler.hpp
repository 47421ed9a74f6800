#pragma once
// Tokens of one answer into the text that may be shown: nothing of a character that is not whole,
// nothing that may still become a stop string, nothing after one. Pure.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/openai/sampling.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton::serve {

// Confined to its owner.
class TextAssembler {
 public:
  // Both must outlive it.
  TextAssembler(const token::Tokenizer& tokenizer, const openai::Sampling& sampling);

  // Takes the next token. True when a stop string is complete: the answer ends, further tokens are
  // not wanted.
  bool push(token::TokenId id);
  // A token that is no text: the one that stopped the answer.
  void count_silently() { ++tokens_; }
  // No more tokens: what was held back is text after all.
  void finish();

  // The text since the last call.
  std::string_view take();
  const std::string& text() const { return text_; }
  std::size_t tokens() const { return tokens_; }
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  bool find_stop(std::size_t from);
  std::size_t held_back() const;

  const openai::Sampling& sampling_;
  token::Detokenizer detokenizer_;
  std::string text_;
  std::size_t shown_ = 0;      // taken
  std::size_t safe_ = 0;       // may be taken
  std::size_t stop_from_ = 0;  // text before min_tokens holds no stop string
  std::size_t tokens_ = 0;
  std::size_t longest_stop_ = 0;
  std::optional<std::string> matched_;
};

}  // namespace baton::serve
