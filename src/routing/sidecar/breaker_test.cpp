#include "routing/sidecar/breaker.hpp"

#include <gtest/gtest.h>

#include "routing/sidecar/fallback_budget.hpp"

namespace baton::sidecar {
namespace {

using Pass = Breaker::Pass;
using State = Breaker::State;
using std::chrono::seconds;

const BreakerSettings kThree{.failures = 3, .pause = seconds(1), .longest_pause = seconds(4)};

void fail_times(Breaker& breaker, int times, Mono now) {
  for (int i = 0; i < times; ++i) breaker.on_failure(*breaker.admit(now), now);
}

TEST(Breaker, OpensAfterFailuresInARow) {
  ManualClock clock;
  Breaker breaker(kThree);

  fail_times(breaker, 2, clock.now());
  breaker.on_success();
  fail_times(breaker, 2, clock.now());
  EXPECT_EQ(breaker.admit(clock.now()), Pass::kOrdinary);
  breaker.on_failure(Pass::kOrdinary, clock.now());

  EXPECT_EQ(breaker.state(), State::kOpen);
  EXPECT_EQ(breaker.admit(clock.now()), std::nullopt);
}

TEST(Breaker, LetsOneProbeThroughAndDoublesItsPause) {
  ManualClock clock;
  Breaker breaker(kThree);
  fail_times(breaker, 3, clock.now());

  for (int pause : {1, 2, 4, 4}) {
    clock.advance(seconds(pause) - Nanos(1));
    EXPECT_EQ(breaker.admit(clock.now()), std::nullopt);
    clock.advance(Nanos(1));
    EXPECT_EQ(breaker.admit(clock.now()), Pass::kProbe);
    EXPECT_EQ(breaker.admit(clock.now()), std::nullopt);  // one at a time
    breaker.on_failure(Pass::kOrdinary, clock.now());     // a late one changes nothing
    EXPECT_EQ(breaker.state(), State::kHalfOpen);
    breaker.on_failure(Pass::kProbe, clock.now());
    EXPECT_EQ(breaker.state(), State::kOpen);
  }
  clock.advance(seconds(4));
  EXPECT_EQ(breaker.admit(clock.now()), Pass::kProbe);
  breaker.on_success();
  EXPECT_EQ(breaker.admit(clock.now()), Pass::kOrdinary);
}

TEST(Breaker, ProbesAgainAtOnceWhenTheClientOfTheProbeLeft) {
  ManualClock clock;
  Breaker breaker(kThree);
  fail_times(breaker, 3, clock.now());
  clock.advance(seconds(1));
  ASSERT_EQ(breaker.admit(clock.now()), Pass::kProbe);

  breaker.on_abandoned(Pass::kOrdinary, clock.now());  // an older attempt
  EXPECT_EQ(breaker.admit(clock.now()), std::nullopt);
  breaker.on_abandoned(Pass::kProbe, clock.now());

  EXPECT_EQ(breaker.admit(clock.now()), Pass::kProbe);
}

TEST(Breaker, NeverOpensWithoutALimit) {
  ManualClock clock;
  Breaker breaker({.failures = 0});
  fail_times(breaker, 1000, clock.now());
  EXPECT_EQ(breaker.state(), State::kClosed);
}

TEST(Breakers, AreOneForEachEngineAndForgetTheOldest) {
  ManualClock clock;
  Breakers breakers({.failures = 1});
  fail_times(breakers.of({"a", 1}), 1, clock.now());

  EXPECT_EQ(breakers.of({"a", 1}).state(), State::kOpen);
  EXPECT_EQ(breakers.of({"a", 2}).state(), State::kClosed);
  for (std::size_t port = 1; port < Breakers::kMax; ++port) {
    (void)breakers.of({"b", static_cast<std::uint16_t>(port)});
  }
  EXPECT_EQ(breakers.size(), Breakers::kMax);
  EXPECT_EQ(breakers.of({"a", 1}).state(), State::kClosed);
}

TEST(FallbackBudget, IsAShareOfWhatTheDecodeEngineCanRun) {
  EXPECT_EQ(FallbackBudget(0.5, 256).limit(), 128U);
  EXPECT_EQ(FallbackBudget(0.001, 256).limit(), 1U);
  FallbackBudget none(0, 256);
  EXPECT_FALSE(none.take());
  FallbackBudget two(0.2, 10);
  EXPECT_TRUE(two.take());
  EXPECT_TRUE(two.take());
  EXPECT_FALSE(two.take());
  two.give();
  EXPECT_TRUE(two.take());
}

}  // namespace
}  // namespace baton::sidecar
