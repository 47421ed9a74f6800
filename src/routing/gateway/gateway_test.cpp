#include "routing/gateway/gateway.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/json.hpp"
#include "net/kube/memory_cluster.hpp"
#include "routing/gateway/testing/stack.hpp"
#include "routing/ticket/testing/key_file.hpp"
#include "routing/ticket/verifier.hpp"
#include "routing/watch/scraper.hpp"
#include "routing/watch/testing/objects.hpp"
#include "routing/watch/topology.hpp"

namespace baton::gateway {
namespace {

using pick::testing::kSeedPd;
using testing::eventually;
using testing::get;
using ::testing::HasSubstr;
using testing::kClock;
using testing::kLong;
using testing::soon;
using testing::Stack;
using testing::story;
using ticket::testing::kKey;

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

TEST(Gateway, RefusesABodyOutOfWhichTransferParametersCannotBeCut) {
  Stack stack;
  auto& decode = stack.engine("d0", "decode");
  stack.start();
  std::string body = R"({"model":"m","prompt":"x","kv_transfer_params":{})";
  for (int i = 0; i < 1100; ++i) body += ",\"m" + std::to_string(i) + "\":1";

  EXPECT_EQ(stack.send("POST", "/v1/completions", body + "}").head.status, 400);

  EXPECT_TRUE(decode.seen().empty());
  EXPECT_THAT(stack.registry.expose(),
              HasSubstr("baton_gateway_removed_total{what=\"kv_transfer_params\"} 0"));
}

void create(kube::Cluster& cluster, kube::Object object, std::string_view owner_uid = "") {
  if (!owner_uid.empty()) {
    (*object["metadata"]["ownerReferences"].if_array())[0]["uid"] = owner_uid;
  }
  auto made = cluster.create(object, kube::DryRun::kNo, soon());
  ASSERT_TRUE(made) << made.error().message();
  if (object.find("status") == nullptr) return;
  (*made)["status"] = *object.find("status");
  ASSERT_TRUE(cluster.update_status(*made, soon()));
}

// The service's uid.
std::string create_story(kube::Cluster& cluster) {
  const auto service = watch::testing::service("story", "m");
  create(cluster, service);
  const auto stored = *cluster.get(*kube::key_of(service), soon());
  return std::string(stored.string_at({"metadata", "uid"}));
}

void create_pool(kube::Cluster& cluster, std::string_view uid, std::uint16_t port) {
  create(cluster, watch::testing::pool("story", port), uid);
  create(cluster,
         watch::testing::picker(
             "story", text::json::dump(text::json::Array{"--config-text", std::string(kSeedPd)})),
         uid);
}

TEST(Gateway, FollowsAClusterAndServesWhatItHolds) {
  async::Loop loop("cluster");
  loop.start();
  SystemRandom random;
  Stack stack;
  auto& engine = stack.engine("d0", "decode", story());
  kube::MemoryCluster cluster(kClock, random);
  const auto uid = create_story(cluster);
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, cluster);
  stack.at = *gateway.start();
  EXPECT_TRUE(eventually([&] { return stack.chat("x").head.status == 503; }));
  EXPECT_FALSE(gateway.ready());

  create_pool(cluster, uid, engine.address().port);
  create(cluster, watch::testing::pod("story", "d0", "decode", "127.0.0.1"));

  EXPECT_TRUE(eventually([&] { return gateway.ready(); }));
  EXPECT_EQ(stack.chat(kLong).head.status, 200);
  EXPECT_EQ(engine.seen().at(0).body, Stack::chat_body(kLong));
  gateway.stop({kClock.now()});
}

TEST(Gateway, TellsWhyARequestWentWhereAlsoWhenItsServiceIsGone) {
  async::Loop loop("cluster");
  loop.start();
  SystemRandom random;
  Stack stack;
  stack.config.page = Page::kOn;
  auto& engine = stack.engine("d0", "decode", story());
  kube::MemoryCluster cluster(kClock, random);
  create_pool(cluster, create_story(cluster), engine.address().port);
  create(cluster, watch::testing::pod("story", "d0", "decode", "127.0.0.1"));
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, cluster);
  stack.at = *gateway.start();
  ASSERT_TRUE(eventually([&] { return gateway.ready(); }));
  ASSERT_EQ(stack.chat("x").head.status, 200);

  const auto service = kube::key_of(watch::testing::service("story", "m"));
  ASSERT_TRUE(cluster.remove(*service, kube::Grace::kNone, soon()));
  ASSERT_TRUE(eventually([&] { return gateway.stats().pods.empty(); }));

  const auto why = text::json::parse(stack.send("GET", "/ui/requests/1", "").body);
  ASSERT_TRUE(why);
  const auto* profiles = why->find_path({"record", "decision", "profiles"});
  ASSERT_NE(profiles, nullptr);
  EXPECT_EQ(profiles->if_array()->front().string_at({"profile"}), "decode");
  gateway.stop({kClock.now()});
}

TEST(Gateway, APodThatLeavesAndComesBackIsPolledByOnePoller) {
  async::Loop loop("cluster");
  loop.start();
  SystemRandom random;
  Stack stack;
  auto& engine = stack.engine("d0", "decode");
  kube::MemoryCluster cluster(kClock, random);
  create_pool(cluster, create_story(cluster), engine.address().port);
  const auto pod = watch::testing::pod("story", "d0", "decode", "127.0.0.1");
  create(cluster, pod);
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, cluster);
  ASSERT_TRUE(gateway.start());
  const auto pods = [&](std::size_t count) {
    return eventually([&] { return gateway.stats().pods.size() == count; });
  };
  const auto looked = [&](int more) {
    const int before = engine.looks();
    return eventually([&] { return engine.looks() >= before + more; });
  };
  ASSERT_TRUE(pods(1));
  engine.holds_looks = true;
  ASSERT_TRUE(looked(1));  // a poll is under way

  ASSERT_TRUE(cluster.remove(*kube::key_of(pod), kube::Grace::kNone, soon()));
  ASSERT_TRUE(pods(0));
  create(cluster, pod);
  ASSERT_TRUE(pods(1));
  engine.holds_looks = false;

  // One poller never looks sooner than an interval after its last look; three may be under way.
  const auto since = kClock.now();
  ASSERT_TRUE(looked(20));
  EXPECT_GE(kClock.now() - since, 17 * watch::kScrapeInterval);
  gateway.stop({kClock.now()});
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

TEST(Gateway, ListsAServicesOwnModelsUnderItsPathAndReadsEscapedIds) {
  async::Loop loop("own");
  loop.start();
  SystemRandom random;
  Stack stack;
  stack.service.models = {"org/name"};
  auto other = stack.service;
  other.name = "other";
  other.models = {"another"};
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config,
                  watch::Topology{.services = {stack.service, other}});
  stack.at = *gateway.start();
  ASSERT_TRUE(eventually([&] { return gateway.picker_synced("llm", "other"); }));
  const auto status = [&](std::string path) {
    return stack.send("GET", std::move(path), "").head.status;
  };

  const auto models = text::json::parse(stack.send("GET", "/llm/story/v1/models", "").body);
  ASSERT_TRUE(models);
  const auto* data = models->find("data")->if_array();
  ASSERT_EQ(data->size(), 1U);
  EXPECT_EQ(data->front().string_at({"id"}), "org/name");
  EXPECT_EQ(status("/llm/story/v1/models/org%2Fname"), 200);
  EXPECT_EQ(status("/llm/story/v1/models/another"), 404);
  for (const char* path : {"/v1/models/org/name", "/v1/models/org%2Fname", "/v1/models/another"}) {
    EXPECT_EQ(status(path), 200) << path;
  }
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

TEST(Gateway, KeepsATallyForEachPortOfAPod) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.engine("d0", "decode", story());
  stack.start();
  stack.chat("x");

  EXPECT_TRUE(eventually([&] { return stack.gateway().stats().requests == 1; }));
  const auto stats = stack.gateway().stats();
  ASSERT_EQ(stats.pods.size(), 2U);
  EXPECT_NE(stats.pods[0].address.port, stats.pods[1].address.port);
  EXPECT_EQ(stats.pods[0].requests + stats.pods[1].requests, 1U);
  EXPECT_EQ(stats.pods[0].tokens + stats.pods[1].tokens, 2U);
}

}  // namespace
}  // namespace baton::gateway
