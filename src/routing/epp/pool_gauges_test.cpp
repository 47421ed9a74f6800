// What dashboards see of a pool, and the bounds of labels.

#include "routing/epp/pool_gauges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/epp/metrics.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::epp {
namespace {

using schedule::testing::load;
using ::testing::HasSubstr;

TEST(PoolGauges, AverageOverFreshEndpointsAndRound) {  // epp:C018
  const Mono now = Mono(std::chrono::hours(1));
  const auto stale_after = std::chrono::seconds(2);
  observe::Registry registry;
  PoolGauges gauges(registry, "pool");
  const auto shows = [&](std::string_view name, std::string_view value) {
    EXPECT_THAT(registry.expose(), HasSubstr("\nllm_d_epp_" + std::string(name) +
                                             "{name=\"pool\"} " + std::string(value) + "\n"));
  };

  gauges.show(schedule::testing::snapshot({{"a", "", load(1, 2, 0.1F, now)},
                                           {"b", "", load(2, 2, 0.1F, now)},
                                           {"c", "", load(5, 5, 0.5F, now)},
                                           {"old", "", load(90, 90, 1, now - stale_after * 2)}}),
              now, stale_after);
  shows("average_queue_size", "2.67");
  shows("std_dev_queue_size", "2.08");
  shows("average_running_requests", "3");
  shows("average_kv_cache_utilization", "0.23");
  shows("ready_endpoints", "3");
  EXPECT_THAT(registry.expose(), HasSubstr("\ninference_pool_ready_pods{name=\"pool\"} 3\n"));

  // Nobody is fresh: what was shown stays, but for their number.
  gauges.show(schedule::testing::snapshot({{"old", "", load(90, 90, 1, now - stale_after * 2)}}),
              now, stale_after);
  shows("ready_endpoints", "0");
  shows("average_queue_size", "2.67");
}

TEST(LabelValues, BeyondAThousandAreOther) {  // epp:C018
  LabelValues values;
  for (std::size_t i = 0; i < kMaxLabelValues; ++i) values.take("model-" + std::to_string(i));
  EXPECT_EQ(values.take("one-more"), "other");
  EXPECT_EQ(values.take("model-7"), "model-7");
  EXPECT_EQ(values.take(""), "");
}

TEST(LabelValues, TooLongToBeANameAreOther) {  // epp:C018
  LabelValues values;
  EXPECT_EQ(values.take(std::string(kMaxLabelBytes + 1, 'm')), "other");
  const std::string longest(kMaxLabelBytes, 'm');
  EXPECT_EQ(values.take(longest), longest);
}

TEST(LabelValues, ThatAreNoTextAreWhatIsShownOfThem) {
  LabelValues values;
  EXPECT_EQ(values.take("\xff"), "\uFFFD");
  EXPECT_EQ(&values.take("\xfe"), &values.take("\xff"));
  EXPECT_EQ(values.take(std::string("a\0é", 4)), "a\uFFFDé");
}

TEST(LabelValues, ThatArePinnedAreKeptWhateverElseCame) {  // epp:C018
  LabelValues values;
  for (std::size_t i = 0; i < kMaxLabelValues; ++i) values.take("model-" + std::to_string(i));
  values.pin({"mine", "model-7"});
  EXPECT_EQ(values.take("mine"), "mine");
  EXPECT_EQ(values.take("model-7"), "model-7");
  EXPECT_EQ(values.take("one-more"), "one-more") << "in the place of model-7";
  EXPECT_EQ(values.take("two-more"), "other");
  values.pin({});
  EXPECT_EQ(values.take("mine"), "other");
}

}  // namespace
}  // namespace baton::epp
