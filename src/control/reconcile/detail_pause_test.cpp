#include "control/reconcile/detail_pause.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

namespace baton::reconcile {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr DetailPause kPause{
    .after_write = seconds(3), .for_reports = seconds(60), .at_most = minutes(10)};
constexpr Mono kNow{std::chrono::hours(1)};
constexpr Reports kSilent{.complete = false};

TEST(DetailPause, HoldsADetailUntilTheLastWriteIsThreeSecondsAgo) {
  StatusTimes times{.written_at = kNow, .held_since = {}};

  EXPECT_EQ(hold_detail(kPause, times, {}, kNow + seconds(1)), seconds(2));
  EXPECT_EQ(times.held_since, kNow + seconds(1));
  EXPECT_EQ(hold_detail(kPause, times, {}, kNow + seconds(3)), std::nullopt);
  EXPECT_EQ(times.held_since, std::nullopt);
}

TEST(DetailPause, WaitsAMinuteForASilentDeploymentWhenNothingElseReports) {
  StatusTimes times{.written_at = kNow, .held_since = {}};

  EXPECT_EQ(hold_detail(kPause, times, kSilent, kNow + seconds(5)), seconds(60));
  // What was reported before the detail came says nothing about the one that is awaited.
  const Reports old{.complete = false, .last = kNow - seconds(30)};
  EXPECT_EQ(hold_detail(kPause, times, old, kNow + seconds(35)), seconds(30));
  EXPECT_EQ(hold_detail(kPause, times, old, kNow + seconds(65)), std::nullopt);
}

TEST(DetailPause, WaitsOnWhileDeploymentsOfOtherServicesReport) {
  StatusTimes times{.written_at = kNow, .held_since = kNow};
  Reports reports = kSilent;

  for (int minute = 1; minute < 10; ++minute) {
    reports.last = kNow + minutes(minute) - seconds(1);
    EXPECT_EQ(hold_detail(kPause, times, reports, kNow + minutes(minute)), seconds(59));
  }
  EXPECT_EQ(times.held_since, kNow);
}

TEST(DetailPause, EndsAtItsBoundWhateverReports) {
  StatusTimes times{.written_at = kNow, .held_since = kNow};
  const Reports reports{.complete = false, .last = kNow + minutes(10) - seconds(1)};

  EXPECT_EQ(hold_detail(kPause, times, reports, kNow + minutes(10) - seconds(1)), seconds(1));
  EXPECT_EQ(hold_detail(kPause, times, reports, kNow + minutes(10)), std::nullopt);
}

TEST(DetailPause, EndsWhenTheLastDeploymentReports) {
  StatusTimes times{.written_at = kNow, .held_since = kNow + seconds(1)};
  const Reports all{.complete = true, .last = kNow + seconds(20)};

  EXPECT_EQ(hold_detail(kPause, times, all, kNow + seconds(20)), std::nullopt);
}

// Status writes of so many services, the first ones included, when `parts` Deployments of each
// report one after the other, `gap` apart, in no order.
int status_writes(const DetailPause& pause, int services, int parts, Nanos gap) {
  struct Service {
    StatusTimes times{.written_at = kNow, .held_since = {}};
    int reported = 0, told = 0;
  };
  std::vector<Service> all(static_cast<std::size_t>(services));
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < all.size(); ++i)
    order.insert(order.end(), static_cast<std::size_t>(parts), i);
  std::ranges::shuffle(order, std::mt19937(7));

  using Timer = std::pair<Mono, std::size_t>;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers;
  Mono last = Mono::min();
  int writes = services;
  const auto look = [&](std::size_t which, Mono now) {
    Service& one = all[which];
    if (one.told == one.reported) return;
    const Reports reports{.complete = one.reported == parts, .last = last};
    if (const auto wait = hold_detail(pause, one.times, reports, now)) {
      timers.emplace(now + *wait, which);
      return;
    }
    one.told = one.reported;
    one.times.written_at = now;
    ++writes;
  };
  const auto look_until = [&](Mono now) {
    while (!timers.empty() && timers.top().first <= now) {
      const auto [at, which] = timers.top();
      timers.pop();
      look(which, at);
    }
  };
  Mono now = kNow;
  for (const auto which : order) {
    now += gap;
    look_until(now);
    last = now;
    ++all[which].reported;
    look(which, now);
  }
  look_until(Mono::max());
  for (const Service& one : all) EXPECT_EQ(one.told, parts);
  return writes;
}

TEST(DetailPause, MakesTwoStatusWritesOfAServiceHoweverLargeTheBurst) {
  constexpr Nanos kGap = Nanos(seconds(1)) / 7;
  for (const int services : {100, 1000, 3000}) {
    EXPECT_EQ(status_writes(kDetailPause, services, 3, kGap), 2 * services);
  }
  auto hurried = kDetailPause;
  hurried.at_most = minutes(1);
  EXPECT_GT(status_writes(hurried, 1000, 3, kGap), 2700) << "or the pause would be idle";
}

}  // namespace
}  // namespace baton::reconcile
