// Prefill engines that announce their KV before it is computed.

#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kAnnounced =
    R"({"kv_transfer_params":{"do_remote_prefill":true,"do_remote_decode":false,)"
    R"("remote_engine_id":"E","remote_block_ids":[[1]],"remote_host":"h","remote_port":4032,)"
    R"("remote_request_id":"R","baton_lease_token":"T","baton_announced":true}})";

class SidecarOverlap : public SidecarTest {
 protected:
  // The head now, the rest of the body when prefill_.go_on is set.
  void script_prefill(Answer answer) {
    answer.headers.set("x-baton-announced-kv", std::string(kAnnounced));
    answer.manner = Manner::kStream;
    prefill_.script(std::move(answer));
  }
  bool decode_is_asked() {
    return eventually([&] { return decode_.calls() == 1; });
  }
};

TEST_F(SidecarOverlap, DecodeIsAskedWhenTheKvIsAnnouncedAndAnswersWhenItIsComputed) {
  script_prefill(prefilled());
  decode_.script(decoded());
  start();
  Raw client(at_);
  client.send(raw_chat(R"({"model":"m"})"));

  ASSERT_TRUE(decode_is_asked());
  EXPECT_TRUE(prefill_.request(0).head.headers.has("x-baton-announce-kv"));
  EXPECT_THAT(decode_.request(0).body, HasSubstr(R"("baton_announced":true)"));
  EXPECT_THAT(metrics(), Not(HasSubstr(R"(prefill_attempts_total{result="answered"} 1)")));
  prefill_.go_on = true;

  const std::string got = client.read_until(R"("cached_tokens":7}}})");
  EXPECT_THAT(got, HasSubstr("200 OK"));
  EXPECT_THAT(got, HasSubstr("x-baton-prefill: " + http::to_string(prefill_.endpoint())));
  EXPECT_THAT(got, HasSubstr("x-baton-prefill-tokens: 37"));
  EXPECT_EQ(decode_.calls(), 1U);
  EXPECT_EQ(prefill_.calls(), 1U);  // nothing to give back
}

// The prompt was preempted, and computed again under a lease that decode was not told of.
TEST_F(SidecarOverlap, ALeaseThatWasNotTheAnnouncedOneIsGivenBack) {
  script_prefill(
      prefilled(R"({"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":"E",)"
                R"("remote_block_ids":[[1]],"remote_host":"h","remote_port":4032,)"
                R"("remote_request_id":"R","baton_lease_token":"another"})"));
  decode_.script(decoded());
  start();
  prefill_.go_on = true;

  EXPECT_EQ(chat().status, 200);

  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 2; }));
  EXPECT_EQ(prefill_.request(1).head.path(), "/baton/v1/kv/release");
  EXPECT_THAT(prefill_.request(1).body, HasSubstr(R"("lease_token":"another")"));
  EXPECT_EQ(decode_.calls(), 1U);
}

TEST_F(SidecarOverlap, APrefillThatFailsInTheMiddleEndsBothLegsAndIsReplaced) {
  script_prefill({.body = "{{"});
  decode_.script({.manner = Manner::kHang});
  decode_.script(decoded());
  start({.tactics = {.policy = Policy::kFallback}});
  Raw client(at_);
  client.send(raw_chat(R"({"model":"m"})"));

  ASSERT_TRUE(decode_is_asked());
  prefill_.go_on = true;

  const std::string got = client.read_until(R"("id":"d")");
  EXPECT_THAT(got, HasSubstr("200 OK"));
  EXPECT_THAT(got, HasSubstr("x-baton-prefill: none; reason=fallback"));
  EXPECT_EQ(decode_.calls(), 2U);
  EXPECT_THAT(decode_.request(1).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1; }));
}

TEST_F(SidecarOverlap, APrefillThatFailsInTheMiddleIsAnErrorWherePrefillIsWanted) {
  script_prefill({.body = "{{"});
  decode_.script({.manner = Manner::kHang});
  start({.tactics = {.policy = Policy::kStrict}});
  Raw client(at_);
  client.send(raw_chat(R"({"model":"m"})"));

  ASSERT_TRUE(decode_is_asked());
  prefill_.go_on = true;

  const std::string got = client.read_until("prefill engine answered");
  EXPECT_THAT(got, HasSubstr("502 Bad Gateway"));
  EXPECT_THAT(got, HasSubstr("x-baton-error-hop: prefill"));
  EXPECT_TRUE(eventually([&] { return decode_.cancelled == 1; }));
}

TEST_F(SidecarOverlap, AnotherPrefillEngineTakesOverForOneThatFailsInTheMiddle) {
  script_prefill({.body = "{{"});
  other_.script(prefilled());
  decode_.script({.manner = Manner::kHang});
  decode_.script(decoded());
  start();
  const std::string first = http::to_string(prefill_.endpoint());
  const std::string second = http::to_string(other_.endpoint());
  std::string request = raw_chat(R"({"model":"m"})");
  request.insert(request.find(first) + first.size(), "," + second);
  Raw client(at_);
  client.send(request);

  ASSERT_TRUE(decode_is_asked());
  prefill_.go_on = true;

  const std::string got = client.read_until(R"("id":"d")");
  EXPECT_THAT(got, HasSubstr("200 OK"));
  EXPECT_THAT(got, HasSubstr("x-baton-prefill: " + second));
  EXPECT_EQ(decode_.calls(), 2U);
  EXPECT_THAT(decode_.request(1).body, HasSubstr(R"("remote_engine_id":"E")"));
  EXPECT_THAT(decode_.request(1).body, Not(HasSubstr("baton_announced")));
}

TEST_F(SidecarOverlap, ADecodeEngineThatIsNotThereIsToldOfWhenThePrefillIsDone) {
  script_prefill(prefilled());
  start();
  decode_.stop();
  prefill_.go_on = true;

  const Got got = chat();

  EXPECT_EQ(got.status, 503);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "decode");
  EXPECT_TRUE(eventually([&] { return prefill_.calls() == 2; }));  // the KV goes back
}

TEST_F(SidecarOverlap, AClientThatLeavesCancelsBothLegs) {
  script_prefill(prefilled());
  decode_.script({.manner = Manner::kHang});
  start();
  Raw client(at_);
  client.send(raw_chat(R"({"model":"m"})"));
  ASSERT_TRUE(decode_is_asked());

  client.close();

  EXPECT_TRUE(
      eventually([&] { return prefill_.connections() == 0 && decode_.connections() == 0; }));
}

// While its decode waits for a place.
TEST_F(SidecarOverlap, APrefillIsJudgedWhenItIsDone) {
  script_prefill(prefilled());
  decode_.script({.manner = Manner::kHang});
  tracer_ = spans_.tracer();
  start();
  Raw client(at_);
  client.send(raw_chat(R"({"model":"m"})"));
  ASSERT_TRUE(decode_is_asked());

  prefill_.go_on = true;

  EXPECT_TRUE(eventually([&] {
    return metrics().contains("baton_sidecar_prefill_seconds_count 1") &&
           metrics().contains(R"(prefill_attempts_total{result="answered"} 1)") &&
           spans_.only("prefill").context.valid();
  }));
  EXPECT_EQ(decode_.cancelled, 0);
}

TEST_F(SidecarOverlap, AProbeThatSucceedsClosesTheBreakerWhileItsDecodeRuns) {
  prefill_.script({.status = 503, .body = "busy"});
  script_prefill(prefilled());
  decode_.script({.manner = Manner::kHang});
  start({.breaker = {.failures = 1, .pause = Nanos(1)}});
  EXPECT_EQ(chat().status, 503);
  Raw probe(at_);
  probe.send(raw_chat(R"({"model":"m"})"));
  ASSERT_TRUE(decode_is_asked());

  prefill_.go_on = true;
  ASSERT_TRUE(eventually([&] { return metrics().contains(R"(result="answered"} 2)"); }));
  Raw next(at_);
  next.send(raw_chat(R"({"model":"m"})"));

  EXPECT_TRUE(eventually([&] { return prefill_.calls() == 3; })) << "it is asked again";
}

}  // namespace
}  // namespace baton::sidecar
