#include "formats/token/added_tokens.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

namespace baton::token {
namespace {

using testing::ElementsAre;

// Finds `spellings`; what it finds is shown in brackets.
class Finder {
 public:
  explicit Finder(const std::vector<std::string>& spellings) {
    for (const auto& spelling : spellings) {
      tokens_.push_back({.content = spelling});
      finder_.add(tokens_.back(), spelling);
    }
    finder_.seal();
  }
  std::size_t pieces(std::string_view text) const { return finder_.split(text).size(); }
  std::vector<std::string> split(std::string_view text) const {
    std::vector<std::string> out;
    for (const auto& piece : finder_.split(text)) {
      const auto part = text.substr(piece.from, piece.to - piece.from);
      out.push_back(piece.token != nullptr ? fmt::format("[{}]", part) : std::string(part));
    }
    return out;
  }

 private:
  std::deque<AddedToken> tokens_;  // stay where they are
  AddedTokenFinder finder_;
};

TEST(AddedTokenFinder, TakesTheLeftmostAndThenTheLongest) {
  const Finder finder({"<s>", "<", "<sx", "<s>s", "b", "\xC3\xA9"});
  EXPECT_THAT(finder.split("a<s>s<s><sb"), ElementsAre("a", "[<s>s]", "[<s>]", "[<]", "s", "[b]"));
  EXPECT_THAT(finder.split("<s"), ElementsAre("[<]", "s"));
  EXPECT_THAT(finder.split("<sx<sy"), ElementsAre("[<sx]", "[<]", "sy"));
  EXPECT_THAT(finder.split("x\xC3\xA9\xC3\xA8"), ElementsAre("x", "[\xC3\xA9]", "\xC3\xA8"));
  EXPECT_THAT(finder.split(""), ElementsAre());
}

TEST(AddedTokenFinder, TakesASingleWordOnlyBesideWhatIsNoWordForRust) {
  const AddedToken token{.content = "b", .single_word = true};
  AddedTokenFinder finder;
  finder.add(token, "b");
  finder.seal();
  for (const std::string letter : {"a", "\u24B7", "\U0001F130", "\U0001F169", "\U0001F171"}) {
    EXPECT_EQ(finder.split("b" + letter).size(), 1U) << letter;
    EXPECT_EQ(finder.split("b" + letter).front().token, nullptr) << letter;
  }
  for (const std::string other : {" ", "²", "\U0001F18E"}) {
    EXPECT_EQ(finder.split("b" + other).front().token, &token) << other;
  }
}

// Looked at one after the other, these would take minutes.
TEST(AddedTokenFinder, CostsLittleHoweverManyBeginAlike) {
  std::vector<std::string> spellings;
  for (int i = 0; i < 20'000; ++i) spellings.push_back(fmt::format("<|reserved_{}|>", i));
  const Finder finder(spellings);
  std::string text(4 << 20, '<');
  EXPECT_EQ(finder.pieces(text), 1U);
  text += "<|reserved_19999|>";
  EXPECT_EQ(finder.pieces(text), 2U);
}

}  // namespace
}  // namespace baton::token
