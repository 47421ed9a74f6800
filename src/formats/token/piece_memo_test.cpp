#include "formats/token/piece_memo.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/token/tokenizer.hpp"

namespace baton::token {
namespace {

using ::testing::ElementsAre;
using enum PieceMemo::Place;

TEST(PieceMemo, GivesBackWhatItWasTold) {
  PieceMemo memo;
  std::vector<TokenId> out = {9};
  EXPECT_FALSE(memo.recall("piece", kLater, out));
  memo.keep("piece", kLater, std::vector<TokenId>{1, 2});
  EXPECT_TRUE(memo.recall("piece", kLater, out));
  EXPECT_THAT(out, ElementsAre(9, 1, 2));
  EXPECT_FALSE(memo.recall("piece", kFirst, out));
  const auto counts = memo.take_counts();
  EXPECT_EQ(counts.new_bytes, 10U);
  EXPECT_EQ(counts.remembered_bytes, 5U);
  EXPECT_EQ(memo.take_counts().new_bytes, 0U);
}

TEST(PieceMemo, ForgetsWhatWasNotUsedForLongest) {
  PieceMemo memo(3 * sizeof(TokenId));
  std::vector<TokenId> out;
  for (const auto* piece : {"a", "b", "c"}) memo.keep(piece, kLater, std::vector<TokenId>{1});
  EXPECT_TRUE(memo.recall("a", kLater, out));
  memo.keep("d", kLater, std::vector<TokenId>{1});
  EXPECT_FALSE(memo.recall("b", kLater, out));
  EXPECT_TRUE(memo.recall("a", kLater, out) && memo.recall("c", kLater, out) &&
              memo.recall("d", kLater, out));
  memo.keep("too much", kLater, std::vector<TokenId>(4));
  EXPECT_FALSE(memo.recall("too much", kLater, out));
}

// Letters and their stand-in for a space; "ab" merges.
constexpr std::string_view kTokenizer = R"({
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
  "decoder": {"type": "ByteLevel"},
  "added_tokens": [{"id": 9, "content": "<end>", "special": true}],
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3}, "merges": ["a b"]}})";

TEST(PieceMemo, AGrowingConversationMakesTokensOfItsNewPartOnly) {
  const auto tokenizer = Tokenizer::parse(kTokenizer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message();
  PieceMemo memo;
  std::string conversation;
  for (int turn = 1; turn <= 5; ++turn) {
    std::string message;
    for (int i = 0; i < 40; ++i) message += i % turn == 0 ? " ab" : " ba";
    conversation += message + "<end>";
    const auto plain = (*tokenizer)->encode(conversation, AddSpecial::kNo);
    const auto remembered = (*tokenizer)->encode(conversation, AddSpecial::kNo, &memo);
    ASSERT_TRUE(plain && remembered);
    EXPECT_EQ(*plain, *remembered);
    EXPECT_EQ(memo.take_counts().new_bytes, message.size());
  }
}

}  // namespace
}  // namespace baton::token
