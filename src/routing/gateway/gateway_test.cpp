#include "routing/gateway/gateway.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <thread>

#include "base/async/blocking.hpp"
#include "base/text/json.hpp"
#include "net/http/client.hpp"
#include "net/kube/memory_cluster.hpp"
#include "routing/gateway/testing/scripted_engine.hpp"
#include "routing/gateway/testing/stack.hpp"
#include "routing/ticket/testing/key_file.hpp"
#include "routing/ticket/verifier.hpp"
#include "routing/watch/testing/objects.hpp"
#include "routing/watch/topology.hpp"

namespace baton::gateway {
namespace {

using pick::testing::kSeedPd;
using testing::Answer;
using ::testing::ElementsAre;
using testing::eventually;
using ::testing::HasSubstr;
using testing::kClock;
using testing::ScriptedEngine;
using testing::soon;
using testing::Stack;
using ticket::testing::kKey;

std::string_view get(const Answer& answer, std::string_view header) {
  return answer.head.headers.get(header).value_or("");
}

ScriptedEngine::Script story() {
  ScriptedEngine::Script script;
  script.head = {200, {{"content-type", "text/event-stream"}, {"x-baton-kv-bytes", "4096"}}};
  script.pieces = {"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Once upon\"}}]}\n\n",
                   "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a time\"}}]}\n\n",
                   "data: [DONE]\n\n"};
  return script;
}

const std::string kLong(500, 'x');

// As a sidecar verifies what reached it.
ticket::Verdict verdict(const http::Headers& headers) {
  ticket::Verifier sidecar;
  return sidecar.verify(kKey, headers.get("x-baton-ticket").value_or(""),
                        {.request_id = headers.get("x-request-id").value_or(""),
                         .endpoints = ticket::endpoints_text(
                             {.prefillers = headers.get("x-prefiller-host-port").value_or("")})},
                        kClock.wall());
}

TEST(Gateway, SignsTheRouteToAPrefillerWithItsOwnKeyOrTheServices) {
  for (const bool own : {true, false}) {
    Stack stack;
    if (own) stack.config.ticket_key = ticket::testing::key_file(kKey, kClock.now());
    stack.service.routing_key = own ? "another key of good length" : kKey;
    auto& decode = stack.engine("d0", "decode", story());
    stack.engine("p0", "prefill");
    stack.start();

    EXPECT_EQ(stack.chat(kLong, {{"x-baton-ticket", "mine"}}).head.status, 200);
    EXPECT_EQ(stack.chat("short", {{"x-baton-ticket", "mine"}}).head.status, 200);

    const auto seen = decode.seen();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(verdict(seen[0].head.headers), ticket::Verdict::kGood);
    EXPECT_FALSE(seen[1].head.headers.has("x-baton-ticket"));
  }
}

TEST(Gateway, SendsALongPromptToADecodePodWithAPrefiller) {
  Stack stack;
  auto& decode = stack.engine("d0", "decode", story());
  stack.engine("p0", "prefill");
  stack.start();

  const auto answer = stack.chat(kLong, {{"x-prefiller-host-port", "evil:1"}});

  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.body, story().pieces[0] + story().pieces[1] + story().pieces[2]);
  const auto seen = decode.seen();
  ASSERT_EQ(seen.size(), 1);
  EXPECT_EQ(seen[0].head.headers.get_all("x-prefiller-host-port"),
            std::vector<std::string_view>{http::to_string(
                {stack.service.endpoints[1].host, stack.service.endpoints[1].port})});
  EXPECT_EQ(seen[0].body, Stack::chat_body(kLong));
  EXPECT_EQ(seen[0].head.headers.get("x-request-id"), get(answer, "x-request-id"));
  EXPECT_THAT(std::string(get(answer, "x-baton-decode")), HasSubstr("d0 127.0.0.1:"));
  EXPECT_FALSE(answer.head.headers.has("x-baton-prefill"));  // the engine did not tell
  EXPECT_THAT(std::string(get(answer, "server-timing")), HasSubstr("pick;dur="));
  EXPECT_THAT(stack.registry.expose(), HasSubstr("baton_gateway_removed_total{what=\"header\"} 1"));
}

TEST(Gateway, TheSecondTurnGoesToTheSamePodWithoutPrefill) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.engine("d1", "decode", story());
  stack.engine("p0", "prefill");
  stack.start();
  const auto first = stack.chat(kLong);
  const auto second =
      stack.send("POST", "/v1/chat/completions",
                 R"({"model":"m","stream":true,"messages":[{"role":"user","content":")" + kLong +
                     R"("},{"role":"assistant","content":"Once upon a time"},)"
                     R"({"role":"user","content":"Continue"}]})");

  EXPECT_EQ(get(second, "x-baton-decode"), get(first, "x-baton-decode"));
  EXPECT_EQ(get(second, "x-baton-prefill"), "none; reason=below-threshold");
}

TEST(Gateway, PromptsOfDifferentSaltsShareNothing) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.engine("p0", "prefill");
  stack.start();
  const auto held = [&](std::string_view salt) {
    const auto answer = stack.send(
        "POST", "/v1/completions",
        fmt::format(R"({{"model":"m"{},"prompt":"{}"}})",
                    salt.empty() ? "" : fmt::format(R"(,"cache_salt":"{}")", salt), kLong));
    return get(answer, "x-baton-prefill") == "none; reason=below-threshold";
  };

  for (const std::string_view salt : {"", "one", "two"}) EXPECT_FALSE(held(salt)) << salt;
  for (const std::string_view salt : {"", "one", "two"}) EXPECT_TRUE(held(salt)) << salt;
}

TEST(Gateway, ServesEveryApiOfTheEngine) {
  Stack stack;
  auto& engine = stack.engine("d0", "decode", story());
  stack.start();

  for (const auto& [path, body] : std::vector<std::pair<std::string, std::string>>{
           {"/v1/messages", R"({"model":"m","messages":[{"role":"user","content":"x"}]})"},
           {"/v1/responses", R"({"model":"m","input":"x"})"},
           {"/inference/v1/generate", R"({"model":"m","token_ids":[1]})"},
           {"/llm/story/v1/messages", R"({"messages":[{"role":"user","content":"x"}]})"}}) {
    EXPECT_EQ(stack.send("POST", path, body).head.status, 200) << path;
    EXPECT_TRUE(path.ends_with(engine.seen().back().head.path())) << path;
  }
}

TEST(Gateway, ShowsItsRequestsAndWhyTheyWentWhere) {
  Stack stack;
  stack.config.page = Page::kOn;
  stack.engine("d0", "decode", story());
  stack.engine("d1", "decode", story());
  stack.start();
  stack.chat("x", {{"x-request-id", "r1"}});
  stack.gateway().show(R"({"ready":true,"pods":[{"name":"d0"}]})");

  const auto state = text::json::parse(stack.send("GET", "/ui/state", "").body);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->find_path({"stack", "pods"})->if_array()->front().string_at({"name"}), "d0");
  const auto& request = state->find("requests")->if_array()->front();
  EXPECT_EQ(request.string_at({"id"}), "r1");
  EXPECT_EQ(request.string_at({"stage"}), "done");
  const auto why = text::json::parse(stack.send("GET", "/ui/requests/1", "").body);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->string_at({"record", "decision", "primary"}), request.string_at({"decode"}));
  EXPECT_EQ(why->find_path({"record", "endpoints"})->if_array()->size(), 2U);
  for (const char* path : {"/ui/requests/2", "/ui/requests/r1", "/ui/requests/", "/ui/../ui/state",
                           "/ui/requests/99999999999999999999", "/ui/nothing"}) {
    EXPECT_EQ(stack.send("GET", path, "").head.status, 404) << path;
  }
  EXPECT_EQ(stack.send("POST", "/ui", "").head.status, 405);
  const auto page = stack.send("GET", "/ui", "");
  EXPECT_THAT(page.body, HasSubstr("<title>Baton</title>"));
  EXPECT_THAT(std::string(page.head.headers.get("content-security-policy").value_or("")),
              HasSubstr("default-src 'none'"));
}

TEST(Gateway, ShowsThePageToAllButItsStateToThoseWithAKey) {
  Stack stack;
  stack.config.page = Page::kOn;
  stack.config.api_keys = {"secret"};
  stack.engine("d0", "decode", story());
  stack.start();

  EXPECT_EQ(stack.send("GET", "/ui/page.js", "").head.status, 200);
  EXPECT_EQ(stack.send("GET", "/ui/state", "").head.status, 401);
  EXPECT_EQ(stack.send("GET", "/ui/state", "", {{"authorization", "Bearer secret"}}).head.status,
            200);
}

TEST(Gateway, HasNoPageUnlessToldTo) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.start();
  EXPECT_EQ(stack.send("GET", "/ui", "").head.status, 404);
  EXPECT_EQ(stack.send("GET", "/ui/state", "").head.status, 404);
}

TEST(Gateway, CutsOutTransferParametersAndNothingElse) {
  Stack stack;
  auto& decode = stack.engine("d0", "decode");
  stack.start();

  stack.send("POST", "/v1/completions",
             R"({"model":"m", "kv_transfer_params":{"a":1}, "seed": 18446744073709551617.0})");
  stack.send("POST", "/inference/v1/generate",
             R"({"model":"m","sampling_params":{"extra_args":{"kv_transfer_params":{}}}})");

  EXPECT_EQ(decode.seen().at(1).body, R"({"model":"m","sampling_params":{"extra_args":{}}})");
  EXPECT_THAT(decode.seen().at(0).body, ::testing::Not(HasSubstr("kv_transfer_params")));
  EXPECT_THAT(decode.seen().at(0).body, HasSubstr("\"seed\": 18446744073709551617.0"));
  EXPECT_THAT(stack.registry.expose(),
              HasSubstr("baton_gateway_removed_total{what=\"kv_transfer_params\"} 2"));
}

TEST(Gateway, ListsModelsAndRefusesOthersByName) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.start();

  const auto models = text::json::parse(stack.send("GET", "/v1/models", "").body);
  ASSERT_TRUE(models);
  EXPECT_EQ(models->find("data")->if_array()->size(), 2);
  EXPECT_EQ(stack.send("GET", "/v1/models/m", "").head.status, 200);
  EXPECT_EQ(stack.send("GET", "/v1/models/nope", "").head.status, 404);
  const auto answer = stack.send("POST", "/v1/completions", R"({"model":"nope","prompt":"x"})");
  EXPECT_EQ(answer.head.status, 404);
  EXPECT_THAT(answer.body, HasSubstr("the model 'nope' is not served; served: alias, m"));
  EXPECT_EQ(get(answer, "x-baton-error-hop"), "gateway");
}

TEST(Gateway, RefusesWhatIsNoRequest) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.start();

  EXPECT_EQ(stack.send("POST", "/v1/chat/completions", "{").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/chat/completions", "[]").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/completions", R"({"prompt":"x"})").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/nothing", "{}").head.status, 404);
  EXPECT_EQ(stack.send("GET", "/v1/completions", "").head.status, 405);
  EXPECT_EQ(stack.send("GET", "/health", "").head.status, 200);
  EXPECT_EQ(stack.send("POST", "/health", "{}").head.status, 405);
  const auto large = stack.send("POST", "/v1/completions", std::string((1 << 20) + 1, ' '));
  EXPECT_EQ(large.head.status, 413);
  const auto coded =
      stack.send("POST", "/v1/completions", "\x1f\x8b", {{"content-encoding", "gzip"}});
  EXPECT_EQ(coded.head.status, 415);
  EXPECT_THAT(coded.body, HasSubstr("'gzip'"));
  EXPECT_EQ(stack.chat("x", {{"content-encoding", "identity"}}).head.status, 200);
}

TEST(Gateway, AsksForAKeyAndKeepsItToItself) {
  Stack stack;
  auto& decode = stack.engine("d0", "decode");
  stack.config.api_keys = {"secret"};
  stack.start();

  const auto without = stack.chat("x");
  EXPECT_EQ(without.head.status, 401);
  EXPECT_THAT(without.body, HasSubstr("\"error\":{"));
  EXPECT_EQ(stack.send("GET", "/v1/models", "").head.status, 401);
  EXPECT_EQ(stack.send("GET", "/health", "").head.status, 200);
  EXPECT_EQ(stack.chat("x", {{"authorization", "Bearer secret"}}).head.status, 200);
  EXPECT_FALSE(decode.seen().at(0).head.headers.has("authorization"));
}

TEST(Gateway, SendsToAnotherPodWhenTheFirstRefuses) {
  Stack stack;
  auto& dead = stack.engine("d0", "decode");
  stack.engine("d1", "decode");
  dead.close();
  stack.start();

  for (int i = 0; i < 8; ++i) {
    const auto answer = stack.chat("x");
    EXPECT_EQ(answer.head.status, 200);
    EXPECT_THAT(std::string(get(answer, "x-baton-decode")), HasSubstr("d1 "));
  }
}

TEST(Gateway, SendsToAnotherPodWhenTheEngineBehindTheSidecarRefuses) {
  Stack stack;
  ScriptedEngine::Script script;
  script.head = {503, {{"content-type", "application/json"}, {"x-baton-error-hop", "decode"}}};
  script.pieces = {"{}"};
  stack.engine("d0", "decode", script);
  stack.engine("d1", "decode");
  stack.start();

  for (int i = 0; i < 8; ++i) {
    const auto answer = stack.chat("x");
    EXPECT_EQ(answer.head.status, 200);
    EXPECT_THAT(std::string(get(answer, "x-baton-decode")), HasSubstr("d1 "));
  }
}

TEST(Gateway, SaysWhenToComeBackIfNobodyAnswers) {
  Stack stack;
  stack.engine("d0", "decode").close();
  stack.start();
  const auto refused = stack.chat("x");
  EXPECT_EQ(refused.head.status, 503);
  EXPECT_EQ(get(refused, "retry-after"), "1");
  EXPECT_EQ(get(refused, "x-baton-error-hop"), "decode");

  Stack empty;
  empty.start();
  const auto nobody = empty.chat("x");
  EXPECT_EQ(nobody.head.status, 503);
  EXPECT_EQ(get(nobody, "retry-after"), "1");
  EXPECT_THAT(nobody.body, HasSubstr("no decode pod is ready (llm/story)"));
  EXPECT_FALSE(empty.gateway().ready());
}

TEST(Gateway, FollowsAClusterAndServesWhatItHolds) {
  async::Loop loop("cluster");
  loop.start();
  SystemRandom random;
  Stack stack;
  auto& engine = stack.engine("d0", "decode", story());
  kube::MemoryCluster cluster(kClock, random);
  const auto create = [&](kube::Object object, std::string_view owner_uid) {
    if (!owner_uid.empty()) {
      (*object["metadata"]["ownerReferences"].if_array())[0]["uid"] = owner_uid;
    }
    auto made = cluster.create(object, kube::DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
    if (object.find("status") == nullptr) return;
    (*made)["status"] = *object.find("status");
    ASSERT_TRUE(cluster.update_status(*made, soon()));
  };
  const auto service = watch::testing::service("story", "m");
  create(service, "");
  const auto stored = *cluster.get(*kube::key_of(service), soon());
  const auto uid = std::string(stored.string_at({"metadata", "uid"}));
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, cluster);
  stack.at = *gateway.start();
  EXPECT_TRUE(eventually([&] { return stack.chat("x").head.status == 503; }));
  EXPECT_FALSE(gateway.ready());

  create(watch::testing::pool("story", engine.address().port), uid);
  create(watch::testing::picker(
             "story", text::json::dump(text::json::Array{"--config-text", std::string(kSeedPd)})),
         uid);
  create(watch::testing::pod("story", "d0", "decode", "127.0.0.1"), "");

  EXPECT_TRUE(eventually([&] { return gateway.ready(); }));
  EXPECT_EQ(stack.chat(kLong).head.status, 200);
  EXPECT_EQ(engine.seen().at(0).body, Stack::chat_body(kLong));
  gateway.stop({kClock.now()});
}

TEST(Gateway, PassesAnUpstreamErrorOnVerbatim) {
  Stack stack;
  ScriptedEngine::Script script;
  script.head = {400, {{"content-type", "application/json"}, {"x-mine", "kept"}}};
  script.pieces = {"{ \"odd\" :  1}"};
  stack.engine("d0", "decode", script);
  stack.start();

  const auto answer = stack.chat("x");
  EXPECT_EQ(answer.head.status, 400);
  EXPECT_EQ(answer.body, "{ \"odd\" :  1}");
  EXPECT_EQ(get(answer, "x-mine"), "kept");
  EXPECT_EQ(get(answer, "x-baton-error-hop"), "decode");
}

TEST(Gateway, ABrokenStreamIsSeenAsBroken) {
  Stack stack;
  auto script = story();
  script.breaks_off = true;
  stack.engine("d0", "decode", script);
  stack.start();

  EXPECT_FALSE(stack.chat("x").whole);
}

TEST(Gateway, ALookAtTheMetricsIsNoRequestInFlight) {
  Stack stack;
  stack.engine("d1", "decode");
  stack.start();

  const auto page = stack.send("GET", "/metrics", "");

  EXPECT_THAT(page.body, HasSubstr("baton_gateway_requests_in_flight 0\n"));
}

TEST(Gateway, WithoutProofHeadersNoneIsGiven) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.config.proof_headers = ProofHeaders::kOff;
  stack.start();

  for (const auto& field : stack.chat("x").head.headers) {
    EXPECT_THAT(field.name, ::testing::Not(::testing::StartsWith("x-baton-")));
  }
}

TEST(Gateway, ServesAServiceUnderItsOwnPath) {
  Stack stack;
  auto& decode = stack.engine("d0", "");
  stack.service.picker.reset();
  stack.start();

  const auto answer =
      stack.send("POST", "/llm/story/v1/completions?x=1", R"({"model":"anything","prompt":"x"})");
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(decode.seen().at(0).head.target, "/v1/completions?x=1");
  EXPECT_EQ(get(answer, "x-baton-prefill"), "none; reason=not-requested");

  const auto published =
      fmt::format("/publishers/llm/models/{}/v1/completions", stack.service.models.at(0));
  EXPECT_EQ(stack.send("POST", published, R"({"model":"anything","prompt":"x"})").head.status, 200);
  EXPECT_EQ(decode.seen().at(1).head.target, "/v1/completions");
  EXPECT_EQ(stack.send("POST", "/publishers/llm/models/other/v1/completions", "{}").head.status,
            404);
}

TEST(Gateway, AWrongPickerConfigurationIsSaidToTheClient) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.service.picker = "kind: Pod";
  watch::Topology topology{.services = {stack.service}};
  async::Loop loop("own");
  loop.start();
  SystemRandom random;
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, topology);
  stack.at = *gateway.start();
  Answer answer;
  EXPECT_TRUE(eventually([&] {
    answer = stack.chat("x");
    return answer.head.status == 503;
  }));

  EXPECT_THAT(answer.body, HasSubstr("picker configuration: test: /apiVersion: expected"));
  EXPECT_FALSE(gateway.picker_synced("llm", "story"));
  gateway.stop({kClock.now()});
}

TEST(Gateway, KeepsTalliesPerPod) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.engine("p0", "prefill");
  stack.start();
  stack.chat("x");

  EXPECT_TRUE(eventually([&] { return stack.gateway().stats().requests == 1; }));
  const auto stats = stack.gateway().stats();
  ASSERT_EQ(stats.pods.size(), 2);
  EXPECT_EQ(stats.pods[0].name, "d0");
  EXPECT_EQ(stats.pods[0].requests, 1);
  EXPECT_EQ(stats.pods[0].tokens, 2);
  EXPECT_EQ(stats.pods[0].kv_bytes, 4096);
  EXPECT_EQ(stats.pods[1].role, "prefill");
  EXPECT_TRUE(stack.gateway().ready());
}

TEST(Gateway, APromptIsNoLoadOnceItsAnswerHasBegun) {
  Stack stack;
  stack.service.picker = R"(
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: token-load-scorer, parameters: {queueThresholdTokens: 200}}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer}, {pluginRef: token-load-scorer, weight: 10}]
)";
  auto script = story();
  script.never_ends = true;
  auto& d0 = stack.engine("d0", "decode", script);
  auto& d1 = stack.engine("d1", "decode", script);
  stack.start();
  std::vector<std::jthread> clients;
  clients.emplace_back([&] { stack.chat(kLong); });
  ASSERT_TRUE(eventually([&] {
    return stack.registry.expose().find("baton_gateway_first_byte_seconds_count 1") !=
           std::string::npos;
  }));
  const auto& busy = d0.seen().empty() ? d1 : d0;

  clients.emplace_back([&] { stack.chat(kLong.substr(0, 300)); });

  EXPECT_TRUE(eventually([&] { return d0.seen().size() + d1.seen().size() == 2; }));
  EXPECT_EQ(busy.seen().size(), 2U);  // it has the prefix
  stack.gateway().stop({kClock.now()});
}

TEST(Gateway, PrefersThePodWithTheShorterQueue) {
  Stack stack;
  ScriptedEngine::Script busy;
  busy.metrics = "vllm:num_requests_waiting 100\nvllm:num_requests_running 9\n";
  stack.engine("d0", "decode", busy);
  stack.engine("d1", "decode");
  stack.start();
  const auto scraped = [&] {
    return stack.registry.counter("baton_gateway_scrapes_total", "Engine metrics read.").value();
  };
  ASSERT_TRUE(eventually([&] { return scraped() >= 4; }));

  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(std::string(get(stack.chat("x"), "x-baton-decode")), HasSubstr("d1 "));
  }
}

}  // namespace
}  // namespace baton::gateway
