#include "formats/token/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/text/json.hpp"
#include "formats/token/bpe.hpp"
#include "formats/token/scratch.hpp"

namespace baton::token {
namespace {

using testing::HasSubstr;
using text::json::Value;

std::string goldens(std::string_view set) {
  return std::string(BATON_SOURCE_DIR "/tests/golden/token/").append(set);
}

std::unique_ptr<const Tokenizer> load(const std::string& folder) {
  auto out = Tokenizer::load(folder);
  EXPECT_TRUE(out) << out.error().message();
  return out ? *std::move(out) : nullptr;
}

std::vector<TokenId> ids(const Value& list) {
  std::vector<TokenId> out;
  for (const Value& id : *list.if_array()) out.push_back(static_cast<TokenId>(*id.if_uint()));
  return out;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens,
                     SkipSpecial skip) {
  std::string out;
  Detokenizer stream(tokenizer, skip);
  for (const TokenId id : tokens) stream.push(id, out);
  stream.finish(out);
  return out;
}

// As decode(), but for what only the start of a text loses, and broken runs of byte tokens.
void expect_streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  const std::string whole = tokenizer.decode(tokens, SkipSpecial::kYes);
  if (whole.contains("\uFFFD")) return;
  const std::string got = streamed(tokenizer, tokens, SkipSpecial::kYes);
  EXPECT_TRUE(got == whole ||
              (got.ends_with(whole) && got.find_first_not_of(' ') >= got.size() - whole.size()))
      << got << " for " << whole;
}

void expect_goldens(const std::string& set, const std::string& model) {
  const auto tokenizer = load(model);
  ASSERT_TRUE(tokenizer);
  std::ifstream cases(goldens(set) + "/cases.jsonl");
  std::size_t n = 0;
  for (std::string line; std::getline(cases, line); ++n) {
    const auto one = text::json::parse(line);
    ASSERT_TRUE(one);
    const std::string text(one->string_at({"text"}));
    SCOPED_TRACE(set + " case " + std::to_string(n) + ": " + text.substr(0, 200));
    const auto plain = tokenizer->encode(text, AddSpecial::kNo);
    const auto special = tokenizer->encode(text, AddSpecial::kYes);
    ASSERT_TRUE(plain && special);
    EXPECT_EQ(*plain, ids(*one->find("ids")));
    EXPECT_EQ(*special, ids(*one->find("ids_special")));
    EXPECT_EQ(tokenizer->decode(*special, SkipSpecial::kNo), one->string_at({"decoded"}));
    EXPECT_EQ(tokenizer->decode(*special, SkipSpecial::kYes), one->string_at({"decoded_skip"}));
    expect_streamed(*tokenizer, *special);
  }
  EXPECT_GT(n, 100u);
  std::ifstream lists(goldens(set) + "/decode.jsonl");
  for (std::string line; std::getline(lists, line);) {
    const auto one = text::json::parse(line);
    ASSERT_TRUE(one);
    const auto tokens = ids(*one->find("ids"));
    EXPECT_EQ(tokenizer->decode(tokens, SkipSpecial::kNo), one->string_at({"decoded"})) << line;
    EXPECT_EQ(tokenizer->decode(tokens, SkipSpecial::kYes), one->string_at({"decoded_skip"}))
        << line;
    expect_streamed(*tokenizer, tokens);
  }
}

TEST(Tokenizer, EncodesAndDecodesAsTheTokenizersLibraryWithNfcAndSplit) {
  expect_goldens("nfc-split", goldens("nfc-split"));
}
TEST(Tokenizer, EncodesAndDecodesAsTheTokenizersLibraryWithIgnoreMergesAndStrippingTokens) {
  expect_goldens("split-sequence", goldens("split-sequence"));
}
TEST(Tokenizer, EncodesAndDecodesAsTheTokenizersLibraryWithBytesForUnknownCharacters) {
  expect_goldens("byte-fallback", goldens("byte-fallback"));
}
TEST(Tokenizer, EncodesAndDecodesAsTheTokenizersLibraryWithMetaspace) {
  expect_goldens("metaspace", goldens("metaspace"));
}
TEST(Tokenizer, EncodesAndDecodesAsTheTokenizersLibraryForTheStoryteller) {
  expect_goldens("storyteller", BATON_SOURCE_DIR "/models/storyteller");
}

// A tokenizer whose vocabulary is `vocab` (JSON members) with other members set.
std::string small(std::string_view vocab, std::string_view more = "",
                  std::string_view model_more = "") {
  return std::string(
             R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},)")
      .append(more)
      .append(R"("model":{"type":"BPE","vocab":{)")
      .append(vocab)
      .append(R"(},"merges":[)")
      .append(model_more.empty() ? "]" : model_more)
      .append("}}");
}

std::string error(const std::string& text) {
  const auto out = Tokenizer::parse(text);
  return out ? "parsed" : out.error().message();
}

TEST(Tokenizer, MergesByRankAndThenFromTheLeft) {
  const auto t =
      Tokenizer::parse(small(R"("a":0,"b":1,"aa":2,"ab":3,"aab":4)", "", R"("a a",["a","b"]])"));
  ASSERT_TRUE(t) << t.error().message();
  EXPECT_EQ(*(*t)->encode("aab", AddSpecial::kNo), (std::vector<TokenId>{2, 1}));
  EXPECT_EQ(*(*t)->encode("aaab", AddSpecial::kNo), (std::vector<TokenId>{2, 3}));
}

TEST(Tokenizer, EncodesALongWordWithoutSplitsInReasonableTime) {
  const auto t = Tokenizer::parse(small(R"("a":0,"aa":1,"aaaa":2)", "", R"("a a","aa aa"])"));
  ASSERT_TRUE(t);
  EXPECT_EQ((*t)->encode(std::string(1 << 20, 'a'), AddSpecial::kNo)->size(), (1u << 20) / 4);
}

TEST(Bpe, GivesBackTheMemoryThatALongWordTook) {
  const auto bpe = Bpe::parse(*text::json::parse(R"({"vocab":{"a":0,"aa":1},"merges":["a a"]})"),
                              Alphabet::kBytes);
  ASSERT_TRUE(bpe) << bpe.error().message();
  Bpe::Workspace workspace;
  std::vector<TokenId> out;

  bpe->encode(std::string(1 << 19, 'a'), out, workspace);

  EXPECT_EQ(out.size(), (1U << 19) / 2);
  EXPECT_LE(workspace.symbols.capacity() * sizeof(Bpe::Workspace::Symbol), kMostScratch);
  EXPECT_LE(workspace.heap.capacity() * sizeof(Bpe::Workspace::Merge), kMostScratch);
}

TEST(Tokenizer, KnowsHowMuchOfATextATokenCanBe) {
  const auto most = [](const std::string& folder) { return load(folder)->most_bytes_of_a_token(); };
  EXPECT_EQ(most(BATON_SOURCE_DIR "/models/storyteller"), 13U);
  EXPECT_EQ(most(goldens("byte-fallback")), 12U);
  EXPECT_EQ(most(goldens("nfc-split")), 4 * 13U);  // NFC makes a text shorter
}

TEST(Tokenizer, KnowsNoSuchNumberWhereTextIsSwallowed) {
  const auto most = [](const std::string& text) {
    const auto t = Tokenizer::parse(text);
    EXPECT_TRUE(t) << t.error().message();
    return (*t)->most_bytes_of_a_token();
  };
  const auto characters = [](std::string_view more, std::string_view model_more) {
    return std::string(R"({"decoder":{"type":"Fuse"},)")
        .append(more)
        .append(R"("model":{"unk_token":"?","vocab":{"a":0,"?":1},"merges":[])")
        .append(model_more)
        .append("}}");
  };
  EXPECT_EQ(most(characters("", "")), 4U);
  EXPECT_EQ(most(characters("", R"(,"fuse_unk":true)")), std::nullopt);
  EXPECT_EQ(most(characters(R"("normalizer":{"type":"Strip"},)", "")), std::nullopt);
  EXPECT_EQ(most(characters(R"("pre_tokenizer":{"type":"WhitespaceSplit"},)", "")), std::nullopt);
  EXPECT_EQ(most(characters(
                R"("added_tokens":[{"id":2,"content":"<s>","rstrip":true,"special":true}],)", "")),
            std::nullopt);
  const auto replacing = [&](std::string_view by) {
    return most(
        characters(R"("normalizer":{"type":"Replace","pattern":{"String":"abc"},"content":")" +
                       std::string(by) + R"("},)",
                   ""));
  };
  EXPECT_EQ(replacing("d"), 3 * 4U);
  EXPECT_EQ(replacing(""), std::nullopt);
  EXPECT_EQ(most(small(R"("a":0)")), std::nullopt);  // other bytes become nothing
}

TEST(Tokenizer, HoldsBackBytesOfAnIncompleteCharacter) {
  const auto t = Tokenizer::parse(small(R"("Ã":0,"©":1,"x":2)"));  // the bytes C3 and A9
  ASSERT_TRUE(t);
  Detokenizer stream(**t, SkipSpecial::kNo);
  std::string out;
  stream.push(0, out);
  EXPECT_EQ(out, "");
  stream.push(1, out);
  EXPECT_EQ(out, "é");
  stream.push(0, out);
  stream.push(2, out);
  EXPECT_EQ(out, "é\uFFFDx");
  stream.push(0, out);
  stream.finish(out);
  EXPECT_EQ(out, "é\uFFFDx\uFFFD");
}

TEST(Tokenizer, NamesThePlaceAndTypeOfWhatItDoesNotHave) {
  EXPECT_EQ(error(small("", R"("normalizer":{"type":"Nmt"},)")),
            "/normalizer: a normalizer of type 'Nmt'");
  EXPECT_EQ(
      error(small(
          "", R"("post_processor":{"type":"Sequence","processors":[{"type":"BertProcessing"}]},)")),
      "/post_processor/processors/0: a post-processor of type 'BertProcessing'");
  EXPECT_THAT(error(R"({"model":{"type":"Unigram"}})"), HasSubstr("/model: type 'Unigram'"));
  EXPECT_THAT(error(small("", "", R"(],"byte_fallback":true)")), HasSubstr("/model/byte_fallback"));
  EXPECT_EQ(error(R"({"model":{"vocab":{},"merges":[]}})"), "/decoder: none");
  EXPECT_EQ(error(R"({"decoder":{"type":"ByteLevel"},"model":{"vocab":{},"merges":[]}})"),
            "/decoder: ByteLevel goes with a ByteLevel pre-tokenizer, and only with it");
  EXPECT_EQ(error(R"({"model":{"byte_fallback":true,"vocab":{"a":0},"merges":[]}})"),
            "/model/byte_fallback: the vocabulary lacks <0x00>");
  EXPECT_EQ(error(R"({"decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":
                  "ByteFallback"}]},"model":{"vocab":{},"merges":[]}})"),
            "/decoder/decoders/1: a decoder of type 'ByteFallback' here");
}

TEST(Tokenizer, NamesThePlaceOfAMistake) {
  EXPECT_EQ(error(small(R"("a":-1)")), "/model/vocab/a: expected an id below 2097152");
  EXPECT_EQ(error(small(R"("a":0)", "", R"("a b"])")),
            "/model/merges/0: 'b' is not in the vocabulary");
  EXPECT_THAT(
      error(small(
          "",
          R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"},)")),
      HasSubstr("/pre_tokenizer/pattern: bad expression '('"));
  EXPECT_THAT(error("[]"), HasSubstr("/model"));
  EXPECT_THAT(error("{"), HasSubstr("not JSON"));
  EXPECT_THAT(error(std::string(kMaxTokenizerJson + 1, ' ')), HasSubstr("over the limit"));
}

TEST(Tokenizer, SaysWhatIsMissingInAFolder) {
  const auto out = Tokenizer::load("/nonexistent");
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code(), Code::kNotFound);
  EXPECT_EQ(out.error().message(), "no tokenizer.json in /nonexistent");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto t = Tokenizer::parse(small(R"("a":0)"));
  ASSERT_TRUE(t);
  EXPECT_EQ((*t)->encode("a\xFF", AddSpecial::kNo).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace baton::token
