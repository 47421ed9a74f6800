#include "engine/serve/text_assembler.hpp"

#include <algorithm>

namespace baton::serve {

TextAssembler::TextAssembler(const token::Tokenizer& tokenizer, const openai::Sampling& sampling)
    : sampling_(sampling),
      detokenizer_(tokenizer, sampling.skip_special_tokens ? token::SkipSpecial::kYes
                                                           : token::SkipSpecial::kNo) {
  for (const std::string& stop : sampling.stop)
    longest_stop_ = std::max(longest_stop_, stop.size());
}

bool TextAssembler::push(token::TokenId id) {
  const std::size_t before = text_.size();
  ++tokens_;
  detokenizer_.push(id, text_);
  if (longest_stop_ == 0) {
    safe_ = text_.size();
    return false;
  }
  if (tokens_ <= sampling_.min_tokens) {
    stop_from_ = safe_ = text_.size();
    return false;
  }
  const std::size_t overlap = longest_stop_ - 1;
  if (find_stop(std::max(stop_from_, before > overlap ? before - overlap : 0))) {
    safe_ = text_.size();
    return true;
  }
  safe_ = text_.size() - held_back();
  return false;
}

void TextAssembler::finish() {
  if (!matched_) detokenizer_.finish(text_);
  safe_ = text_.size();
}

std::string_view TextAssembler::take() {
  const std::string_view out = std::string_view(text_).substr(shown_, safe_ - shown_);
  shown_ = safe_;
  return out;
}

// The first of the stop strings, in the order given, that is there.
bool TextAssembler::find_stop(std::size_t from) {
  for (const std::string& stop : sampling_.stop) {
    const std::size_t at = text_.find(stop, from);
    if (at == std::string::npos) continue;
    matched_ = stop;
    text_.resize(at + (sampling_.include_stop ? stop.size() : 0));
    return true;
  }
  return false;
}

// The longest end of the text that begins a stop string.
std::size_t TextAssembler::held_back() const {
  const std::size_t limit =
      std::min(longest_stop_ - 1, text_.size() - std::max(stop_from_, shown_));
  for (std::size_t n = limit; n > 0; --n) {
    const std::string_view end = std::string_view(text_).substr(text_.size() - n);
    if (std::ranges::any_of(sampling_.stop, [&](const std::string& stop) {
          return stop.size() > n && stop.starts_with(end);
        }))
      return n;
  }
  return 0;
}

}  // namespace baton::serve
