// The encode stage and chunked decode as pure functions.

#include "routing/sidecar/encoding.hpp"

#include <gmock/gmock.h>

#include "routing/sidecar/chunked_decode.hpp"

namespace baton::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string chat_of(std::string_view parts) {
  return R"({"messages":[{"role":"user","content":[{"type":"text","text":"x"})" +
         std::string(parts) + R"(]}],"max_tokens":9})";
}
std::vector<std::string> items_of(const std::string& body) {
  auto index = openai::BodyIndex::scan(body);
  auto items = media_items(*index);
  return items ? *items : std::vector<std::string>{items.error().message()};
}
const std::string kImage = R"({"type":"image_url","image_url":{"url":"http://a/1"}})";
const std::string kPlain = R"({"type":"image_url","image_url":"http://a/1"})";
const std::string kVideo = R"({"type":"video_url","video_url":{"url":"http://a/1"}})";
const std::string kAudio = R"({"type":"input_audio","input_audio":{"data":"AA","format":"wav"}})";
const std::string kAudioUrl = R"({"type":"audio_url","audio_url":{"url":"http://a/2"}})";

// sidecar:35 which parts are items, where their URL stands, and what an encoder is asked.
TEST(Encoding, FindsEveryMediaPart) {
  EXPECT_THAT(items_of(chat_of("")), IsEmpty());
  EXPECT_THAT(items_of(R"({"messages":[{"role":"user","content":"text"}]})"), IsEmpty());
  EXPECT_THAT(items_of(R"({"messages":"?"})"), IsEmpty());
  EXPECT_THAT(items_of(R"({})"), IsEmpty());
  EXPECT_THAT(items_of(chat_of("," + kImage)), ElementsAre(kImage));
  EXPECT_THAT(items_of(chat_of("," + kImage + "," + kAudio + "," + kVideo + "," + kAudioUrl)),
              ElementsAre(kImage, kAudio, kVideo, kAudioUrl));
}

// sidecar:35
TEST(Encoding, AsksForOneItemAndOneToken) {
  const std::string body = chat_of("," + kImage);
  auto index = openai::BodyIndex::scan(body);
  const std::string messages = R"("messages":[{"role":"user","content":[)" + kImage + "]}]";
  EXPECT_EQ(encode_body(*index, kImage), "{" + messages + R"(,"max_tokens":1,"stream":false})");
  const std::string newer =
      R"({"messages":[],"max_completion_tokens":5,"stream":true,"stream_options":{}})";
  EXPECT_EQ(encode_body(*openai::BodyIndex::scan(newer), kImage),
            "{" + messages + R"(,"max_completion_tokens":1,"stream":false,"max_tokens":1})");
}

// sidecar:36
TEST(Encoding, TakesAnImageOrVideoOnceAndEveryAudio) {
  EXPECT_THAT(items_of(chat_of("," + kImage + "," + kPlain + "," + kImage)), ElementsAre(kImage));
  EXPECT_THAT(items_of(chat_of("," + kVideo + "," + kVideo + "," + kImage)),
              ElementsAre(kVideo, kImage));
  const std::string other = R"({"type":"image_url","image_url":{"url":"http://a/2"}})";
  EXPECT_THAT(items_of(chat_of("," + kImage + "," + other)), ElementsAre(kImage, other));
  EXPECT_THAT(items_of(chat_of("," + kAudio + "," + kAudio)), ElementsAre(kAudio, kAudio));
  EXPECT_THAT(items_of(chat_of("," + kAudioUrl + "," + kAudioUrl)),
              ElementsAre(kAudioUrl, kAudioUrl));
}

TEST(Encoding, RefusesMoreItemsThanItsBound) {
  std::string many;
  for (std::size_t i = 0; i <= kMaxItems; ++i) many += "," + kAudio;
  EXPECT_THAT(items_of(chat_of(many)), ElementsAre("more than 64 images, videos and audios"));
}

// sidecar:37 what the answers hand over is merged, the later wins, a missing one is passed by.
TEST(Encoding, MergesWhatTheAnswersHandOver) {
  Encoded encoded(EcConnector::kNixl);
  EXPECT_TRUE(encoded.add(R"({"ec_transfer_params":{"a":{"x":1},"b":2}})"));
  EXPECT_FALSE(encoded.add(R"({"ec_transfer_params":null})"));
  EXPECT_FALSE(encoded.add("{}"));
  EXPECT_FALSE(encoded.add("<html>"));
  EXPECT_TRUE(encoded.add(R"({"ec_transfer_params":{"b":3}})"));
  auto body = openai::BodyIndex::scan(R"({"m":1})");
  EXPECT_EQ(body->splice(encoded.edits()).join(),
            R"({"m":1,"cache_hit_threshold":0,"ec_transfer_params":{"a":{"x":1},"b":3}})");

  Encoded store(EcConnector::kExample);
  EXPECT_TRUE(store.add(R"({"ec_transfer_params":{"a":1}})"));
  EXPECT_EQ(body->splice(store.edits()).join(), R"({"m":1,"cache_hit_threshold":0})");
}

std::optional<ChunkedDecode> planned(const openai::BodyIndex& index, std::int64_t size = 4) {
  return ChunkedDecode::plan(index, size);
}
std::string answer(std::string_view text, std::string_view reason, int made) {
  return R"({"id":"c1","created":7,"model":"m","choices":[{"index":0,"message":{"role":)"
         R"("assistant","content":")" +
         std::string(text) + R"("},"finish_reason":")" + std::string(reason) +
         R"("}],"usage":{"prompt_tokens":10,"completion_tokens":)" + std::to_string(made) +
         R"(,"total_tokens":99}})";
}

// sidecar:39 sidecar:40 two chunks joined; the message that is appended; the budget used up.
TEST(ChunkedDecode, JoinsChunksIntoOneAnswer) {
  const std::string body = R"({"messages":[{"role":"user","content":"q"}],"max_tokens":6})";
  auto index = *openai::BodyIndex::scan(body);
  auto chunks = planned(index);
  ASSERT_TRUE(chunks);
  EXPECT_EQ(index.splice(chunks->edits()).join(),
            R"({"messages":[{"role":"user","content":"q"}],"max_tokens":4,)"
            R"("max_completion_tokens":4,"stream":false})");

  EXPECT_EQ(*chunks->take(answer("one \\\"", "length", 4)), true);
  EXPECT_EQ(
      index.splice(chunks->edits()).join(),
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"one \""}],)"
      R"("max_tokens":2,"max_completion_tokens":2,"stream":false,)"
      R"("continue_final_message":true,"add_generation_prompt":false})");
  EXPECT_EQ(*chunks->take(answer(" two", "length", 2)), false);  // the budget is used up

  EXPECT_EQ(chunks->whole(),
            R"({"id":"c1","created":7,"model":"m","choices":[{"index":0,"message":{"role":)"
            R"("assistant","content":"one \" two"},"finish_reason":"length"}],)"
            R"("usage":{"prompt_tokens":10,"completion_tokens":6,"total_tokens":16}})");
}

// sidecar:39 sidecar:40 what ends it; without a budget nothing else does.
TEST(ChunkedDecode, EndsEarlyAndWithoutText) {
  const std::string body = R"({"messages":[{}]})";  // no limit
  auto index = *openai::BodyIndex::scan(body);
  for (auto [text, reason] : {std::pair("a", "stop"), {"a", "tool_calls"}, {"", "length"}}) {
    auto chunks = planned(index);
    EXPECT_EQ(*chunks->take(answer(text, reason, 1)), false) << reason;
  }
  auto chunks = planned(index);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*chunks->take(answer("a", "length", 4)), true);
  EXPECT_FALSE(chunks->take("<html>"));
  EXPECT_FALSE(planned(index)->take(R"({"choices":[]})"));
}

// sidecar:39 sidecar:40 which budget counts, and what cannot be continued as text.
TEST(ChunkedDecode, IsForPlainChatsLongerThanAChunk) {
  auto chunked = [](std::string_view members) {
    const std::string body =
        R"({"messages":[{"role":"user","content":"q"}],)" + std::string(members) + "}";
    auto index = *openai::BodyIndex::scan(body);
    return planned(index).has_value();
  };
  EXPECT_TRUE(chunked(R"("max_tokens":5)"));
  EXPECT_TRUE(chunked(R"("max_tokens":0)"));
  EXPECT_TRUE(chunked(R"("max_tokens":null,"n":1,"logprobs":false,"tools":[])"));
  EXPECT_TRUE(chunked(R"("max_completion_tokens":5,"max_tokens":2)"));
  EXPECT_FALSE(chunked(R"("max_completion_tokens":2,"max_tokens":50)"));
  EXPECT_FALSE(chunked(R"("max_tokens":4)"));
  for (std::string_view member :
       {R"("n":2)", R"("tools":[{}])", R"("logprobs":true)", R"("response_format":{"type":"x"})",
        R"("min_tokens":5)", R"("continue_final_message":true)"}) {
    EXPECT_FALSE(chunked(member)) << member;
  }
  EXPECT_FALSE(planned(*openai::BodyIndex::scan(R"({"messages":[]})")));
  EXPECT_FALSE(planned(*openai::BodyIndex::scan(R"({"prompt":"x"})")));
}

TEST(ChunkedDecode, AsksForTheRestWithoutALimitAndForNothingAfterIt) {
  const std::string body = R"({"messages":[{}]})";
  auto index = *openai::BodyIndex::scan(body);
  auto chunks = planned(index);
  EXPECT_TRUE(chunks->may_lack_room());
  ASSERT_TRUE(*chunks->take(answer("one", "length", 4)));
  chunks->ask_for_rest();
  EXPECT_FALSE(chunks->may_lack_room());
  EXPECT_THAT(index.splice(chunks->edits()).join(), Not(HasSubstr("max_")));
  EXPECT_FALSE(*chunks->take(answer(" two", "length", 2)));
  EXPECT_THAT(chunks->whole(), HasSubstr(R"("content":"one two"},"finish_reason":"length")"));

  const std::string with_limit = R"({"messages":[{}],"max_tokens":9})";
  auto limited = *openai::BodyIndex::scan(with_limit);
  EXPECT_FALSE(planned(limited)->may_lack_room());
}

// sidecar:40 two events, the usage and the end.
TEST(ChunkedDecode, IsAStreamOfOneEventAChunk) {
  const std::string body = R"({"messages":[{}],"stream":true,"stream_options":{}})";
  auto index = *openai::BodyIndex::scan(body);
  auto chunks = planned(index);
  EXPECT_TRUE(chunks->streamed());
  EXPECT_THAT(index.splice(chunks->edits()).join(), Not(HasSubstr("stream_options")));

  ASSERT_TRUE(*chunks->take(answer("one", "length", 4)));
  EXPECT_EQ(chunks->event(),
            R"(data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m",)"
            R"("choices":[{"index":0,"delta":{"role":"assistant","content":"one"},)"
            R"("finish_reason":null}]})"
            "\n\n");
  ASSERT_FALSE(*chunks->take(answer("two", "stop", 1)));
  EXPECT_THAT(chunks->event(), HasSubstr(R"("content":"two"},"finish_reason":"stop")"));
  EXPECT_EQ(chunks->closing(),
            R"(data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m",)"
            R"("choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}})"
            "\n\ndata: [DONE]\n\n");
}

}  // namespace
}  // namespace baton::sidecar
