#include "engine/serve/prepare.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace baton::serve {
namespace {

using openai::Endpoint;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t kContext = 100;         // tokens
constexpr std::size_t kFits = kContext * 12;  // bytes: the longest token has 12
constexpr std::size_t kMost = std::size_t{4} << 20;

// A tokenizer of SentencePiece's kind: a text is one word.
ServedModel one_word() {
  ServedModel out;
  out.names = {"m"};
  out.max_model_len = kContext;
  auto tokenizer = token::Tokenizer::load(BATON_SOURCE_DIR "/tests/golden/token/byte-fallback");
  EXPECT_TRUE(tokenizer) << tokenizer.error().message();
  out.tokenizer = *std::move(tokenizer);
  out.chat = *token::ChatTemplate::parse(
      R"({"chat_template":"{% for m in messages %}{{ m.content }}{% endfor %}"})", "");
  return out;
}

std::string quoted(std::size_t length) { return '"' + std::string(length, 'q') + '"'; }
std::string message(std::size_t length) {
  return R"("max_tokens":1,"messages":[{"role":"user","content":)" + quoted(length) + "}]";
}

template <class T>
std::string told(const openai::Decoded<T>& result) {
  return result ? "accepted" : result.error().message;
}

class Prepare : public ::testing::Test {
 protected:
  openai::Decoded<Prepared> prepared(Endpoint endpoint, const std::string& body) const {
    return prepare(model_, 900, endpoint, "{" + body + "}", {});
  }
  std::string completion(std::size_t length, const std::string& more = "") const {
    return told(prepared(Endpoint::kCompletions, R"("prompt":)" + quoted(length) + more));
  }

  const ServedModel model_ = one_word();
};

TEST_F(Prepare, RefusesATextThatCannotFitWithoutTokenizingIt) {
  EXPECT_EQ(completion(kFits + 1),
            "This model's maximum context length is 100 tokens. However, your prompt contains 1201 "
            "bytes of text, of which at most 1200 are tokenized. Please reduce the length of the "
            "input prompt. (parameter=input_text, value=1201)");
  EXPECT_EQ(completion(20), "accepted");
  for (const Endpoint chat : {Endpoint::kChat, Endpoint::kMessages}) {
    EXPECT_THAT(told(prepared(chat, message(kFits + 1))), HasSubstr("at most 1200 are"));
    EXPECT_EQ(told(prepared(chat, message(20))), "accepted");
  }
}

TEST_F(Prepare, TellsOfAPromptThatIsTooLongInTheSameWordsHoweverLongItIs) {
  const auto words = StartsWith(
      "This model's maximum context length is 100 tokens. However, your prompt contains");
  for (const std::size_t length : {kFits, kFits + 1}) {
    EXPECT_THAT(completion(length), words);
    EXPECT_THAT(told(prepared(Endpoint::kChat, message(length))), words);
  }
}

TEST_F(Prepare, CutsALongTextUpToALimit) {
  const std::string cut = R"(,"truncate_prompt_tokens":5)";
  const auto out = prepared(Endpoint::kCompletions, R"("prompt":)" + quoted(kFits + 1) + cut);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->prompts.front().size(), 5U);
  EXPECT_THAT(completion(kMost + 1, cut), HasSubstr("at most 4194304 are"));
}

TEST_F(Prepare, CountsTokensOfALongTextUpToALimit) {
  const auto tokens = [&](std::size_t length) {
    return told(tokenize(model_, R"({"prompt":)" + quoted(length) + "}", {}));
  };
  const auto count = [&](std::size_t length) {
    return told(count_tokens(model_, "{" + message(length) + "}", {}));
  };
  EXPECT_EQ(tokens(kFits + 1), "accepted");
  EXPECT_EQ(count(kFits + 1), "accepted");
  EXPECT_THAT(tokens(kMost + 1), HasSubstr("at most 4194304 are"));
  EXPECT_THAT(count(kMost + 1), HasSubstr("at most 4194304 are"));
}

}  // namespace
}  // namespace baton::serve
