// Who may go, as what: objectives, rewrites, shedding, queues, records.

#include "routing/epp/testing/ext_proc_fixture.hpp"
#include "routing/schedule/flow/flow_control.hpp"

namespace baton::epp {
namespace {

using schedule::Outcome;
using testing::ExtProcTest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCompletion;
using testing::kDefault;
using testing::Kind;
using testing::kThree;
using ::testing::Not;
using ::testing::StartsWith;
using text::json::Value;

constexpr std::string_view kHead = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
)";
const std::string kQueued = std::string(kHead) + R"(
featureGates: [flowControl]
plugins: [{type: queue-scorer}]
)";
const std::vector<testing::Pod> kFull = {{"a", "10.0.0.1", 50, 0.9F}};

Value parse(std::string_view json) { return *text::json::parse(json); }
Value objective(std::string_view name, int priority) {
  return parse(R"({"metadata":{"name":")" + std::string(name) +
               R"("},"spec":{"poolRef":{"name":"pool"},"priority":)" + std::to_string(priority) +
               "}}");
}
// Rewrites `from` ("" for every model) to `to`.
Value rewrite(std::string_view from, std::string_view to) {
  const auto matches = from.empty()
                           ? std::string()
                           : R"("matches":[{"model":{"value":")" + std::string(from) + R"("}}],)";
  return parse(R"({"metadata":{"name":"rw","creationTimestamp":"2026-01-01T00:00:00Z"},)"
               R"("spec":{"poolRef":{"name":"pool"},"rules":[{)" +
               matches + R"("targets":[{"modelRewrite":")" + std::string(to) + R"("}]}]}})");
}

class Admission : public ExtProcTest {
 protected:
  void with_objectives() {
    picker_->rules.set_objectives({objective("low", -1), objective("high", 5)});
  }
  std::vector<testing::Answer> ask_as(std::string_view objective_name,
                                      std::string_view bytes = kCompletion) {
    begin();
    auto fields = head();
    fields.emplace_back("x-llm-d-inference-objective", objective_name);
    return ask(bytes, fields);
  }
};

TEST_F(Admission, AHeaderSaysWhoseRequestItIs) {  // epp:X045
  serve(kThree);
  const auto total = [&](std::string_view who) {
    return metric(
        "llm_d_epp_request_total{model_name=\"m\",target_model_name=\"m\",fairness_id=\"" +
        std::string(who) + "\",priority=\"0\"}");
  };
  ask(kCompletion);
  EXPECT_EQ(total("default-flow"), 1);
  for (const auto* name : {"x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id"}) {
    begin();
    auto fields = head();
    fields.emplace_back(name, "tenant");
    ask(kCompletion, fields);
    EXPECT_EQ(stream_->admission().fairness_id, "tenant") << name;
  }
  EXPECT_EQ(total("tenant"), 2);
  EXPECT_EQ(total("default-flow"), 1);
}

TEST_F(Admission, AnAgentIsWhoeverGivesNoFairnessId) {  // epp:X045
  serve(kThree, R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: agent-identity}]
)");
  const auto fairness_of = [&](const testing::Fields& more) {
    begin();
    auto fields = head();
    fields.insert(fields.end(), more.begin(), more.end());
    ask(kCompletion, fields);
    return stream_->admission().fairness_id;
  };
  EXPECT_EQ(fairness_of({{"Session-Id", "agent"}}), "agent");
  EXPECT_EQ(fairness_of({{"session-id", "agent"}, {"x-llm-d-inference-fairness-id", "tenant"}}),
            "tenant");
  EXPECT_EQ(fairness_of({}), "default-flow");
}

TEST_F(Admission, WithoutQueuesOnlyPrioritiesBelowZeroAreShedWhenThePoolIsFull) {  // epp:F001
  serve(kFull);
  with_objectives();
  const auto shed = ask_as("low");
  EXPECT_EQ(shed[0].status, 429);
  EXPECT_EQ(shed[0].text,
            "inference error: ResourceExhausted - system saturated, sheddable request dropped");
  EXPECT_FALSE(shed[0].header("x-llm-d-request-dropped-reason"));
  EXPECT_EQ(destination(ask_as("high")), "10.0.0.1:8000");
  EXPECT_EQ(destination(ask_as("unheard-of")), "10.0.0.1:8000");  // epp:X014
  EXPECT_EQ(metric(series("request_total", "m", "m", 5)), 1);

  serve(kThree);
  with_objectives();
  EXPECT_EQ(destination(ask_as("low")), "10.0.0.2:8000");

  serve({});
  with_objectives();
  EXPECT_EQ(ask_as("low")[0].status, 429);  // before anybody looks for endpoints
}

TEST_F(Admission, TheConcurrencyDetectorCountsWhatIsInFlight) {
  serve(kThree, std::string(kHead) + R"(
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 1}}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
)");
  with_objectives();
  EXPECT_EQ(ask_as("low").size(), 2);
  const auto snapshot = picker_->pool.snapshot();
  std::vector<schedule::Reservation> places;
  for (const auto& endpoint : *snapshot.endpoints) {
    places.emplace_back(snapshot.reservations, endpoint.slot);
  }
  EXPECT_EQ(ask_as("low")[0].status, 429);
}

TEST_F(Admission, AnAdmitterThatSaysNoGivesA500) {  // epp:X033
  serve(kFull, std::string(kHead) + R"(
plugins: [{type: queue-scorer}, {type: probabilistic-admitter, parameters: {k: 1000}},
  {type: concurrency-detector}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
)");
  with_objectives();
  const auto denied = ask_as("low");
  EXPECT_EQ(denied[0].status, 500);
  EXPECT_THAT(denied[0].text,
              StartsWith("inference error: Internal - request cannot be admitted: "));
  EXPECT_EQ(ask_as("high").size(), 2);
}

TEST_F(Admission, BytesThatNobodyReadsHaveTheirObjectivesPriority) {  // epp:X011
  serve(kThree);
  with_objectives();
  auto fields = head("/v1/rerank");
  fields.emplace_back("x-gateway-inference-objective", "high");
  const std::string bytes("\0\x01\xff not json", 12);
  EXPECT_EQ(text_of(ask(bytes, fields), Kind::kRequestBody), bytes);
  EXPECT_EQ(metric(series("request_total", "", "", 5)), 1);
}

TEST_F(Admission, ARuleReplacesTheModelWhateverTheClientAsksFor) {  // epp:X013
  serve(kThree);
  picker_->rules.set_rewrites({rewrite("m", "m-v2")});
  auto fields = head();
  fields.emplace_back("x-llm-d-model-name-rewrite", "mine");
  EXPECT_EQ(text_of(ask(kCompletion, fields), Kind::kRequestBody),
            R"({"model":"m-v2","prompt":"once upon a time"})");
  EXPECT_EQ(metric("llm_d_epp_model_rewrite_decisions_total{model_rewrite_name=\"rw\",model_name="
                   "\"m\",target_model=\"m-v2\"}"),
            1);
  begin();
  EXPECT_EQ(text_of(ask(R"({"model":"other","prompt":"x"})"), Kind::kRequestBody),
            R"({"model":"other","prompt":"x"})");
}

TEST_F(Admission, AGenericRuleServesABodyWithoutAModel) {  // epp:X010
  serve(kThree);
  picker_->rules.set_rewrites({rewrite("", "any")});
  EXPECT_EQ(text_of(ask(R"({"prompt":"x"})"), Kind::kRequestBody),
            R"({"prompt":"x","model":"any"})");
}

TEST_F(Admission, OnRequestOnlyAPodThatHoldsThePromptServesIt) {  // epp:X040
  serve(kThree);
  const std::string prompt(400, 'x');
  const auto body = R"({"model":"m","prompt":")" + prompt + R"("})";
  const auto prefer = [&](std::string_view value) {
    begin();
    auto fields = head();
    fields.emplace_back("Prefer", value);
    return ask(body, fields);
  };
  const auto cold = prefer("wait=5, If-Available; x=1");
  EXPECT_EQ(cold[0].status, 412);
  EXPECT_THAT(cold[0].text, StartsWith("inference error: PreconditionFailed - "));
  EXPECT_EQ(prefer("if-available-not").size(), 2);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "{}", true));
  EXPECT_EQ(prefer("if-available").size(), 2);
}

TEST_F(Admission, ABodyInWhichARulesModelCannotBeWrittenIsRefused) {
  serve(kThree);
  picker_->rules.set_rewrites({rewrite("m", "m-v2")});
  std::string body = R"({"model":"m","prompt":"x")";
  for (int i = 0; i < 1100; ++i) body += ",\"m" + std::to_string(i) + "\":1";
  const auto answers = ask(body + "}");
  ASSERT_EQ(answers.size(), 1);
  EXPECT_EQ(answers[0].status, 400);
  EXPECT_THAT(answers[0].text, HasSubstr("the model's name cannot be replaced in the body"));
}

TEST_F(Admission, EveryEndpointThatThePickerRanksIsListed) {  // epp:X041 epp:X042
  serve({{"a", "10.0.0.1", 3, 0}, {"b", "fd00::2", 0, 0}, {"c", "10.0.0.3", 10, 0}},
        std::string(kHead) + R"(
plugins: [{type: queue-scorer}, {type: max-score-picker, parameters: {maxNumOfEndpoints: 3}}]
)");
  EXPECT_EQ(destination(ask(kCompletion)), "[fd00::2]:8000,10.0.0.1:8000,10.0.0.3:8000");
}

TEST_F(Admission, ThePodThatHasTheAdapterLoadedWins) {  // epp:X002
  serve({{"a", "10.0.0.1", 0, 0.1F}, {"b", "10.0.0.2", 0, 0.4F}}, std::string(kHead) + R"(
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: lora-affinity-scorer}]
)");
  const auto endpoints = picker_->pool.snapshot().endpoints;
  watch::Scraped scraped;
  scraped.waiting = 0;
  scraped.running = 1;
  scraped.kv_usage = 0.4F;
  auto adapters = std::make_shared<schedule::Adapters>();
  adapters->active = {"lora"};
  adapters->most = 1;
  scraped.adapters = adapters;
  picker_->pool.loaded(endpoints->at(1), scraped, clock_.now());
  EXPECT_EQ(destination(ask(R"({"model":"lora","prompt":"x"})")), "10.0.0.2:8000");
}

TEST_F(Admission, ARequestWaitsUntilTheGateLetsItGo) {
  serve(kThree, kQueued);
  picker_->rules.set_objectives({objective("high", 5)});
  auto fields = head();
  fields.emplace_back("X-LLM-D-Inference-Fairness-Id", "team");  // epp:X022
  fields.emplace_back("x-gateway-inference-objective", "high");
  fields.emplace_back("x-slo-ttft-ms", "250");
  EXPECT_THAT(ask(kCompletion, fields), IsEmpty());
  EXPECT_TRUE(waits_);
  const auto item = stream_->admission();
  EXPECT_EQ(item.fairness_id, "team");
  EXPECT_EQ(item.priority, 5);
  EXPECT_EQ(item.bytes, static_cast<std::int64_t>(kCompletion.size()));
  EXPECT_EQ(item.slo_ttft, Millis(250));
  std::vector<Reply> replies;
  EXPECT_EQ(stream_->admitted(Outcome::kDispatched, replies), ExtProc::Next::kGoOn);
  EXPECT_EQ(destination(read(replies)), "10.0.0.2:8000");
}

TEST_F(Admission, WhatComesOutOfTheQueueIsToldToTheClient) {  // epp:F002 epp:X034
  struct Told {
    Outcome outcome;
    int status;
    std::string_view code, reason;
  };
  for (const auto& told : {
           Told{Outcome::kRejectedCapacity, 429, "ResourceExhausted", "rejected-saturated"},
           Told{Outcome::kRejectedNoEndpoints, 503, "ServiceUnavailable", "rejected-no-endpoints"},
           Told{Outcome::kExpired, 429, "ResourceExhausted", "rejected-ttl-expired"},
           Told{Outcome::kExpiredNoEndpoints, 503, "ServiceUnavailable", "rejected-no-endpoints"},
           Told{Outcome::kCancelled, 503, "ServiceUnavailable", "rejected-context-cancelled"},
           Told{Outcome::kShuttingDown, 503, "ServiceUnavailable", "rejected-shutting-down"},
       }) {
    serve(kThree, kQueued);
    ask(kCompletion);
    std::vector<Reply> replies;
    stream_->admitted(told.outcome, replies);
    const auto answers = read(replies);
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].status, told.status);
    EXPECT_EQ(answers[0].header("x-llm-d-request-dropped-reason"), told.reason);
    EXPECT_THAT(answers[0].text, HasSubstr(std::string(told.code) + " - "));
    EXPECT_THAT(send(testing::body(Side::kRequest, "x", true)), IsEmpty());
  }
}

TEST_F(Admission, AnEvictedRequestEndsWithA429AndItsReason) {  // epp:X061
  const schedule::Demand demand = {.priority = 5, .saturation = 1.5, .ceiling = 1};
  const auto place = [&] {
    serve(kThree, kQueued);
    ask(kCompletion);
    std::vector<Reply> replies;
    stream_->admitted(Outcome::kDispatched, replies);
  };
  const auto evict = [&] {
    std::vector<Reply> replies;
    stream_->evict(demand, replies);
    return read(replies);
  };
  const auto expect_ended = [&](const std::vector<testing::Answer>& answers) {
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].status, 429);
    EXPECT_EQ(answers[0].text, "request evicted by flow control");
    EXPECT_EQ(answers[0].header("x-llm-d-request-dropped-reason"), "evicted");
    EXPECT_TRUE(stream_->over());
    for (std::size_t i = 0; i < kThree.size(); ++i) {
      EXPECT_EQ(picker_->pool.snapshot().reserved(i), 0) << "its place is free at once";
    }
  };
  place();
  expect_ended(evict());
  const auto record = text::json::dump(*picker_->recorder.find("r1"));
  EXPECT_THAT(record, HasSubstr(R"("evicted":{"forPriority":5,"saturation":1.5,"ceiling":1.0})"));
  EXPECT_THAT(evict(), IsEmpty());

  place();
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "half", false));
  expect_ended(evict());

  place();
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, "whole", true));
  EXPECT_THAT(evict(), IsEmpty());
  EXPECT_THAT(text::json::dump(*picker_->recorder.find("r1")), Not(HasSubstr("evicted")));
}

TEST_F(Admission, ADecisionIsRememberedByRequestWithoutThePrompt) {
  serve(kThree);
  ask(kCompletion);
  const auto found = picker_->recorder.find("r1");
  ASSERT_TRUE(found);
  const auto json = text::json::dump(*found);
  EXPECT_EQ(found->string_at({"decision", "primary"}), "b");
  EXPECT_THAT(json, HasSubstr("queue-scorer"));
  EXPECT_EQ(json.find("once upon"), std::string::npos);
  EXPECT_FALSE(picker_->recorder.find("r2"));
}

}  // namespace
}  // namespace baton::epp
