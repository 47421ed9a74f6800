#include "formats/token/pre_tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/json.hpp"

namespace baton::token {
namespace {

using testing::ElementsAre;

// What the `tokenizers` library makes of the text (its steps are Rust's regex).
std::vector<std::string> words(std::string_view step, std::string_view text) {
  const auto value = text::json::parse(step);
  const auto pre_tokenizer = PreTokenizer::parse(&*value);
  if (!pre_tokenizer) return {pre_tokenizer.error().message()};
  PreTokenizer::Words words;
  if (const auto done = pre_tokenizer->apply(text, true, words); !done) {
    return {done.error().message()};
  }
  return {words.words.begin(), words.words.end()};
}

TEST(PreTokenizer, WordsOfWhitespaceAreThoseOfRust) {
  const std::string_view whitespace = R"({"type":"Whitespace"})";
  EXPECT_THAT(words(whitespace, "wait... no"), ElementsAre("wait", "...", "no"));
  EXPECT_THAT(words(whitespace, "हिन्दी है"), ElementsAre("हिन्दी", "है"));
  EXPECT_THAT(words(whitespace, "cafe\u0301s"), ElementsAre("cafe\u0301s"));
  EXPECT_THAT(words(whitespace, "a_b\u200Dc"), ElementsAre("a_b\u200Dc"));
  EXPECT_THAT(words(whitespace, "x²"), ElementsAre("x", "²"));
  EXPECT_THAT(words(whitespace, "a\u24B7c"), ElementsAre("a\u24B7c"));
  for (const std::string letter : {"\U0001F130", "\U0001F169", "\U0001F171"}) {
    EXPECT_THAT(words(whitespace, "a" + letter + "c"), ElementsAre("a" + letter + "c"));
  }
  EXPECT_THAT(words(whitespace, "a\U0001F18Ec"), ElementsAre("a", "\U0001F18E", "c"));
}

TEST(PreTokenizer, PunctuationIsSplitAsItsBehaviorSays) {
  const auto by = [](std::string_view behavior) {
    return std::string(R"({"type":"Punctuation","behavior":")").append(behavior).append("\"}");
  };
  const std::string_view text = "no..go";
  EXPECT_THAT(words(R"({"type":"Punctuation"})", text), ElementsAre("no", ".", ".", "go"));
  EXPECT_THAT(words(by("Isolated"), text), ElementsAre("no", ".", ".", "go"));
  EXPECT_THAT(words(by("Contiguous"), text), ElementsAre("no", "..", "go"));
  EXPECT_THAT(words(by("Removed"), text), ElementsAre("no", "go"));
  EXPECT_THAT(words(by("MergedWithPrevious"), text), ElementsAre("no.", ".", "go"));
  EXPECT_THAT(words(by("MergedWithNext"), text), ElementsAre("no", ".", ".go"));
  EXPECT_THAT(words(by("Kept"), text),
              ElementsAre(testing::HasSubstr("/pre_tokenizer/behavior: ")));
}

}  // namespace
}  // namespace baton::token
