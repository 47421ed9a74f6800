#include "routing/epp/plugin_times.hpp"

#include <gtest/gtest.h>

namespace baton::epp {
namespace {

const std::vector<schedule::TimedPlugin> kPlugins = {{"Filter", "decode-filter", "mine"},
                                                     {"Picker", "random-picker", "random-picker"}};

struct Rig {
  // One more decision, whose filter takes `took`.
  void decide(Nanos took) {
    auto* laps = decisions.next(clock.now());
    if (laps == nullptr) return;
    clock.advance(took);
    laps->lap(0);
    decisions.over(times);
  }
  double value(std::string_view name) const {
    const auto text = registry.expose();
    const auto line =
        "\nllm_d_epp_plugin_duration_seconds_" + std::string(name) +
        R"({extension_point="Filter",plugin_type="decode-filter",plugin_name="mine"} )";
    const auto at = text.find(line);
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size()));
  }
  observe::Registry registry;
  ManualClock clock;
  PluginTimes times{registry, kPlugins};
  TimedDecisions decisions{clock};
};

TEST(PluginTimes, EveryDecisionIsTimedWhileTheyAreFew) {
  Rig rig;
  for (int i = 0; i < 3; ++i) {
    rig.decide(Millis(2));
    rig.clock.advance(kTimedEvery);
  }
  EXPECT_EQ(rig.value("count"), 3);
  EXPECT_DOUBLE_EQ(rig.value("sum"), 0.006);
}

TEST(PluginTimes, OfManyInAMillisecondOneIsTimed) {
  Rig rig;
  for (int i = 0; i < 100; ++i) rig.decide(std::chrono::microseconds(10));
  EXPECT_EQ(rig.value("count"), 1);
  rig.clock.advance(kTimedEvery);
  rig.decide(std::chrono::microseconds(30));
  EXPECT_EQ(rig.value("count"), 2);
  EXPECT_DOUBLE_EQ(rig.value("sum"), 40e-6);
}

TEST(PluginTimes, ADecisionThatNeverCameToAPluginTellsNothing) {
  Rig rig;
  ASSERT_NE(rig.decisions.next(rig.clock.now()), nullptr);
  rig.decisions.over(rig.times);
  EXPECT_EQ(rig.value("count"), 0);
}

}  // namespace
}  // namespace baton::epp
