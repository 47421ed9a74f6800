#include "formats/openai/response_writer.hpp"

#include <gtest/gtest.h>

namespace baton::openai {
namespace {

AnswerHead chat() { return {Endpoint::kChat, "chatcmpl-R", 1, "m"}; }
AnswerHead completion() { return {Endpoint::kCompletions, "cmpl-R", 1, "m"}; }

// vllm-wire appendix A, byte by byte.
TEST(ResponseWriter, WritesTheTranscriptOfAppendixA) {
  ResponseWriter writer(chat(), {.include_usage = true});
  std::string out;
  writer.begin(out, {9, 0, {}});
  writer.piece(out, {.text = "Hel"});
  const Ending ending{"length", {}};
  writer.piece(out, {.text = "lo", .ending = &ending});
  writer.end(out, {9, 2, {}});

  EXPECT_EQ(
      out,
      R"(data: {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]}

data: {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":"length","stop_reason":null}]}

data: {"id":"chatcmpl-R","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}}

data: [DONE]

)");
}

TEST(ResponseWriter, WritesCompletionChunksWithTheirNulls) {
  std::string out;
  ResponseWriter(completion(), {}).piece(out, {.text = "\"\n"});
  EXPECT_EQ(out,
            "data: "
            "{\"id\":\"cmpl-R\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\","
            "\"choices\":[{\"index\":0,\"text\":\"\\\"\\n\","
            "\"logprobs\":null,\"finish_reason\":null,\"stop_reason\":null,\"prompt_token_ids\":"
            "null,\"token_ids\":null}]}\n\n");
}

TEST(ResponseWriter, WritesAnErrorAsOneEvent) {
  std::string out;
  ResponseWriter(chat(), {}).error(out, {500, "InternalServerError", "Internal server error", ""});
  EXPECT_EQ(
      out,
      "data: {\"error\":{\"message\":\"Internal server "
      "error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}\n\ndata: [DONE]\n\n");
}

TEST(ResponseWriter, WritesAChatAnswerWithItsNulls) {
  const Answer answer{{{.text = "Hi", .ending = {"stop", StopReason(std::string("END"))}}},
                      {3, 2, 1},
                      text::json::Object{{"remote_port", 5}}};
  EXPECT_EQ(
      ResponseWriter(chat(), {}).whole(answer),
      R"({"id":"chatcmpl-R","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi",)"
      R"("refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null},"logprobs":null,)"
      R"("finish_reason":"stop","stop_reason":"END","token_ids":null}],"service_tier":null,"system_fingerprint":null,)"
      R"("usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}},)"
      R"("prompt_logprobs":null,"prompt_token_ids":null,"kv_transfer_params":{"remote_port":5}})");
}

TEST(ResponseWriter, WritesLogprobsInTheFormOfEachEndpoint) {
  const Answer answer{{{.text = "ab",
                        .logprobs = std::vector<TokenLikely>{{{"a", "a", -0.5F},
                                                              {{"a", "a", -0.5F}, {"c", "c", -2}}},
                                                             {{"b", "b", -1}, {}}},
                        .ending = {"length", StopReason(7u)}}},
                      {1, 2, {}},
                      {}};
  const std::string as_chat = ResponseWriter(chat(), {}).whole(answer);
  EXPECT_NE(
      as_chat.find(
          R"("logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":[97]},{"token":"c","logprob":-2,"bytes":[99]}]},)"),
      std::string::npos)
      << as_chat;
  const std::string as_text = ResponseWriter(completion(), {}).whole(answer);
  EXPECT_NE(
      as_text.find(
          R"("logprobs":{"text_offset":[0,1],"token_logprobs":[-0.5,-1],"tokens":["a","b"],"top_logprobs":[{"a":-0.5,"c":-2},{}]},"finish_reason":"length","stop_reason":7)"),
      std::string::npos)
      << as_text;
  EXPECT_TRUE(text::json::parse(as_chat));
  EXPECT_TRUE(text::json::parse(as_text));
}

TEST(ResponseWriter, NumbersTheChoicesAndGivesIdsAndScoresWhenAsked) {
  Answer answer{{{.text = "a", .ending = {"stop", {}}}, {.text = "b", .ending = {"length", {}}}},
                {3, 2, {}},
                {}};
  answer.choices[0].ids = {5};
  answer.choices[0].prompt_ids = {1, 2};
  answer.choices[0].prompt_logprobs = std::vector<TokenLikely>{
      {.chosen = {}, .top = {}, .is_known = false},
      {.chosen = {"x", "x", -1, 2, 2}, .top = {{"y", "y", -0.5F, 9, 1}, {"x", "x", -1, 2, 2}}}};

  const std::string text = ResponseWriter(completion(), {}).whole(answer);

  EXPECT_NE(text.find(R"({"index":1,"text":"b")"), std::string::npos) << text;
  EXPECT_NE(
      text.find(
          R"("token_ids":[5],"prompt_logprobs":[null,{"2":{"logprob":-1,"rank":2,"decoded_token":"x"},"9":{"logprob":-0.5,"rank":1,"decoded_token":"y"}}],"prompt_token_ids":[1,2]})"),
      std::string::npos)
      << text;
  EXPECT_TRUE(text::json::parse(text));
}

}  // namespace
}  // namespace baton::openai
