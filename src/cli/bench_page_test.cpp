#include "cli/bench_page.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/svg_chart.hpp"

namespace baton::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Outcome answered(int first_ms, int last_ms, std::size_t tokens) {
  Outcome out;
  out.failure = "";
  out.first = Millis(first_ms);
  out.last = Millis(last_ms);
  out.gaps = {out.last - *out.first};
  out.completion = tokens;
  return out;
}

TEST(Goodput, CountsRequestsWithinEveryLimit) {
  const auto limits = *parse_limits({"ttft:100", "tpot:10"});
  Outcome failed;
  const auto r = summarize({answered(100, 110, 2), answered(101, 102, 2), answered(50, 90, 2),
                            answered(99, 99, 1), failed},
                           std::chrono::seconds(2), limits);
  EXPECT_EQ(r.good, 2);
  EXPECT_THAT(report_text(r), HasSubstr("goodput: 1.00 requests/s (2 of 5 within ttft 100 ms, "
                                        "tpot 10 ms)"));
  EXPECT_EQ(report_json(r).find_path({"goodput", "requests"})->if_uint(), 2);
  EXPECT_TRUE(report_json(summarize({}, Nanos(1))).find("goodput")->is_null());
}

TEST(Goodput, LimitsAreNamedNumbers) {
  EXPECT_EQ(parse_limits({"e2el:3000"})->e2e, 3000);
  for (const char* word : {"ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:5ms", "itl:5", ":5"}) {
    EXPECT_FALSE(parse_limits({word})) << word;
  }
  EXPECT_FALSE(parse_limits({"ttft:1", "ttft:2"}));
}

TEST(SvgChart, TicksAreRoundAndCoverTheData) {
  EXPECT_THAT(ticks(10), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(ticks(0.3), ::testing::SizeIs(::testing::Le(8)));
  for (const double most : {1e-9, 0.37, 1.0, 7.3, 999.0, 1e12}) {
    const auto found = ticks(most);
    EXPECT_GE(found.back(), most);
    EXPECT_LE(found.size(), 9) << most;
  }
  EXPECT_GE(ticks(0).back(), 1);
}

TEST(SvgChart, DrawsEverySeriesInsideItsFrame) {
  const auto text = svg({"A <b>", "x", "y", Chart::Style::kLines, {{"one", {{0, 0}, {10, 5}}}}});
  EXPECT_THAT(text, HasSubstr("A &lt;b&gt;"));
  EXPECT_THAT(text, HasSubstr("points=\"64.0,256.0 548.0,30.0 \""));
}

TEST(BenchPage, StandsAloneAndHasARowAndPlotsForEachLoad) {
  const auto limits = *parse_limits({"ttft:100"});
  std::vector<BenchPoint> points;
  for (const double rate : {1.0, 2.0}) {
    std::vector<Outcome> outcomes = {answered(20, 40, 3), answered(120, 200, 3)};
    points.push_back({fmt::format("{:g} requests/s", rate), rate,
                      summarize(outcomes, std::chrono::seconds(1), limits), outcomes});
  }
  const auto page = bench_page(points, limits, "http://h/<script>");
  EXPECT_THAT(page, HasSubstr("<td>2 requests/s</td><td>2 of 2</td>"));
  EXPECT_THAT(page, HasSubstr("within ttft 100 ms"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  std::size_t plots = 0;
  for (auto at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1))
    ++plots;
  EXPECT_EQ(plots, 6);
  EXPECT_THAT(bench_page({points[0]}, {}, ""), Not(HasSubstr("Throughput")));
}

}  // namespace
}  // namespace baton::cli
