// The sidecar between a client and two scripted engines, over loopback.

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// sidecar:1 the rows with a plain listener.
// sidecar:17
TEST_F(SidecarTest, PassesEverythingElseThrough) {
  decode_.script(
      {.status = 418, .body = "tea", .headers = {{"X-Engine", "1"}, {"Connection", "x"}}});
  start();

  for (std::string_view path :
       {"/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/embeddings", "/score",
        "/healthz", "/v1/responses", "/inference/v1/generate"}) {
    std::size_t call = decode_.calls();
    Got got = get({"POST", std::string(path) + "?q=1", {{"X-Mine", "a"}, {"Host", "front"}}},
                  "any bytes, not JSON");
    EXPECT_EQ(got.status, 418);
    EXPECT_EQ(got.body, "tea");
    EXPECT_EQ(header(got, "X-Engine"), "1");
    ScriptedEngine::Request seen = decode_.request(call);
    EXPECT_EQ(seen.head.method, "POST");
    EXPECT_EQ(seen.head.target, std::string(path) + "?q=1");
    EXPECT_EQ(seen.head.headers.get("X-Mine"), "a");
    EXPECT_EQ(seen.head.headers.get("Host"), "front");
    EXPECT_EQ(seen.head.headers.get("X-Forwarded-For"), "127.0.0.1");
    EXPECT_EQ(seen.body, "any bytes, not JSON");
    const std::string json = R"({"max_tokens": 5, "stream":true,"sampling_params":{}})";
    EXPECT_EQ(get({"POST", std::string(path), {}}, json).status, 418);
    EXPECT_EQ(decode_.request(call + 1).body, json);
  }
  EXPECT_EQ(get({"GET", "/v1/models", {}}).status, 418);
  EXPECT_EQ(decode_.request(decode_.calls() - 1).head.method, "GET");
  EXPECT_EQ(get({"HEAD", "/v1/models", {}}).body, "");
  EXPECT_EQ(prefill_.calls(), 0U);
}

TEST_F(SidecarTest, AnswersHealthItself) {
  start();
  decode_.stop();

  EXPECT_EQ(get({"GET", "/health", {}}).status, 200);
}

// sidecar:3 sidecar:12 sidecar:15 sidecar:49
TEST_F(SidecarTest, RunsPrefillThenDecode) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();

  Got got = chat(R"({"model":"m","seed":9007199254740993,"max_tokens":50,"stream":false})");

  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, R"({"id":"d","usage":{"prompt_tokens_details":{"cached_tokens":7}}})");
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(decode_.calls(), 1U);
  ScriptedEngine::Request first = prefill_.request(0);
  ScriptedEngine::Request second = decode_.request(0);
  EXPECT_THAT(first.body, StartsWith(R"({"model":"m","seed":9007199254740993,"max_tokens":1,)"));
  EXPECT_EQ(second.body, R"({"model":"m","seed":9007199254740993,"max_tokens":50,"stream":false,)"
                         R"("kv_transfer_params":)" +
                             std::string(kParams) + "}");
  EXPECT_TRUE(first.head.headers.has("x-request-id"));
  EXPECT_EQ(first.head.headers.get("x-request-id"), second.head.headers.get("x-request-id"));
  EXPECT_FALSE(first.head.headers.has("x-prefiller-host-port"));
  EXPECT_EQ(header(got, "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  EXPECT_EQ(header(got, "x-baton-prefill-tokens"), "37");
  EXPECT_EQ(header(got, "x-baton-remote-tokens"), "36");
  EXPECT_THAT(header(got, "Server-Timing"), StartsWith("prefill;dur="));
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_requests_total{outcome="disaggregated"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr("baton_sidecar_prefill_seconds_count 1"));
}

// sidecar:21 sidecar:28
TEST_F(SidecarTest, StreamsWithTheUsagePutRight) {
  prefill_.script(prefilled());
  decode_.go_on = true;
  decode_.script({.body = "data: {\"a\":1}\n\ndata: {\"usage\":{\"x\":1}}\n\ndata: [DONE]\n\n",
                  .headers = {{"Content-Type", "text/event-stream; charset=utf-8"}},
                  .manner = Manner::kStream});
  start();

  Got got = chat(R"({"stream":true,"stream_options":{"include_usage":true}})");

  EXPECT_EQ(got.body,
            "data: {\"a\":1}\n\ndata: "
            "{\"usage\":{\"x\":1,\"prompt_tokens_details\":{\"cached_tokens\":7}}}\n\ndata: "
            "[DONE]\n\n");
  EXPECT_THAT(decode_.request(0).body,
              StartsWith(R"({"stream":true,"stream_options":{"include_usage":true},)"));
}

// sidecar:19 sidecar:20 sidecar:21 nought too is put in the place of what decode reports.
TEST_F(SidecarTest, SaysThatNothingWasCachedWhenThePrefillEngineReportsNothing) {
  prefill_.script({.body = R"({"kv_transfer_params":)" + std::string(kParams) + "}"});
  decode_.replace({decoded(),
                   {.body = "data: {\"usage\":{}}\n\ndata: [DONE]\n\n",
                    .headers = {{"Content-Type", "text/event-stream"}}}});
  start();

  EXPECT_EQ(chat().body, R"({"id":"d","usage":{"prompt_tokens_details":{"cached_tokens":0}}})");
  EXPECT_EQ(chat(R"({"stream":true})").body,
            "data: {\"usage\":{\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n"
            "data: [DONE]\n\n");
}

// sidecar:48 and a body of 1 MB.
TEST_F(SidecarTest, PutsTheUsageRightInLargeBodies) {
  prefill_.script(prefilled());
  std::string text(300'000, 'y');
  decode_.script({.body = R"({"text":")" + text + R"(","usage":{}})"});
  start();

  Got got = chat(R"({"prompt":")" + std::string(1 << 20, 'p') + R"("})");

  EXPECT_TRUE(got.body == R"({"text":")" + text +
                              R"(","usage":{"prompt_tokens_details":{"cached_tokens":7}}})");
  EXPECT_GT(decode_.request(0).body.size(), 1U << 20);
}

// sidecar:54 and reference 20.
TEST_F(SidecarTest, DialsOnlyAllowedEndpoints) {
  auto path =
      std::filesystem::temp_directory_path() / ("baton-sidecar-" + std::to_string(::getpid()));
  http::Endpoint other = prefill_.endpoint();
  ++other.port;
  std::ofstream(path) << http::to_string(other) << "\n";
  start({.allowlist_file = path.string()});

  Got refused = chat();
  std::filesystem::remove(path);
  std::ofstream(path) << http::to_string(prefill_.endpoint()) << "\n";
  prefill_.script(prefilled());
  decode_.script(decoded());
  Got allowed = chat();
  std::filesystem::remove(path);

  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.body, "Forbidden: prefill target not allowed by SSRF protection\n");
  EXPECT_EQ(allowed.status, 200);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_refusals_total{reason="allowlist"} 1)"));
}

TEST_F(SidecarTest, SkipsPrefillForSeveralChoices) {
  decode_.script(decoded());
  start();

  Got got = chat(R"({"n":2})");

  EXPECT_EQ(prefill_.calls(), 0U);
  EXPECT_EQ(decode_.request(0).body, R"({"n":2})");
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=several-choices");
}

TEST_F(SidecarTest, RefusesABodyThatIsNoJson) {
  start();

  Got got = chat(R"({"a":)");

  EXPECT_EQ(got.status, 400);
  EXPECT_THAT(got.body, HasSubstr("invalid JSON: at byte 5: expected a value"));
}

// sidecar:50
TEST_F(SidecarTest, AsksEnginesForPlainTextOnly) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();
  http::RequestHead head = chat_head();
  head.headers.add("Accept-Encoding", "gzip");

  (void)get(head, "{}");

  EXPECT_FALSE(prefill_.request(0).head.headers.has("Accept-Encoding"));
  EXPECT_FALSE(decode_.request(0).head.headers.has("Accept-Encoding"));
}

// sidecar:53
TEST_F(SidecarTest, KeepsTheClientsRequestIdFirst) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();
  http::RequestHead head = chat_head();
  head.headers.add("x-request-id", "mine");

  (void)get(head, "{}");
  (void)get(head, "{}");

  auto first = prefill_.request(0).head.headers;
  auto second = prefill_.request(1).head.headers;
  EXPECT_EQ(first.get("x-request-id"), "mine");
  EXPECT_EQ(first.get_all("x-request-id").size(), 2U);
  EXPECT_NE(first.get_all("x-request-id")[1], second.get_all("x-request-id")[1]);
}

TEST_F(SidecarTest, ExposesItsMetrics) {
  start();
  http::Endpoint metrics = *sidecar_->listen_metrics({"127.0.0.1", 0});
  (void)get({"POST", "/v1/chat/completions", {}}, "{}");
  at_ = metrics;

  EXPECT_THAT(get({"GET", "/metrics", {}}).body,
              HasSubstr(R"(baton_sidecar_requests_total{outcome="aggregated"} 1)"));
  EXPECT_EQ(get({"GET", "/", {}}).status, 404);
}

}  // namespace
}  // namespace baton::sidecar
