// Bodies of requests over ext_proc, in each of the modes in which a proxy hands them over.

#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using testing::ExtProcTest;
using testing::Extra;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCompletion;
using testing::kDefault;
using testing::Kind;
using testing::kThree;

TEST_F(ExtProcTest, ABodyThatEndsWithTrailersIsPlacedToo) {
  serve(kThree);
  send(testing::headers(Side::kRequest, head()));
  EXPECT_THAT(send(testing::body(Side::kRequest, kCompletion, false)), IsEmpty());
  const auto answers = send(testing::trailers(Side::kRequest));
  ASSERT_EQ(answers.size(), 3);
  EXPECT_EQ(answers[0].kind, Kind::kRequestHeaders);
  EXPECT_FALSE(answers[1].end_of_stream);
  EXPECT_EQ(answers[2].kind, Kind::kRequestTrailers);
}

TEST_F(ExtProcTest, InBufferedModeTheRouteComesWithTheBody) {
  serve(kThree);
  const Extra buffered{
      .metadata = {}, .request = BodyMode::kBuffered, .response = BodyMode::kBuffered};
  const auto first = send(testing::headers(Side::kRequest, head(), false, buffered));
  ASSERT_EQ(first.size(), 1);
  EXPECT_EQ(first[0].kind, Kind::kRequestHeaders);
  EXPECT_THAT(first[0].set, IsEmpty());
  const auto second = send(testing::body(Side::kRequest, kCompletion, true));
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].kind, Kind::kRequestBody);
  EXPECT_EQ(destination(second), "10.0.0.2:8000");
  EXPECT_TRUE(second[0].clear_route_cache);
  EXPECT_FALSE(second[0].replaced);
  const auto head_back = send(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_EQ(head_back[0].kind, Kind::kResponseHeaders);
  const auto back = send(testing::body(Side::kResponse, R"({"usage":{"prompt_tokens":3}})", true));
  ASSERT_EQ(back.size(), 1);
  EXPECT_EQ(back[0].kind, Kind::kResponseBody);
  EXPECT_FALSE(back[0].streamed);
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 3);
  begin();
  send(testing::headers(Side::kRequest, head(), false, buffered));
  const auto cleaned = send(
      testing::body(Side::kRequest, R"({"model":"m","prompt":"x","kv_transfer_params":{}})", true));
  EXPECT_EQ(cleaned[0].replaced, R"({"model":"m","prompt":"x"})");
}

TEST_F(ExtProcTest, InStreamedModeTheRouteComesBeforeTheBodyWhichIsHeldBackUntilItIsWhole) {
  serve(kThree);
  const Extra streamed{
      .metadata = {}, .request = BodyMode::kStreamed, .response = BodyMode::kStreamed};
  const auto first = send(testing::headers(Side::kRequest, head(), false, streamed));
  ASSERT_EQ(first.size(), 1);
  EXPECT_EQ(destination(first), "10.0.0.2:8000");
  const auto second =
      send(testing::body(Side::kRequest, R"({"model":"m","kv_transfer_params":{},)", false));
  ASSERT_EQ(second.size(), 1);
  EXPECT_TRUE(second[0].cleared);
  const auto third = send(testing::body(Side::kRequest, R"("prompt":"x"})", true));
  ASSERT_EQ(third.size(), 1);
  EXPECT_EQ(third[0].replaced, R"({"model":"m","prompt":"x"})");
}

TEST_F(ExtProcTest, AModeThatHidesTheBodyIsRefusedWithAWordOnWhatToSet) {
  serve(kThree);
  const auto answers = send(
      testing::headers(Side::kRequest, head(), false,
                       {.metadata = {}, .request = BodyMode::kNone, .response = BodyMode::kNone}));
  EXPECT_EQ(answers[0].status, 500);
  EXPECT_THAT(answers[0].text, HasSubstr("set FULL_DUPLEX_STREAMED or BUFFERED"));
}

TEST_F(ExtProcTest, ABodyOverTheLimitIsRefused) {
  serve(kThree, kDefault, {.body_bytes = 100});
  send(testing::headers(Side::kRequest, head()));
  const auto answers = send(testing::body(Side::kRequest, std::string(101, 'x'), false));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 413);
  EXPECT_THAT(send(testing::body(Side::kRequest, "x", true)), IsEmpty());
}

TEST_F(ExtProcTest, TheModeIsThatOfTheFirstMessage) {
  serve(kThree);
  const Extra streamed{
      .metadata = {}, .request = BodyMode::kStreamed, .response = BodyMode::kStreamed};
  send(testing::headers(Side::kRequest, head()));
  EXPECT_THAT(send(testing::body(Side::kRequest, kCompletion.substr(0, 9), false)), IsEmpty());
  const auto answers = send(testing::body(Side::kRequest, kCompletion.substr(9), true, streamed));
  EXPECT_EQ(destination(answers), "10.0.0.2:8000");
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), kCompletion);
}

}  // namespace
}  // namespace baton::epp
