// epp:F015

#include "routing/schedule/flow/eviction.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/schedule/testing/configured.hpp"

namespace baton::schedule {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::setup;

constexpr Nanos kGrace = Millis(500);

class EvictionsTest : public ::testing::Test {
 protected:
  std::vector<Ticket> choose(double saturation, double ceiling = 1, std::int32_t priority = 5) {
    std::vector<Ticket> out;
    evictions_.choose({.priority = priority, .saturation = saturation, .ceiling = ceiling}, now_,
                      out);
    return out;
  }
  std::vector<Ticket> pass(Nanos time) {
    now_ += time;
    std::vector<Ticket> out;
    evictions_.pass(now_, out);
    return out;
  }

  Evictions evictions_{kGrace};
  Mono now_ = ManualClock().now();
};

TEST_F(EvictionsTest, TheLowestPriorityEndsFirstAndOfItTheNewest) {
  evictions_.started(1, -1);
  evictions_.started(3, -2);
  evictions_.started(2, -2);  // arrived before, started after
  evictions_.started(4, -1);
  EXPECT_THAT(choose(2), ElementsAre(2, 3));
}

TEST_F(EvictionsTest, NoRequestOfPriorityZeroOrMoreEnds) {
  evictions_.started(1, 0);
  evictions_.started(2, 3);
  EXPECT_THAT(choose(2), IsEmpty());
}

TEST_F(EvictionsTest, OnlyPrioritiesStrictlyBelowTheDemandEnd) {
  evictions_.started(1, -3);
  evictions_.started(2, -1);
  EXPECT_THAT(choose(2, 1, -3), IsEmpty());
  EXPECT_THAT(choose(2, 1, -1), ElementsAre(1)) << "the second one is as good as who waits";
}

TEST_F(EvictionsTest, AsManyEndAsFreeWhatIsMissingButTwoAtMost) {
  for (Ticket i = 1; i <= 9; ++i) evictions_.started(i, -1);
  evictions_.started(10, 0);  // each holds a tenth
  EXPECT_EQ(choose(1, 0.95).size(), 1U);
  evictions_.ended(9, now_);
  pass(kGrace);
  EXPECT_EQ(choose(1, 0.85).size(), 2U);
  evictions_.ended(8, now_);
  evictions_.ended(7, now_);
  pass(kGrace);
  EXPECT_EQ(choose(1, 0.1).size(), 2U);
}

TEST_F(EvictionsTest, AtTheVeryLimitOneEnds) {
  evictions_.started(1, -1);
  evictions_.started(2, -1);
  EXPECT_THAT(choose(1, 1), ElementsAre(2));
}

TEST_F(EvictionsTest, BelowTheLimitAndUnderALimitOfZeroNobodyEnds) {
  evictions_.started(1, -1);
  EXPECT_THAT(choose(0.9, 1), IsEmpty());
  EXPECT_THAT(choose(0.5, 0), IsEmpty());
}

TEST_F(EvictionsTest, NobodyElseEndsUntilTheirEndShows) {
  for (Ticket i = 1; i <= 4; ++i) evictions_.started(i, -1);
  EXPECT_THAT(choose(1), ElementsAre(4));
  EXPECT_DOUBLE_EQ(evictions_.pending(), 0.25);
  EXPECT_THAT(choose(1), IsEmpty()) << "its stream is still open";
  now_ += Millis(30);
  EXPECT_EQ(evictions_.ended(4, now_), Millis(30));
  EXPECT_THAT(pass(kGrace - Nanos(1)), IsEmpty());
  EXPECT_DOUBLE_EQ(evictions_.pending(), 0.25);
  EXPECT_THAT(choose(1), IsEmpty()) << "the pool cannot show it yet";
  pass(Nanos(1));
  EXPECT_EQ(evictions_.pending(), 0);
  EXPECT_THAT(choose(1), ElementsAre(3));
}

TEST_F(EvictionsTest, AStreamThatDoesNotEndIsGivenUpInTime) {
  evictions_.started(1, -1);
  evictions_.started(2, -1);
  EXPECT_THAT(choose(1), ElementsAre(2));
  EXPECT_THAT(pass(kEndsWithin - Nanos(1)), IsEmpty());
  EXPECT_THAT(pass(Nanos(1)), ElementsAre(2));
  EXPECT_THAT(choose(1), IsEmpty()) << "it counts as ended just now";
  pass(kGrace);
  EXPECT_THAT(choose(1), ElementsAre(1));
  EXPECT_EQ(evictions_.ended(2, now_), std::nullopt);
  EXPECT_EQ(evictions_.ended(1, now_), Nanos(0));
}

TEST_F(EvictionsTest, WhoEndsByItselfIsNoVictimAnyMore) {
  evictions_.started(1, -1);
  evictions_.started(2, -1);
  evictions_.started(3, 0);
  EXPECT_EQ(evictions_.ended(2, now_), std::nullopt);
  EXPECT_EQ(evictions_.ended(3, now_), std::nullopt);
  EXPECT_THAT(choose(5, 0.1), ElementsAre(1));
  EXPECT_DOUBLE_EQ(evictions_.pending(), 5) << "alone it held everything";
}

TEST(EvictionConfig, TakesTheGateAndTheField) {
  constexpr std::string_view kPolicies =
      "plugins: [{type: queue-scorer}, {type: sheddable-eviction-filter}, "
      "{type: priority-then-time-eviction-order-policy}]\n";
  const auto evicting = [](std::string_view plugins) {
    return setup("featureGates: [flowControl]\nflowControl: {enableEviction: true}\n" +
                 std::string(plugins));
  };
  EXPECT_TRUE(evicting("").flow->evicts);
  EXPECT_THAT(describe(evicting("")), HasSubstr("sheddable-eviction-filter\"  # created: enable"));
  EXPECT_TRUE(evicting(kPolicies).flow->evicts);
  EXPECT_THAT(evicting(kPolicies).warnings, IsEmpty());
  EXPECT_FALSE(setup("featureGates: [flowControl]").flow->evicts);
  EXPECT_THAT(setup(kPolicies).warnings,
              ::testing::Contains(HasSubstr("sheddable-eviction-filter has no effect without")));
}

}  // namespace
}  // namespace baton::schedule
