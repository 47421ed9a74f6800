// On sockets: a dead decode engine, warm-up, transfers proved by counters, parameters of clients.

#include "base/text/json.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"
#include "routing/sidecar/transfer_ledger.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SidecarPairs = SidecarTest;

// The readiness probe finds the engine dead: nothing is sent to it until it lives again.
TEST_F(SidecarPairs, WhileItsEngineIsDeadThePodIsOut) {
  decode_.replace({decoded()});
  start();
  http::RequestHead head = chat_head();
  head.headers.remove("x-prefiller-host-port");
  EXPECT_EQ(get({"GET", "/health", {}}).status, 200);
  EXPECT_EQ(decode_.checks, 0);  // local, as ever
  EXPECT_EQ(get({"GET", "/readyz", {}}).status, 200);
  decode_.health = 503;

  Got dead = get({"GET", "/readyz", {}});
  EXPECT_EQ(dead.status, 503);
  EXPECT_THAT(dead.body, HasSubstr(R"("ready":false)"));
  ASSERT_TRUE(eventually(
      [&] { return metrics().contains(R"(baton_sidecar_decoder_probes_total{result="dead"})"); }));
  Got out = get(head, R"({"mine":1})");
  EXPECT_EQ(out.status, 503);
  EXPECT_EQ(header(out, "x-baton-error-hop"), "decode");
  EXPECT_EQ(decode_.calls(), 0U);

  decode_.health = 200;
  EXPECT_TRUE(eventually([&] { return get(head, "{}").status == 200; }));
  Got ready = get({"GET", "/readyz", {}});
  EXPECT_EQ(ready.status, 200);
  EXPECT_THAT(ready.body, HasSubstr(R"("ready":true)"));
}

// vLLM answers 500 when its engine dies under a request, and its health check tells.
TEST_F(SidecarPairs, AfterA500TheEngineIsAskedAndThePodIsOutIfItIsDead) {
  decode_.replace({{.status = 500, .body = "{}"}, {.status = 500, .body = "{}"}, decoded()});
  start();
  http::RequestHead head = chat_head();
  head.headers.remove("x-prefiller-host-port");
  EXPECT_EQ(get(head, "{}").status, 500);
  ASSERT_TRUE(eventually([&] { return decode_.checks == 1; }));

  decode_.health = 503;
  EXPECT_EQ(get(head, "{}").status, 500) << "it lived, and was asked";
  ASSERT_TRUE(eventually(
      [&] { return metrics().contains(R"(baton_sidecar_decoder_probes_total{result="dead"})"); }));
  EXPECT_EQ(get(head, "{}").status, 503);
  EXPECT_EQ(decode_.calls(), 2U);

  decode_.health = 200;
  EXPECT_TRUE(eventually([&] { return get(head, "{}").status == 200; }));
}

// Until a pair is warm, fallback computes the prompt here; then prefill runs. Once per generation.
TEST_F(SidecarPairs, AFreshPairIsWarmedByAThrowAwayPrompt) {
  prefill_.replace({prefilled()});
  decode_.replace({decoded()});
  Config config;
  config.warm_up = true;
  config.tactics.policy = Policy::kFallback;
  start(config);

  Got first = chat(R"({"model":"m","prompt":"mine"})");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(header(first, "x-baton-prefill"), "none; reason=warming");
  ASSERT_TRUE(eventually([&] { return metrics().contains(R"(warm_ups_total{result="done"} 1)"); }));
  EXPECT_THAT(prefill_.request(0).body, HasSubstr(R"({"model":"m","prompt":"warm-up )"));
  EXPECT_THAT(prefill_.request(0).body, Not(HasSubstr("mine")));
  EXPECT_THAT(decode_.request(1).body, HasSubstr("remote_engine_id"));

  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  EXPECT_EQ(prefill_.calls(), 3U);

  std::string other(kParams);
  other.replace(other.find("\"E\""), 3, "\"F\"");
  prefill_.replace({prefilled(other)});  // another generation
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(header(chat(), "x-baton-prefill"), "none; reason=warming");
  ASSERT_TRUE(eventually([&] { return metrics().contains(R"(warm_ups_total{result="done"} 2)"); }));
}

// One that a client asks for may not be there: its warm-ups would keep the pair cold.
TEST_F(SidecarPairs, APairIsWarmedWithAModelThatAnEngineHasAnsweredFor) {
  prefill_.replace({prefilled()});
  other_.replace({prefilled()});
  decode_.replace({decoded(), decoded(), {.status = 404, .body = "{}"}});
  Config config;
  config.warm_up = true;
  config.tactics.policy = Policy::kFallback;
  start(config);
  EXPECT_EQ(chat(R"({"model":"m"})").status, 200);
  ASSERT_TRUE(eventually([&] { return metrics().contains(R"(warm_ups_total{result="done"} 1)"); }));

  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port", http::to_string(other_.endpoint()));
  EXPECT_EQ(get(head, R"({"model":"nope"})").status, 404);

  ASSERT_TRUE(eventually([&] { return other_.calls() == 1; }));
  EXPECT_THAT(other_.request(0).body, HasSubstr(R"({"model":"m","prompt":"warm-up )"));
}

TEST_F(SidecarPairs, AColdPairIsUsedWhenThePolicyAllowsNothingElse) {
  prefill_.replace({prefilled()});
  decode_.replace({decoded()});
  Config config;
  config.warm_up = true;
  start(config);

  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  ASSERT_TRUE(eventually([&] { return metrics().contains(R"(warm_ups_total{result="done"} 1)"); }));
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port",
                   http::to_string(other_.endpoint()) + "," + http::to_string(prefill_.endpoint()));
  EXPECT_EQ(header(get(head, "{}"), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
}

Answer counters(int external) {
  return {.body = "vllm:external_prefix_cache_hits_total " + std::to_string(external) +
                  ".0\nvllm:prefix_cache_hits_total 0.0\n",
          .headers = {{"Content-Type", "text/plain"}}};
}
Answer vllm_prefilled() {
  return {.body = R"({"usage":{"prompt_tokens":40},"kv_transfer_params":)" + std::string(kParams) +
                  "}"};
}

TEST_F(SidecarPairs, AloneARequestIsProvedByTheGrowthOfACounter) {
  prefill_.replace({vllm_prefilled()});
  decode_.replace({counters(100), {.body = "{}"}, counters(139)});
  Config config;
  config.prove_transfers = true;
  start(config);

  Got got = chat();

  EXPECT_EQ(header(got, "x-baton-remote-tokens"), "39");
  EXPECT_EQ(decode_.request(0).head.target, "/metrics");
  EXPECT_THAT(metrics(), HasSubstr("baton_sidecar_transfer_expected_tokens_total 40"));
  EXPECT_THAT(metrics(), HasSubstr("baton_sidecar_transfer_pulled_tokens_total 39"));

  decode_.replace({{.status = 404}, {.body = "{}"}});  // no such counters: nothing is claimed
  EXPECT_EQ(header(chat(), "x-baton-remote-tokens"), "(absent)");
}

TEST_F(SidecarPairs, StrictWithdrawsAPairWhoseTransfersDoNotHappen) {
  prefill_.replace({vllm_prefilled()});
  Config config;
  config.prove_transfers = true;
  config.tactics.policy = Policy::kStrict;
  start(config);
  for (int i = 0; i < TransferLedger::kFailures; ++i) {
    decode_.replace({counters(100), {.body = "{}"}, counters(100)});
    EXPECT_EQ(header(chat(), "x-baton-remote-tokens"), "0");
    EXPECT_TRUE(eventually([&] { return decode_.calls() == 3 * (i + 1U); }));
  }
  Got refused = chat();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("failed its proof"));
  EXPECT_THAT(metrics(), HasSubstr("baton_sidecar_withdrawn_pairs_total 1"));
}

// The value is of another host's clock: it can only shorten the lease.
TEST_F(SidecarPairs, ALeaseThatBeganEarlierEndsEarlier) {
  auto expiring = [](double at) {
    std::string params(kParams);
    params.pop_back();
    return prefilled(params + R"(,"remote_blocks_expiry_time":)" + std::to_string(at) + "}");
  };
  prefill_.replace({expiring(1000), expiring(970), expiring(1000)});
  decode_.replace({decoded()});
  start();

  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(chat().status, 200);  // 30 s older than the other: prefilled again at once
  ASSERT_TRUE(eventually([&] { return prefill_.calls() >= 3; }));
  EXPECT_EQ(decode_.calls(), 2U);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_prefills_repeated_total{reason="lease"} 1)"));
}

// A client cannot say where KV comes from, whatever the path and connector.
TEST_F(SidecarPairs, ClientsParametersAreReplacedOrRefused) {
  prefill_.replace({prefilled()});
  decode_.replace({decoded()});
  const std::string mine = R"({"prompt":"kv_transfer_params","kv_transfer_params":{"mine":1}})";
  start();
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/messages",
                           "/v1/responses", "/inference/v1/generate"}) {
    Got got = get({"POST", path, {}}, mine);
    EXPECT_EQ(got.status, 400);
    EXPECT_THAT(got.body, HasSubstr("kv_transfer_params: a client cannot say"));
    EXPECT_EQ(get({"POST", path, {}}, R"({"k\u0076_transfer_params":1})").status, 400);
    EXPECT_EQ(get({"POST", path, {}}, R"({"a":"kv_transfer_params"})").status, 200);
  }
  // Where engines read it too.
  for (const char* inside : {R"({"sampling_params":{"extra_args":{"kv_transfer_params":{}}}})",
                             R"({"vllm_xargs":{"kv_transfer_params":"mine"}})"}) {
    EXPECT_EQ(get({"POST", "/v1/completions", {}}, inside).status, 400);
    EXPECT_EQ(chat(inside).status, 400);
  }
  EXPECT_EQ(prefill_.calls(), 0U);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_refusals_total{reason="params"} 14)"));
  EXPECT_EQ(get({"POST", "/v1/embeddings", {}}, mine).status, 200);

  EXPECT_EQ(chat(mine).status, 200);
  EXPECT_THAT(prefill_.request(0).body, Not(HasSubstr("mine")));
  for (const char* connector : {"nixlv2", "sglang", "shared-storage", "offloading"}) {
    sidecar_.reset();
    start({.connector = connector});
    std::size_t prefills = prefill_.calls();
    EXPECT_EQ(chat(mine).status, 200);
    ASSERT_TRUE(eventually([&] { return prefill_.calls() == prefills + 1; }));
    EXPECT_THAT(prefill_.request(prefills).body, Not(HasSubstr("mine"))) << connector;
    EXPECT_THAT(decode_.request(decode_.calls() - 1).body, Not(HasSubstr("mine"))) << connector;
    EXPECT_EQ(chat(R"({"n":2,"kv_transfer_params":{"mine":1}})").status, 200);
    EXPECT_EQ(decode_.request(decode_.calls() - 1).body.find("mine"), std::string::npos);
  }
}

// Nor when decode is asked first, with the client's threshold.
TEST_F(SidecarPairs, ClientsParametersDoNotReachADecodeThatIsAskedFirst) {
  decode_.replace({{.body = R"({"choices":[{"finish_reason":"stop"}]})"}});
  start({.connector = "shared-storage"});

  EXPECT_EQ(chat(R"({"cache_hit_threshold":0.8,"kv_transfer_params":{"mine":1}})").status, 200);

  EXPECT_EQ(prefill_.calls(), 0U);
  EXPECT_EQ(decode_.request(0).body, R"({"cache_hit_threshold":0.8})");
}

// However the path is spelt; and routes of engines that nobody splits reach the same handlers.
TEST_F(SidecarPairs, ClientsParametersAreRefusedWhereverEnginesGenerate) {
  decode_.replace({decoded()});
  start();
  const std::string mine = R"({"prompt":"p","kv_transfer_params":{"mine":1}})";
  for (const char* path : {"/v1/chat/complet%69ons", "/invocations", "/invoc%61tions?x",
                           "/v1/chat/completions/batch", "/generate"}) {
    const Got got = get({"POST", path, {}}, mine);
    EXPECT_EQ(got.status, 400) << path;
    EXPECT_THAT(got.body, HasSubstr("kv_transfer_params: a client cannot say")) << path;
  }
  EXPECT_EQ(get({"POST", "/invocations", {{"Content-Encoding", "gzip"}}}, "{}").status, 415);
  EXPECT_EQ(decode_.calls(), 0U);

  http::RequestHead routed = chat_head();
  routed.target = "/invocations";
  EXPECT_EQ(get(routed, R"({"prompt":"p"})").body, decoded().body) << "passed on as it is";
  EXPECT_EQ(decode_.request(0).body, R"({"prompt":"p"})");
  EXPECT_EQ(prefill_.calls(), 0U);
}

// Python's json reads UTF-16 and UTF-32 as well, where no member's name is found.
TEST_F(SidecarPairs, ABodyThatIsNotUtf8IsRefused) {
  decode_.replace({decoded()});
  start();
  std::string wide = "\xff\xfe";
  for (const char c : std::string_view(R"({"kv_transfer_params":{"mine":1}})")) {
    wide += c;
    wide += '\0';
  }
  for (const char* path : {"/v1/completions", "/inference/v1/generate", "/invocations"}) {
    for (const std::string& body : {wide, wide.substr(2)}) {
      const Got got = get({"POST", path, {}}, body);
      EXPECT_EQ(got.status, 400) << path;
      EXPECT_THAT(got.body, HasSubstr("UTF-16")) << path;
    }
  }
  EXPECT_EQ(chat(wide).status, 400);
  EXPECT_EQ(get({"POST", "/v1/completions", {}},
                "\xef\xbb\xbf"
                R"({"kv_transfer_params":{"mine":1}})")
                .status,
            400);
  EXPECT_EQ(decode_.calls(), 0U);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_refusals_total{reason="json"} 7)"));
}

// With SGLang other members say where the engines meet.
TEST_F(SidecarPairs, OnlyRoutersSayWhereSglangsEnginesMeet) {
  decode_.replace({decoded()});
  prefill_.replace({prefilled()});
  start({.connector = "sglang"});
  for (const char* member : {"bootstrap_host", "bootstrap_port", "bootstrap_room"}) {
    const std::string mine = std::string(R"({"prompt":"p",")") + member + R"(":"mine"})";
    for (const char* path : {"/v1/chat/completions", "/generate"}) {
      const Got got = get({"POST", path, {}}, mine);
      EXPECT_EQ(got.status, 400) << path;
      EXPECT_THAT(got.body, HasSubstr(std::string(member) + ": a client cannot say")) << path;
    }
    EXPECT_EQ(chat(mine).status, 200);
    EXPECT_THAT(decode_.request(decode_.calls() - 1).body, Not(HasSubstr("mine")));
  }
  EXPECT_EQ(get({"POST", "/vertex_generate", {}}, R"({"parameters":{"bootstrap_room":1}})").status,
            400);
  EXPECT_EQ(get({"PUT", "/generate", {}}, R"({"bootstrap_host":"10.6.6.6"})").status, 400);
  EXPECT_EQ(decode_.calls(), 3U);
  EXPECT_EQ(get({"POST", "/v1/completions", {}}, R"({"tools":[{"bootstrap_host":1}]})").status,
            200);
  sidecar_.reset();
  start();  // nixlv2: a member like any other
  EXPECT_EQ(get({"POST", "/v1/completions", {}}, R"({"bootstrap_host":1})").status, 200);
}

}  // namespace
}  // namespace baton::sidecar
