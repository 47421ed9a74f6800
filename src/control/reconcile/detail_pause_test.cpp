#include "control/reconcile/detail_pause.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace baton::reconcile
