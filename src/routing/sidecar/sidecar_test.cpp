// The sidecar between a client and two scripted engines, over loopback.

#include "routing/sidecar/sidecar.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"
#include "net/http/testing/raw_client.hpp"

namespace baton::sidecar {
namespace {

using http::testing::eventually;
using http::testing::Raw;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const SystemClock kClock;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

constexpr std::string_view kParams =
    R"({"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":"E",)"
    R"("remote_block_ids":[1,2,3],"remote_host":"h","remote_port":4032,"remote_request_id":"R",)"
    R"("baton_lease_token":"T"})";

// Plays what the test scripts: one answer per request, the last one for all further ones.
class ScriptedEngine {
 public:
  enum class Manner { kAnswer, kHang, kBreakOff, kFlood, kStream };
  struct Answer {
    int status = 200;
    std::string body{};
    http::Headers headers{{"Content-Type", "application/json"}};
    Manner manner = Manner::kAnswer;
  };
  struct Request {
    http::RequestHead head;
    std::string body;
  };

  explicit ScriptedEngine(async::Loop& loop)
      : server_(loop, kClock, {{}, "engine"}, [this](http::Exchange& e) { return handle(e); }),
        endpoint_(*server_.listen({"127.0.0.1", 0})) {}

  const http::Endpoint& endpoint() const { return endpoint_; }
  void script(Answer answer) {
    std::lock_guard lock(mutex_);
    script_.push_back(std::move(answer));
  }
  std::size_t calls() const {
    std::lock_guard lock(mutex_);
    return requests_.size();
  }
  Request request(std::size_t i) const {
    std::lock_guard lock(mutex_);
    return i < requests_.size() ? requests_[i] : Request();
  }
  std::size_t connections() const { return server_.open_connections(); }
  void stop() { server_.stop({Mono()}); }

  std::atomic<std::size_t> written = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<bool> go_on = false;

 private:
  Answer next(Request request) {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    if (script_.empty()) return {};
    Answer answer = script_.front();
    if (script_.size() > 1) script_.pop_front();
    return answer;
  }

  struct Unwinding {
    std::atomic<int>& count;
    int before = std::uncaught_exceptions();
    ~Unwinding() { count += std::uncaught_exceptions() > before ? 1 : 0; }
  };

  Task<void> handle(http::Exchange& exchange) {
    Result<std::string> body = co_await exchange.read_body(64 << 20);
    Unwinding unwinding{cancelled};
    Answer answer = next({exchange.head(), body ? *body : ""});
    http::ResponseHead head{answer.status, answer.headers};
    switch (answer.manner) {
      case Manner::kAnswer:
        (void)co_await exchange.respond(std::move(head), answer.body);
        break;
      case Manner::kHang:
        co_await async::sleep_until(Mono::max());
        break;
      case Manner::kBreakOff:
        head.headers.set("Content-Length", std::to_string(answer.body.size() + 100));
        (void)co_await exchange.start(std::move(head));
        (void)co_await exchange.write(answer.body);
        break;
      case Manner::kFlood:
        co_await flood(exchange, std::move(head));
        break;
      case Manner::kStream:
        co_await stream(exchange, std::move(head), answer.body);
        break;
    }
  }
  Task<void> flood(http::Exchange& exchange, http::ResponseHead head) {
    std::string block = "data: " + std::string(60'000, 'x') + "\n\n";
    (void)co_await exchange.start(std::move(head));
    for (;;) {
      Status sent = co_await exchange.write(block);
      if (!sent) break;
      written += block.size();
    }
  }
  // The body byte by byte; its second half when the test says so.
  Task<void> stream(http::Exchange& exchange, http::ResponseHead head, std::string body) {
    (void)co_await exchange.start(std::move(head));
    for (std::size_t i = 0; i < body.size(); ++i) {
      while (i == body.size() / 2 && !go_on) co_await async::sleep_until(kClock.now() + Millis(1));
      (void)co_await exchange.write(std::string_view(body).substr(i, 1));
    }
    (void)co_await exchange.finish();
  }

  mutable std::mutex mutex_;
  std::deque<Answer> script_;
  std::vector<Request> requests_;
  http::Server server_;
  http::Endpoint endpoint_;
};

using Answer = ScriptedEngine::Answer;
using Manner = ScriptedEngine::Manner;

Answer prefilled(std::string_view params = kParams) {
  return {
      .body = R"({"usage":{"prompt_tokens_details":{"cached_tokens":7}},"kv_transfer_params":)" +
              std::string(params) + "}",
      .headers = {{"Content-Type", "application/json"},
                  {"x-baton-computed-tokens", "30"},
                  {"x-baton-cached-tokens", "7"}}};
}
Answer decoded() {
  return {.body = R"({"id":"d","usage":{"prompt_tokens_details":{"cached_tokens":49}}})",
          .headers = {{"Content-Type", "application/json"}, {"x-baton-remote-tokens", "36"}}};
}

struct Got {
  int status = 0;
  http::Headers headers;
  std::string body;
};

class SidecarTest : public ::testing::Test {
 protected:
  SidecarTest() : prefill_(loop_), decode_(loop_) {}
  ~SidecarTest() override {
    if (sidecar_) sidecar_->stop({Mono()});
    prefill_.stop();
    decode_.stop();
    loop_.stop();
  }

  void start(Config config = {}) {
    if (config.decoder.port == 8200) config.decoder = decode_.endpoint();
    sidecar_ = std::make_unique<Sidecar>(loop_, kClock, random_, registry_, config);
    at_ = *sidecar_->listen({"127.0.0.1", 0});
    loop_.start();
  }

  Task<Got> fetch(http::RequestHead head, std::string body) {
    std::array<std::string_view, 1> pieces = {body};
    auto response = co_await client_.send(at_, head, pieces, soon());
    if (!response) co_return Got{-1, {}, response.error().error.message()};
    auto rest = co_await response->read_all(64 << 20, soon());
    co_return Got{response->head().status, response->head().headers,
                  rest ? *rest : "broken: " + rest.error().error.message()};
  }
  Got get(http::RequestHead head, std::string body = "") {
    return async::blocking_run(loop_, fetch(std::move(head), std::move(body)));
  }
  http::RequestHead chat_head() const {
    return {"POST",
            "/v1/chat/completions",
            {{"Content-Type", "application/json"},
             {"x-prefiller-host-port", http::to_string(prefill_.endpoint())}}};
  }
  Got chat(std::string body = R"({"model":"m"})") { return get(chat_head(), std::move(body)); }
  std::string raw_chat(std::string_view body) const {
    std::string out;
    http::RequestHead head = chat_head();
    head.headers.add("Host", "x");
    head.headers.add("Content-Length", std::to_string(body.size()));
    out = "POST " + head.target + " HTTP/1.1\r\n";
    for (const auto& f : head.headers) out += f.name + ": " + f.value + "\r\n";
    return out + "\r\n" + std::string(body);
  }
  std::string header(const Got& got, std::string_view name) {
    return std::string(got.headers.get(name).value_or("(absent)"));
  }
  std::string metrics() const { return registry_.expose(); }

  async::Loop loop_{"sidecar"};
  SeededRandom random_{1};
  observe::Registry registry_;
  http::Client client_{kClock, {}};
  ScriptedEngine prefill_;
  ScriptedEngine decode_;
  std::unique_ptr<Sidecar> sidecar_;
  http::Endpoint at_;
};

// Scenario 1.
TEST_F(SidecarTest, PassesEverythingElseThrough) {
  decode_.script(
      {.status = 418, .body = "tea", .headers = {{"X-Engine", "1"}, {"Connection", "x"}}});
  start();

  for (std::string_view path : {"/v1/chat/completions", "/v1/completions", "/v1/messages",
                                "/v1/embeddings", "/score", "/v1/responses"}) {
    std::size_t call = decode_.calls();
    Got got = get({"POST", std::string(path) + "?q=1", {{"X-Mine", "a"}, {"Host", "front"}}},
                  "any bytes, not JSON");
    EXPECT_EQ(got.status, 418);
    EXPECT_EQ(got.body, "tea");
    EXPECT_EQ(header(got, "X-Engine"), "1");
    ScriptedEngine::Request seen = decode_.request(call);
    EXPECT_EQ(seen.head.target, std::string(path) + "?q=1");
    EXPECT_EQ(seen.head.headers.get("X-Mine"), "a");
    EXPECT_EQ(seen.head.headers.get("Host"), "front");
    EXPECT_EQ(seen.head.headers.get("X-Forwarded-For"), "127.0.0.1");
    EXPECT_EQ(seen.body, "any bytes, not JSON");
  }
  EXPECT_EQ(get({"GET", "/v1/models", {}}).status, 418);
  EXPECT_EQ(get({"HEAD", "/v1/models", {}}).body, "");
  EXPECT_EQ(prefill_.calls(), 0U);
}

TEST_F(SidecarTest, AnswersHealthItself) {
  start();
  decode_.stop();

  EXPECT_EQ(get({"GET", "/health", {}}).status, 200);
}

// Scenarios 3, 12, 14, 15, 19, 49.
TEST_F(SidecarTest, RunsPrefillThenDecode) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();

  Got got = chat(R"({"model":"m","seed":9007199254740993,"max_tokens":50,"stream":false})");

  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, R"({"id":"d","usage":{"prompt_tokens_details":{"cached_tokens":7}}})");
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

// Scenarios 18, 21, 28.
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

// Scenario 48, and a body of 1 MB.
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

// Scenario 23.
TEST_F(SidecarTest, RelaysAFailedPrefillVerbatim) {
  prefill_.script({.status = 500, .body = "{\"no\": 1e400}", .headers = {{"X-Why", "because"}}});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 500);
  EXPECT_EQ(got.body, "{\"no\": 1e400}");
  EXPECT_EQ(header(got, "X-Why"), "because");
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_EQ(decode_.calls(), 0U);
}

TEST_F(SidecarTest, DecodesLocallyUnderFallback) {
  prefill_.script({.status = 503, .body = "busy"});
  decode_.script(decoded());
  start({.policy = Policy::kFallback});

  Got got = chat(R"({"kv_transfer_params":{"from":"client"},"a":1})");

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr("49"));  // no prefill, nothing to put right
  EXPECT_EQ(decode_.request(0).body, R"({"a":1})");
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_fallbacks_total{reason="prefill"} 1)"));
}

// Scenario 52.
TEST_F(SidecarTest, TreatsAPrefillThatBreaksOffAsFailed) {
  prefill_.script({.body = "{\"half", .manner = Manner::kBreakOff});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 502);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_EQ(decode_.calls(), 0U);
}

TEST_F(SidecarTest, SaysThatThePrefillEngineIsAway) {
  start();
  http::RequestHead head = chat_head();
  prefill_.stop();

  Got got = get(head, "{}");

  EXPECT_EQ(got.status, 502);
  EXPECT_THAT(got.body, HasSubstr(http::to_string(prefill_.endpoint())));
}

TEST_F(SidecarTest, DecodesLocallyWhenThePrefillHandsNothingOver) {
  prefill_.script(prefilled(R"({"remote_engine_id":"E"})"));
  decode_.script(decoded());
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(decode_.request(0).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
}

TEST_F(SidecarTest, RefusesAPrefillWithoutKvUnderStrict) {
  prefill_.script(prefilled("null"));
  start({.policy = Policy::kStrict});

  Got got = chat();

  EXPECT_EQ(got.status, 502);
  EXPECT_THAT(got.body, HasSubstr("without KV: no kv_transfer_params"));
}

TEST_F(SidecarTest, EndsBothLegsAtOneDeadline) {
  prefill_.script({.manner = Manner::kHang});
  start({.request_timeout = Millis(60)});

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1; }));
}

TEST_F(SidecarTest, EndsBothHangingLegsUnderFallbackToo) {
  prefill_.script({.manner = Manner::kHang});
  decode_.script({.manner = Manner::kHang});
  start({.policy = Policy::kFallback, .request_timeout = Millis(80)});

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "decode");
  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1 && prefill_.cancelled == 1; }));
}

TEST_F(SidecarTest, DecodesAgainWithoutKvAndGivesTheLeaseBack) {
  prefill_.script(prefilled());
  decode_.script({.status = 500, .body = "no such blocks"});
  decode_.script(decoded());
  start({.policy = Policy::kFallback});

  Got got = chat(R"({"a":1})");

  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(decode_.calls(), 2U);
  EXPECT_EQ(decode_.request(1).body, R"({"a":1})");
  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 2; }));
  EXPECT_EQ(prefill_.request(1).head.target, "/baton/v1/kv/release");
  EXPECT_EQ(prefill_.request(1).body, R"({"remote_request_id":"R","lease_token":"T"})");
  EXPECT_TRUE(eventually([&] {
    return metrics().find(R"(baton_sidecar_abandoned_leases_total{result="released"} 1)") !=
           std::string::npos;
  }));
}

TEST_F(SidecarTest, RelaysAFailedDecodeVerbatim) {
  prefill_.script(prefilled());
  decode_.script({.status = 400, .body = "{ \"error\": 1 }"});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 400);
  EXPECT_EQ(got.body, "{ \"error\": 1 }");
  EXPECT_EQ(header(got, "x-baton-error-hop"), "decode");
  EXPECT_TRUE(eventually([&] { return prefill_.calls() == 2; }));  // the lease went back
}

// Sidecar reference 21.
TEST_F(SidecarTest, SaysThatTheDecodeEngineIsNotReady) {
  start();
  decode_.stop();

  Got got = get({"POST", "/v1/chat/completions", {}}, "{}");

  EXPECT_EQ(got.status, 503);
  EXPECT_THAT(got.body,
              HasSubstr("The decode node is not ready. Please check that the vLLM service "
                        "is running and the port configuration is correct."));
}

// Scenario 47: during prefill.
TEST_F(SidecarTest, CancelsThePrefillOfAClientThatLeaves) {
  prefill_.script({.manner = Manner::kHang});
  start();
  Raw client(at_);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 1; }));

  client.close();

  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1; }));
  EXPECT_TRUE(eventually([&] {
    return metrics().find(R"(requests_total{outcome="client_gone"} 1)") != std::string::npos;
  }));
}

// Scenario 47: before decode has begun to answer.
TEST_F(SidecarTest, GivesTheLeaseBackWhenTheClientLeavesBeforeDecode) {
  prefill_.script(prefilled());
  prefill_.script({.status = 404, .body = "an engine without this call"});
  decode_.script({.manner = Manner::kHang});
  start();
  Raw client(at_);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] { return decode_.calls() == 1; }));

  client.close();

  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1 && prefill_.calls() == 2; }));
  EXPECT_TRUE(eventually([&] {
    return metrics().find(R"(abandoned_leases_total{result="ignored"} 1)") != std::string::npos;
  }));
}

// Scenario 47: during decode. Scenario 51: the engine is held back by a client that does not read.
TEST_F(SidecarTest, HoldsTheEngineBackAndCancelsItWhenTheClientLeaves) {
  prefill_.script(prefilled());
  decode_.script({.headers = {{"Content-Type", "text/event-stream"}}, .manner = Manner::kFlood});
  start();
  Raw client(at_, 4096);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] {  // until nothing moves any more while others are served
    std::size_t before = decode_.written;
    for (int i = 0; i < 50; ++i) (void)get({"GET", "/health", {}});
    return before > 0 && decode_.written == before;
  }));
  EXPECT_LT(decode_.written, 64U << 20);

  client.close();

  EXPECT_TRUE(eventually([&] { return decode_.connections() == 0; }));
}

// Scenario 54, sidecar reference 20.
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

// Scenario 50.
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

// Scenario 53.
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

// Scenario 55.
TEST_F(SidecarTest, DrainsRunningStreams) {
  prefill_.script(prefilled());
  decode_.script({.body = "data: 1\n\ndata: 2\n\n",
                  .headers = {{"Content-Type", "text/event-stream"}},
                  .manner = Manner::kStream});
  start();
  Raw client(at_);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] { return decode_.calls() == 1; }));

  std::thread stopper([&] { sidecar_->stop(soon()); });
  EXPECT_TRUE(eventually([&] { return !Raw(at_).connected(); }));
  decode_.go_on = true;
  std::string got = client.read_all();
  stopper.join();

  EXPECT_THAT(got, HasSubstr("data: 2\n\n"));
  EXPECT_TRUE(got.ends_with("0\r\n\r\n")) << got;
}

// Scenario 56.
TEST_F(SidecarTest, UsesFreshConnectionsAfterAnEngineBrokeOff) {
  prefill_.script({.body = "{", .manner = Manner::kBreakOff});
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();

  EXPECT_EQ(chat().status, 502);
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(decode_.connections(), 1U);
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
