#include "routing/schedule/scheduler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using testing::load;
using testing::make;
using testing::Pod;

const Mono kNow = ManualClock().now();

Scheduler pd(std::string_view threshold) {
  return make(
      "plugins: [{type: pd-profile-handler, parameters: {threshold: " + std::string(threshold) +
      "}}, {type: prefill-header-handler}, {type: prefill-filter}, "
      "{type: decode-filter}, {type: prefix-cache-scorer}, "
      "{type: load-aware-scorer}, {type: max-score-picker}]\n"
      "schedulingProfiles:\n"
      "- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: "
      "prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]}\n"
      "- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: "
      "prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]}\n");
}

const std::vector<Pod> kPool = {{"p0", "prefill", load(0, 0, 0, kNow)},
                                {"d0", "decode", load(0, 0, 0, kNow)},
                                {"d1", "decode", load(0, 0, 0, kNow)}};

TEST(Scheduler, SendsALongNewPromptThroughPrefillAndARepeatedOneNotD003) {
  // epp:D003
  const auto picker = pd("100");
  const auto snapshot = testing::snapshot(kPool);
  SeededRandom random(1);
  std::array<std::uint32_t, 3> matched = {};
  Request request{.prompt_bytes = 500, .prompt_blocks = 7, .matched = matched};

  const auto first = picker.schedule(request, snapshot, kNow, random);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->prefill, 0);
  EXPECT_EQ(first->no_prefill, NoPrefill::kNone);

  matched[2] = 7;  // d1 served it
  const auto second = picker.schedule(request, snapshot, kNow, random);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->primary, 2);
  EXPECT_FALSE(second->prefill);
  EXPECT_EQ(second->uncached_bytes, 500 - 7 * 64);
  EXPECT_EQ(name(second->no_prefill), "below-threshold");
}

// A microsecond passes whenever somebody looks.
class TickingClock final : public Clock {
 public:
  Mono now() const override { return clock_.advance(std::chrono::microseconds(1)), clock_.now(); }
  Wall wall() const override { return clock_.wall(); }

 private:
  mutable ManualClock clock_;
};

TEST(Scheduler, EveryPluginsTimeIsToldToWhoAsks) {
  const auto picker = pd("100");
  const auto snapshot = testing::snapshot(kPool);
  SeededRandom random(1);
  const TickingClock clock;
  Laps laps(clock);
  Decision decision;
  decision.laps = &laps;
  ASSERT_TRUE(picker.schedule({.prompt_bytes = 500}, snapshot, kNow, random, decision));

  std::vector<std::string> told;
  for (const auto& lap : laps.all()) {
    EXPECT_EQ(lap.took, std::chrono::microseconds(1));
    const auto& plugin = picker.setup().timed[lap.plugin];
    told.push_back(plugin.point + " " + plugin.name);
  }
  const std::string handler = "ProfilePicker pd-profile-handler", picks = "Picker max-score-picker",
                    prefix = "Scorer prefix-cache-scorer", load = "Scorer load-aware-scorer";
  EXPECT_THAT(told,
              ::testing::ElementsAre(handler, "Filter decode-filter", prefix, load, picks, handler,
                                     "Filter prefill-filter", prefix, load, picks, handler));
}

TEST(Scheduler, TheThresholdIsInBytesAndItselfCallsForPrefillD012) {
  // epp:D012 with the cached prefix above, loaded in config_test
  const auto snapshot = testing::snapshot(kPool);
  SeededRandom random(1);
  const auto prefills = [&](std::string_view threshold, std::size_t bytes) {
    const Request request{.prompt_bytes = bytes, .matched = {}};
    return pd(threshold).schedule(request, snapshot, kNow, random)->prefill.has_value();
  };
  EXPECT_FALSE(prefills("100", 99));
  EXPECT_TRUE(prefills("100", 100));
  EXPECT_TRUE(prefills("0", 0));  // 0: always
}

TEST(Scheduler, CopesWithEveryShapeOfPoolD007) {
  // epp:D007
  const auto picker = pd("0");
  SeededRandom random(1);
  const Request request{.prompt_bytes = 500, .matched = {}};
  const auto run = [&](const std::vector<Pod>& pods) {
    return picker.schedule(request, testing::snapshot(pods), kNow, random);
  };

  EXPECT_TRUE(run({{"p", "prefill"}, {"d", "decode"}})->prefill);
  const auto two = run({{"p", "prefill"}, {"d", "decode"}, {"d2", "decode"}});
  EXPECT_EQ(two->prefill, 0);
  EXPECT_NE(two->primary, 0);
  const auto decode_only = run({{"d", "decode"}});
  ASSERT_TRUE(decode_only);
  EXPECT_EQ(name(decode_only->no_prefill), "no-prefill-pods");
  const auto prefill_only = run({{"p", "prefill"}});
  ASSERT_FALSE(prefill_only);
  EXPECT_EQ(prefill_only.error().code(), Code::kUnavailable);
  EXPECT_FALSE(run({}));
}

TEST(Scheduler, TheOnlyProfileIsTheWholeDecision) {
  // epp:D001 with two profiles in config_test
  const auto picker = make("plugins: [{type: single-profile-handler}, {type: decode-filter}]");
  SeededRandom random(1);
  const Request request{.prompt_bytes = 500, .matched = {}};
  const auto good = picker.schedule(request, testing::snapshot(kPool), kNow, random);
  ASSERT_TRUE(good);
  EXPECT_NE(good->primary, 0);
  EXPECT_EQ(good->runs.size(), 1);
  const auto none = picker.schedule(request, testing::snapshot({{"p", "prefill"}}), kNow, random);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kUnavailable);
}

TEST(Scheduler, APluginOfTwoKindsIsNamedOnceAndUsedAsBoth) {
  // epp:S003
  const auto pod = [](std::string_view name, std::string range) {
    return Pod{std::string(name),
               "",
               load(0, 0, 0, kNow),
               {{"llm-d.ai/context-length-range", std::move(range)}}};
  };
  const auto picker = make(
      "plugins: [{type: context-length-aware, parameters: {enableFiltering: true}}]\n"
      "schedulingProfiles: [{name: a, plugins: [{pluginRef: context-length-aware, weight: 2}]}]");
  const auto snapshot =
      testing::snapshot({pod("short", "0-10"), pod("wide", "0-9000"), pod("tight", "900-1100")});
  SeededRandom random(1);
  const auto decided =
      picker.schedule({.matched = {}, .prompt_tokens = 1000}, snapshot, kNow, random);
  ASSERT_TRUE(decided);
  EXPECT_THAT(decided->runs[0].candidates, ::testing::ElementsAre(1, 2)) << "as a filter";
  EXPECT_EQ(decided->primary, 2) << "as a scorer";
}

TEST(Scheduler, SumsWeightedScoresS001) {  // epp:S001 epp:S035
  const auto picker = make(
      "plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}]\n"
      "schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, "
      "{pluginRef: kv-cache-utilization-scorer, weight: 0.5}]}]\n");
  const auto snapshot =
      testing::snapshot({{"a", "", load(4, 0, 0.5F, kNow)}, {"b", "", load(0, 0, 0.5F, kNow)}});
  SeededRandom random(1);

  const auto decision = picker.schedule({.matched = {}}, snapshot, kNow, random);

  ASSERT_TRUE(decision);
  EXPECT_THAT(decision->runs[0].totals, ::testing::ElementsAre(0.25F, 2.25F));
  EXPECT_EQ(decision->primary, 1);
  const auto told = explain(*decision, snapshot);
  EXPECT_EQ(told.string_at({"primary"}), "b");
  EXPECT_EQ(told.string_at({"reason"}), "not-requested");
  EXPECT_EQ(text::json::dump(*told.find_path({"profiles"})),
            R"([{"profile":"default","candidates":[{"pod":"a","total":0.25,"scores":)"
            R"({"queue-scorer":0.0,"kv-cache-utilization-scorer":0.5}},{"pod":"b","total":2.25,)"
            R"("scores":{"queue-scorer":1.0,"kv-cache-utilization-scorer":0.5}}],"picked":"b"}])");
}

TEST(Scheduler, ScoresCountFromZeroToOne) {  // epp:S001
  const auto picker = make(
      "plugins: [{type: kv-cache-utilization-scorer}]\nschedulingProfiles: [{name: default, "
      "plugins: [{pluginRef: kv-cache-utilization-scorer, weight: 3}]}]\n");
  const auto snapshot =
      testing::snapshot({{"a", "", load(0, 0, 1.5F, kNow)}, {"b", "", load(0, 0, -0.5F, kNow)}});
  SeededRandom random(1);

  const auto decision = picker.schedule({}, snapshot, kNow, random);

  ASSERT_TRUE(decision);
  EXPECT_THAT(decision->runs[0].totals, ::testing::ElementsAre(0.0F, 3.0F));
}

TEST(Scheduler, FiltersInOrderAndStopsWhenDrained) {
  // epp:S002
  const auto picker = make(
      "plugins: [{name: gold, type: by-label, parameters: {label: tier, validValues: [gold]}}, "
      "{type: decode-filter}, {type: prefill-filter}]\n"
      "schedulingProfiles: [{name: default, plugins: [{pluginRef: gold}, {pluginRef: "
      "decode-filter}]}]");
  const auto snapshot = testing::snapshot({{"a", "decode", {}, {{"tier", "gold"}}},
                                           {"b", "decode"},
                                           {"c", "prefill", {}, {{"tier", "gold"}}}});
  SeededRandom random(1);
  Decision decision;
  decision.explain = true;
  ASSERT_TRUE(picker.schedule({}, snapshot, kNow, random, decision));
  EXPECT_EQ(decision.primary, 0);
  ASSERT_EQ(decision.runs[0].drops.size(), 2);
  EXPECT_EQ(decision.runs[0].drops[0].plugin, "gold");
  EXPECT_THAT(decision.runs[0].drops[0].endpoints, ::testing::ElementsAre(1));
  EXPECT_EQ(decision.runs[0].drops[1].plugin, "decode-filter");
  EXPECT_THAT(decision.runs[0].drops[1].endpoints, ::testing::ElementsAre(2));

  const auto none = testing::snapshot({{"b", "decode"}});
  EXPECT_FALSE(picker.schedule({}, none, kNow, random, decision));
  EXPECT_EQ(decision.runs[0].drained_by, "gold");
  EXPECT_EQ(decision.runs[0].drops.size(), 1) << "the second filter was not asked";
}

TEST(Scheduler, DecidesIntoTheMemoryOfAnEarlierDecision) {
  const auto picker = pd("0");
  const auto snapshot = testing::snapshot(kPool);
  SeededRandom random(1);
  Decision decision;
  ASSERT_TRUE(picker.schedule({.prompt_bytes = 500}, snapshot, kNow, random, decision));
  const auto* memory = decision.runs[0].scores.data();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(picker.schedule({.prompt_bytes = 500}, snapshot, kNow, random, decision));
    ASSERT_EQ(decision.runs.size(), 2);
    EXPECT_EQ(decision.runs[0].profile, "decode");
    EXPECT_EQ(decision.runs[0].candidates.size(), 2);
    EXPECT_EQ(decision.prefill, 0);
  }
  EXPECT_TRUE(decision.runs[0].scores.data() == memory || decision.runs[1].scores.data() == memory);
}

TEST(Scheduler, LeavesOutAnExcludedEndpoint) {
  const auto picker = pd("1000");
  const auto snapshot = testing::snapshot(kPool);
  SeededRandom random(1);
  for (int i = 0; i < 20; ++i) {
    const Request request{.prompt_bytes = 1, .matched = {}, .excluded = Index{1}};
    EXPECT_EQ(picker.schedule(request, snapshot, kNow, random)->primary, 2);
  }
}

// Reserve on pick: no scrape happens in between.
TEST(Scheduler, AThousandSimultaneousPicksSpreadEvenly) {
  for (const std::size_t pods : {2UL, 3UL, 7UL}) {
    std::vector<Pod> pool;
    for (std::size_t i = 0; i < pods; ++i) {
      pool.push_back({"d" + std::to_string(i), "decode", load(0, 0, 0, kNow)});
    }
    const auto picker = pd("1000");
    const auto snapshot = testing::snapshot(pool);
    SeededRandom random(pods);
    std::vector<Reservation> held;
    std::vector<double> counts(pods);
    for (int i = 0; i < 1000; ++i) {
      const auto decision = picker.schedule({.matched = {}}, snapshot, kNow, random);
      ++counts[decision->primary];
      held.emplace_back(snapshot.reservations, (*snapshot.endpoints)[decision->primary].slot);
    }
    const double even = 1000.0 / static_cast<double>(pods);
    for (const double count : counts) EXPECT_NEAR(count, even, 0.05 * even) << pods;

    held.clear();
    for (Slot s = 0; s < pods; ++s) EXPECT_EQ(snapshot.reservations->count(s), 0);
  }
}

}  // namespace
}  // namespace baton::schedule
