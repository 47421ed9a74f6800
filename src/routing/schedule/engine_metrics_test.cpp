// Names of engines' metrics: what is built in, and what a configuration says.

#include "routing/schedule/engine_metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"

namespace baton::schedule {
namespace {

using ::testing::HasSubstr;

std::string problem(std::string_view text) {
  const auto spec = parse_metric_spec(text);
  return spec ? "" : spec.error().message();
}

TEST(MetricSpec, IsANameWithLabelsOrWithout) {  // epp:L008
  EXPECT_EQ(*parse_metric_spec("vllm:queue"), (MetricSpec{"vllm:queue", {}}));
  EXPECT_EQ(*parse_metric_spec(" queue { type = \"waiting\" , a=b } "),
            (MetricSpec{"queue", {{"type", "waiting"}, {"a", "b"}}}));
  EXPECT_EQ(*parse_metric_spec("queue{}"), (MetricSpec{"queue", {}}));
  EXPECT_TRUE(parse_metric_spec("")->empty());
  for (const auto* wrong :
       {"queue{a=b", "queue a=b}", "queue{a=b}}", "queue{{a=b}", "queue{a=b}c"}) {
    EXPECT_THAT(problem(wrong), HasSubstr(wrong)) << wrong;
  }
  EXPECT_THAT(problem("{a=b}"), HasSubstr("no metric's name"));
  EXPECT_THAT(problem("two names"), HasSubstr("no metric's name"));
  EXPECT_THAT(problem("queue{=b}"), HasSubstr("no label=value"));
  EXPECT_THAT(problem("queue{a}"), HasSubstr("no label=value"));
}

Result<std::vector<EngineMetrics>> engines(std::string_view yaml) {
  return engines_of(*text::yaml::parse(std::string(yaml), "test"), "/engineConfigs");
}

TEST(EngineMetrics, AConfigurationAddsEnginesAndReplacesBuiltInOnes) {
  const auto made = *engines(R"(
- {name: mine, queuedRequestsSpec: "mine_queue{kind=waiting}", kvUsageSpec: mine_usage, cacheInfoSpec: mine_cache, cacheBlockSizeLabelName: bs}
- {name: sglang, queuedRequestsSpec: other_queue}
)");
  ASSERT_EQ(made.size(), 6U);
  EXPECT_EQ(made[0].waiting, (MetricSpec{"mine_queue", {{"kind", "waiting"}}}));
  EXPECT_EQ(made[0].block_size_label, "bs");
  EXPECT_EQ(made[0].prefix, "mine_");
  EXPECT_TRUE(made[0].running.empty());
  EXPECT_EQ(made[1].waiting.family, "other_queue");
  EXPECT_EQ(made[2].name, "vllm");
  EXPECT_EQ(made[2].prefix, "vllm:");
}

TEST(EngineMetrics, WhatIsWrongIsNamed) {
  const auto wrong = [](std::string_view yaml) {
    const auto made = engines(yaml);
    return made ? "" : made.error().message();
  };
  EXPECT_THAT(wrong("[{queuedRequestsSpec: x}]"), HasSubstr("an engine needs a name"));
  EXPECT_THAT(wrong("[{name: default}]"), HasSubstr("reserved"));
  EXPECT_THAT(wrong("[{name: a}, {name: a}]"), HasSubstr("/engineConfigs/1"));
  EXPECT_THAT(wrong("[{name: a, kvUsageSpec: 'x{'}]"), HasSubstr("braces"));
  EXPECT_THAT(wrong("[{name: a, kvUsgeSpec: x}]"), HasSubstr("kvUsageSpec"));
}

}  // namespace
}  // namespace baton::schedule
