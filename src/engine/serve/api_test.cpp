// What the APIs have beyond one plain answer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/serve/testing/served.hpp"

namespace baton::serve {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using text::json::Array;

constexpr std::string_view kPrompt =
    R"("prompt":"Hello world, this is a prompt","ignore_eos":true)";

Reply complete(Served& s, std::string_view more) {
  return s.post("/v1/completions", "{" + std::string(kPrompt) + "," + std::string(more) + "}");
}
const Array& choices(const Value& answer) {
  static const Array kNone;
  const Value* list = answer.find("choices");
  return list == nullptr ? kNone : *list->if_array();
}
std::vector<std::string> texts(const Reply& reply) {
  const Value answer = reply.json();
  std::vector<std::string> out;
  for (const Value& choice : choices(answer)) out.emplace_back(choice.string_at({"text"}));
  return out;
}
std::string text_of(Served& s, std::string_view more) {
  const auto reply = complete(s, more);
  EXPECT_EQ(reply.status, 200) << reply.body;
  return reply.status == 200 ? texts(reply).front() : "";
}
// The JSON of each event of a stream.
std::vector<Value> events(std::string_view body) {
  std::vector<Value> out;
  for (auto at = body.find("data: {"); at != std::string_view::npos;
       at = body.find("data: {", at + 1)) {
    const auto event = text::json::parse(body.substr(at + 6, body.find('\n', at) - at - 6));
    EXPECT_TRUE(event);
    if (event) out.push_back(*event);
  }
  return out;
}

TEST(Choices, OfOneRequestAreWhatRequestsWithTheSeedsInARowAnswer) {
  Served s;
  const auto reply = complete(s, R"("n":3,"seed":7,"max_tokens":9)");

  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_THAT(texts(reply), ElementsAre(text_of(s, R"("seed":7,"max_tokens":9)"),
                                        text_of(s, R"("seed":8,"max_tokens":9)"),
                                        text_of(s, R"("seed":9,"max_tokens":9)")));
  const Value answer = reply.json();
  EXPECT_EQ(choices(answer)[2].find("index")->if_int(), 2);
  EXPECT_EQ(answer.find_path({"usage", "prompt_tokens"})->if_int(), 30);
  EXPECT_EQ(answer.find_path({"usage", "completion_tokens"})->if_int(), 27);
  EXPECT_EQ(reply.number("x-baton-computed-tokens"), 30u);
  EXPECT_EQ(s.stats().prompt_tokens_cached, 2 * 16 + 3 * 16u);  // the first one's full block
}

TEST(Choices, OfSeveralPromptsAreNumberedPromptByPrompt) {
  Served s;
  const auto reply =
      s.post("/v1/completions",
             R"({"prompt":["ab","cde"],"n":2,"seed":1,"max_tokens":4,"ignore_eos":true})");

  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto one = [&](std::string_view prompt, int seed) {
    return texts(s.post("/v1/completions", R"({"prompt":")" + std::string(prompt) + R"(","seed":)" +
                                               std::to_string(seed) +
                                               R"(,"max_tokens":4,"ignore_eos":true})"))
        .front();
  };
  EXPECT_THAT(texts(reply), ElementsAre(one("ab", 1), one("ab", 2), one("cde", 1), one("cde", 2)));
  EXPECT_EQ(reply.json().find_path({"usage", "prompt_tokens"})->if_int(), 3 + 4);
  EXPECT_EQ(reply.number("x-baton-prompt-tokens"), 7u);
}

TEST(Choices, StreamSideBySideAndSayTheSame) {
  Served s;
  const auto whole = texts(complete(s, R"("n":2,"seed":3,"max_tokens":12)"));
  const auto reply =
      s.post("/v1/completions",
             "{" + std::string(kPrompt) + R"(,"n":2,"seed":3,"max_tokens":12,"stream":true})");

  std::vector<std::string> streamed(2);
  std::size_t ended = 0;
  for (const Value& event : events(reply.body)) {
    const Value& choice = choices(event).front();
    streamed.at(*choice.find("index")->if_uint()) += choice.string_at({"text"});
    ended += choice.string_at({"finish_reason"}) == "length" ? 1 : 0;
  }
  EXPECT_EQ(streamed, whole);
  EXPECT_EQ(ended, 2u);
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
  const auto chat =
      s.post("/v1/chat/completions",
             R"({"messages":[{"role":"user","content":"Hi"}],"n":2,"max_tokens":2,"stream":true})");
  EXPECT_THAT(chat.body, HasSubstr(R"("choices":[{"index":1,"delta":{"role":"assistant")"));
}

TEST(Choices, AreRefusedWhereTheyMakeNoSense) {
  Served s;
  EXPECT_EQ(complete(s, R"("n":2,"temperature":0)").error(),
            "n must be 1 when using greedy sampling, got 2.");
  EXPECT_EQ(complete(s, R"("n":2,"kv_transfer_params":{"do_remote_decode":true})").error(),
            "KV moves for one prompt and n=1 only");
  EXPECT_EQ(complete(s, R"("n":200)").status, 400);
}

TEST(Choices, AreAllEndedWhenTheirClientLeaves) {
  Served s;
  s.leave_early("/v1/completions",
                R"({"prompt":"a","n":4,"max_tokens":500,"ignore_eos":true,"stream":true})");
  EXPECT_TRUE(eventually([&] { return s.stats().running == 0 && s.stats().waiting == 0; }));
  EXPECT_TRUE(eventually([&] { return s.stats().finished_abort >= 1; }));
}

TEST(Shape, EachParameterChangesWhatIsDrawn) {
  Served s;
  const std::string plain = text_of(s, R"("temperature":0,"max_tokens":40)");
  const char first = plain.front();
  const std::string id = std::to_string(first - 0x20 + 2);  // of ascii()'s vocabulary

  const auto never = [&](std::string_view more) {
    const auto text = text_of(s, R"("temperature":0,"max_tokens":40,)" + std::string(more));
    EXPECT_THAT(text, Not(Contains(first))) << more;
  };
  never(R"("logit_bias":{")" + id + R"(":-100})");
  std::string word;
  text::json::append_quoted(word, std::string(1, first));
  never(R"("bad_words":[)" + word + "]");
  EXPECT_THAT(text_of(s, R"("temperature":0,"max_tokens":40,"allowed_token_ids":[35,36])"),
              Each(::testing::AnyOf('A', 'B')));
  EXPECT_NE(text_of(s, R"("temperature":0,"max_tokens":40,"presence_penalty":2)"), plain);
  EXPECT_NE(text_of(s, R"("temperature":0,"max_tokens":40,"frequency_penalty":2)"), plain);
  EXPECT_NE(text_of(s, R"("temperature":0,"max_tokens":40,"repetition_penalty":3)"), plain);
  EXPECT_EQ(complete(s, R"("logit_bias":{"97":1})").error(),
            "logit_bias: token id 97 is out of the vocabulary of 97");
}

TEST(Prompt, IsScoredWhenAsked) {
  Served s;
  const auto reply = complete(s, R"("temperature":0,"max_tokens":1,"prompt_logprobs":1)");

  ASSERT_EQ(reply.status, 200) << reply.body;
  const Value answer = reply.json();
  const auto& scores = *choices(answer).front().find("prompt_logprobs")->if_array();
  ASSERT_EQ(scores.size(), 30u);
  EXPECT_TRUE(scores[0].is_null());
  const auto* chosen = scores[1].if_object()->find("42");  // H
  ASSERT_NE(chosen, nullptr) << reply.body;
  EXPECT_EQ(chosen->string_at({"decoded_token"}), "H");
  EXPECT_LT(*chosen->find("logprob")->if_double(), 0);
  const auto chat =
      s.post("/v1/chat/completions",
             R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":1,"prompt_logprobs":0})");
  EXPECT_EQ(chat.json().find("prompt_logprobs")->if_array()->size(), 10u);
}

TEST(Logprobs, AreGivenUpToTheLimitOfTheServer) {
  Served usual, few({}, nullptr, 2), all({}, nullptr, std::nullopt);
  const auto alternatives = [](const Reply& reply) {
    const Value answer = reply.json();
    const Value* list = choices(answer).front().find("logprobs")->find("top_logprobs");
    return list->if_array()->front().if_object()->size();
  };
  const auto ask = [](Served& s, const std::string& logprobs) {
    return complete(s, R"("temperature":0,"max_tokens":1,"logprobs":)" + logprobs);
  };

  EXPECT_EQ(ask(usual, "21").error(),
            "Requested sample logprobs of 21, which is greater than max allowed: 20. "
            "(parameter=logprobs, value=21)");
  EXPECT_EQ(alternatives(ask(few, "2")), 2U);
  EXPECT_EQ(ask(few, "3").status, 400);
  EXPECT_EQ(complete(few, R"("max_tokens":1,"prompt_logprobs":3)").error(),
            "Requested prompt logprobs of 3, which is greater than max allowed: 2. "
            "(parameter=prompt_logprobs, value=3)");
  EXPECT_EQ(complete(few, R"("max_tokens":1,"prompt_logprobs":-1)").status, 400);
  EXPECT_EQ(complete(all, R"("max_tokens":1,"prompt_logprobs":-1)").status, 200);
  EXPECT_EQ(ask(all, "98").status, 400);  // of a vocabulary of 97
  EXPECT_GE(alternatives(ask(all, "90")), 90U);
}

TEST(Prompt, IsEchoedWithItsScoresAndMayBeAllThatIsWanted) {
  Served s;
  const std::string plain = text_of(s, R"("temperature":0,"max_tokens":3)");
  const auto reply = complete(s, R"("temperature":0,"max_tokens":3,"echo":true,"logprobs":1)");
  EXPECT_THAT(texts(reply), ElementsAre("Hello world, this is a prompt" + plain));
  const Value answer = reply.json();
  const Value& logprobs = *choices(answer).front().find("logprobs");
  EXPECT_EQ(logprobs.find("tokens")->if_array()->size(), 33u);
  EXPECT_TRUE(logprobs.find("token_logprobs")->if_array()->front().is_null());
  EXPECT_TRUE(logprobs.find("token_logprobs")->if_array()->at(1).is_number());

  const auto alone = complete(s, R"("max_tokens":0,"echo":true)");
  EXPECT_THAT(texts(alone), ElementsAre("Hello world, this is a prompt"));
  EXPECT_EQ(alone.json().find_path({"usage", "completion_tokens"})->if_int(), 0);
  const auto streamed = complete(s, R"("temperature":0,"max_tokens":3,"echo":true,"stream":true)");
  std::string text;
  for (const Value& event : events(streamed.body))
    text += choices(event).front().string_at({"text"});
  EXPECT_EQ(text, "Hello world, this is a prompt" + plain);
}

TEST(Prompt, IsCutToItsLastTokens) {
  Served s;
  const auto reply = complete(
      s, R"("temperature":0,"max_tokens":1,"truncate_prompt_tokens":5,"return_token_ids":true)");
  const Value answer = reply.json();
  EXPECT_EQ(answer.find_path({"usage", "prompt_tokens"})->if_int(), 5);
  EXPECT_EQ(choices(answer).front().find("prompt_token_ids")->if_array()->size(), 5u);
  EXPECT_EQ(choices(answer).front().find("token_ids")->if_array()->size(), 1u);
}

TEST(Generate, TakesAndGivesTokens) {
  Served s;
  const auto ids = s.post("/tokenize", R"({"prompt":"Hello world, this is a prompt"})").json();
  const auto body = [&](std::string_view more) {
    return R"({"token_ids":)" + text::json::dump(*ids.find("tokens")) +
           R"(,"sampling_params":{"temperature":0,"max_tokens":6,"ignore_eos":true})" +
           std::string(more) + "}";
  };
  const auto reply = s.post("/inference/v1/generate", body(R"(,"request_id":"r1")"));

  ASSERT_EQ(reply.status, 200) << reply.body;
  const Value answer = reply.json();
  EXPECT_EQ(answer.string_at({"request_id"}), "r1");
  const auto& drawn = *choices(answer).front().find("token_ids");
  ASSERT_EQ(drawn.if_array()->size(), 6u);
  const auto text = s.post("/detokenize", R"({"tokens":)" + text::json::dump(drawn) + "}").json();
  EXPECT_EQ(text.string_at({"prompt"}), text_of(s, R"("temperature":0,"max_tokens":6)"));

  Array streamed;
  for (const Value& event :
       events(s.post("/inference/v1/generate", body(R"(,"stream":true)")).body))
    for (const Value& id : *choices(event).front().find("token_ids")->if_array())
      streamed.push_back(id);
  EXPECT_EQ(streamed, *drawn.if_array());
}

TEST(Generate, HandsKvOverLikeTheOthers) {
  Served prefill;
  Served decode;
  const std::string ids =
      R"({"token_ids":[0,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57],)";
  const auto first = prefill.post(
      "/inference/v1/generate",
      ids +
          R"("sampling_params":{"temperature":0,"max_tokens":1,"extra_args":{"kv_transfer_params":{"do_remote_decode":true}}}})");
  const Value params = *first.json().find("kv_transfer_params");
  ASSERT_TRUE(params.is_object()) << first.body;
  const auto second = decode.post(
      "/inference/v1/generate",
      ids + R"("sampling_params":{"temperature":0,"max_tokens":5},"kv_transfer_params":)" +
          text::json::dump(params) + "}");
  EXPECT_EQ(second.number("x-baton-remote-tokens"), 18u);
  const auto here = prefill.post("/inference/v1/generate",
                                 ids + R"("sampling_params":{"temperature":0,"max_tokens":5}})");
  EXPECT_EQ(*choices(second.json()).front().find("token_ids"),
            *choices(here.json()).front().find("token_ids"));
}

TEST(Messages, AnswerWhatAChatAnswers) {
  Served s;
  const auto chat = s.post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"}],"temperature":0,"max_tokens":5,"ignore_eos":true})");
  const Value chat_answer = chat.json();
  const std::string wanted(choices(chat_answer).front().string_at({"message", "content"}));
  const std::string body =
      R"({"model":"tiny","system":"S","messages":[{"role":"user","content":"Hi"}],"temperature":0,"max_tokens":5,"ignore_eos":true)";

  const auto reply = s.post("/v1/messages", body + "}");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Value answer = reply.json();
  EXPECT_EQ(answer.find("content")->if_array()->front().string_at({"text"}), wanted);
  EXPECT_EQ(answer.string_at({"stop_reason"}), "max_tokens");
  EXPECT_EQ(answer.find_path({"usage", "output_tokens"})->if_int(), 5);
  std::string streamed;
  for (const Value& event : events(s.post("/v1/messages", body + R"(,"stream":true})").body))
    streamed += event.string_at({"delta", "text"});
  EXPECT_EQ(streamed, wanted);
  EXPECT_EQ(
      s.post("/v1/messages/count_tokens", R"({"messages":[{"role":"user","content":"Hi"}]})").body,
      R"({"input_tokens":10})");
  EXPECT_EQ(
      s.post("/v1/messages", R"({"messages":[]})").body,
      R"({"type":"error","error":{"type":"invalid_request_error","message":"messages: at least one message is required"}})");
}

TEST(Responses, AnswerWhatAChatAnswers) {
  Served s;
  const auto chat = s.post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Hi"}],"temperature":0,"max_tokens":5,"ignore_eos":true})");
  const Value chat_answer = chat.json();
  const std::string wanted(choices(chat_answer).front().string_at({"message", "content"}));
  const std::string body =
      R"({"input":"Hi","temperature":0,"max_output_tokens":5,"ignore_eos":true)";

  const auto reply = s.post("/v1/responses", body + "}");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Value answer = reply.json();
  EXPECT_EQ(answer.string_at({"status"}), "incomplete");
  const Value& item = answer.find("output")->if_array()->front();
  EXPECT_EQ(item.find("content")->if_array()->front().string_at({"text"}), wanted);
  std::string streamed;
  for (const Value& event : events(s.post("/v1/responses", body + R"(,"stream":true})").body))
    streamed += event.string_at({"delta"});
  EXPECT_EQ(streamed, wanted);
}

TEST(Render, GivesTheTokensWithoutComputing) {
  Served s;
  const auto chat =
      s.post("/v1/chat/completions/render", R"({"messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(chat.json().find("token_ids")->if_array()->size(), 10u) << chat.body;
  const auto text = s.post("/v1/completions/render", R"({"prompt":["AB","C"]})");
  EXPECT_EQ(
      text.body,
      R"([{"token_ids":[0,35,36],"features":null,"model":"tiny"},{"token_ids":[0,37],"features":null,"model":"tiny"}])");
  EXPECT_EQ(s.stats().steps, 0u);
}

}  // namespace
}  // namespace baton::serve
