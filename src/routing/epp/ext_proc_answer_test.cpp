// Answers over ext_proc: what passes, what is read and counted on the way.

#include <algorithm>
#include <array>

#include "base/text/base64.hpp"
#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using testing::ExtProcTest;
using ::testing::IsEmpty;
using testing::kCompletion;
using testing::Kind;
using testing::kThree;

TEST_F(ExtProcTest, AnAnswerInJsonPassesWholeAndUnchanged) {  // epp:X046
  serve(kThree);
  ask(kCompletion);
  const auto head_back = send(testing::headers(
      Side::kResponse, {{":status", "200"}, {"content-type", "application/json"}}));
  ASSERT_EQ(head_back.size(), 1);
  EXPECT_EQ(head_back[0].header("x-went-into-resp-headers"), "true");
  EXPECT_THAT(send(testing::body(Side::kResponse, R"({"usage":{"prompt_to)", false)), IsEmpty());
  const auto answers = send(testing::body(
      Side::kResponse,
      R"(kens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})", true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(
      answers[0].streamed,
      R"({"usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})");
  EXPECT_TRUE(answers[0].end_of_stream);
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 4);
  EXPECT_EQ(metric(series("request_output_tokens_sum")), 2);
  EXPECT_EQ(metric(series("request_cached_tokens_sum")), 3);
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 1);
}

TEST_F(ExtProcTest, AnAnswerCarriesTheTokenOfItsSessionWhichLeadsBack) {  // epp:S018
  serve(kThree, R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: session-affinity-filter}, {type: queue-scorer}]
)");
  for (const auto& pod : kThree) {
    begin();
    auto fields = head();
    fields.emplace_back("X-Session-Token", text::base64("llm/" + pod.name));
    EXPECT_EQ(destination(ask(kCompletion, fields)), pod.host + ":8000");
    const auto answer = send(testing::headers(Side::kResponse, {{":status", "200"}}));
    EXPECT_EQ(answer.at(0).header("x-session-token"), text::base64("llm/" + pod.name));
  }
  serve(kThree);
  ask(kCompletion);
  EXPECT_FALSE(send(testing::headers(Side::kResponse, {{":status", "200"}}))
                   .at(0)
                   .header("x-session-token"));
}

TEST_F(ExtProcTest, CachedTokensAreReadInTheSpellingOfEachApi) {  // epp:X057
  serve(kThree);
  double sum = 0;
  for (const auto* usage :
       {R"({"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":3}}})",
        R"({"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4}}})",
        R"({"usage":{"input_tokens":9,"cache_read_input_tokens":5}})"}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{":status", "200"}}));
    send(testing::body(Side::kResponse, usage, true));
    const auto now = metric(series("request_cached_tokens_sum"));
    EXPECT_GT(now, sum) << usage;
    sum = now;
  }
  EXPECT_EQ(sum, 3 + 4 + 5);
}

TEST_F(ExtProcTest, AnAnswerThatIsNoJsonPassesUnchanged) {  // epp:X047
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/json"}}));
  const auto answers = send(testing::body(Side::kResponse, "{{ no json", true));
  EXPECT_EQ(text_of(answers, Kind::kResponseBody), "{{ no json");
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 1);
}

TEST_F(ExtProcTest, AGrpcAnswerPassesWhateverItsFramesAre) {  // epp:X056
  serve(kThree);
  for (const auto& bytes : {std::string("\x01\0\0\0\x02zz", 7), std::string("\0\xff", 2)}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse,
                          {{":status", "200"}, {"content-type", "application/grpc"}}));
    auto answers = send(testing::body(Side::kResponse, bytes, false));
    for (auto& more : send(testing::trailers(Side::kResponse))) answers.push_back(more);
    EXPECT_EQ(text_of(answers, Kind::kResponseBody), bytes);
    EXPECT_EQ(answers.back().kind, Kind::kResponseTrailers);
  }
}

TEST_F(ExtProcTest, AnEmptyLastPieceEndsAnAnswerOnce) {  // epp:X048
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_THAT(send(testing::body(Side::kResponse, "{}", false)), IsEmpty());
  const auto answers = send(testing::body(Side::kResponse, "", true));
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].streamed, "{}");
  EXPECT_TRUE(answers[0].end_of_stream);
}

TEST_F(ExtProcTest, AStreamPassesPieceByPieceAndItsUsageIsCounted) {  // epp:X049 epp:X050
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "text/event-stream"}}));
  const std::vector<std::string> pieces = {
      "data: {\"choices\":[{\"index\":0,\"text\":\"a\"}]}\n\n",
      "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n", "data: [DONE]\n\n"};
  for (const auto& piece : pieces) {
    const auto answers = send(testing::body(Side::kResponse, piece, &piece == &pieces.back()));
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].streamed, piece);
    EXPECT_EQ(answers[0].end_of_stream, &piece == &pieces.back());
    clock_.advance(Millis(10));
  }
  EXPECT_EQ(metric(series("request_input_tokens_sum")), 7);
  EXPECT_EQ(metric(series("request_streaming_itl_seconds_count")), 2);
  begin();
  ask(kCompletion);
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "text/event-stream"}}));
  send(testing::body(Side::kResponse, "data: [DONE]\n\n", true));
  EXPECT_EQ(metric(series("request_input_tokens_count")), 1);
}

TEST_F(ExtProcTest, AnAnswerWithAnErrorStatusIsCountedOnceAsTheServers) {  // epp:X051
  serve(kThree);
  for (const auto* name : {"status", ":status"}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{name, "500"}}));
    send(testing::body(Side::kResponse, "{}", true));
  }
  EXPECT_EQ(metric("llm_d_epp_request_error_total{model_name=\"m\",target_model_name=\"m\","
                   "fairness_id=\"default-flow\",priority=\"0\",error_code=\"ModelServerError\"}"),
            2);
}

TEST_F(ExtProcTest, TheClientSeesTheModelThatItAskedFor) {  // epp:X052
  serve(kThree);
  auto fields = head();
  fields.emplace_back("x-llm-d-model-name-rewrite", "t");
  const auto answer = [&](std::string_view type, std::string_view bytes, bool rewritten = true) {
    begin();
    ask(kCompletion, rewritten ? fields : head());
    send(testing::headers(Side::kResponse,
                          {{":status", "200"}, {"content-type", std::string(type)}}));
    return text_of(send(testing::body(Side::kResponse, bytes, true)), Kind::kResponseBody);
  };
  EXPECT_EQ(answer("application/json", R"({"model":"t"})"), R"({"model":"m"})");
  EXPECT_EQ(answer("application/json", R"({"model": "t"})"), R"({"model": "m"})");
  EXPECT_EQ(answer("text/event-stream", "data: {\"model\":\"t\"}\n\n"),
            "data: {\"model\":\"m\"}\n\n");
  EXPECT_EQ(answer("text/event-stream", "data: [DONE]\n\n"), "data: [DONE]\n\n");
  EXPECT_EQ(answer("application/json", R"({"model":"t"})", false), R"({"model":"t"})");
}

TEST_F(ExtProcTest, ARequestForAStreamIsOneWhateverTheAnswersType) {  // epp:X053
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/json"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "{", false)), Kind::kResponseBody), "{");
}

TEST_F(ExtProcTest, AnAnswerThatIsAStreamIsOneWhateverWasAskedFor) {  // epp:X054
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":false})");
  send(testing::headers(
      Side::kResponse, {{":status", "200"}, {"content-type", "text/event-stream; charset=utf-8"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "data", false)), Kind::kResponseBody),
            "data");
}

TEST_F(ExtProcTest, AClientThatLeavesMidStreamEndsTheRequestOnce) {  // epp:X060
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "data", false));
  EXPECT_EQ(metric(series("request_running")), 1);
  const auto snapshot = picker_->pool.snapshot();
  EXPECT_EQ(snapshot.reserved(1), 1);
  stream_.reset();
  EXPECT_EQ(metric(series("request_running")), 0);
  EXPECT_EQ(metric("baton_epp_client_gone_total"), 1);
  EXPECT_EQ(snapshot.reserved(1), 0);
  EXPECT_EQ(metric(series("request_duration_seconds_count")), 0);
}

TEST_F(ExtProcTest, WhatIsInFlightEndsInStepsAndNeverBelowZero) {  // epp:K009
  const std::string asks = R"({"model":"m","prompt":")" + std::string(400, 'x') + R"("})";
  serve({{"d", "10.0.0.1"}});
  const auto snapshot = picker_->pool.snapshot();
  ask(asks);
  EXPECT_EQ(snapshot.reserved(0), 1);
  EXPECT_EQ(snapshot.tokens(0), 100);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "{", false));
  EXPECT_EQ(snapshot.reserved(0), 1);
  EXPECT_EQ(snapshot.tokens(0), 0) << "the prompt is computed";
  send(testing::body(Side::kResponse, "}", true));
  EXPECT_EQ(snapshot.reserved(0), 0);
  begin();
  ask(R"({"model":"m","prompt":")" + std::string(400, 'x') + std::string(200, 'y') + R"("})");
  EXPECT_LT(snapshot.tokens(0), 100) << "what the pod holds is not computed again";
  stream_.reset();  // without an answer
  EXPECT_EQ(snapshot.reserved(0), 0);
  EXPECT_EQ(snapshot.tokens(0), 0);

  begin();
  ask(asks);
  const auto slot = snapshot.endpoints->front().slot;
  EXPECT_EQ(snapshot.reservations->count(slot), 1);
  picker_->pool.update({});
  picker_->serve({{"d", "10.0.0.1"}});
  stream_.reset();  // of a pod that has come again
  EXPECT_EQ(picker_->pool.snapshot().reserved(0), 0);
  EXPECT_EQ(snapshot.reservations->count(slot), 0);
  EXPECT_EQ(snapshot.reservations->tokens(slot), 0);

  serve(testing::kSplit, pick::testing::kSeedPd);
  ask(asks);
  const auto pair = picker_->pool.snapshot();
  EXPECT_EQ(pair.reserved(0) + pair.reserved(1), 2);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "{", false));
  EXPECT_EQ(pair.reserved(0), 1);
  EXPECT_EQ(pair.reserved(1), 0) << "prefill is over";
}

TEST_F(ExtProcTest, ResponseSizesAreSums) {  // epp:X066
  serve(kThree);
  for (const auto& pieces :
       {std::vector<std::string>{}, std::vector<std::string>{"abc"}, {"a", "bc", "def"}}) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{":status", "200"}}, pieces.empty()));
    for (const auto& piece : pieces) {
      send(testing::body(Side::kResponse, piece, &piece == &pieces.back()));
    }
  }
  EXPECT_EQ(metric(series("response_size_bytes_sum")), 9);
  EXPECT_EQ(metric(series("response_size_bytes_count")), 3);
}

TEST_F(ExtProcTest, HeadersBodyAndTrailersKeepTheirOrder) {  // epp:X067
  serve(kThree);
  for (const bool stream_asked : {false, true}) {
    for (const bool event_type : {false, true}) {
      for (const bool with_trailers : {false, true}) {
        begin();
        const std::string asks = stream_asked ? R"({"model":"m","prompt":"x","stream":true})"
                                              : R"({"model":"m","prompt":"x"})";
        auto answers = ask(asks);
        const auto take = [&](const std::string& message) {
          for (auto& one : send(message)) answers.push_back(one);
        };
        take(testing::headers(Side::kResponse,
                              {{":status", "200"},
                               {"content-type", event_type ? "text/event-stream" : "text/plain"}}));
        take(testing::body(Side::kResponse, "one", false));
        take(testing::body(Side::kResponse, "two", !with_trailers));
        if (with_trailers) take(testing::trailers(Side::kResponse));
        const auto kinds = [&] {
          std::vector<Kind> out;
          for (const auto& a : answers) out.push_back(a.kind);
          return out;
        }();
        EXPECT_TRUE(std::ranges::is_sorted(kinds, {}, [](Kind k) {
          constexpr std::array kOrder = {Kind::kRequestHeaders, Kind::kRequestBody,
                                         Kind::kResponseHeaders, Kind::kResponseBody,
                                         Kind::kResponseTrailers};
          return std::ranges::find(kOrder, k) - kOrder.begin();
        }));
        EXPECT_EQ(text_of(answers, Kind::kResponseBody), "onetwo");
        EXPECT_EQ(kinds.back() == Kind::kResponseTrailers, with_trailers);
        EXPECT_EQ(answers.back().end_of_stream, !with_trailers);
        EXPECT_EQ(metric(series("request_running")), 1);  // until the stream ends
      }
    }
  }
}

TEST_F(ExtProcTest, ALongAnswerIsNotHeldBack) {
  serve(kThree);
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  const std::string piece(kHeldAnswer / 2, 'x');
  EXPECT_THAT(send(testing::body(Side::kResponse, piece, false)), IsEmpty());
  EXPECT_THAT(send(testing::body(Side::kResponse, piece, false)), IsEmpty());
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "y", false)), Kind::kResponseBody).size(),
            2 * piece.size() + 1);
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "z", true)), Kind::kResponseBody), "z");
}

TEST_F(ExtProcTest, TwoStreamsOfOneRequestIdAreIndependent) {  // epp:X065
  serve(kThree);
  ExtProc other(picker_->desk);
  std::vector<Reply> replies;
  const auto feed = [&](const std::string& message) {
    replies.clear();
    EXPECT_TRUE(other.on_message(message, replies));
    std::string out;
    for (const auto& r : replies) {
      out += testing::read_answer(r.head + std::string(r.body)).streamed.value_or("");
    }
    return out;
  };
  const std::string asks = R"({"model":"m","prompt":"x","stream":true})";
  ask(asks);
  feed(testing::headers(Side::kRequest, head()));
  EXPECT_EQ(feed(testing::body(Side::kRequest, asks, true)), asks);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  feed(testing::headers(Side::kResponse, {{":status", "200"}}));
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "a1", false)), Kind::kResponseBody), "a1");
  EXPECT_EQ(feed(testing::body(Side::kResponse, "b1", false)), "b1");
  EXPECT_EQ(feed(testing::body(Side::kResponse, "b2", true)), "b2");
  EXPECT_EQ(text_of(send(testing::body(Side::kResponse, "a2", true)), Kind::kResponseBody), "a2");
}

}  // namespace
}  // namespace baton::epp
