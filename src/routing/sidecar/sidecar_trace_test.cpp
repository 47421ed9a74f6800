// Spans of the sidecar, and the context that its engines get.

#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using observe::SpanRecord;
using observe::testing::attribute;
using ::testing::HasSubstr;

constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr std::string_view kUnsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
constexpr std::string_view kRequest = "llm_d.pd_proxy.POST /v1/chat/completions";

class SidecarTraces : public SidecarTest {
 protected:
  Got traced(std::string_view traceparent, std::string body = R"({"model":"secret words"})") {
    http::RequestHead head = chat_head();
    head.headers.add("traceparent", traceparent);
    head.headers.add("tracestate", "congo=1");
    return get(std::move(head), std::move(body));
  }
  static std::string context_of(const ScriptedEngine::Request& request) {
    return std::string(request.head.headers.get("traceparent").value_or("(absent)"));
  }
  bool all_ended() {
    return eventually([&] { return spans_.only(kRequest).context.valid(); });
  }
};

// sidecar:46 transport injects trace context.
TEST_F(SidecarTraces, BothLegsBelongToTheRequestsTrace) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start();

  EXPECT_EQ(traced(kParent).status, 200);

  ASSERT_TRUE(all_ended());
  const SpanRecord& request = spans_.only(kRequest);
  const SpanRecord& prefill = spans_.only("prefill");
  const SpanRecord& decode = spans_.only("decode");
  EXPECT_EQ(request.parent, observe::parse_traceparent(kParent)->span);
  EXPECT_EQ(request.kind, observe::SpanKind::kServer);
  EXPECT_EQ(prefill.parent, request.context.span);
  EXPECT_EQ(decode.parent, request.context.span);
  EXPECT_EQ(decode.trace_state, "congo=1");
  EXPECT_EQ(context_of(prefill_.request(0)), observe::to_traceparent(prefill.context));
  EXPECT_EQ(context_of(decode_.request(0)), observe::to_traceparent(decode.context));
  EXPECT_EQ(decode_.request(0).head.headers.get("tracestate"), "congo=1");
  EXPECT_EQ(attribute(request, "llm_d.pd_proxy.connector"), "nixlv2");
  EXPECT_EQ(attribute(request, "llm_d.pd_proxy.request_path"), "/v1/chat/completions");
  EXPECT_EQ(attribute(request, "llm_d.pd_proxy.disaggregation_used"), "true");
  EXPECT_EQ(attribute(request, "llm_d.pd_proxy.prefill_target"),
            http::to_string(prefill_.endpoint()));
  EXPECT_NE(attribute(request, "llm_d.pd_proxy.total_duration_ms"), "");
  EXPECT_EQ(attribute(prefill, "http.response.status_code"), "200");
  for (const auto& span : spans_.ended()) {
    EXPECT_FALSE(span->failed) << span->name;
    for (const auto& [key, value] : span->attributes) {
      EXPECT_EQ(attribute(*span, key).find("secret"), std::string::npos) << key;
    }
  }
}

TEST_F(SidecarTraces, ASpanIsNamedByItsRouteHoweverThePathIsSpelt) {
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start();
  http::RequestHead head{"POST", "/v1/chat/complet%69ons", {}};
  head.headers.add("traceparent", kParent);

  EXPECT_EQ(get(head, "{}").status, 200);

  EXPECT_TRUE(all_ended());
}

TEST_F(SidecarTraces, AFailedPrefillIsAFailedSpanBesideTheDecodeThatReplacesIt) {
  prefill_.script({.status = 500, .body = "busy"});
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start({.tactics = {.policy = Policy::kFallback}});

  EXPECT_EQ(traced(kParent).status, 200);

  ASSERT_TRUE(all_ended());
  const SpanRecord& request = spans_.only(kRequest);
  const SpanRecord& prefill = spans_.only("prefill");
  EXPECT_TRUE(prefill.failed);
  EXPECT_THAT(prefill.error, HasSubstr("500"));
  EXPECT_EQ(prefill.parent, request.context.span);
  EXPECT_FALSE(spans_.only("decode").failed);
  EXPECT_EQ(spans_.only("decode").parent, request.context.span);
  EXPECT_FALSE(request.failed);
  EXPECT_EQ(attribute(request, "llm_d.pd_proxy.disaggregation_used"), "false");
  EXPECT_EQ(attribute(request, "baton.outcome"), "fallback");
}

TEST_F(SidecarTraces, ARequestThatFailsIsAFailedSpan) {
  prefill_.script({.status = 500, .body = "busy"});
  tracer_ = spans_.tracer();
  start();

  EXPECT_EQ(traced(kParent).status, 500);

  ASSERT_TRUE(all_ended());
  EXPECT_TRUE(spans_.only(kRequest).failed);
  EXPECT_FALSE(spans_.only("decode").context.valid());
}

TEST_F(SidecarTraces, WithoutAPrefillTheReasonIsToldAndNothingElseBeginsATrace) {
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start();

  EXPECT_EQ(get({"POST", "/v1/chat/completions", {}}, "{}").status, 200);
  EXPECT_EQ(get({"GET", "/v1/models", {}}).status, 200);

  ASSERT_TRUE(all_ended());
  EXPECT_EQ(attribute(spans_.only(kRequest), "llm_d.pd_proxy.reason"), "no_prefill_header");
  EXPECT_EQ(spans_.only(kRequest).parent, 0U);
  EXPECT_EQ(spans_.ended().size(), 2U);
  EXPECT_EQ(context_of(decode_.request(1)), "(absent)");
}

TEST_F(SidecarTraces, BothLegsAtOnceBelongToTheRequest) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start({.connector = "sglang"});

  EXPECT_EQ(traced(kParent).status, 200);

  ASSERT_TRUE(all_ended());
  EXPECT_TRUE(eventually([&] { return spans_.only("llm_d.pd_proxy.prefill").context.valid(); }));
  const auto request = spans_.only(kRequest).context;
  EXPECT_EQ(spans_.only("llm_d.pd_proxy.prefill").parent, request.span);
  EXPECT_EQ(spans_.only("decode").parent, request.span);
}

TEST_F(SidecarTraces, ARequestThatIsNotSampledLeavesNoSpansAndTellsTheEngines) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  tracer_ = spans_.tracer();
  start();

  EXPECT_EQ(traced(kUnsampled).status, 200);

  EXPECT_EQ(context_of(prefill_.request(0)), kUnsampled);
  EXPECT_EQ(context_of(decode_.request(0)), kUnsampled);
  sidecar_->stop(soon());
  EXPECT_TRUE(spans_.ended().empty());
}

TEST_F(SidecarTraces, WithoutTracingTheContextPassesUntouched) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();

  EXPECT_EQ(traced("anything").status, 200);

  EXPECT_EQ(context_of(prefill_.request(0)), "anything");
  EXPECT_EQ(context_of(decode_.request(0)), "anything");
}

}  // namespace
}  // namespace baton::sidecar
