#include "cli/progress_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::cli {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Progress, AmountsAndTimesAreShort) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1500), "1.50 kB");
  EXPECT_EQ(bytes_text(269'000'000), "269 MB");
  EXPECT_EQ(bytes_text(999'999'999), "1.00 GB");
  EXPECT_EQ(bytes_text(12'340'000'000), "12.3 GB");
  EXPECT_EQ(time_text(Millis(7100)), "8 s");
  EXPECT_EQ(time_text(seconds(200)), "3 min 20 s");
  EXPECT_EQ(time_text(seconds(7500)), "2 h 5 min");
}

TEST(Progress, TheRateIsThatOfTheLastSeconds) {
  Rate rate;
  const Mono start{seconds(100)};
  EXPECT_EQ(rate.per_second(), 0);
  for (int i = 0; i <= 20; ++i) {  // ten seconds at 10, then ten at 1000
    rate.note(start + seconds(i), i <= 10 ? 10 * i : 100 + 1000 * (i - 10));
  }
  EXPECT_NEAR(rate.per_second(), 1000, 1);
  rate.note(start + seconds(21), 0);  // from the start again
  EXPECT_EQ(rate.per_second(), 0);
}

TEST(Progress, ALineTellsShareRateAndTimeLeft) {
  EXPECT_EQ(progress_line({25'000'000, 100'000'000, 5e6}),
            "25 %, 25.0 MB of 100 MB, 5.00 MB/s, 15 s left");
  EXPECT_EQ(progress_line({25, 100, 0}), "25 %, 25 B of 100 B");
  EXPECT_EQ(progress_line({100, 100, 5}), "100 %, 100 B of 100 B");
  EXPECT_EQ(progress_line({30, 40, 0.5, Unit::kCount}), "75 %, 30 of 40, 0.5/s, 20 s left");
  EXPECT_THAT(progress_bar("m", {50, 100, 0}, 80), StartsWith("m [##########..........] 50 %"));
  EXPECT_EQ(progress_bar("m", {50, 100, 0}, 10).size(), 10);
}

struct Shown {
  explicit Shown(ProgressView::Style style)
      : view("org/name", style, [this](std::string_view t) { text += t; }, clock) {}
  ManualClock clock;
  std::string text;
  ProgressView view;
};

TEST(Progress, WithoutATerminalThereIsALineEveryFiveSeconds) {
  Shown shown(ProgressView::Style::kLines);
  shown.view.expect(100);
  for (int i = 0; i <= 12; ++i) {
    shown.view.have(5 * i);
    shown.clock.advance(seconds(1));
  }
  shown.view.say("done");
  EXPECT_EQ(shown.text,
            "org/name: 25 %, 25 B of 100 B, 5 B/s, 15 s left\n"
            "org/name: 50 %, 50 B of 100 B, 5 B/s, 10 s left\norg/name: done\n");
}

TEST(Progress, OnATerminalTheBarGivesWayToWhatHappens) {
  Shown shown(ProgressView::Style::kBar);
  shown.view.expect(100);
  shown.view.have(40);
  EXPECT_THAT(shown.text, HasSubstr("\r\x1b[Korg/name [########............] 40 %"));
  shown.text.clear();
  shown.view.have(41);  // too soon to be drawn
  EXPECT_EQ(shown.text, "");
  shown.view.say("again");
  EXPECT_EQ(shown.text, "\r\x1b[Korg/name: again\n");
}

}  // namespace
}  // namespace baton::cli
