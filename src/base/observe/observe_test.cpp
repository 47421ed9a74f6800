#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/observe/exposition.hpp"
#include "base/observe/metrics.hpp"

namespace baton::observe {
namespace {

TEST(Metrics, ExposeWhatWasCounted) {
  Registry registry;
  registry.counter("baton_requests_total", "Requests.", {{"outcome", "ok"}}).add(2);
  registry.gauge("baton_queue", "Queue.").set(0.5);
  Histogram& h = registry.histogram("baton_wait_seconds", "Wait.", {0.1, 1});
  h.observe(0.1);
  h.observe(5);

  EXPECT_EQ(registry.expose(),
            "# HELP baton_requests_total Requests.\n# TYPE baton_requests_total counter\n"
            "baton_requests_total{outcome=\"ok\"} 2\n"
            "# HELP baton_queue Queue.\n# TYPE baton_queue gauge\nbaton_queue 0.5\n"
            "# HELP baton_wait_seconds Wait.\n# TYPE baton_wait_seconds histogram\n"
            "baton_wait_seconds_bucket{le=\"0.1\"} 1\nbaton_wait_seconds_bucket{le=\"1\"} 1\n"
            "baton_wait_seconds_bucket{le=\"+Inf\"} 2\nbaton_wait_seconds_sum 5.1\n"
            "baton_wait_seconds_count 2\n");
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameInstrument) {
  Registry registry;

  registry.counter("a_total", "A.", {{"k", "v"}}).add();
  registry.counter("a_total", "A.", {{"k", "v"}}).add();

  EXPECT_EQ(registry.counter("a_total", "A.", {{"k", "v"}}).value(), 2);
}

TEST(Metrics, SeriesThatAreNotGivenAgainEnd) {
  Registry registry;
  registry.set_gauges("queue", "waiting", {{{{"pod", "a"}}, 1}, {{{"pod", "b"}}, 2}});
  registry.set_gauges("queue", "waiting", {{{{"pod", "b"}}, 3}});
  EXPECT_EQ(registry.expose(), "# HELP queue waiting\n# TYPE queue gauge\nqueue{pod=\"b\"} 3\n");
}

TEST(Metrics, LabelsAreTextWhateverClientsSend) {
  Registry registry;
  registry.counter("c", "C.", {{"k", std::string("\xff\0é\n\"\xc3", 7)}}).add();
  EXPECT_EQ(registry.expose(),
            "# HELP c C.\n# TYPE c counter\nc{k=\"\uFFFD\uFFFDé\\n\\\"\uFFFD\"} 1\n");
}

TEST(Metrics, WhatIsShownAlikeIsOneSeries) {
  Registry registry;
  registry.set_gauges("queue", "waiting", {{{{"pod", "\xff"}}, 1}, {{{"pod", "\xfe"}}, 2}});
  EXPECT_EQ(registry.expose(),
            "# HELP queue waiting\n# TYPE queue gauge\nqueue{pod=\"\uFFFD\"} 2\n");
}

TEST(Metrics, SeriesOfALabelEndTogether) {
  Registry registry;
  registry.counter("c", "C.", {{"flow", "a"}, {"code", "1"}}).add();
  registry.counter("c", "C.", {{"flow", "a"}, {"code", "2"}}).add();
  Counter& kept = registry.counter("c", "C.", {{"flow", "b"}, {"code", "1"}});
  registry.end_series("c", {{"flow", "a"}});
  registry.end_series("absent", {{"flow", "a"}});
  kept.add();
  EXPECT_EQ(registry.expose(), "# HELP c C.\n# TYPE c counter\nc{flow=\"b\",code=\"1\"} 1\n");
  EXPECT_EQ(registry.counter("c", "C.", {{"flow", "a"}, {"code", "1"}}).value(), 0);
}

TEST(Exposition, ReadsSamplesAndPassesOverTheRest) {
  ExpositionReader reader(
      "# HELP x y\nx 1\n\nbroken\ny{a=\"}\\\"\",b=\"2\"} 3.5 1700000000\nz{a=\"1\" 2\nw +Inf\n");

  EXPECT_EQ(reader.next()->name, "x");
  const auto y = reader.next();
  EXPECT_EQ(y->name, "y");
  EXPECT_EQ(y->value, 3.5);
  EXPECT_EQ(label(y->labels, "b"), "2");
  EXPECT_EQ(label(y->labels, "a"), "}\\\"");
  EXPECT_EQ(label(y->labels, "c"), std::nullopt);
  EXPECT_EQ(reader.next()->name, "w");
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.malformed(), 2U);
}

TEST(Exposition, ReadsWhatMetricsWrite) {
  Registry registry;
  registry.gauge("g", "G.", {{"path", "a\"b\\c\nd"}}).set(1);
  const std::string text = registry.expose();

  ExpositionReader reader(text);

  EXPECT_EQ(label(reader.next()->labels, "path"), "a\\\"b\\\\c\\nd");
}

}  // namespace
}  // namespace baton::observe
