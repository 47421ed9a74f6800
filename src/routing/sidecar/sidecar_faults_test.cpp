// What the sidecar does when an engine fails, or the client leaves.

#include <thread>

#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using SidecarFaults = SidecarTest;

// Scenario 23.
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
  start({.policy = Policy::kFallback});

  Got got = chat(R"({"kv_transfer_params":{"from":"client"},"a":1})");

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr("49"));  // no prefill, nothing to put right
  EXPECT_EQ(decode_.request(0).body, R"({"a":1})");
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_fallbacks_total{reason="prefill"} 1)"));
}

// Scenario 52.
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
  EXPECT_THAT(got.body, HasSubstr(http::to_string(prefill_.endpoint())));
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
  start({.policy = Policy::kStrict});

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
  start({.policy = Policy::kFallback, .request_timeout = Millis(80)});

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "decode");
  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1 && prefill_.cancelled == 1; }));
}

TEST_F(SidecarFaults, DecodesAgainWithoutKvAndGivesTheLeaseBack) {
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
                        "is running and the port configuration is correct."));
}

// Scenario 47: during prefill.
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

// Scenario 47: before decode has begun to answer.
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

// Scenario 47: during decode. Scenario 51: the engine is held back by a client that does not read.
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

// Scenario 55.
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

// Scenario 56.
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

}  // namespace
}  // namespace baton::sidecar
