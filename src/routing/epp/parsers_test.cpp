#include "routing/epp/parsers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/core/log.hpp"
#include "net/grpc/inbox.hpp"
#include "net/grpc/proto.hpp"
#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using openai::Api;
using schedule::Parser;
using ::testing::ElementsAre;
using testing::ExtProcTest;
using ::testing::HasSubstr;
using testing::Kind;
using testing::kThree;

constexpr std::array kUsual = {Parser::kOpenai, Parser::kAnthropic, Parser::kVllmHttp,
                               Parser::kPassthrough};

std::optional<Api> api_of(std::string_view path, std::span<const Parser> parsers = kUsual) {
  const auto found = claim(parsers, path);
  EXPECT_TRUE(found) << path;
  return found ? found->api : std::nullopt;
}

TEST(Parsers, AreChosenByTheEndOfThePath) {  // epp:P001
  for (const auto* path : {"/v1/chat/completions", "/v1/chat/completions/",
                           "/v1/chat/completions?a=b", "/v1/projects/p/x:y/chat/completions"}) {
    EXPECT_EQ(api_of(path), Api::kChat) << path;
  }
  EXPECT_EQ(api_of("/v1/messages"), Api::kMessages);
  EXPECT_EQ(api_of("/v1/xmessages"), Api::kMessages);  // there is no boundary
  EXPECT_EQ(api_of(""), Api::kCompletion);
  EXPECT_EQ(api_of("/v1/embeddings"), Api::kEmbeddings);
  EXPECT_EQ(api_of("/v1/images/generations"), Api::kImages);
}

TEST(Parsers, APathIsReadAsAnEngineRoutesIt) {
  for (const auto* path : {"/v1/chat/completion%73", "/v1/chat%2Fcompletions/?a=%",
                           "%2fv1%2fchat%2f%63ompletions%2f"}) {
    EXPECT_EQ(api_of(path), Api::kChat) << path;
  }
  EXPECT_EQ(api_of("/v1/models?/v1/completions"), std::nullopt);
  EXPECT_EQ(api_of("/v1/completions%3Fa"), std::nullopt);
  EXPECT_EQ(api_of("/v1/completion%2573"), std::nullopt) << "escaped twice";
}

TEST(Parsers, TheLongestEndWinsWhateverTheOrder) {  // epp:P002
  constexpr std::array kTurned = {Parser::kPassthrough, Parser::kVllmHttp, Parser::kSglangHttp,
                                  Parser::kOpenai};
  EXPECT_EQ(api_of("/v1/chat/completions/render", kTurned), Api::kChat);  // epp:P007
  EXPECT_EQ(api_of("/v1/completions/render/", kTurned), Api::kCompletion);
  EXPECT_EQ(api_of("/inference/v1/generate", kTurned), Api::kGenerate);
  EXPECT_EQ(api_of("/generate", kTurned), Api::kSglang);
  EXPECT_EQ(api_of("/regenerate", kTurned), std::nullopt);
}

TEST(Parsers, WhatNobodyReadsPassesOnlyWhereThatIsAllowed) {  // epp:P003
  EXPECT_EQ(api_of("/v1/rerank"), std::nullopt);
  constexpr std::array kStrict = {Parser::kOpenai};
  const auto refused = claim(kStrict, "/v1/rerank?x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "no parser registered matching path suffix for: /v1/rerank");
}

std::string frame(std::string_view message) {
  std::string out;
  grpc::append_prefix(out, message.size());
  return out + std::string(message);
}

TEST(Parsers, TakeOneWholeGrpcFrame) {
  EXPECT_EQ(*unframed(frame("abc")), "abc");
  EXPECT_EQ(*unframed(frame("")), "");
  std::string huge = frame("abc");
  huge.replace(1, 4, "\xff\xff\xff\xff");
  std::string compressed = frame("abc");
  compressed[0] = '\1';
  for (const auto& bad : {std::string(), std::string("\0\0\0", 3), frame("abc") + "d",
                          frame("abc").substr(0, 7), huge, compressed}) {
    EXPECT_FALSE(unframed(bad)) << bad.size();
  }
}

std::string grpc_request(bool packed) {
  std::string message;
  proto::Writer(message).message(2, [&](proto::Writer& tokenized) {
    tokenized.bytes(1, "text");
    if (packed) {
      tokenized.bytes(2, std::string("\x07\xac\x02", 3));  // 7, 300
    } else {
      tokenized.varint(2, 7);
      tokenized.varint(2, 300);
    }
  });
  proto::Writer(message).flag(5, true);
  return message;
}

TEST(Parsers, ReadTokenIdsOfVllmsGrpc) {
  for (const bool packed : {true, false}) {
    const auto prompt = vllm_grpc_prompt(grpc_request(packed));
    ASSERT_TRUE(prompt);
    EXPECT_THAT(prompt->ids, ElementsAre(7, 300));
    EXPECT_TRUE(prompt->stream);
  }
  std::string text;
  proto::Writer(text).bytes(3, "hello");
  EXPECT_EQ(vllm_grpc_prompt(text)->text, "hello");
  EXPECT_FALSE(vllm_grpc_prompt(""));
  EXPECT_FALSE(vllm_grpc_prompt("\x12\xff"));
}

TEST(Parsers, OfGrpcNeedAPoolOfHttp2) {  // epp:C014
  constexpr std::array kMixed = {Parser::kOpenai, Parser::kVllmGrpc};
  EXPECT_TRUE(speak(kUsual, "http"));
  EXPECT_TRUE(speak(kUsual, "kubernetes.io/h2c"));
  EXPECT_FALSE(speak(kMixed, "http"));
  EXPECT_FALSE(speak(std::array{Parser::kVertexAi}, "http"));
  EXPECT_TRUE(speak(kMixed, "kubernetes.io/h2c"));
  EXPECT_TRUE(speak(kMixed, ""));
  EXPECT_FALSE(speak(kUsual, "kubernetes.io/ws"));
}

class ParserTest : public ExtProcTest {
 protected:
  void with(std::string_view parser) {
    serve(kThree,
          "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: "
          "queue-scorer}, {type: " +
              std::string(parser) +
              "}]\nrequestHandler: {parsers: [{pluginRef: " + std::string(parser) + "}]}\n");
  }
  // The status of an ImmediateResponse, 0 when the request is routed with its bytes as they are.
  int status(std::string_view path, std::string_view bytes) {
    begin();
    const auto answers = ask(bytes, head(std::string(path)));
    if (answers.empty()) return -1;
    if (answers[0].kind != Kind::kImmediate) {
      EXPECT_EQ(text_of(answers, Kind::kRequestBody), bytes);
    }
    said_ = answers[0].text;
    return answers[0].status;
  }
  // What passes to the client of an answer to it.
  std::string answered(std::string_view type, std::string_view bytes) {
    send(testing::headers(Side::kResponse,
                          {{":status", "200"}, {"content-type", std::string(type)}}));
    return text_of(send(testing::body(Side::kResponse, bytes, true)), Kind::kResponseBody);
  }
  std::string said_;
};

TEST_F(ParserTest, TheRequestsPathIsFoundInOtherHeaders) {  // epp:P004
  serve(kThree);
  const auto said = [&](const testing::Fields& fields) {
    begin();
    return ask(R"({"model":"m"})", fields)[0].text;
  };
  EXPECT_THAT(said({{"x-original-path", "/v1/chat/completions"}, {"x-forwarded-path", "/y"}}),
              HasSubstr("chat completions"));
  EXPECT_THAT(said({{"x-forwarded-path", "/v1/embeddings"}}), HasSubstr("embeddings"));
  EXPECT_THAT(said({}), HasSubstr("invalid completions request"));
}

TEST_F(ParserTest, CompletionsTakeAStringStringsOrTokenIds) {  // epp:P005
  serve(kThree);
  const auto prompt = [&](std::string_view json) {
    return status("/v1/completions", R"({"model":"m","prompt":)" + std::string(json) + "}");
  };
  for (const auto* good : {R"("x")", R"(["a","b"])", R"(["a",""])", "[1,2]"}) {
    EXPECT_EQ(prompt(good), 0) << good;
  }
  for (const auto* bad :
       {R"("")", "[]", R"(["",""])", "{}", "7", R"([1,"a"])", "[-1]", "null", "[[1]]", "[1.5]"}) {
    EXPECT_EQ(prompt(bad), 400) << bad;
    EXPECT_EQ(said_,
              "inference error: BadRequest - invalid completions request: must have prompt field");
  }
}

TEST_F(ParserTest, ChatsTakeEveryKindOfContent) {  // epp:P006
  serve(kThree);
  const auto chat = [&](std::string_view messages, std::string_view more = "") {
    return status("/v1/chat/completions",
                  R"({"model":"m","messages":)" + std::string(messages) + std::string(more) + "}");
  };
  constexpr std::string_view kParts = R"([{"role":"user","content":[{"type":"text","text":"a"},
    {"type":"image_url","image_url":{"url":"data:,x"}},{"type":"video_url","video_url":{"url":"v"}},
    {"type":"input_audio","input_audio":{"data":"d","format":"wav"}}]},
    {"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},{"role":"tool","content":"r"}])";
  EXPECT_EQ(chat(kParts), 0);
  EXPECT_EQ(chat(kParts, R"(,"tools":[{"type":"function"}],"documents":[],"chat_template":"t",
    "chat_template_kwargs":{},"add_generation_prompt":true,"continue_final_message":false,
    "return_assistant_tokens_mask":false)"),
            0);
  constexpr std::string_view kOne = R"([{"role":"user","content":"x"}])";
  for (const auto* bad : {"[]", R"([{"role":1,"content":"x"}])", R"([{"content":"x"}])", "[7]",
                          R"([{"role":"user","content":7}])", R"("x")"}) {
    EXPECT_EQ(chat(bad), 400) << bad;
  }
  for (const auto* bad : {R"(,"tools":{})", R"(,"documents":"x")", R"(,"chat_template":1)",
                          R"(,"chat_template_kwargs":[])", R"(,"add_generation_prompt":"yes")"}) {
    EXPECT_EQ(chat(kOne, bad), 400) << bad;
  }
}

TEST_F(ParserTest, OtherApisNeedTheirPrompt) {  // epp:P008
  serve(kThree);
  EXPECT_EQ(status("/v1/responses", R"({"model":"m","input":[{"role":"user"}],"tools":[]})"), 0);
  EXPECT_EQ(status("/v1/conversations", R"({"model":"m","items":[{"type":"message"}]})"), 0);
  EXPECT_EQ(status("/v1/embeddings", R"({"model":"m","input":["a"]})"), 0);
  for (const auto& [path, body, what] :
       {std::tuple("/v1/responses", R"({"model":"m"})", "responses request: must have input"),
        std::tuple("/v1/responses", R"({"model":"m","input":null})", "must have input"),
        std::tuple("/v1/conversations", R"({"model":"m","items":[]})", "must have items"),
        std::tuple("/v1/embeddings", R"({"model":"m","input":""})", "must have input")}) {
    EXPECT_EQ(status(path, body), 400) << body;
    EXPECT_THAT(said_, HasSubstr(what));
  }
}

TEST_F(ParserTest, AnImageRequestIsRoutedWithoutPrefix) {  // epp:P018
  serve(kThree);
  EXPECT_EQ(status("/v1/images/generations", R"({"model":"m","prompt":"a cat"})"), 0);
  EXPECT_EQ(picker_->recorder.find("r1")->find_path({"request", "promptBlocks"})->if_int(), 0);
  EXPECT_EQ(status("/v1/images/generations", R"({"model":"m","prompt":""})"), 400);
}

TEST_F(ParserTest, AnthropicsMessages) {  // epp:P011
  serve(kThree);
  for (const auto* good :
       {R"({"model":"m","max_tokens":5,"system":"s","messages":[{"role":"user","content":"x"}]})",
        R"({"model":"m","system":[{"type":"text","text":"s"}],"tools":[{"name":"t"}],"messages":[
          {"role":"user","content":[{"type":"image","source":{}},{"type":"text","text":"x"}]},
          {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"t","input":{}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]}]})"}) {
    EXPECT_EQ(status("/v1/messages", good), 0) << good;
  }
  EXPECT_EQ(status("/v1/messages", R"({"model":"m","messages":[]})"), 400);
  EXPECT_EQ(status("/v1/messages", R"({"model":"m"})"), 400);
  with("anthropic-parser");
  EXPECT_EQ(status("/v1/completions", R"({"model":"m","prompt":"x"})"), 400);
}

TEST_F(ParserTest, CountingTokensPassesWhateverItsBodyIs) {  // epp:P012
  serve(kThree);
  for (const auto* bytes : {R"({"model":"m"})", "", "no json"}) {
    EXPECT_EQ(status("/v1/messages/count_tokens", bytes), 0);
    EXPECT_TRUE(ended_);
  }
}

// The blocks and tokens of the last request's prompt.
std::pair<std::int64_t, std::int64_t> counted(const testing::Picker& picker) {
  const auto record = *picker.recorder.find("r1");
  return {*record.find_path({"request", "promptTokens"})->if_int(),
          *record.find_path({"request", "promptBytes"})->if_int()};
}

TEST_F(ParserTest, VllmsGenerateCountsItsTokens) {  // epp:P013
  serve(kThree);
  EXPECT_EQ(status("/inference/v1/generate",
                   R"({"model":"m","token_ids":[1,2,3],"features":{"mm_hashes":{}}})"),
            0);
  EXPECT_EQ(counted(*picker_), std::pair(3L, 12L));
  EXPECT_EQ(status("/inference/v1/generate", R"({"model":"m","token_ids":[]})"), 400);
  EXPECT_EQ(status("/inference/v1/generate", R"({"model":"m","token_ids":["a"]})"), 400);
}

TEST_F(ParserTest, SglangsGenerateTakesOneFlatListOfIds) {  // epp:P014
  with("sglanghttp-parser");
  EXPECT_EQ(status("/generate", R"({"input_ids":[5,6],"extra_key":"salt"})"), 0);
  EXPECT_EQ(counted(*picker_), std::pair(2L, 8L));
  for (const auto* bad :
       {R"({})", R"({"input_ids":[]})", R"({"input_ids":[-1]})", R"({"input_ids":[1.5]})",
        R"({"input_ids":[4294967296]})", R"({"input_ids":[[1],[2]]})", R"({"text":"x"})",
        R"({"input_embeds":[]})", R"({"input_ids":[1],"extra_key":["a"]})"}) {
    EXPECT_EQ(status("/generate", bad), 400) << bad;
  }
  EXPECT_EQ(status("/v1/regenerate", R"({"input_ids":[5]})"), 400);
  EXPECT_THAT(said_, HasSubstr("no parser registered"));
}

TEST_F(ParserTest, SglangsAnswersTellTheirTokensInMetaInfo) {  // epp:P015
  with("sglanghttp-parser");
  constexpr std::string_view kEvents = "text/event-stream";
  const std::string part =
      "data: {\"text\":\"a\",\"meta_info\":{\"prompt_tokens\":9,\"completion_tokens\":1,"
      "\"finish_reason\":null}}\n\n";
  const std::string last =
      "data: {\"text\":\"ab\",\"meta_info\":{\"finish_reason\":{\"type\":\"stop\"},"
      "\"prompt_tokens\":9,\"completion_tokens\":2,\"cached_tokens\":4}}\n\n";
  struct Case {
    std::string_view type;
    std::string bytes;
    double input, output, cached, cached_answers;  // more than before
  };
  for (
      const auto& [type, bytes, input, output, cached, cached_answers] : std::vector<Case>{
          {"application/json",
           R"({"text":"x","meta_info":{"prompt_tokens":7,"completion_tokens":3,"cached_tokens":5}})",
           7, 3, 5, 1},
          {kEvents, part + last + "data: [DONE]\n\n", 9, 2, 4, 1},
          {kEvents, part, 0, 0, 0, 0},  // ends before its last chunk
          {"application/json",
           R"({"meta_info":{"prompt_tokens":0,"completion_tokens":0,"cached_tokens":0}})", 0, 0, 0,
           1},
      }) {
    ASSERT_EQ(status("/generate", R"({"input_ids":[5,6]})"), 0);
    const auto counts = [&] {
      return std::array{metric(series("request_input_tokens_sum", "", "")),
                        metric(series("request_output_tokens_sum", "", "")),
                        metric(series("request_cached_tokens_sum", "", "")),
                        metric(series("request_cached_tokens_count", "", ""))};
    };
    const auto before = counts();
    EXPECT_EQ(answered(type, bytes), bytes);
    const auto after = counts();
    EXPECT_EQ(after[0] - before[0], input) << bytes;
    EXPECT_EQ(after[1] - before[1], output) << bytes;
    EXPECT_EQ(after[2] - before[2], cached) << bytes;
    EXPECT_EQ(after[3] - before[3], cached_answers) << bytes;
  }
  EXPECT_EQ(metric("baton_epp_unread_usage_total"), 0);
}

TEST_F(ParserTest, ABrokenReportIsLoggedAndPassesAsItIs) {  // epp:P015
  with("sglanghttp-parser");
  std::string logged;
  log::redirect([&](std::string_view line) { logged += line; });
  double count = 0;
  for (const std::string_view bytes : {R"({"meta_info":)", R"({"meta_info":{"prompt_tokens":}})"}) {
    ASSERT_EQ(status("/generate", R"({"input_ids":[5,6]})"), 0);
    logged.clear();
    EXPECT_EQ(answered("application/json", bytes), bytes);
    EXPECT_THAT(logged, HasSubstr("the tokens of an answer cannot be read"));
    EXPECT_EQ(metric("baton_epp_unread_usage_total"), ++count);
  }
  log::redirect(nullptr);
  EXPECT_EQ(metric(series("request_input_tokens_count", "", "")), 0);
}

TEST_F(ParserTest, VllmsGrpcIsReadByFrame) {  // epp:P016
  with("vllmgrpc-parser");
  for (const auto* method : {"Generate", "Embed"}) {
    EXPECT_EQ(
        status("/vllm.grpc.engine.VllmEngine/" + std::string(method), frame(grpc_request(true))),
        0);
    EXPECT_EQ(counted(*picker_), std::pair(2L, 8L));
  }
  EXPECT_EQ(status("/vllm.grpc.engine.VllmEngine/Generate", "abc"), 400);
  EXPECT_EQ(status("/vllm.grpc.engine.VllmEngine/Generate", frame("\x12\xff")), 400);
}

std::string vertex(std::string_view json) {
  std::string message;
  proto::Writer writer(message);
  writer.bytes(1, "projects/p/endpoints/e");
  writer.message(2, [&](proto::Writer& body) {
    body.bytes(1, "application/json");
    body.bytes(2, json);
  });
  return frame(message);
}

TEST_F(ParserTest, VertexRequestsAreReadInside) {  // epp:P017
  with("vertexai-parser");
  constexpr std::string_view kChat = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
  const std::string service = "/google.cloud.aiplatform.v1.PredictionService/";
  for (const auto* method : {"ChatCompletions", "StreamRawPredict", "RawPredict"}) {
    EXPECT_EQ(status(service + method, vertex(kChat)), 0);
    EXPECT_EQ(metric(series("request_total")) > 0, true);
  }
  EXPECT_EQ(status(service + "RawPredict", vertex(R"({"model":"m"})")), 400);
  EXPECT_EQ(status(service + "RawPredict", vertex("no json")), 400);
  EXPECT_EQ(status(service + "RawPredict", frame("\x12\xff")), 400);
  EXPECT_EQ(status(service + "RawPredict", "xx"), 400);
  EXPECT_EQ(status(service + "RawPredict",
                   vertex(R"({"model":"m","messages":[{"role":"user","content":"x"}],)"
                          R"("kv_transfer_params":{}})")),
            400);
}

TEST_F(ParserTest, PromptsOfDifferentSaltsShareNothing) {  // epp:P009
  const auto ask_and_answer = [&](std::string_view path, std::string_view body) {
    begin();
    ask(body, head(std::string(path)));
    send(testing::headers(Side::kResponse, {{":status", "200"}}));
    send(testing::body(Side::kResponse, "{}", true));
  };
  const std::string text(400, 'x');
  const std::vector<std::pair<std::string, std::string>> prompts = {
      {"/v1/completions", R"("prompt":")" + text + R"(")"},
      {"/v1/chat/completions", R"("messages":[{"role":"user","content":")" + text + R"("}])"},
      {"/v1/responses", R"("input":")" + text + R"(")"},
      {"/v1/messages", R"("messages":[{"role":"user","content":")" + text + R"("}])"}};
  for (const auto& [path, prompt] : prompts) {
    serve({{"a", "10.0.0.1"}});
    const auto held = [&](std::string_view salt) {
      ask_and_answer(path,
                     R"({"model":"m","cache_salt":")" + std::string(salt) + R"(",)" + prompt + "}");
      return *picker_->recorder.find("r1")->find_path({"request", "matchesKnown"})->if_bool();
    };
    EXPECT_FALSE(held("one")) << path;
    EXPECT_FALSE(held("two")) << path;
    EXPECT_TRUE(held("one")) << path;
  }
}

}  // namespace
}  // namespace baton::epp
