// What is remembered of engines, as pure state: the decode engine's health, pairs that are warm,
// pairs whose transfers are proved.

#include <gmock/gmock.h>

#include "routing/sidecar/decoder_health.hpp"
#include "routing/sidecar/lease_clock.hpp"
#include "routing/sidecar/transfer_ledger.hpp"
#include "routing/sidecar/warm_up.hpp"

namespace baton::sidecar {
namespace {

const http::Endpoint kA{"10.0.0.1", 8000};
const http::Endpoint kB{"10.0.0.2", 8000};
const http::Endpoint kC{"10.0.0.3", 8000};

TEST(DecoderHealth, IsProbedOnceAndOutWhileItIsDead) {
  DecoderHealth health;
  EXPECT_TRUE(health.suspect());
  EXPECT_FALSE(health.suspect());  // a probe runs
  EXPECT_TRUE(health.serves());
  EXPECT_TRUE(health.probed(false));
  EXPECT_FALSE(health.serves());
  EXPECT_FALSE(health.suspect());
  EXPECT_TRUE(health.probed(false));
  EXPECT_FALSE(health.probed(true));
  EXPECT_TRUE(health.serves());
  EXPECT_TRUE(health.suspect());
  EXPECT_FALSE(health.probed(true));  // a 500 of a living engine
}

// An engine that starts is not dead yet; a check that goes well ends its being out at once.
TEST(DecoderHealth, IsTakenByItsReadinessChecksToo) {
  DecoderHealth health;
  EXPECT_FALSE(health.checked(false));
  EXPECT_TRUE(health.serves());
  EXPECT_FALSE(health.checked(true));
  EXPECT_TRUE(health.checked(false));
  EXPECT_FALSE(health.checked(false));  // a probe runs
  EXPECT_TRUE(health.probed(false));
  EXPECT_FALSE(health.checked(false));
  EXPECT_FALSE(health.serves());
  EXPECT_FALSE(health.checked(true));
  EXPECT_TRUE(health.serves());
  EXPECT_FALSE(health.suspect()) << "the probes have not ended";
  EXPECT_FALSE(health.probed(true));
  EXPECT_TRUE(health.suspect());
}

TEST(WarmUps, AreMadeOnceForEachGenerationTwoAtATime) {
  WarmUps pairs;
  Mono now{};
  EXPECT_TRUE(pairs.begin(kA, now));
  EXPECT_FALSE(pairs.begin(kA, now));  // its own runs
  EXPECT_TRUE(pairs.begin(kB, now));
  EXPECT_FALSE(pairs.begin(kC, now));  // two run
  pairs.end(kA, "E1", now);
  EXPECT_TRUE(pairs.is_warm(kA));
  EXPECT_FALSE(pairs.begin(kA, now));
  EXPECT_TRUE(pairs.begin(kC, now));
  EXPECT_EQ(pairs.warm(), 1U);

  pairs.seen(kA, "E1", now);
  EXPECT_TRUE(pairs.is_warm(kA));
  pairs.seen(kA, "E2", now);  // started again
  EXPECT_FALSE(pairs.is_warm(kA));
  pairs.end(kB, "", now);  // failed
  EXPECT_FALSE(pairs.begin(kB, now + WarmUps::kPause - Nanos(1)));
  EXPECT_TRUE(pairs.begin(kB, now + WarmUps::kPause));
  pairs.end(kC, "E", now);
  pairs.lost(kC);
  EXPECT_FALSE(pairs.is_warm(kC));
}

TEST(WarmUps, ForgetTheOldestPair) {
  WarmUps pairs;
  Mono now{};
  EXPECT_TRUE(pairs.begin(kA, now));
  for (std::size_t i = 0; i < 2 * WarmUps::kMax; ++i) {
    http::Endpoint each{"h" + std::to_string(i), 1};
    now += Nanos(1);
    EXPECT_TRUE(pairs.begin(each, now));
    pairs.end(each, "E", now);
  }
  EXPECT_LE(pairs.warm(), WarmUps::kMax);
  EXPECT_FALSE(pairs.is_warm({"h0", 1}));
  EXPECT_EQ(pairs.warming(), 1);  // that of A is not lost
}

// The engine's clock is another host's: only differences between its own answers count.
TEST(LeaseClock, OnlyShortensALease) {
  LeaseClock clock;
  const Mono start{std::chrono::hours(5)};
  auto age = [&](double expiry, Nanos after, std::string_view engine = "E") {
    return clock.age(engine, expiry, start + after);
  };
  EXPECT_EQ(age(1000.0, Nanos()), Nanos());                   // nothing to compare with
  EXPECT_EQ(age(1010.0, std::chrono::seconds(10)), Nanos());  // as fresh
  EXPECT_EQ(age(1008.0, std::chrono::seconds(20)), std::chrono::seconds(12));
  EXPECT_EQ(age(1031.0, std::chrono::seconds(30)), Nanos());  // fresher than all before
  EXPECT_EQ(age(1040.0, std::chrono::seconds(40)), std::chrono::seconds(1));
  EXPECT_EQ(age(7.0, std::chrono::seconds(40), "F"), Nanos());  // another engine
  EXPECT_EQ(age(1e300, std::chrono::seconds(40)), Nanos());
  const Nanos later = LeaseClock::kMeasuredFor + std::chrono::seconds(60);
  EXPECT_EQ(age(1500.0, later), Nanos());  // clocks drift: measured anew
  for (int i = 0; i < 3000; ++i) (void)age(1, later, std::to_string(i));
  EXPECT_LE(clock.size(), LeaseClock::kMaxEngines);
}

TEST(TransferLedger, IsExactForARequestThatIsAlone) {
  TransferLedger ledger;
  EXPECT_TRUE(ledger.opens());
  ledger.begin(CachedTokens{100, 7});
  EXPECT_FALSE(ledger.opens());
  EXPECT_FALSE(ledger.alone());  // nothing is handed over
  ledger.hands_over(kA, 50);
  EXPECT_TRUE(ledger.alone());
  EXPECT_EQ(ledger.answered(CachedTokens{148, 7}), 48U);
  auto settled = ledger.take_settled();
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->expected, 50U);
  EXPECT_EQ(settled->pulled, 48U);
  EXPECT_FALSE(ledger.take_settled());
  EXPECT_FALSE(ledger.settles());
  ledger.end({});
  EXPECT_TRUE(ledger.opens());
  ASSERT_TRUE(ledger.pair(kA));
  EXPECT_EQ(ledger.pair(kA)->expected_tokens, 50U);
  EXPECT_EQ(ledger.pair(kA)->pulled_tokens, 48U);
}

TEST(TransferLedger, TellsOfAPairWhenItsRequestsOverlap) {
  TransferLedger ledger;
  ledger.begin(CachedTokens{});
  ledger.hands_over(kA, 50);
  ledger.begin({});
  ledger.hands_over(kA, 30);
  EXPECT_FALSE(ledger.alone());
  EXPECT_EQ(ledger.answered(CachedTokens{80, 0}), std::nullopt);
  ledger.end({});
  EXPECT_FALSE(ledger.alone());  // it was not, all the time
  EXPECT_TRUE(ledger.settles());
  ledger.end(CachedTokens{80, 0});
  EXPECT_EQ(ledger.pair(kA)->pulled_tokens, 80U);
  EXPECT_EQ(ledger.pair(kA)->requests, 2U);
}

TEST(TransferLedger, SaysNothingOfMixedPairsOrWithoutCounters) {
  TransferLedger ledger;
  ledger.begin(CachedTokens{});
  ledger.hands_over(kA, 50);
  ledger.begin({});
  ledger.hands_over(kB, 50);
  ledger.end({});
  EXPECT_FALSE(ledger.settles());
  ledger.end(CachedTokens{100, 0});
  ledger.begin({});
  ledger.hands_over(kA, 50);
  EXPECT_FALSE(ledger.alone());
  ledger.end(CachedTokens{100, 0});
  ledger.begin(CachedTokens{100, 0});
  ledger.hands_over(kA, 50);
  EXPECT_EQ(ledger.answered(CachedTokens{10, 0}), std::nullopt);  // started again
  ledger.end(CachedTokens{10, 0});
  EXPECT_FALSE(ledger.pair(kA) || ledger.pair(kB));
}

TEST(TransferLedger, FailsAPairWhosePromptsAreComputedAgain) {
  TransferLedger ledger;
  auto window = [&](CachedTokens grown) {
    ledger.begin(CachedTokens{5, 5});
    ledger.hands_over(kA, 100);
    (void)ledger.answered(CachedTokens{5 + grown.external, 5 + grown.local});
    ledger.end({});
  };
  window({0, 0});
  window({0, 0});
  EXPECT_FALSE(ledger.failed(kA));
  window({0, 96});  // held already
  window({0, 0});
  window({16, 0});
  EXPECT_FALSE(ledger.failed(kA));
  window({0, 3});
  EXPECT_TRUE(ledger.failed(kA));
  ledger.forget(kA);
  EXPECT_FALSE(ledger.failed(kA));
}

TEST(TransferLedger, ReadsTheCountersOfVllm) {
  auto told = cached_tokens_in(
      "# TYPE vllm:external_prefix_cache_hits_total counter\n"
      "vllm:external_prefix_cache_hits_total{engine=\"0\",model_name=\"a} 7\"} 79.0\n"
      "vllm:external_prefix_cache_hits_total{engine=\"1\"} 1e2\n"
      "vllm:prefix_cache_hits_total{engine=\"0\"} 3.0\n"
      "vllm:external_prefix_cache_hits_created{engine=\"0\"} 1.7e9\n");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->external, 179U);
  EXPECT_EQ(told->local, 3U);
  EXPECT_FALSE(cached_tokens_in("vllm:prefix_cache_hits_total 3\n"));
  EXPECT_FALSE(cached_tokens_in("vllm:external_prefix_cache_hits_total NaN\n"));
  EXPECT_FALSE(cached_tokens_in("vllm:external_prefix_cache_hits_total{ 1\n"));
  EXPECT_FALSE(cached_tokens_in(""));
}

}  // namespace
}  // namespace baton::sidecar
