// The bodies of generate, Messages and Responses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/openai/generate_request.hpp"
#include "formats/openai/messages_request.hpp"
#include "formats/openai/responses_request.hpp"

namespace baton::openai {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using text::json::dump;

TEST(GenerateRequest, TakesIdsSamplingAndTransferParamsFromBothPlaces) {
  const auto r = decode_generate(
      R"({"request_id":"r","token_ids":[1,2],"sampling_params":{"max_tokens":3,"n":2,"seed":4,"logprobs":1,"prompt_logprobs":0,
    "presence_penalty":1,"detokenize":false,"extra_args":{"kv_transfer_params":{"do_remote_decode":true}}}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_THAT(r->token_ids, ElementsAre(1u, 2u));
  EXPECT_EQ(r->sampling.max_tokens, 3u);
  EXPECT_EQ(r->sampling.n, 2);
  EXPECT_EQ(r->sampling.prompt_logprobs, 0);
  EXPECT_EQ(dump(r->delivery.kv_transfer_params), R"({"do_remote_decode":true})");
  const auto top = decode_generate(
      R"({"token_ids":[1],"kv_transfer_params":{"a":1},"sampling_params":{"extra_args":{"kv_transfer_params":{"a":2}}}})");
  EXPECT_EQ(dump(top->delivery.kv_transfer_params), R"({"a":1})");
  EXPECT_EQ(top->sampling.max_tokens, 16u);
}

TEST(GenerateRequest, NamesWhatIsWrong) {
  const auto param = [](std::string_view body) { return decode_generate(body).error().param; };
  EXPECT_EQ(param("{}"), "body.token_ids");
  EXPECT_EQ(param(R"({"token_ids":[]})"), "token_ids");
  EXPECT_EQ(param(R"({"token_ids":["a"]})"), "body.token_ids.0");
  EXPECT_EQ(param(R"({"token_ids":[1],"sampling_params":{"top_p":2}})"), "top_p");
  EXPECT_EQ(param(R"({"token_ids":[1],"sampling_params":[]})"), "body.sampling_params");
  EXPECT_EQ(param(R"({"token_ids":[1],"cache_salt":""})"), "cache_salt");
  EXPECT_EQ(param(R"({"token_ids":[1],"features":{"image":1}})"), "features");
  EXPECT_EQ(param(R"({"token_ids":[1],"stream":true,"sampling_params":{"prompt_logprobs":1}})"),
            "prompt_logprobs");
}

TEST(MessagesRequest, IsAChatWithTheSystemFirst) {
  const auto r = decode_messages(
      R"({"model":"m","max_tokens":5,"system":[{"type":"text","text":"Be kind."}],"stop_sequences":["END"],"top_k":3,"stream":true,
    "metadata":{"user_id":"u"},"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","content":"c"},{"role":"user","content":"d"}]})",
      MessagesUse::kAnswer);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(
      dump(r->prompt.messages),
      R"([{"role":"system","content":"Be kind."},{"role":"user","content":"a\nb"},{"role":"assistant","content":"c"},{"role":"user","content":"d"}])");
  EXPECT_TRUE(r->prompt.add_generation_prompt && !r->prompt.continue_final_message);
  EXPECT_THAT(r->sampling.stop, ElementsAre("END"));
  EXPECT_EQ(r->sampling.max_tokens, 5u);
  EXPECT_EQ(r->sampling.top_k, 3);
  EXPECT_TRUE(r->delivery.stream);
}

TEST(MessagesRequest, GoesOnWithTheAssistantsLastMessage) {
  const auto r = decode_messages(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
      MessagesUse::kCount);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->prompt.continue_final_message && !r->prompt.add_generation_prompt);
}

TEST(MessagesRequest, NamesWhatIsWrongOrNotThere) {
  const auto error = [](std::string_view more) {
    const auto body =
        R"({"messages":[{"role":"user","content":"a"}],"max_tokens":1,)" + std::string(more) + "}";
    const auto r = decode_messages(body, MessagesUse::kAnswer);
    return r ? ErrorBody{200, "", "accepted", "accepted"} : r.error();
  };
  EXPECT_EQ(error(R"("tools":[],"thinking":{"type":"disabled"})").param, "accepted");
  EXPECT_EQ(error(R"("tools":[{"name":"x"}])").param, "tools");
  EXPECT_EQ(error(R"("thinking":{"type":"enabled","budget_tokens":9})").param, "thinking");
  EXPECT_EQ(error(R"("tool_choice":{"type":"any"})").param, "tool_choice");
  EXPECT_EQ(error(R"("temperature":-1)").param, "temperature");
  EXPECT_EQ(error(R"("n":2)").param, "n");
  const auto param = [](std::string_view body) {
    return decode_messages(body, MessagesUse::kAnswer).error().param;
  };
  EXPECT_EQ(param(R"({"messages":[{"role":"user","content":"a"}]})"), "body.max_tokens");
  EXPECT_EQ(param(R"({"max_tokens":1})"), "body.messages");
  EXPECT_EQ(param(R"({"max_tokens":1,"messages":[]})"), "messages");
  EXPECT_EQ(param(R"({"max_tokens":1,"messages":[{"role":"system","content":"a"}]})"), "messages");
  EXPECT_EQ(
      param(
          R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{}}]}]})"),
      "messages");
}

TEST(ResponsesRequest, IsAChatOfInstructionsAndInput) {
  const auto r = decode_responses(
      R"({"model":"m","instructions":"Be kind.","input":[{"role":"developer","content":"x"},
    {"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}],"max_output_tokens":7,"temperature":0.5,
    "include":["message.output_text.logprobs"],"top_logprobs":2,"store":true,"metadata":{"k":"v"},"text":{"format":{"type":"text"}}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(
      dump(r->prompt.messages),
      R"([{"role":"system","content":"Be kind."},{"role":"system","content":"x"},{"role":"user","content":"a"}])");
  EXPECT_EQ(r->sampling.max_tokens, 7u);
  EXPECT_EQ(r->sampling.logprobs, 2);
  EXPECT_EQ(
      dump(r->delivery.repeated),
      R"({"instructions":"Be kind.","max_output_tokens":7,"metadata":{"k":"v"},"temperature":0.5,"top_p":1.0})");
  EXPECT_EQ(dump(decode_responses(R"({"input":"hi"})")->prompt.messages),
            R"([{"role":"user","content":"hi"}])");
}

TEST(ResponsesRequest, NamesWhatIsWrongOrNotThere) {
  for (const auto& [more, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("tools":[{"type":"web_search"}])", "tools"},
           {R"("previous_response_id":"resp_1")", "previous_response_id"},
           {R"("conversation":"c")", "conversation"},
           {R"("background":true)", "background"},
           {R"("truncation":"auto")", "truncation"},
           {R"("text":{"format":{"type":"json_schema"}})", "text"},
           {R"("tool_choice":"required")", "tool_choice"},
           {R"("include":["reasoning.encrypted_content"])", "include"},
           {R"("max_output_tokens":0)", "max_output_tokens"},
           {R"("top_logprobs":-1)", "top_logprobs"},
           {R"("n":2)", "n"}}) {
    const auto r = decode_responses(R"({"input":"hi",)" + more + "}");
    ASSERT_FALSE(r) << more;
    EXPECT_EQ(r.error().param, param);
    EXPECT_EQ(r.error().status, 400);
  }
  EXPECT_EQ(decode_responses("{}").error().param, "body.input");
  EXPECT_EQ(decode_responses(R"({"input":[]})").error().param, "body.input");
  EXPECT_THAT(decode_responses(R"({"input":[{"type":"function_call_output","output":"x"}]})")
                  .error()
                  .message,
              HasSubstr("'function_call_output' is not supported"));
}

}  // namespace
}  // namespace baton::openai
