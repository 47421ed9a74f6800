#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/openai/chat_request.hpp"
#include "formats/openai/completion_request.hpp"

namespace baton::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using text::json::Object;
using text::json::Value;

// A chat body with these further members.
std::string chat(std::string_view more) {
  return std::string(R"({"messages":[{"role":"user","content":"Hi"}])")
             .append(more.empty() ? "" : ",")
             .append(more) +
         "}";
}

ErrorBody error(std::string_view body) {
  const auto out = decode_chat(body);
  return out ? ErrorBody{200, "", "accepted", ""} : out.error();
}

ChatRequest accepted(std::string_view body) {
  const auto out = decode_chat(body);
  EXPECT_TRUE(out) << out.error().message;
  return out ? *out : ChatRequest{};
}

// What a real vLLM 0.32 answered (vllm-live §4): message, type and param are kept.
TEST(ChatRequest, RefusesWithTheWordsOfVllm) {
  EXPECT_EQ(error("[1, 2]").message,
            "1 validation error:\n  {'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input "
            "should be a valid dictionary or object to "
            "extract fields from', 'input': '<list of 2 items>'}");
  const ErrorBody missing = error(R"({"model":"m"})");
  EXPECT_EQ(missing.message,
            "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field "
            "required', 'input': '<dict of 1 items>'}");
  EXPECT_EQ(missing.type, "Bad Request");
  EXPECT_EQ(missing.param, "body.messages");
  const ErrorBody empty = error(R"({"messages":[]})");
  EXPECT_EQ(empty.message,
            "Cannot apply chat template to an empty conversation. Provide at least one message.");
  EXPECT_EQ(empty.param, "");
  const ErrorBody options = error(chat(R"("stream_options":{"include_usage":true})"));
  EXPECT_EQ(options.message,
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)");
  EXPECT_EQ(options.param, "stream_options");
  EXPECT_EQ(error(chat(R"("min_tokens":4,"max_tokens":1)")).message,
            "min_tokens must be less than or equal to max_tokens=1, got 4.");
  const ErrorBody temperature = error(chat(R"("temperature":-1)"));
  EXPECT_EQ(temperature.message,
            "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)");
  EXPECT_EQ(temperature.type, "BadRequestError");
  EXPECT_EQ(temperature.param, "temperature");
  EXPECT_EQ(error(chat(R"("kv_transfer_params":"abc")")).message,
            "1 validation error:\n  {'type': 'dict_type', 'loc': 'body.kv_transfer_params', 'msg': "
            "'Input should be a valid dictionary', 'input': 'abc'}");
  EXPECT_EQ(error(R"({"messages":)").type, "Bad Request");
}

TEST(ChatRequest, NamesTheParameterThatIsOutOfRange) {
  for (const auto& [body, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("top_p":0)", "top_p"},
           {R"("top_p":1.5)", "top_p"},
           {R"("top_k":-2)", "top_k"},
           {R"("min_p":2)", "min_p"},
           {R"("max_tokens":0)", "max_tokens"},
           {R"("max_completion_tokens":-1)", "max_completion_tokens"},
           {R"("min_tokens":-1)", "min_tokens"},
           {R"("n":0)", "n"},
           {R"("n":129)", "n"},
           {R"("presence_penalty":2.1)", "presence_penalty"},
           {R"("frequency_penalty":-3)", "frequency_penalty"},
           {R"("repetition_penalty":0)", "repetition_penalty"},
           {R"("logit_bias":{"x":1})", "logit_bias"},
           {R"("logit_bias":{"1":"x"})", "logit_bias"},
           {R"("allowed_token_ids":[])", "allowed_token_ids"},
           {R"("bad_words":[" "])", "bad_words"},
           {R"("bad_words":[1])", "body.bad_words.0"},
           {R"("prompt_logprobs":-2)", "prompt_logprobs"},
           {R"("prompt_logprobs":1,"stream":true)", "prompt_logprobs"},
           {R"("truncate_prompt_tokens":0)", "truncate_prompt_tokens"},
           {R"("cache_salt":"")", "cache_salt"},
           {R"("cache_salt":7)", "body.cache_salt"},
           {R"("priority":"high")", "body.priority"},
           {R"("stop":[""])", "stop"},
           {R"("top_logprobs":3)", "top_logprobs"},
           {R"("top_logprobs":-1)", "top_logprobs"},
           {R"("logprobs":true,"top_logprobs":-2)", "top_logprobs"},
           {R"("temperature":"warm")", "body.temperature"},
           {R"("stop_token_ids":["a"])", "body.stop_token_ids.0"}}) {
    EXPECT_EQ(error(chat(body)).status, 400) << body;
    EXPECT_EQ(error(chat(body)).param, param) << body;
  }
}

TEST(ChatRequest, RefusesEachParameterThatWouldChangeTheAnswer) {
  for (const std::string_view body :
       {R"("length_penalty":2)", R"("response_format":{"type":"json_object"})",
        R"("guided_regex":"a+")", R"("structured_outputs":{"regex":"a"})",
        R"("use_beam_search":true)", R"("echo":true)", R"("tool_choice":"required")",
        R"("tool_choice":"auto")", R"("tools":[{"type":"function"}])",
        R"("chat_template":"{{ 1 }}")", R"("best_of":2)", R"("detokenize":false)"}) {
    const ErrorBody e = error(chat(body));
    EXPECT_EQ(e.status, 400) << body;
    EXPECT_FALSE(e.param.empty()) << body;
    EXPECT_TRUE(std::string_view(body).find(e.param) != std::string_view::npos) << body << e.param;
  }
}

TEST(ChatRequest, ReadsPenaltiesBiasesAndWords) {
  const ChatRequest r = accepted(chat(
      R"("presence_penalty":0.5,"frequency_penalty":-2,"repetition_penalty":1.25,"logit_bias":{"7":200,"8":-1.5},
    "allowed_token_ids":[1,2],"bad_words":["x y"],"n":3,"prompt_logprobs":2,"truncate_prompt_tokens":-1,"return_token_ids":true)"));
  EXPECT_EQ(r.sampling.presence_penalty, 0.5);
  EXPECT_EQ(r.sampling.frequency_penalty, -2);
  EXPECT_EQ(r.sampling.repetition_penalty, 1.25);
  EXPECT_THAT(r.sampling.logit_bias, ElementsAre(std::pair(7u, 100.F), std::pair(8u, -1.5F)));
  EXPECT_THAT(r.sampling.allowed_token_ids, ElementsAre(1u, 2u));
  EXPECT_THAT(r.sampling.bad_words, ElementsAre("x y"));
  EXPECT_EQ(r.sampling.n, 3);
  EXPECT_EQ(r.sampling.prompt_logprobs, 2);
  EXPECT_EQ(r.sampling.truncate_prompt, -1);
  EXPECT_TRUE(r.sampling.return_ids);
}

TEST(ChatRequest, AcceptsThoseValuesThatSayNothingAndUnknownMembers) {
  accepted(chat(
      R"("presence_penalty":0,"frequency_penalty":0.0,"repetition_penalty":1.0,"logit_bias":{},"response_format":{"type":"text"},"n":1,
    "guided_json":null,"best_of":1,"tool_choice":"none","user":"u","service_tier":"auto","nonsense":{"x":1},"suffix":"")"));
}

TEST(ChatRequest, ReadsEveryMemberItServes) {
  const ChatRequest r = accepted(chat(
      R"("model":"m","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},
    "temperature":0.001,"top_p":0.9,"top_k":-1,"min_p":0.1,"seed":-5,"stop":"END","stop_token_ids":[7,8],"ignore_eos":true,"min_tokens":2,
    "max_tokens":3,"max_completion_tokens":5,"logprobs":true,"top_logprobs":2,"include_stop_str_in_output":true,"skip_special_tokens":false,
    "return_tokens_as_token_ids":true,"request_id":"r1","chat_template_kwargs":{"enable_thinking":false},"tools":[{"type":"function"}],"tool_choice":"none",
    "add_generation_prompt":false,"continue_final_message":true,"kv_transfer_params":{"do_remote_decode":true},"priority":-3,"cache_salt":"mine")"));
  EXPECT_EQ(r.delivery.model, "m");
  EXPECT_TRUE(r.delivery.stream && r.delivery.include_usage && r.delivery.continuous_usage);
  EXPECT_EQ(r.delivery.request_id, "r1");
  EXPECT_EQ(r.delivery.priority, -3);
  EXPECT_EQ(r.delivery.cache_salt, "mine");
  EXPECT_TRUE(r.delivery.kv_transfer_params.is_object());
  EXPECT_EQ(r.sampling.temperature, 0.01);  // vLLM's floor for values that are not greedy
  EXPECT_EQ(r.sampling.top_k, 0);
  EXPECT_EQ(r.sampling.seed, -5);
  EXPECT_EQ(r.sampling.max_tokens, 5u);
  EXPECT_EQ(r.sampling.logprobs, 2);
  EXPECT_THAT(r.sampling.stop, ElementsAre("END"));
  EXPECT_THAT(r.sampling.stop_token_ids, ElementsAre(7u, 8u));
  EXPECT_TRUE(r.sampling.ignore_eos && r.sampling.include_stop && r.sampling.tokens_as_ids &&
              !r.sampling.skip_special_tokens);
  EXPECT_TRUE(r.prompt.continue_final_message && !r.prompt.add_generation_prompt);
  EXPECT_EQ(r.prompt.kwargs.find("enable_thinking")->if_bool() != nullptr, true);
}

TEST(ChatRequest, JoinsTextPartsByNewlinesAndRefusesOthers) {
  const ChatRequest r = accepted(
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})");
  EXPECT_EQ(r.prompt.messages.if_array()->front().string_at({"content"}), "a\nb");
  const ErrorBody e = error(
      R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})");
  EXPECT_THAT(e.message, HasSubstr("'image_url' is not supported"));
}

TEST(ChatRequest, OpensTheArgumentsOfToolCalls) {
  const ChatRequest r = accepted(
      R"({"messages":[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}]})");
  const Value& call = r.prompt.messages.if_array()->front().find("tool_calls")->if_array()->front();
  EXPECT_EQ(call.find_path({"function", "arguments", "a"})->if_int(), 1);
}

TEST(CompletionRequest, TakesTextsOrListsOfIds) {
  const auto texts = [](std::string_view body) {
    std::vector<std::string> out;
    for (const auto& prompt : decode_completion(body)->prompts)
      out.push_back(std::get<std::string>(prompt));
    return out;
  };
  const auto ids = [](std::string_view body) {
    std::vector<TokenIds> out;
    for (const auto& prompt : decode_completion(body)->prompts)
      out.push_back(std::get<TokenIds>(prompt));
    return out;
  };
  EXPECT_THAT(texts(R"({"prompt":"a"})"), ElementsAre("a"));
  EXPECT_THAT(texts(R"({"prompt":["a","b"]})"), ElementsAre("a", "b"));
  EXPECT_THAT(ids(R"({"prompt":[1,2]})"), ElementsAre(TokenIds{1, 2}));
  EXPECT_THAT(ids(R"({"prompt":[[3],[4,5]]})"), ElementsAre(TokenIds{3}, TokenIds{4, 5}));
  EXPECT_EQ(decode_completion(R"({"prompt":["a",[1]]})").error().param, "prompt");
  EXPECT_EQ(decode_completion(R"({"prompt":[1,"b"]})").error().param, "body.prompt.1");
  EXPECT_EQ(decode_completion(R"({"prompt":[{}]})").error().param, "body.prompt.0");
  EXPECT_EQ(decode_completion(R"({"prompt":["a","b"],"n":100})").error().param, "n");
  EXPECT_EQ(decode_completion("{}").error().param, "body.prompt");
}

TEST(CompletionRequest, MayAskForThePromptAlone) {
  EXPECT_EQ(decode_completion(R"({"prompt":"a","echo":true,"max_tokens":0})")->sampling.max_tokens,
            0u);
  EXPECT_EQ(decode_completion(R"({"prompt":"a","max_tokens":0})").error().param, "max_tokens");
}

TEST(CompletionRequest, DefaultsTo16Tokens) {
  EXPECT_EQ(decode_completion(R"({"prompt":"a"})")->sampling.max_tokens, 16u);
  EXPECT_EQ(decode_completion(R"({"prompt":"a","logprobs":3})")->sampling.logprobs, 3);
  EXPECT_EQ(decode_completion(R"({"prompt":"a","logprobs":-1})").error().param, "logprobs");
}

TEST(TokenizeRequest, TakesTextOrMessages) {
  EXPECT_EQ(std::get<std::string>(decode_tokenize(R"({"prompt":"a"})")->prompt), "a");
  EXPECT_TRUE(std::holds_alternative<ChatPrompt>(
      decode_tokenize(R"({"messages":[{"role":"user","content":"a"}]})")->prompt));
  EXPECT_EQ(decode_tokenize("{}").error().param, "body.prompt");
  EXPECT_THAT(decode_detokenize(R"({"tokens":[1,2]})")->tokens, ElementsAre(1u, 2u));
}

}  // namespace
}  // namespace baton::openai
