// What the sidecar does when an engine fails, or the client leaves.

#include <thread>

#include "base/core/log.hpp"
#include "net/http/testing/full_listener.hpp"
#include "routing/sidecar/leg_log.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

using SidecarFaults = SidecarTest;

TEST_F(SidecarFaults, RelaysAFailedPrefillVerbatim) {
  prefill_.script({.status = 500, .body = "{\"no\": 1e400}", .headers = {{"X-Why", "because"}}});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 500);
  EXPECT_EQ(got.body, "{\"no\": 1e400}");
  EXPECT_EQ(header(got, "X-Why"), "because");
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_EQ(decode_.calls(), 0U);
}

TEST_F(SidecarFaults, DecodesLocallyUnderFallback) {
  prefill_.script({.status = 503, .body = "busy"});
  decode_.script(decoded());
  start({.tactics = {.policy = Policy::kFallback}});

  Got got = chat(R"({"kv_transfer_params":{"from":"client"},"a":1})");

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr("49"));  // no prefill, nothing to put right
  EXPECT_EQ(decode_.request(0).body, R"({"a":1})");
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_fallbacks_total{reason="prefill"} 1)"));
}

// sidecar:52
TEST_F(SidecarFaults, TreatsAPrefillThatBreaksOffAsFailed) {
  prefill_.script({.body = "{\"half", .manner = Manner::kBreakOff});
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 502);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_EQ(decode_.calls(), 0U);
}

TEST_F(SidecarFaults, SaysThatThePrefillEngineIsAway) {
  start();
  http::RequestHead head = chat_head();
  prefill_.stop();

  Got got = get(head, "{}");

  EXPECT_EQ(got.status, 502);
  EXPECT_THAT(got.body, HasSubstr("no connection to the prefill engine: " +
                                  http::to_string(prefill_.endpoint()) +
                                  ": Connection refused; check that the engine runs"));
}

TEST_F(SidecarFaults, DecodesLocallyWhenThePrefillHandsNothingOver) {
  prefill_.script(prefilled(R"({"remote_engine_id":"E"})"));
  decode_.script(decoded());
  start();

  Got got = chat();

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(decode_.request(0).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
}

TEST_F(SidecarFaults, RefusesAPrefillWithoutKvUnderStrict) {
  prefill_.script(prefilled("null"));
  start({.tactics = {.policy = Policy::kStrict}});

  Got got = chat();

  EXPECT_EQ(got.status, 502);
  EXPECT_THAT(got.body, HasSubstr("without KV: no kv_transfer_params"));
}

TEST_F(SidecarFaults, EndsBothLegsAtOneDeadline) {
  prefill_.script({.manner = Manner::kHang});
  start({.request_timeout = Millis(60)});

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1; }));
}

TEST_F(SidecarFaults, EndsBothHangingLegsUnderFallbackToo) {
  prefill_.script({.manner = Manner::kHang});
  decode_.script({.manner = Manner::kHang});
  start({.tactics = {.policy = Policy::kFallback}, .request_timeout = Millis(80)});

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "decode");
  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1 && prefill_.cancelled == 1; }));
}

TEST_F(SidecarFaults, DecodesAgainWithoutKvAndGivesTheLeaseBack) {
  prefill_.script(prefilled());
  decode_.script({.status = 500, .body = "no such blocks"});
  decode_.script(decoded());
  start({.tactics = {.policy = Policy::kFallback}});

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

TEST_F(SidecarFaults, RelaysAFailedDecodeVerbatim) {
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
TEST_F(SidecarFaults, SaysThatTheDecodeEngineIsNotReady) {
  start();
  decode_.stop();

  Got got = get({"POST", "/v1/chat/completions", {}}, "{}");

  EXPECT_EQ(got.status, 503);
  EXPECT_THAT(got.body,
              HasSubstr("The decode node is not ready. Please check that the vLLM service "
                        "is running and the port configuration is correct. (" +
                        http::to_string(decode_.endpoint()) + ": Connection refused)"));
  got = get({"GET", "/v1/models", {}});  // as it is passed through
  EXPECT_EQ(got.status, 503);
  EXPECT_THAT(got.body, HasSubstr(http::to_string(decode_.endpoint()) + ": Connection refused)"));
}

TEST(LegLogTest, SaysWhereWhatAndWhatToDoOnceASecondForEachHop) {
  std::vector<std::string> lines;
  log::redirect([&](std::string_view line) { lines.emplace_back(line); });
  const http::Failure refused{http::Failure::Kind::kRefused,
                              unavailable("10.0.0.7:8000: Connection refused")};
  const http::Failure silent{http::Failure::Kind::kTimeout,
                             timed_out("no answer from 10.0.0.7:8000 in time")};
  LegLog legs;
  const Mono start{};

  EXPECT_THAT(legs.failed("prefill", refused, start),
              HasSubstr("10.0.0.7:8000: Connection refused"));
  EXPECT_EQ(legs.failed("prefill", silent, start), "no answer from 10.0.0.7:8000 in time");
  (void)legs.failed("decode", silent, start);
  (void)legs.failed("prefill", refused, start + LegLog::kBetween);
  log::redirect(nullptr);

  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("prefill"), HasSubstr("10.0.0.7:8000: Connection refused"),
                              HasSubstr("check that the engine runs")));
  EXPECT_THAT(lines[1], AllOf(HasSubstr("decode"), HasSubstr("engine's load")));
  EXPECT_THAT(lines[2], ContainsRegex("untold\"?[:=] ?1"));
}

// sidecar:47 during prefill.
TEST_F(SidecarFaults, CancelsThePrefillOfAClientThatLeaves) {
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

// sidecar:47 before decode has begun to answer.
TEST_F(SidecarFaults, GivesTheLeaseBackWhenTheClientLeavesBeforeDecode) {
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

// sidecar:47 during decode. sidecar:51 the engine is held back by a client that does not read.
TEST_F(SidecarFaults, HoldsTheEngineBackAndCancelsItWhenTheClientLeaves) {
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

// sidecar:55
TEST_F(SidecarFaults, DrainsRunningStreams) {
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

// sidecar:56
TEST_F(SidecarFaults, UsesFreshConnectionsAfterAnEngineBrokeOff) {
  prefill_.script({.body = "{", .manner = Manner::kBreakOff});
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();

  EXPECT_EQ(chat().status, 502);
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(chat().status, 200);
  EXPECT_EQ(decode_.connections(), 1U);
}

// sidecar:22
TEST_F(SidecarFaults, RetriesAPrefillThatMayPass) {
  start({.tactics = {.retries = 1, .backoff = Millis(1)}});
  for (int status : {502, 503, 504}) {
    prefill_.replace({{.status = status, .body = "busy"}, prefilled()});
    decode_.replace({decoded()});
    std::size_t before = prefill_.calls();

    Got got = chat();

    EXPECT_EQ(got.status, 200) << status;
    EXPECT_EQ(header(got, "x-baton-prefill-attempts"), "2");
    EXPECT_EQ(prefill_.calls() - before, 2U);
  }
}

// sidecar:23
TEST_F(SidecarFaults, RelaysTheLastStatusWhenNoRetryIsLeft) {
  struct Case {
    int retries;
    std::vector<int> statuses;
    std::size_t calls;
    int status;
  };
  for (const Case& c : {Case{0, {503}, 1, 503}, Case{2, {502, 503, 504}, 3, 504},
                        Case{2, {500}, 1, 500}, Case{2, {503, 500}, 2, 500}}) {
    sidecar_.reset();
    start({.tactics = {.retries = c.retries, .backoff = Millis(1)}});
    std::vector<Answer> answers;
    for (int status : c.statuses) answers.push_back({.status = status, .body = "no"});
    prefill_.replace(answers);
    std::size_t before = prefill_.calls();

    Got got = chat();

    EXPECT_EQ(got.status, c.status);
    EXPECT_EQ(got.body, "no");
    EXPECT_EQ(prefill_.calls() - before, c.calls);
    EXPECT_EQ(decode_.calls(), 0U);
  }
}

TEST_F(SidecarFaults, AsksAnotherPrefillEngineAndThenLeavesTheFirstAlone) {
  other_.script(prefilled());
  decode_.script(decoded());
  start(
      {.breaker = {
           .failures = 2, .pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)}});
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port",
                   http::to_string(prefill_.endpoint()) + "," + http::to_string(other_.endpoint()));
  prefill_.stop();

  for (int i = 0; i < 3; ++i) {
    Got got = get(head, "{}");
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(header(got, "x-baton-prefill"), http::to_string(other_.endpoint()));
  }

  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="refused"} 2)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="open"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="answered"} 3)"));
}

TEST_F(SidecarFaults, SaysThatEveryPrefillEngineIsLeftAlone) {
  start(
      {.breaker = {
           .failures = 1, .pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)}});
  prefill_.stop();

  EXPECT_EQ(chat().status, 502);
  Got got = chat();

  EXPECT_EQ(got.status, 503);
  EXPECT_THAT(got.body, HasSubstr("keeps failing and is left alone for now"));
}

TEST_F(SidecarFaults, ARelayedFailureNamesTheEngineThatWasAsked) {
  start(
      {.breaker = {
           .failures = 1, .pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)}});
  const std::string open = http::to_string(other_.endpoint());
  const std::string asked = http::to_string(prefill_.endpoint());
  http::RequestHead head = chat_head();
  other_.stop();
  head.headers.set("x-prefiller-host-port", open);
  EXPECT_EQ(get(head, "{}").status, 502);
  prefill_.script({.status = 500, .body = "no"});
  head.headers.set("x-prefiller-host-port", asked + "," + open);

  const Got got = get(head, "{}");

  EXPECT_EQ(got.body, "no");
  EXPECT_EQ(header(got, "x-baton-prefill"), asked);
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="open"} 1)"));
}

TEST_F(SidecarFaults, DoesNotBlameAnEngineForAnImpatientClient) {
  start(
      {.breaker = {
           .failures = 1, .pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)}});
  prefill_.replace({{.manner = Manner::kHang}, prefilled()});
  decode_.script(decoded());
  http::RequestHead hurried = chat_head();
  hurried.headers.add("x-request-timeout-ms", "20");

  EXPECT_EQ(get(hurried, "{}").status, 504);
  EXPECT_EQ(chat().status, 200);
  hurried.headers.set("x-request-timeout-ms", "soon");
  EXPECT_EQ(get(hurried, "{}").status, 400);
}

TEST_F(SidecarFaults, DoesNotBlameAnEngineForAClientThatLeavesDuringTheConnect) {
  const http::testing::FullListener engine;
  start();
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port", http::to_string(engine.at()));
  head.headers.add("Host", "x");
  head.headers.add("Content-Length", "2");
  std::string request;
  http::append_head(request, head);
  Raw client(at_);
  client.send(request + "{}");
  for (int i = 0; i < 10; ++i) (void)get({"GET", "/health", {}});  // it is connecting by then

  client.close();

  EXPECT_TRUE(
      eventually([&] { return metrics().contains(R"(requests_total{outcome="client_gone"} 1)"); }));
  EXPECT_FALSE(metrics().contains(R"(prefill_attempts_total{result="refused"})"));
}

TEST_F(SidecarFaults, BlamesAnEngineThatIsSilentForTheTimeThatARouteHas) {
  start(
      {.tactics = {.policy = Policy::kFallback},
       .breaker = {
           .failures = 1, .pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)}});
  prefill_.script({.manner = Manner::kHang});
  decode_.script(decoded());
  http::RequestHead routed = chat_head();
  routed.headers.add("x-envoy-expected-rq-timeout-ms", "400");

  EXPECT_EQ(get(routed, "{}").status, 200);  // at half of it
  EXPECT_EQ(header(get(routed, "{}"), "x-baton-prefill"), "none; reason=fallback");
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="timeout"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="open"} 1)"));
  routed.headers.set("x-envoy-expected-rq-timeout-ms", "0");
  EXPECT_EQ(get(routed, "{}").status, 400);
}

TEST_F(SidecarFaults, GivesUpOnASlowPrefillEngineForAnother) {
  prefill_.script({.manner = Manner::kHang});
  other_.script(prefilled());
  decode_.script(decoded());
  start({.tactics = {.prefill_timeout = Millis(30)}});
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port",
                   http::to_string(prefill_.endpoint()) + "," + http::to_string(other_.endpoint()));

  EXPECT_EQ(get(head, "{}").status, 200);
  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1; }));
}

TEST_F(SidecarFaults, NeverDecodesOnALeaseThatIsAboutToEnd) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start({.tactics = {.lease = Millis(10), .lease_margin = Millis(20)}});

  Got got = chat();

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(decode_.request(0).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_EQ(decode_.calls(), 1U);
  EXPECT_TRUE(eventually([&] { return prefill_.calls() == 4; }));  // two prefills, two releases
  EXPECT_THAT(metrics(), HasSubstr(R"(prefills_repeated_total{reason="lease"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(fallbacks_total{reason="lease"} 1)"));
}

TEST_F(SidecarFaults, FallsBackOnlyWithinItsBudget) {
  decode_.script({.body = "data: 1\n\ndata: 2\n\n",
                  .headers = {{"Content-Type", "text/event-stream"}},
                  .manner = Manner::kStream});
  start({.tactics = {.policy = Policy::kFallback}, .fallback_share = 0.01, .decode_capacity = 10});
  prefill_.stop();
  Raw client(at_);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] { return decode_.calls() == 1; }));

  Got denied = chat();
  decode_.go_on = true;
  EXPECT_TRUE(client.read_until("0\r\n\r\n").ends_with("0\r\n\r\n"));

  EXPECT_EQ(denied.status, 503);
  EXPECT_EQ(header(denied, "x-baton-error-hop"), "prefill");
  EXPECT_THAT(denied.body, HasSubstr("already computes 1 prompts in place of others"));
  EXPECT_TRUE(eventually([&] { return chat().status == 200; }));
}

}  // namespace
}  // namespace baton::sidecar
