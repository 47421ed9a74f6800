#include "engine/serve/text_assembler.hpp"

#include <gtest/gtest.h>

namespace baton::serve {
namespace {

// a to z are 0 to 25; 26 and 27 are the bytes of é; 28 is a special <end>.
const token::Tokenizer& letters() {
  static const auto tokenizer = [] {
    std::string vocab;
    for (int i = 0; i < 26; ++i)
      vocab += '"' + std::string(1, static_cast<char>('a' + i)) + "\":" + std::to_string(i) + ",";
    auto made = token::Tokenizer::parse(
        R"({"pre_tokenizer":{"type":"ByteLevel"},"decoder":{"type":"ByteLevel"},
      "added_tokens":[{"id":28,"content":"<end>","special":true}],"model":{"type":"BPE","vocab":{)" +
        vocab + R"("Ã":26,"©":27},"merges":[]}})");
    EXPECT_TRUE(made) << made.error().message();
    return *std::move(made);
  }();
  return *tokenizer;
}

openai::Sampling stops(std::vector<std::string> strings) {
  openai::Sampling s;
  s.stop = std::move(strings);
  return s;
}

// What is shown after each token, joined by '|'.
std::string shown(const openai::Sampling& sampling, std::string_view word) {
  TextAssembler text(letters(), sampling);
  std::string out;
  for (const char c : word) {
    const bool stopped = text.push(static_cast<token::TokenId>(c - 'a'));
    out.append(text.take()).append("|");
    if (stopped) return out + "stop";
  }
  text.finish();
  return out.append(text.take());
}

TEST(TextAssembler, ShowsEachTokenAtOnceWithoutStopStrings) {
  EXPECT_EQ(shown({}, "abc"), "a|b|c|");
}

TEST(TextAssembler, HoldsBackWhatMayBecomeAStopString) {
  EXPECT_EQ(shown(stops({"bcd"}), "abcd"), "a||||stop");
  EXPECT_EQ(shown(stops({"bcd"}), "abce"), "a|||bce|");
  EXPECT_EQ(shown(stops({"bcd"}), "abc"), "a|||bc");
  EXPECT_EQ(shown(stops({"bbc"}), "abbbc"), "a|||b||stop");
}

TEST(TextAssembler, TakesTheFirstOfTheStopStringsInTheirOrder) {
  const auto sampling = stops({"zz", "bc", "b"});
  TextAssembler text(letters(), sampling);
  EXPECT_FALSE(text.push(0));
  EXPECT_TRUE(text.push(1));
  EXPECT_EQ(text.matched(), "b");
  EXPECT_EQ(text.text(), "a");
}

TEST(TextAssembler, KeepsTheStopStringWhenAsked) {
  auto sampling = stops({"bc"});
  sampling.include_stop = true;
  EXPECT_EQ(shown(sampling, "abcd"), "a||bc|stop");
}

TEST(TextAssembler, LooksForStopStringsOnlyAfterMinTokens) {
  auto sampling = stops({"ab"});
  sampling.min_tokens = 3;
  EXPECT_EQ(shown(sampling, "ababab"), "a|b|a|b|||stop");
}

TEST(TextAssembler, HoldsBackACharacterThatIsNotWhole) {
  const openai::Sampling sampling;
  TextAssembler text(letters(), sampling);
  text.push(26);
  EXPECT_EQ(text.take(), "");
  text.push(27);
  EXPECT_EQ(text.take(), "é");
  text.push(26);
  text.finish();
  EXPECT_EQ(text.take(), "\uFFFD");
}

TEST(TextAssembler, LeavesSpecialTokensOutUnlessAsked) {
  openai::Sampling sampling;
  TextAssembler without(letters(), sampling);
  without.push(28);
  EXPECT_EQ(without.text(), "");
  sampling.skip_special_tokens = false;
  TextAssembler with(letters(), sampling);
  with.push(28);
  EXPECT_EQ(with.text(), "<end>");
}

}  // namespace
}  // namespace baton::serve
