// The picker on its ports: requests, health, shutdown.

#include "base/async/task_group.hpp"
#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using testing::Answer;
using testing::EppServerTest;
using testing::get;
using ::testing::HasSubstr;
using testing::kClock;
using testing::kProcess;
using testing::one_endpoint;
using testing::soon;
using testing::talk;

constexpr std::string_view kPrecise = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: token-producer, parameters: {modelName: MODEL}}
- {type: precise-prefix-cache-producer}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: prefix-cache-scorer}]}]
)";

TEST_F(EppServerTest, PromptsBecomeTokensWhereEnginesTellWhatTheyHold) {
  std::string picker(kPrecise);
  picker.replace(picker.find("MODEL"), 5, std::string(BATON_SOURCE_DIR) + "/models/storyteller");
  service_.picker = picker;
  start();
  server_->update(one_endpoint());
  const auto ask = [&](std::string_view json) {
    const auto answers = async::blocking_run(
        loop_, talk(client(bound_.ext_proc, true),
                    {testing::headers(Side::kRequest, {{":path", "/v1/completions"}}),
                     testing::body(Side::kRequest, json, true)},
                    2));
    ASSERT_TRUE(answers) << answers.error().message();
    ASSERT_EQ(answers->size(), 2U);
    EXPECT_EQ((*answers)[0].header("x-gateway-destination-endpoint"), "127.0.0.1:9");
    EXPECT_EQ((*answers)[1].streamed, json);
  };
  ask(R"({"model":"m","prompt":"once upon a time"})");
  ask(R"({"model":"m","prompt":[1,2,3]})");
  EXPECT_THAT(registry_.expose(), HasSubstr("\nbaton_epp_prompt_tokenize_seconds_count 2\n"));
  EXPECT_THAT(registry_.expose(), HasSubstr("\nbaton_epp_untokenized_prompts_total 0\n"));
  ask(R"({"model":"m","prompt":["two","prompts"]})");  // by its bytes
  EXPECT_THAT(registry_.expose(), HasSubstr("\nbaton_epp_untokenized_prompts_total 1\n"));
}

TEST_F(EppServerTest, PlacesRequestsOnEachOfItsLoops) {
  start();
  server_->update(one_endpoint());
  const std::string body(300'000, 'x');
  for (int i = 0; i < 4; ++i) {
    const auto answers =
        async::blocking_run(loop_, talk(client(bound_.ext_proc, true),
                                        {testing::headers(Side::kRequest, {{":path", "/other"}}),
                                         testing::body(Side::kRequest, body.substr(0, 1000), false),
                                         testing::body(Side::kRequest, body.substr(1000), true)},
                                        6));
    ASSERT_TRUE(answers) << answers.error().message();
    ASSERT_EQ(answers->size(), 6);
    EXPECT_EQ(answers->front().header(kDestination), "127.0.0.1:9");
    std::string back;
    for (const auto& answer : *answers) back += answer.streamed.value_or("");
    EXPECT_EQ(back, body);
  }
}

std::vector<std::string> completion() {
  return {testing::headers(Side::kRequest, {{":path", "/v1/completions"}, {"x-request-id", "r1"}}),
          testing::body(Side::kRequest, R"({"model":"m","prompt":"x"})", true)};
}

TEST_F(EppServerTest, HoldsRequestsBackUntilThereIsAnEndpoint) {
  service_.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
)";
  start();
  server_->update({});
  auto& proxy = client(bound_.ext_proc, true);
  std::optional<Result<std::vector<Answer>>> answers;
  std::thread waiting(
      [&] { answers.emplace(async::blocking_run(loop_, talk(proxy, completion(), 2))); });
  http::Client http(kClock, http::Client::Config{});
  const auto queued = [&] {
    const auto text = async::blocking_run(loop_, get(http, bound_.metrics, "/metrics"));
    return text && text->find(
                       "\nllm_d_epp_flow_control_queue_size{fairness_id=\"default-flow\","
                       "priority=\"0\",inference_pool=\"pool\",model_name=\"m\","
                       "target_model_name=\"m\"} 1\n") != std::string::npos;
  };
  const auto limit = soon();
  bool seen = false;
  while (!seen && kClock.now() < limit.at) seen = queued();
  EXPECT_TRUE(seen);
  server_->update(one_endpoint());
  waiting.join();
  ASSERT_TRUE(*answers) << answers->error().message();
  EXPECT_EQ((*answers)->front().header(kDestination), "127.0.0.1:9");
}

// A stream that stays open after its request is placed; what comes then.
Task<void> hold(grpc::Client& client, std::string objective, std::atomic<int>* placed,
                std::vector<Answer>* rest) {
  auto call = co_await client.open(kProcess, soon());
  if (!call) co_return;
  auto head = testing::headers(Side::kRequest, {{":path", "/v1/completions"},
                                                {"x-request-id", objective},
                                                {"x-llm-d-inference-objective", objective}});
  auto written = co_await (*call)->write(head);
  written =
      co_await (*call)->write(testing::body(Side::kRequest, R"({"model":"m","prompt":"x"})", true));
  for (;;) {
    const auto answer = co_await (*call)->read();
    if (!answer || !*answer) co_return;
    auto read = testing::read_answer(**answer);
    if (read.kind == Answer::Kind::kRequestBody) {
      ++*placed;
    } else if (read.kind != Answer::Kind::kRequestHeaders) {
      rest->push_back(std::move(read));
    }
  }
}

TEST_F(EppServerTest, ARequestOfLowPriorityEndsForABetterOneThatWaits) {  // epp:X061 epp:F015
  service_.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 2}}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}, enableEviction: true}
)";
  start();
  server_->update(one_endpoint());
  const auto objective = [](std::string_view name, int priority) {
    return *text::json::parse(R"({"metadata":{"name":")" + std::string(name) +
                              R"("},"spec":{"poolRef":{"name":"pool"},"priority":)" +
                              std::to_string(priority) + "}}");
  };
  server_->set_objectives({objective("low", -1), objective("high", 5)});
  auto& proxy = client(bound_.ext_proc, true);
  std::atomic<int> placed = 0;
  std::vector<Answer> low, plain, high;
  std::optional<async::TaskGroup> streams;
  const auto open = [&](std::string name, std::vector<Answer>* rest) {
    loop_.post([&, name, rest] {
      if (!streams) streams.emplace(loop_.executor());
      streams->spawn(hold(proxy, name, &placed, rest));
    });
  };
  const auto comes_to = [&](int count) {
    const auto limit = soon();
    while (placed < count && kClock.now() < limit.at) std::this_thread::yield();
    return placed == count;
  };
  open("low", &low);
  ASSERT_TRUE(comes_to(1));
  open("plain", &plain);  // of priority 0
  ASSERT_TRUE(comes_to(2));
  open("high", &high);
  ASSERT_TRUE(comes_to(3)) << "it got the place of the lowest";
  EXPECT_TRUE(
      tells("llm_d_epp_flow_control_revocations_total{outcome=\"confirmed\","
            "inference_pool=\"pool\"} 1"));
  EXPECT_TRUE(
      tells("llm_d_epp_flow_control_revocations_issued_total{priority=\"5\","
            "inference_pool=\"pool\"} 1"));
  EXPECT_TRUE(tells("llm_d_epp_flow_control_pending_reclaim{inference_pool=\"pool\"} 0"));
  const auto end = [](async::TaskGroup& group) -> Task<void> {
    group.cancel();
    co_await group.join();
  };
  async::blocking_run(loop_, end(*streams));
  ASSERT_EQ(low.size(), 1);
  EXPECT_EQ(low[0].status, 429);
  EXPECT_EQ(low[0].text, "request evicted by flow control");
  EXPECT_EQ(low[0].header("x-llm-d-request-dropped-reason"), "evicted");
  EXPECT_TRUE(plain.empty()) << "priority 0 is never ended";
  http::Client http(kClock, http::Client::Config{});
  EXPECT_THAT(
      async::blocking_run(loop_, get(http, bound_.metrics, "/debug/decisions/low")).value_or(""),
      HasSubstr("\"evicted\":{\"forPriority\":5"));
}

TEST_F(EppServerTest, RefusesWhatWaitedTooLong) {
  service_.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}]
flowControl: {noEndpointRequestTTL: 20ms}
)";
  start();
  server_->update({});
  const auto answers =
      async::blocking_run(loop_, talk(client(bound_.ext_proc, true), completion(), 1));
  ASSERT_TRUE(answers) << answers.error().message();
  ASSERT_EQ(answers->size(), 1);
  EXPECT_EQ(answers->front().status, 503);
  EXPECT_EQ(answers->front().header("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
}

TEST_F(EppServerTest, TellsADecisionByItsRequest) {
  start();
  server_->update(one_endpoint());
  ASSERT_TRUE(async::blocking_run(loop_, talk(client(bound_.ext_proc, true), completion(), 2)));
  http::Client http(kClock, http::Client::Config{});
  const auto told = [&](std::string_view path) {
    return async::blocking_run(loop_, get(http, bound_.metrics, path)).value_or("");
  };
  EXPECT_EQ(told("/debug/decisions"), "{\"requests\":[\"r1\"]}\n");
  EXPECT_THAT(told("/debug/decisions/r1"), HasSubstr("\"primary\":\"a\""));
  EXPECT_THAT(told("/debug/decisions/r2"), HasSubstr("'r2'"));
}

TEST_F(EppServerTest, TheSeriesOfAnEndpointEndWhenItLeaves) {
  start();
  const auto counted = [&] {
    return registry_.expose().contains("llm_d_epp_scheduler_attempts_total{status=\"success\"");
  };
  const auto place = [&] {
    server_->update(one_endpoint());
    ASSERT_TRUE(async::blocking_run(loop_, talk(client(bound_.ext_proc, true), completion(), 2)));
  };
  place();
  EXPECT_TRUE(counted());
  server_->update({});
  EXPECT_FALSE(counted());
  place();
  EXPECT_TRUE(counted());
  server_->clear();
  EXPECT_FALSE(counted());
}

TEST_F(EppServerTest, ObjectivesAndRewritesReachRequests) {
  start();
  server_->update(one_endpoint());
  server_->set_rewrites(
      {*text::json::parse(R"({"metadata":{"name":"rw"},"spec":{"poolRef":{"name":"pool"},)"
                          R"("rules":[{"targets":[{"modelRewrite":"to"}]}]}})")});
  const auto answers =
      async::blocking_run(loop_, talk(client(bound_.ext_proc, true), completion(), 2));
  ASSERT_TRUE(answers);
  EXPECT_EQ(answers->back().streamed, R"({"model":"to","prompt":"x"})");
}

TEST_F(EppServerTest, AModelThatARewriteRuleNamesIsNeverOtherInMetrics) {  // epp:L005
  start();
  server_->update(one_endpoint());
  const std::string name(kMaxLabelBytes + 1, 't');  // a client's own would be too long
  server_->set_rewrites(
      {*text::json::parse(R"({"metadata":{"name":"rw"},"spec":{"poolRef":{"name":"pool"},)"
                          R"("rules":[{"targets":[{"modelRewrite":")" +
                          name + R"("}]}]}})")});
  ASSERT_TRUE(async::blocking_run(loop_, talk(client(bound_.ext_proc, true), completion(), 2)));
  EXPECT_TRUE(metrics_until(
      [&](const std::string& text) { return text.contains("target_model_name=\"" + name); }));
}

TEST_F(EppServerTest, EndsAStreamOfBrokenMessages) {
  start();
  const auto answers =
      async::blocking_run(loop_, talk(client(bound_.ext_proc, true), {"\x0a\xff"}, 1));
  ASSERT_TRUE(answers);
  EXPECT_TRUE(answers->empty());
}

TEST_F(EppServerTest, IsHealthyOnceItKnowsItsEndpointsAndUntilItDrains) {
  start();
  auto& checks = client(bound_.health, false);
  const std::vector<std::string_view> names = {"", "readiness", "liveness", "whatever",
                                               grpc::kExtProcService};
  for (const auto name : names) EXPECT_EQ(health(checks, name), 2) << name;
  server_->update({});
  for (const auto name : names) EXPECT_EQ(health(checks, name), 1) << name;
  server_->clear();
  EXPECT_EQ(health(checks, ""), 2);
  server_->update(one_endpoint());
  EXPECT_EQ(health(checks, ""), 1);
  server_->drain();
  for (const auto name : names) EXPECT_EQ(health(checks, name), 2) << name;
}

TEST_F(EppServerTest, IsNotReadyWhenAParserDoesNotSpeakThePoolsProtocol) {  // epp:C014
  service_.picker =
      "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: queue-scorer}, "
      "{type: openai-parser}, {type: vllmgrpc-parser}]\nrequestHandler: {parsers: [{pluginRef: "
      "openai-parser}, {pluginRef: vllmgrpc-parser}]}\n";
  start();
  auto& checks = client(bound_.health, false);
  server_->speak("http");
  server_->update(one_endpoint());
  for (const auto* name : {"", "readiness", "liveness"}) EXPECT_EQ(health(checks, name), 2) << name;
  server_->speak("kubernetes.io/h2c");
  EXPECT_EQ(health(checks, "readiness"), 1);
}

TEST_F(EppServerTest, OnlyALeaderIsReadyWhenThereAreLeaders) {
  config_.elects_leader = true;
  start();
  server_->update(one_endpoint());
  auto& checks = client(bound_.health, false);
  EXPECT_EQ(health(checks, "readiness"), 2);
  EXPECT_EQ(health(checks, "liveness"), 1);
  EXPECT_EQ(health(checks, "whatever"), -1);
  server_->lead(true);
  EXPECT_EQ(health(checks, "readiness"), 1);
}

TEST_F(EppServerTest, AnswersHealthOnTheExtProcPortOnRequest) {
  config_.health_on_ext_proc = true;
  start();
  server_->update(one_endpoint());
  EXPECT_EQ(health(client(bound_.ext_proc, true), grpc::kExtProcService), 1);
}

TEST_F(EppServerTest, ShowsItsMetrics) {
  start();
  http::Client http(kClock, http::Client::Config{});
  const auto text = async::blocking_run(loop_, get(http, bound_.metrics, "/metrics"));
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_THAT(*text, HasSubstr("llm_d_epp_info{"));
  EXPECT_THAT(*text, HasSubstr("llm_d_epp_ready_endpoints{name=\"pool\"} 0"));
  EXPECT_THAT(*text, HasSubstr("inference_pool_ready_pods{name=\"pool\"} 0"));
  const auto other = async::blocking_run(loop_, get(http, bound_.metrics, "/"));
  ASSERT_TRUE(other);
  EXPECT_THAT(*other, HasSubstr("/metrics"));
}

TEST_F(EppServerTest, DoesNotStartWithAWrongConfiguration) {
  auto service = testing::pool();
  service.picker = "kind: Nothing";
  Server server({.loops = {&one_}, .clock = kClock, .registry = registry_}, config_, service);
  const auto bound = server.start();
  ASSERT_FALSE(bound);
  EXPECT_THAT(bound.error().message(), HasSubstr("apiVersion"));
}

}  // namespace
}  // namespace baton::epp
