#include "formats/openai/prompt_text.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/text/json.hpp"
#include "formats/openai/answer_text.hpp"

namespace baton::openai {
namespace {

std::string chat(std::string body) {
  PromptReader reader;
  auto prompt = reader.read(body, Api::kChat);
  EXPECT_TRUE(prompt) << prompt.error().message();
  return std::string(prompt->text);
}

std::string completion(std::string body) {
  PromptReader reader;
  auto prompt = reader.read(body, Api::kCompletion);
  EXPECT_TRUE(prompt) << prompt.error().message();
  return std::string(prompt->text);
}

TEST(PromptText, FlattensAConversationToRolesAndContents) {
  EXPECT_EQ(chat(R"({"messages":[{"role":"system","content":"Be brief."},
                                 {"content":"Hi \"you\" é","role":"user"}]})"),
            "\x1e"
            "system\x1f"
            "Be brief."
            "\x1e"
            "user\x1f"
            "Hi \"you\" é");
}

TEST(PromptText, TheNextTurnExtendsThePromptAndItsAnswer) {
  const auto first = chat(R"({"messages":[{"role":"user","content":"Hello"}]})");
  const auto second = chat(R"({"messages":[{"role":"user","content":"Hello"},
      {"role":"assistant","content":"World"},{"role":"user","content":"Continue"}]})");

  EXPECT_EQ(second,
            first + std::string(answer_mark(Api::kChat)) + "World\x1euser\x1f" + "Continue");
}

TEST(PromptText, TextPartsReadLikeOneString) {
  EXPECT_EQ(chat(R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},
                     {"text":"b","type":"text"}]}]})"),
            chat(R"({"messages":[{"role":"user","content":"ab"}]})"));
}

TEST(PromptText, OtherPartsAndToolsAreTakenAsWritten) {
  EXPECT_EQ(
      chat(
          R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}],
                     "tools":[{"a":1}]})"),
      "[{\"a\":1}]\x1euser\x1f{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}");
}

TEST(PromptText, PicturesAndSoundAreToldButNotWhatIsEncodedAlready) {
  const auto multimodal = [](std::string_view type) {
    std::string body = R"({"messages":[{"role":"user","content":[{"type":")" + std::string(type) +
                       R"(","x":1},{"type":"text","text":"b"}]}]})";
    PromptReader reader;
    return reader.read(body, Api::kChat)->multimodal;
  };
  for (const auto* type : {"image_url", "image", "video_url", "audio_url", "input_audio"}) {
    EXPECT_TRUE(multimodal(type)) << type;
  }
  for (const auto* type : {"text", "image_embeds", "audio_embeds"}) {
    EXPECT_FALSE(multimodal(type)) << type;
  }
}

TEST(PromptText, ReadsModelStreamAndN) {
  PromptReader reader;
  std::string body = R"({"model":"m","stream":true,"n":3,"messages":[],"x":{"model":"no"}})";
  const auto prompt = reader.read(body, Api::kChat);

  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->model, "m");
  EXPECT_TRUE(prompt->stream);
  EXPECT_EQ(prompt->n, 3);
}

TEST(PromptText, ReadsEveryFormOfACompletionPrompt) {
  EXPECT_EQ(completion(R"({"prompt":"abc"})"), "abc");
  EXPECT_EQ(completion(R"({"prompt":["a","b"]})"),
            "a\x1d"
            "b");
  EXPECT_EQ(completion(R"({"prompt":[1,258]})"), std::string("\1\0\0\0\2\1\0\0", 8));
}

TEST(PromptText, WrongMemberTypesCountAsAbsent) {
  EXPECT_EQ(chat(R"({"messages":"x","model":7,"stream":"yes","n":"2"})"), "");
  EXPECT_EQ(chat(R"({"messages":[1,null,{"role":3,"content":{"a":1}}]})"), "\x1e\x1f");
}

TEST(PromptText, TellsOfTransferParametersWhereverVllmReadsThem) {
  const auto has = [](std::string body) {
    PromptReader reader;
    auto prompt = reader.read(body, Api::kGenerate);
    return prompt && prompt->has_transfer_params;
  };
  EXPECT_TRUE(has(R"({"kv_transfer_params":null})"));
  EXPECT_TRUE(has(R"({"sampling_params":{"n":1,"k\u0076_transfer_params":{}}})"));
  EXPECT_TRUE(has(R"({"sampling_params":{"extra_args":{"kv_transfer_params":{}}}})"));
  EXPECT_TRUE(has(R"({"vllm_xargs":{"kv_transfer_params":"a"}, "vllm_xargs":1})"));
  for (const auto* key : {"sampling_params", "vllm_xargs"}) {
    const auto of = [&](std::string_view extra) {
      return has("{\"" + std::string(key) + "\":{" + std::string(extra) + "}}");
    };
    EXPECT_TRUE(of(R"("extra_args":{},"extra_args":{"kv_transfer_params":{}})")) << key;
    EXPECT_TRUE(of(R"("extra_args":{"kv_transfer_params":{}},"extra_args":{})")) << key;
    EXPECT_TRUE(of(R"("extra_args":1,"extra_\u0061rgs":{"kv_transfer_params":{}})")) << key;
    EXPECT_FALSE(of(R"("extra_args":{},"extra_args":1)")) << key;
  }
  EXPECT_FALSE(has(R"({"sampling_params":{"a":{"kv_transfer_params":{}}}})"));
  EXPECT_FALSE(has(R"({"sampling_params":"kv_transfer_params","vllm_xargs":[1]})"));
}

TEST(PromptText, RefusesWhatIsNoJsonObject) {
  PromptReader reader;
  for (std::string body : {"", "[1]", "{", "{\"model\":\"a\\ud800\"}", "{\"a\":1} x", "{\"a\" 1}",
                           "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"}) {
    const auto prompt = reader.read(body, Api::kChat);
    ASSERT_FALSE(prompt) << body;
    EXPECT_EQ(prompt.error().code(), Code::kInvalid);
  }
}

std::string event(std::string_view content) {
  std::string json = R"(data: {"choices":[{"index":0,"delta":{"content":)";
  text::json::append_quoted(json, content);
  return json + "}}]}\n\n";
}

TEST(AnswerText, CollectsTheDeltasHoweverTheStreamIsCut) {
  const std::string stream =
      event("Once") + event(" upon\n") + ": comment\n\n" + event("é") + "data: [DONE]\n\n";
  for (std::size_t piece = 1; piece < 40; ++piece) {
    AnswerText answer(Api::kChat, AnswerForm::kEvents);
    std::string text;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      text += answer.feed(std::string_view(stream).substr(at, piece));
    }
    EXPECT_EQ(text, "Once upon\né") << piece;
    EXPECT_EQ(answer.tokens(), 3);
  }
}

TEST(PromptText, ReadsHowMuchMayBeGenerated) {
  // epp:P010
  PromptReader reader;
  const auto most = [&](Api api, std::string body) {
    const auto read = reader.read(body, api);
    return read ? read->most_tokens : std::optional<std::int64_t>(-2);
  };
  const auto chat = [&](std::string_view limits) {
    return most(Api::kChat, R"({"messages":[],)" + std::string(limits) + R"("model":"m"})");
  };
  EXPECT_EQ(chat(""), std::nullopt);
  EXPECT_EQ(chat(R"("max_tokens":5,)"), 5);
  EXPECT_EQ(chat(R"("max_completion_tokens":7,"max_tokens":5,)"), 7);
  EXPECT_EQ(chat(R"("max_tokens":5,"max_completion_tokens":7,)"), 7);
  EXPECT_EQ(chat(R"("max_completion_tokens":null,"max_tokens":5,)"), 5);
  EXPECT_EQ(chat(R"("max_tokens":0,)"), 0);
  for (const auto* none : {"-1", "1.5", "\"5\"", "null", "[]"}) {
    EXPECT_EQ(chat(R"("max_tokens":)" + std::string(none) + ","), std::nullopt) << none;
  }
  EXPECT_EQ(most(Api::kCompletion, R"({"prompt":"a","max_tokens":9})"), 9);
  EXPECT_EQ(most(Api::kMessages, R"({"messages":[],"max_tokens":9})"), 9);
  EXPECT_EQ(most(Api::kResponses, R"({"input":"a","max_output_tokens":9,"max_tokens":3})"), 9);
  EXPECT_EQ(most(Api::kGenerate, R"({"token_ids":[1],"sampling_params":{"max_tokens":4}})"), 4);
  EXPECT_EQ(most(Api::kSglang, R"({"input_ids":[1],"sampling_params":{"max_new_tokens":4}})"), 4);
  EXPECT_EQ(most(Api::kSglang, R"({"input_ids":[1],"sampling_params":7})"), std::nullopt);
}

TEST(PromptText, ListsPicturesSoundAndVideoWhenAsked) {
  // epp:K011
  PromptReader reader;
  const auto listed = [&](Api api, std::string body, Media media = Media::kList) {
    std::vector<std::pair<std::string, std::uint64_t>> out;
    const auto read = reader.read(body, api, media);
    if (!read) return out;
    for (const auto& item : read->media) out.emplace_back(item.kind, item.hash);
    return out;
  };
  const std::string mixed =
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"t"},)"
      R"({"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},)"
      R"({"type":"input_audio","input_audio":{"data":"BBBB","format":"wav"}},)"
      R"({"type":"video_url","video_url":{"url":"http://v"}}]},)"
      R"({"role":"user","content":[{"type":"image_url","image_url":"data:image/png;base64,AAAA"}]}]})";
  const auto items = listed(Api::kChat, mixed);
  ASSERT_EQ(items.size(), 4U);
  EXPECT_EQ(items[0].first, "image");
  EXPECT_EQ(items[1].first, "audio");
  EXPECT_EQ(items[2].first, "video");
  EXPECT_EQ(items[3], items[0]);
  EXPECT_NE(items[1].second, items[2].second);
  EXPECT_TRUE(listed(Api::kChat, mixed, Media::kPass).empty());
  const auto anthropic = listed(
      Api::kMessages,
      R"({"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AAAA"}},)"
      R"({"type":"image","source":7},{"type":"image"}]}]})");
  EXPECT_EQ(anthropic.size(), 1U);
  const auto hashes = listed(
      Api::kGenerate,
      R"({"features":{"mm_hashes":{"image":["h1","h2"],"audio":["h1"],"video":7}},"token_ids":[1]})");
  ASSERT_EQ(hashes.size(), 3U);
  EXPECT_EQ(hashes[0].second, hashes[2].second);
  std::string many = R"({"features":{"mm_hashes":{"image":["x")";
  for (std::size_t i = 0; i < kMostMedia; ++i) many += ",\"" + std::to_string(i) + "\"";
  EXPECT_EQ(listed(Api::kGenerate, many + R"(]}},"token_ids":[1]})").size(), kMostMedia);
}

TEST(AnswerText, TakesTheFirstChoiceAndTheUsage) {
  AnswerText answer(Api::kCompletion, AnswerForm::kEvents);
  const std::string stream =
      "data: {\"choices\":[{\"text\":\"a\",\"index\":0},{\"text\":\"b\",\"index\":1}]}\n"
      "data: {\"choices\":[],\"usage\":{\"completion_tokens\":42}}\n";

  EXPECT_EQ(answer.feed(stream), "a");
  EXPECT_EQ(answer.tokens(), 42);
}

TEST(AnswerText, ReadsAJsonBodyAtItsEnd) {
  AnswerText answer(Api::kChat, AnswerForm::kJson);
  answer.feed(R"({"choices":[{"index":0,"message":{"role":"assistant","content":"Hi)");
  answer.feed(R"( there"}}],"usage":{"completion_tokens":2}})");

  EXPECT_EQ(answer.finish(), "Hi there");
  EXPECT_EQ(answer.tokens(), 2);
}

TEST(AnswerText, ReadsMessagesWholeAndStreamed) {
  AnswerText whole(Api::kMessages, AnswerForm::kJson);
  whole.feed(
      R"({"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":3,"output_tokens":2}})");
  EXPECT_EQ(whole.finish(), "Hi");
  EXPECT_EQ(whole.tokens(), 2);
  AnswerText streamed(Api::kMessages, AnswerForm::kEvents);
  EXPECT_EQ(streamed.feed(
                "event: content_block_delta\ndata: "
                "{\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n"
                "event: message_delta\ndata: {\"delta\":{},\"usage\":{\"output_tokens\":7}}\n\n"),
            "Hi");
  EXPECT_EQ(streamed.tokens(), 7);
}

TEST(AnswerText, GivesTokenIdsAsPromptsOfThemAreFlattened) {
  AnswerText answer(Api::kGenerate, AnswerForm::kJson);
  answer.feed(R"({"choices":[{"index":0,"token_ids":[1,258]}]})");
  EXPECT_EQ(answer.finish(), std::string_view("\1\0\0\0\2\1\0\0", 8));
}

TEST(AnswerText, CountsTheTokensOfResponses) {
  AnswerText answer(Api::kResponses, AnswerForm::kEvents);
  EXPECT_EQ(answer.feed("data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"), "");
  EXPECT_EQ(answer.tokens(), 1);
  answer.feed(
      "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"output_tokens\":9}}}\n\n");
  EXPECT_EQ(answer.tokens(), 9);
}

TEST(AnswerText, PassesOverBrokenAndOverlongLines) {
  AnswerText answer(Api::kChat, AnswerForm::kEvents);
  EXPECT_EQ(answer.feed("data: {\"choices\":[{\"delta\":{\"content\":\n"), "");
  answer.feed("data: {" + std::string(kMaxEventLine, 'x'));
  EXPECT_EQ(answer.feed("more\n" + event("ok")), "ok");
}

}  // namespace
}  // namespace baton::openai
