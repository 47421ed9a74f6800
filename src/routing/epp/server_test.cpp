// The picker on its ports, with a proxy's client.

#include "routing/epp/server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <thread>

#include "base/async/blocking.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/health.hpp"
#include "net/http/client.hpp"
#include "net/tls/testing/credentials.hpp"
#include "routing/epp/testing/envoy.hpp"

namespace baton::epp {
namespace {

using testing::Answer;
using ::testing::HasSubstr;

const SystemClock kClock;
constexpr const char* kProcess = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

watch::Service pool() {
  watch::Service made;
  made.ns = "llm";
  made.name = "pool";
  return made;
}

std::vector<schedule::Endpoint> one_endpoint() {
  schedule::Endpoint e;
  e.ns = "llm";
  e.name = "a";
  e.host = "127.0.0.1";
  e.port = 9;  // nobody scrapes it with success
  return {e};
}

Task<Result<std::vector<Answer>>> talk(grpc::Client& client, std::vector<std::string> messages,
                                       std::size_t answers) {
  auto call = co_await client.open(kProcess, soon());
  if (!call) co_return call.error();
  for (const auto& message : messages) {
    BATON_CO_TRY(co_await (*call)->write(message));
  }
  std::vector<Answer> out;
  while (out.size() < answers) {
    auto answer = co_await (*call)->read();
    if (!answer) co_return answer.error();
    if (!*answer) break;
    out.push_back(testing::read_answer(**answer));
  }
  (*call)->finish_writing();
  co_return out;
}

Task<Result<std::string>> get(http::Client& client, const http::Endpoint& at,
                              std::string_view path) {
  http::RequestHead head;
  head.target = path;
  auto answer = co_await client.send(at, head, {}, soon());
  if (!answer) co_return answer.error().error;
  auto body = co_await answer->read_all(1 << 20, soon());
  if (!body) co_return body.error().error;
  co_return *std::move(body);
}

// The answer's status; -1 when there is none.
Task<int> status_of(http::Client& client, const http::Endpoint& at, http::RequestHead head) {
  auto answer = co_await client.send(at, std::move(head), {}, soon());
  co_return answer ? answer->head().status : -1;
}

// A whole stream of a GET; what the metrics say while it is open.
Task<std::string> while_open(grpc::Client& client, const observe::Registry& registry) {
  auto call = co_await client.open(kProcess, soon());
  if (!call) co_return "";
  (void)co_await (*call)->write(testing::headers(Side::kRequest, {{":path", "/v1/models"}}, true));
  (void)co_await (*call)->read();
  auto text = registry.expose();
  (*call)->finish_writing();
  (void)co_await (*call)->read();
  co_return text;
}

class EppServerTest : public ::testing::Test {
 protected:
  EppServerTest() {
    auto with = credentials_.server();
    with.alpn = {tls::kHttp2};
    config_.ext_proc = config_.health = config_.metrics = {"127.0.0.1", 0};
    config_.tls = tls::testing::open_server(with, kClock);
  }
  ~EppServerTest() override {
    for (auto& client : clients_) async::blocking_run(loop_, client->stop());
    if (server_) server_->stop({kClock.now()});
  }
  void start() {
    for (auto* loop : {&loop_, &one_, &two_}) loop->start();
    server_ = std::make_unique<Server>(
        Server::Deps{
            .loops = {&one_, &two_}, .clock = kClock, .registry = registry_, .review = review_},
        config_, service_);
    const auto bound = server_->start();
    ASSERT_TRUE(bound) << bound.error().message();
    bound_ = *bound;
  }
  grpc::Client& client(const http::Endpoint& at, bool secure) {
    grpc::Client::Config config;
    if (secure) {
      auto with = credentials_.client();
      with.alpn = {tls::kHttp2};
      config.tls = tls::testing::open_client(with, kClock);
    }
    return *clients_.emplace_back(
        std::make_unique<grpc::Client>(loop_.executor(), kClock, at, config));
  }
  // As a number; -1 when the call fails.
  int health(grpc::Client& of, std::string_view service) {
    std::string request;
    if (!service.empty()) proto::Writer(request).bytes(1, service);
    const auto answer =
        async::blocking_run(loop_, of.unary("/grpc.health.v1.Health/Check", request, soon()));
    if (!answer) return -1;
    int status = 0;
    testing::detail::each(*answer, [&](const proto::Field& field) {
      if (field.number == 1) status = static_cast<int>(field.number_value);
    });
    return status;
  }

  tls::testing::Credentials credentials_ = tls::testing::Credentials::make("epp", kClock);
  async::Loop loop_{"client"}, one_{"one"}, two_{"two"};
  observe::Registry registry_;
  Server::Config config_;
  Review review_;
  watch::Service service_ = pool();
  std::unique_ptr<Server> server_;
  Server::Bound bound_;
  std::vector<std::unique_ptr<grpc::Client>> clients_;
};

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

TEST_F(EppServerTest, AReviewSaysWhoMayReadMetrics) {  // epp:C013
  using kube::AccessReview;
  using Verdict = AccessReview::Verdict;
  review_ = [](std::string_view token, std::string_view verb, std::string_view path) {
    EXPECT_EQ(verb, "get");
    if (token == "scraper" && path == "/metrics")
      return AccessReview::Answer{Verdict::kAllowed, ""};
    if (token == "scraper") return AccessReview::Answer{Verdict::kDenied, "not that"};
    if (token == "down") return AccessReview::Answer{Verdict::kFailed, "no server"};
    return AccessReview::Answer{Verdict::kUnknown, "nobody's"};
  };
  start();
  http::Client http(kClock, http::Client::Config{});
  const auto status = [&](const std::string& path, const std::string& authorization) {
    http::RequestHead head;
    head.target = path;
    if (!authorization.empty()) head.headers.add("authorization", authorization);
    return async::blocking_run(loop_, status_of(http, bound_.metrics, head));
  };
  EXPECT_EQ(status("/metrics", ""), 401);
  EXPECT_EQ(status("/metrics", "Basic scraper"), 401);
  EXPECT_EQ(status("/metrics", "Bearer nobody"), 401);
  EXPECT_EQ(status("/metrics", "Bearer scraper"), 200);
  EXPECT_EQ(status("/debug/decisions", "Bearer scraper"), 403);
  EXPECT_EQ(status("/metrics", "Bearer down"), 500);
}

TEST_F(EppServerTest, MetricsAreToldToClientsWithACertificateOnly) {  // epp:C013
  auto with = credentials_.server();
  with.client_authority = credentials_.client().authority;
  config_.metrics_tls = tls::testing::open_server(with, kClock);
  start();
  const auto status = [&](tls::ClientContext::Config own) {
    http::Client::Config config;
    config.tls = tls::testing::open_client(std::move(own), kClock);
    http::Client http(kClock, config);
    http::RequestHead head;
    head.target = "/metrics";
    return async::blocking_run(loop_, status_of(http, bound_.metrics, head));
  };
  EXPECT_EQ(status(credentials_.client()), -1);
  auto known = credentials_.client();
  known.certificate = credentials_.server().certificate;
  known.key = credentials_.server().key;
  EXPECT_EQ(status(known), 200);
}

TEST_F(EppServerTest, StreamsAreCountedAsCallsWhereThatIsAskedFor) {  // epp:C019
  config_.stream_metrics = config_.health_on_ext_proc = true;
  start();
  server_->update(one_endpoint());
  auto& proxy = client(bound_.ext_proc, true);
  EXPECT_EQ(health(proxy, ""), 1);  // no stream of ext_proc
  const auto shows = [&](std::string_view line) {
    const auto limit = soon();
    while (kClock.now() < limit.at) {
      if (registry_.expose().find("\nllm_d_epp_extproc_" + std::string(line) + "\n") !=
          std::string::npos) {
        return true;
      }
    }
    return false;
  };
  EXPECT_THAT(async::blocking_run(loop_, while_open(proxy, registry_)),
              HasSubstr("\nllm_d_epp_extproc_streams_inflight 1\n"));
  EXPECT_TRUE(shows("streams_total{code=\"OK\"} 1"));
  EXPECT_TRUE(shows("stream_duration_seconds_count 1"));
  EXPECT_TRUE(shows("streams_inflight 0"));
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
  auto service = pool();
  service.picker = "kind: Nothing";
  Server server({.loops = {&one_}, .clock = kClock, .registry = registry_}, config_, service);
  const auto bound = server.start();
  ASSERT_FALSE(bound);
  EXPECT_THAT(bound.error().message(), HasSubstr("apiVersion"));
}

}  // namespace
}  // namespace baton::epp
