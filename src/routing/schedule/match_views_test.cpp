// Whose matches plugins read where several producers stand side by side.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "routing/schedule/record.hpp"
#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::make;
using testing::problem;

const Mono kNow = ManualClock().now();

// As llm-d's guide has it for a cache on the accelerator with a larger one behind it.
const std::string kTiers = R"(plugins:
- {name: cpu, type: approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: 41000}}
- {name: gpu, type: approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: 1000}}
- {name: c, type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: cpu}}
- {name: g, type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: gpu}}
- {type: no-hit-lru-scorer, parameters: {prefixMatchInfoProducerName: gpu}}
- {type: max-score-picker}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: c, weight: 1}, {pluginRef: g, weight: 10}]}
)";

constexpr std::array<std::uint32_t, 2> kCpu = {4, 2}, kGpu = {0, 1};

struct Seen {
  Seen() {
    further.push_back({.prompt_blocks = 4, .matched = kGpu});
    request.others = further;
  }
  Snapshot snapshot = testing::snapshot(
      {{"a", "", testing::load(0, 0, 0, kNow)}, {"b", "", testing::load(0, 0, 0, kNow)}});
  std::vector<PrefixView> further;
  Request request{.prompt_bytes = 1024, .prompt_blocks = 4, .matched = kCpu};
  SeededRandom random{1};
};

TEST(MatchViews, ProducersWithParametersOfTheirOwnHaveIndexesOfTheirOwn) {  // epp:C010
  const auto scheduler = make(kTiers);
  const auto& setup = scheduler.setup();
  ASSERT_EQ(setup.indexes.size(), 2U);
  EXPECT_EQ(setup.indexes[0].lru_capacity, 41000U);
  EXPECT_EQ(setup.indexes[1].lru_capacity, 1000U);
  ASSERT_EQ(setup.producers.size(), 3U);  // and tokens
  EXPECT_EQ(setup.producers[0].view, 0U);
  EXPECT_EQ(setup.producers[1].view, 1U);
}

TEST(MatchViews, AScorerReadsTheProducerThatItNames) {
  const auto scheduler = make(kTiers);
  Seen seen;
  const auto decision = scheduler.schedule(seen.request, seen.snapshot, kNow, seen.random);
  ASSERT_TRUE(decision);
  EXPECT_THAT(decision->runs[0].scores, ElementsAre(1.0F, 0.5F, 0.0F, 0.25F));
  EXPECT_EQ(decision->primary, 1U);
}

TEST(MatchViews, EqualParametersAreOneIndex) {
  const auto scheduler = make(
      "plugins: [{name: a, type: approx-prefix-cache-producer}, {name: b, type: "
      "approx-prefix-cache-producer}, {type: prefix-cache-scorer, parameters: "
      "{prefixMatchInfoProducerName: b}}]");
  EXPECT_EQ(scheduler.setup().indexes.size(), 1U);
  EXPECT_THAT(scheduler.setup().views, ElementsAre(MatchView{}));
}

TEST(MatchViews, TheDefaultProducerIsWhatWhoNamesNoneReads) {
  const auto scheduler = make(
      "plugins: [{name: mine, type: approx-prefix-cache-producer, parameters: "
      "{lruCapacityPerServer: 5}}, {type: approx-prefix-cache-producer}, {type: "
      "prefix-cache-scorer}, {type: prefix-based-pd-decider, parameters: "
      "{prefixMatchInfoProducerName: mine}}]");
  const auto& setup = scheduler.setup();
  EXPECT_EQ(setup.indexes.at(0).lru_capacity, 31250U);
  EXPECT_EQ(setup.producers.at(0).view, 1U);
}

TEST(MatchViews, WhoNamesTheDefaultProducerGetsOneBesideTheOthersWithTheirBlocks) {
  const auto scheduler = make(
      "plugins: [{name: mine, type: approx-prefix-cache-producer, parameters: {blockSizeTokens: "
      "128}}, {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: "
      "approx-prefix-cache-producer}}]");
  ASSERT_EQ(scheduler.setup().indexes.size(), 2U);
  EXPECT_EQ(scheduler.setup().indexes[0].block_bytes, 512U);
  EXPECT_EQ(scheduler.setup().indexes[1].block_bytes, 512U);
}

TEST(MatchViews, WhatEnginesTellStandsBesideWhatPromptsTell) {
  const auto scheduler = make(
      "plugins: [{type: precise-prefix-cache-producer}, {type: approx-prefix-cache-producer}, "
      "{type: token-producer, parameters: {modelName: /models/m}}, {type: prefix-cache-scorer, "
      "parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}]");
  EXPECT_THAT(scheduler.setup().views,
              ElementsAre(MatchView{.index = 0}, MatchView{.index = 0, .precise = true}));
}

TEST(MatchViews, BlocksOfDifferentSizesAreRefused) {
  EXPECT_THAT(problem("plugins: [{name: a, type: approx-prefix-cache-producer}, {name: b, type: "
                      "approx-prefix-cache-producer, parameters: {blockSizeTokens: 128}}]"),
              HasSubstr("/plugins/1/parameters: prefix caches with blocks of different sizes are "
                        "not offered side by side (512 bytes here, 256 elsewhere)"));
}

TEST(MatchViews, SoAreMoreThanAPickerHas) {
  std::string plugins = "plugins:\n";
  for (int i = 0; i < 5; ++i) {
    plugins += "- {name: p" + std::to_string(i) +
               ", type: approx-prefix-cache-producer, parameters: {lruCapacityPerServer: " +
               std::to_string(100 + i) + "}}\n";
  }
  EXPECT_THAT(problem(plugins), HasSubstr("/plugins/4/parameters: more than 4 different"));
}

// A decider and a plugin that remembers, each with the matches that it names.
TEST(MatchViews, DecidersReadTheProducerThatTheyName) {
  const auto verdict = [](std::string_view producer) {
    const auto scheduler = make(R"(plugins:
- {name: cpu, type: approx-prefix-cache-producer, parameters: {lruCapacityPerServer: 41000}}
- {name: gpu, type: approx-prefix-cache-producer, parameters: {lruCapacityPerServer: 1000}}
- {type: disagg-profile-handler, parameters: {deciders: {prefill: prefix-based-pd-decider}}}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 150, prefixMatchInfoProducerName: )" +
                                std::string(producer) + R"(}}
- {type: header-based-testing-filter}
- {type: max-score-picker}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: header-based-testing-filter}]}
- {name: prefill, plugins: [{pluginRef: max-score-picker}]}
)");
    Seen seen;
    constexpr std::array kHeaders = {Header{"test-epp-endpoint-selection", "127.0.0.1"}};
    seen.request.headers = kHeaders;
    seen.request.block_bytes = seen.further[0].block_bytes = 256;
    constexpr std::array<std::uint32_t, 2> kAll = {4, 4}, kNone = {0, 0};
    seen.request.matched = kAll;
    seen.further[0].matched = kNone;
    return scheduler.schedule(seen.request, seen.snapshot, kNow, seen.random)->prefill.has_value();
  };
  EXPECT_FALSE(verdict("cpu"));
  EXPECT_TRUE(verdict("gpu"));
}

TEST(MatchViews, ARecordKeepsThemAndIsDecidedAgainByThem) {
  const auto scheduler = make(kTiers);
  Seen seen;
  const auto decision = scheduler.schedule(seen.request, seen.snapshot, kNow, seen.random);
  Record record;
  schedule::record(seen.request, seen.snapshot, kNow, *decision, record);
  const auto written = to_json(record);
  EXPECT_THAT(text::json::dump(written), HasSubstr(R"("otherMatches":[{"matchedBlocks":1,)"));
  const auto again = replay(written, scheduler, seen.random);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(again->after, "b");
  // A configuration with one cache reads the first.
  EXPECT_EQ(replay(written, make("plugins: [{type: prefix-cache-scorer}]"), seen.random)->after,
            "a");
}

}  // namespace
}  // namespace baton::schedule
