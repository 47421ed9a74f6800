// Answers of generate, Messages and Responses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/openai/answer_writer.hpp"

namespace baton::openai {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using text::json::Value;

std::unique_ptr<AnswerWriter> writer(Endpoint endpoint, StreamForm form = {}) {
  return make_writer({endpoint, "id_R", 1, "m", {{"instructions", "x"}}}, form);
}

Answer answer(Ending ending) {
  return {{{.text = "Hi", .ending = std::move(ending)}}, {3, 2, 1}, {}};
}

// A stream of "Hel" and "lo" that ends by its length.
std::string stream(AnswerWriter& writer) {
  std::string out;
  writer.begin(out, {3, 0, {}});
  const std::vector<std::uint32_t> ids = {5, 6};
  writer.piece(out, {.text = "Hel", .ids = Ids(ids)});
  const Ending ending{"length", {}};
  writer.piece(out, {.text = "lo", .ending = &ending, .ids = Ids(ids)});
  writer.end(out, {3, 2, {}});
  return out;
}

// The JSON of each event; its `event:` line must say its type.
std::vector<Value> events(std::string_view text) {
  std::vector<Value> out;
  while (!text.empty()) {
    const auto end = text.find("\n\n");
    auto event = text.substr(0, end);
    text.remove_prefix(end + 2);
    std::string_view name;
    if (event.starts_with("event: ")) {
      name = event.substr(7, event.find('\n') - 7);
      event.remove_prefix(event.find('\n') + 1);
    }
    auto json = text::json::parse(event.substr(6));
    EXPECT_TRUE(json) << event;
    if (!name.empty()) EXPECT_EQ(json->string_at({"type"}), name);
    out.push_back(*std::move(json));
  }
  return out;
}

std::vector<std::string> types(const std::vector<Value>& events) {
  std::vector<std::string> out;
  for (const Value& event : events) out.emplace_back(event.string_at({"type"}));
  return out;
}

TEST(GenerateWriter, GivesTokensWithoutText) {
  Answer a = answer({"stop", {}});
  a.choices[0].ids = {7, 8};
  EXPECT_EQ(
      writer(Endpoint::kGenerate)->whole(a),
      R"({"request_id":"id_R","choices":[{"index":0,"logprobs":null,"finish_reason":"stop","token_ids":[7,8]}],"prompt_logprobs":null,)"
      R"("kv_transfer_params":null,"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}})");
  EXPECT_EQ(
      stream(*writer(Endpoint::kGenerate, {.include_usage = true})),
      "data: "
      R"({"request_id":"id_R","choices":[{"index":0,"logprobs":null,"finish_reason":null,"token_ids":[5,6]}]})"
      "\n\ndata: "
      R"({"request_id":"id_R","choices":[{"index":0,"logprobs":null,"finish_reason":"length","token_ids":[5,6]}]})"
      "\n\ndata: "
      R"({"request_id":"id_R","choices":[],"usage":{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}})"
      "\n\ndata: [DONE]\n\n");
}

TEST(MessagesWriter, SaysWhyItStoppedInAnthropicsWords) {
  const auto end = [](Ending ending) {
    const auto value = text::json::parse(writer(Endpoint::kMessages)->whole(answer(ending)));
    return std::string(value->string_at({"stop_reason"})) + "/" +
           std::string(value->string_at({"stop_sequence"}));
  };
  EXPECT_EQ(end({"stop", {}}), "end_turn/");
  EXPECT_EQ(end({"stop", StopReason(std::string("END"))}), "stop_sequence/END");
  EXPECT_EQ(end({"length", {}}), "max_tokens/");
  EXPECT_EQ(
      writer(Endpoint::kMessages)->whole(answer({"stop", {}})),
      R"({"id":"id_R","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,)"
      R"("usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":1}})");
}

TEST(MessagesWriter, StreamsItsEventsInOrder) {
  const auto all = events(stream(*writer(Endpoint::kMessages)));
  EXPECT_THAT(types(all), ElementsAre("message_start", "content_block_start", "content_block_delta",
                                      "content_block_delta", "content_block_stop", "message_delta",
                                      "message_stop"));
  EXPECT_EQ(all[0].find_path({"message", "usage", "input_tokens"})->if_int(), 3);
  EXPECT_EQ(all[3].string_at({"delta", "text"}), "lo");
  EXPECT_EQ(all[5].string_at({"delta", "stop_reason"}), "max_tokens");
  EXPECT_EQ(all[5].find_path({"usage", "output_tokens"})->if_int(), 2);
}

TEST(MessagesWriter, WritesErrorsInAnthropicsForm) {
  EXPECT_EQ(error_text(Endpoint::kMessages, {400, "BadRequestError", "no", "x"}),
            R"({"type":"error","error":{"type":"invalid_request_error","message":"no"}})");
  EXPECT_THAT(error_text(Endpoint::kMessages, {429, "", "", ""}), HasSubstr("rate_limit_error"));
  EXPECT_THAT(error_text(Endpoint::kChat, {400, "BadRequestError", "no", "x"}),
              HasSubstr(R"("param":"x")"));
}

TEST(ResponsesWriter, WritesAResponseThatRepeatsTheRequest) {
  const auto whole = text::json::parse(writer(Endpoint::kResponses)->whole(answer({"stop", {}})));
  EXPECT_EQ(whole->string_at({"object"}), "response");
  EXPECT_EQ(whole->string_at({"status"}), "completed");
  EXPECT_EQ(whole->string_at({"instructions"}), "x");
  const Value& item = whole->find("output")->if_array()->front();
  EXPECT_EQ(item.find("content")->if_array()->front().string_at({"text"}), "Hi");
  EXPECT_EQ(whole->find_path({"usage", "total_tokens"})->if_int(), 5);
  EXPECT_EQ(whole->find_path({"usage", "input_tokens_details", "cached_tokens"})->if_int(), 1);
  const auto cut = text::json::parse(writer(Endpoint::kResponses)->whole(answer({"length", {}})));
  EXPECT_EQ(cut->string_at({"status"}), "incomplete");
  EXPECT_EQ(cut->string_at({"incomplete_details", "reason"}), "max_output_tokens");
}

TEST(ResponsesWriter, StreamsItsEventsInOrderAndEndsWithTheWholeResponse) {
  const auto all = events(stream(*writer(Endpoint::kResponses)));
  EXPECT_THAT(types(all), ElementsAre("response.created", "response.in_progress",
                                      "response.output_item.added", "response.content_part.added",
                                      "response.output_text.delta", "response.output_text.delta",
                                      "response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.incomplete"));
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i].find("sequence_number")->if_uint(), i);
  const Value& item = all.back().find_path({"response", "output"})->if_array()->front();
  EXPECT_EQ(item.find("content")->if_array()->front().string_at({"text"}), "Hello");
}

}  // namespace
}  // namespace baton::openai
