// Spans of one ext_proc stream, and the context that the engines' requests get.

#include <gtest/gtest.h>

#include <memory>

#include "base/observe/testing/traced.hpp"
#include "routing/epp/ext_proc.hpp"
#include "routing/epp/testing/envoy.hpp"
#include "routing/epp/testing/picker.hpp"

namespace baton::epp {
namespace {

using observe::SpanRecord;
using observe::testing::attribute;
using observe::testing::Traced;
using testing::Answer;

constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kCompletion = R"({"model":"m","prompt":"once upon a time"})";

class ExtProcTraces : public ::testing::Test {
 protected:
  void serve(std::size_t pods) {
    picker_ = std::make_unique<testing::Picker>(clock_, registry_, testing::kDefault,
                                                Desk::Config{}, tracer_);
    std::vector<schedule::Endpoint> endpoints;
    for (std::size_t i = 0; i < pods; ++i) {
      schedule::Endpoint e;
      e.ns = "llm";
      e.name = "pod-" + std::to_string(i);
      e.host = "10.0.0." + std::to_string(i + 1);
      e.port = 8000;
      endpoints.push_back(std::move(e));
    }
    picker_->pool.update(endpoints);
    stream_ = std::make_unique<ExtProc>(picker_->desk);
  }
  std::vector<Answer> send(const std::string& message) {
    std::vector<Reply> replies;
    EXPECT_TRUE(stream_->on_message(message, replies));
    std::vector<Answer> out;
    for (const auto& reply : replies) {
      out.push_back(testing::read_answer(reply.head + std::string(reply.body)));
    }
    return out;
  }
  std::vector<Answer> ask(std::string_view body, const testing::Fields& more) {
    testing::Fields head = {{":method", "POST"}, {":path", "/v1/completions"}};
    head.insert(head.end(), more.begin(), more.end());
    EXPECT_TRUE(send(testing::headers(Side::kRequest, head)).empty());
    return send(testing::body(Side::kRequest, body, true));
  }
  void answer(std::string_view status) {
    send(testing::headers(Side::kResponse, {{":status", std::string(status)}}));
    send(testing::body(Side::kResponse, "{}", true));
  }

  ManualClock clock_;
  observe::Registry registry_;
  Traced spans_{clock_};
  observe::Tracer* tracer_ = spans_.tracer();
  std::unique_ptr<testing::Picker> picker_;
  std::unique_ptr<ExtProc> stream_;
};

// epp:X027
TEST_F(ExtProcTraces, ARequestJoinsItsTraceAndTheEnginesGetThePickersSpan) {
  serve(2);
  const auto answers =
      ask(kCompletion, {{"TraceParent", std::string(kParent)}, {"tracestate", "congo=1"}});
  ASSERT_FALSE(answers.empty());
  const auto passed_on = answers[0].header("traceparent");
  clock_.advance(Millis(30));
  answer("200");

  const SpanRecord& request = spans_.only("gateway.request");
  const SpanRecord& picking = spans_.only("gateway.request_orchestration");
  EXPECT_EQ(request.parent, observe::parse_traceparent(kParent)->span);
  EXPECT_EQ(request.context.trace_low, observe::parse_traceparent(kParent)->trace_low);
  EXPECT_EQ(request.trace_state, "congo=1");
  EXPECT_EQ(request.kind, observe::SpanKind::kServer);
  EXPECT_EQ(request.end - request.start, Millis(30));
  EXPECT_FALSE(request.failed);
  EXPECT_EQ(attribute(request, "gen_ai.request.model"), "m");
  EXPECT_EQ(picking.parent, request.context.span);
  EXPECT_EQ(passed_on, observe::to_traceparent(request.context));
  EXPECT_EQ(attribute(picking, "baton.decode"),
            answers[0].header("x-gateway-destination-endpoint"));
}

TEST_F(ExtProcTraces, ARequestWithoutABodyPassesItsSpanOnToo) {
  serve(1);
  const auto answers =
      send(testing::headers(Side::kRequest, {{":method", "GET"}, {":path", "/v1/models"}}, true));
  ASSERT_EQ(answers.size(), 1U);
  answer("200");
  EXPECT_EQ(answers[0].header("traceparent"),
            observe::to_traceparent(spans_.only("gateway.request").context));
}

TEST_F(ExtProcTraces, ARefusalIsAFailedSpanWithItsReason) {
  serve(0);
  const auto answers = ask(kCompletion, {});
  ASSERT_EQ(answers[0].status, 503);
  EXPECT_TRUE(spans_.only("gateway.request").failed);
  EXPECT_TRUE(spans_.only("gateway.request_orchestration").failed);
  EXPECT_EQ(spans_.only("gateway.request").error,
            "failed to find endpoint candidates for serving the request");
}

TEST_F(ExtProcTraces, AStreamThatEndsBeforeItsAnswerIsAFailedSpan) {
  serve(1);
  ask(kCompletion, {});
  stream_.reset();
  EXPECT_TRUE(spans_.only("gateway.request").failed);
}

// epp:C017 tracing that is off
TEST_F(ExtProcTraces, WithoutTracingNoHeaderIsSet) {
  tracer_ = nullptr;
  serve(1);
  const auto answers = ask(kCompletion, {{"traceparent", std::string(kParent)}});
  EXPECT_FALSE(answers[0].header("traceparent"));
}

}  // namespace
}  // namespace baton::epp
