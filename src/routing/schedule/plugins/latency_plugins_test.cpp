// Plugins that go by predicted latency.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using testing::load;

const Mono kNow = ManualClock().now();

// Headrooms of an endpoint that is busy.
Prediction predicted(double ttft_headroom, double tpot_headroom = 0, bool idle = false) {
  return {.known = true,
          .meets = ttft_headroom > 0 && tpot_headroom >= 0,
          .idle = idle,
          .ttft_ms = 1000 - ttft_headroom,
          .tpot_ms = 50,
          .ttft_headroom = ttft_headroom,
          .tpot_headroom = tpot_headroom};
}
constexpr Prediction kUnknown = {};

struct Fixture {
  explicit Fixture(std::vector<Prediction> made) : predictions(std::move(made)) {
    std::vector<testing::Pod> pods(predictions.size());
    for (auto& pod : pods) pod.load = load(0, 1, 0, kNow);
    snapshot = testing::snapshot(pods);
    request.predictions = predictions;
  }
  static Plugin make(std::string_view type, std::string_view json) {
    const auto value = *text::json::parse(json);
    Fields fields(value, "/parameters");
    auto made = make_plugin(type, fields);
    EXPECT_TRUE(made) << made.error().message();
    return *std::move(made);
  }
  std::vector<Index> all() const {
    std::vector<Index> out(predictions.size());
    std::iota(out.begin(), out.end(), Index{0});
    return out;
  }
  std::vector<float> score(std::string_view json = "{}") {
    std::vector<float> scores(predictions.size(), 0);
    make("latency-scorer", json).scorer->score({request, snapshot, kNow, random}, all(), scores);
    return scores;
  }
  std::vector<Index> keep(std::string_view type, std::string_view json = "{}") {
    auto kept = all();
    make(type, json).filter->keep({request, snapshot, kNow, random}, kept);
    return kept;
  }

  std::vector<Prediction> predictions;
  Request request;
  Snapshot snapshot;
  SeededRandom random{7};
};

TEST(SloHeadroomFilter, KeepsWhoMeetsWhatIsAskedFor) {  // epp:S027
  const auto keep = [](std::vector<Prediction> made, std::string_view json = "{}") {
    return Fixture(std::move(made)).keep("slo-headroom-tier-filter", json);
  };
  constexpr std::string_view kNever = R"({"epsilonExploreNeg": 0})";
  constexpr std::string_view kAlways = R"({"epsilonExploreNeg": 1})";
  EXPECT_THAT(keep({predicted(1), predicted(0)}), ElementsAre(0, 1));
  EXPECT_THAT(keep({predicted(-1), predicted(1, -1)}), ElementsAre(0, 1));
  EXPECT_THAT(keep({predicted(-1), predicted(5), predicted(1, -1)}, kNever), ElementsAre(1));
  EXPECT_THAT(keep({predicted(-1), predicted(5), predicted(1, -1)}, kAlways), ElementsAre(0, 2));
  EXPECT_THAT(keep({kUnknown, predicted(5)}, kNever), ElementsAre(1));
  EXPECT_THAT(keep({kUnknown, kUnknown}, kNever), ElementsAre(0, 1));
  EXPECT_THAT(keep({predicted(-1)}, kNever), ElementsAre(0));
}

TEST(LatencyScorer, ScoresTheBestClassByHeadroomAndTheOthersZero) {  // epp:S028
  // Positive: who is closest to what is asked for first.
  EXPECT_THAT(Fixture({predicted(100), predicted(300), predicted(-5)}).score(),
              ElementsAre(FloatEq(1.01F), FloatEq(0.01F), 0));
  EXPECT_THAT(
      Fixture({predicted(100), predicted(300)}).score(R"({"headroomSelectionStrategy": "most"})"),
      ElementsAre(FloatEq(0.01F), FloatEq(1.01F)));
  // Nothing predicted counts as good.
  EXPECT_THAT(Fixture({kUnknown, predicted(-5)}).score(), ElementsAre(FloatEq(0.51F), 0));
  // Idle before slow; of the slow, tokens before the start before both.
  EXPECT_THAT(Fixture({predicted(-5, 0, true), predicted(5, -1), predicted(-1)}).score(),
              ElementsAre(FloatEq(0.51F), 0, 0));
  EXPECT_THAT(Fixture({predicted(5, -1), predicted(-1), predicted(-1, -1)}).score(),
              ElementsAre(FloatEq(0.51F), 0, 0));
  EXPECT_THAT(Fixture({predicted(-1), predicted(-1, -1)}).score(), ElementsAre(FloatEq(0.51F), 0));
  // Below what is asked for the least is best, whatever the strategy.
  EXPECT_THAT(
      Fixture({predicted(-10), predicted(-40)}).score(R"({"headroomSelectionStrategy": "most"})"),
      ElementsAre(FloatEq(1.01F), FloatEq(0.01F)));
}

TEST(LatencyScorer, WeighsBothHeadroomsUnlessOneSaysNothing) {  // epp:S028
  const std::vector<Prediction> both = {predicted(100, 10), predicted(300, 0), predicted(200, 5)};
  EXPECT_THAT(Fixture(both).score(), ElementsAre(FloatEq(0.81F), FloatEq(0.2F), FloatEq(0.51F)));
  EXPECT_THAT(Fixture(both).score(R"({"ttftWeight": 0, "tpotWeight": 0})"),
              ElementsAre(FloatEq(1.01F), FloatEq(0.01F), FloatEq(0.51F)));
  EXPECT_THAT(Fixture({predicted(100, 10), predicted(100, 0)}).score(),
              ElementsAre(FloatEq(0.01F), FloatEq(1.01F)));
}

TEST(LatencyScorer, WithoutPredictionsGoesByCacheQueueAndPrefix) {  // epp:S028
  Fixture f({kUnknown, kUnknown});
  f.snapshot.loads[0] = load(0, 1, 0.5F, kNow);
  f.snapshot.loads[1] = load(4, 1, 0.2F, kNow);
  const std::array<std::uint32_t, 2> matched = {0, 3};
  f.request.matched = matched;
  f.request.prompt_blocks = 4;
  EXPECT_THAT(f.score(), ElementsAre(FloatEq(0.5F), FloatEq(0.52F)));
  EXPECT_THAT(f.score(R"({"compositeKVWeight": 0, "compositePrefixWeight": 0})"),
              ElementsAre(1, 0));
  EXPECT_THAT(f.score(R"({"compositeKVWeight": 0, "compositeQueueWeight": 0,
                          "compositePrefixWeight": 0})"),
              ElementsAre(FloatEq(0.5F), FloatEq(0.8F)));
}

TEST(PrefixAffinityFilter, MayTakeTheFirstTokensTimeFromPredictions) {  // epp:S026
  const auto keep = [](std::vector<Prediction> made) {
    Fixture f(std::move(made));
    const std::array<std::uint32_t, 2> matched = {10, 0};
    f.request.matched = matched;
    f.request.prompt_blocks = 10;
    return f.keep("prefix-cache-affinity-filter",
                  R"({"ttftSource": "latencyPredictor", "maxTTFTPenaltyMs": 100})");
  };
  EXPECT_THAT(keep({predicted(0), predicted(100)}), ElementsAre(0));
  EXPECT_THAT(keep({predicted(0), predicted(101)}), ElementsAre(0, 1));
  EXPECT_THAT(keep({kUnknown, predicted(0)}), ElementsAre(0, 1)) << "it may take for ever";
  EXPECT_THAT(keep({kUnknown, kUnknown}), ElementsAre(0));
}

Result<Scheduler> scheduler(std::string_view plugins) {
  return testing::try_make("plugins: " + std::string(plugins));
}

TEST(PredictedLatencyProducer, IsCreatedForWhoReadsPredictions) {
  for (const auto* reader : {"latency-scorer", "slo-headroom-tier-filter"}) {
    const auto made = scheduler("[{type: " + std::string(reader) + "}]");
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_EQ(made->setup().latency, LatencyParameters()) << reader;
    EXPECT_EQ(made->setup().indexes.size(), 1U) << "prompts are hashed for it";
  }
  const auto admitter = scheduler("[{type: queue-scorer}, {type: latency-slo-admitter}]");
  ASSERT_TRUE(admitter);
  EXPECT_TRUE(admitter->setup().latency && admitter->setup().slo_admitter);
  EXPECT_FALSE(scheduler("[{type: queue-scorer}]")->setup().latency);
}

TEST(PredictedLatencyProducer, ReadsItsParameters) {
  const auto made = scheduler(
      "[{name: mine, type: predicted-latency-producer, parameters: {sloBufferFactor: 0.9, "
      "streamingMode: true, endpointRoleLabel: role, predictInProduce: false, samplingMean: 5}}, "
      "{type: latency-scorer, parameters: {latencyPredictionInfoProducerName: mine}}]");
  ASSERT_TRUE(made) << made.error().message();
  const LatencyParameters wanted = {.name = "mine",
                                    .slo_buffer = 0.9,
                                    .streaming = true,
                                    .role_label = "role",
                                    .predicts = false};
  EXPECT_EQ(made->setup().latency, wanted);
  EXPECT_THAT(describe(made->setup()), HasSubstr("samplingMean: nothing is predicted"));
  const auto problem = [](std::string_view plugins) {
    const auto failed = scheduler(plugins);
    return failed ? std::string() : std::string(failed.error().message());
  };
  EXPECT_THAT(problem("[{type: predicted-latency-producer, parameters: {sloBufferFactor: 0}}]"),
              HasSubstr("/sloBufferFactor: it must be above 0"));
  EXPECT_THAT(
      problem("[{type: predicted-latency-producer, parameters: {useEncoderCacheFeatures: true}}]"),
      HasSubstr("/useEncoderCacheFeatures: sizes of images"));
  EXPECT_THAT(problem("[{type: predicted-latency-producer}, "
                      "{name: two, type: predicted-latency-producer}]"),
              HasSubstr("latency is predicted once"));
  EXPECT_THAT(problem("[{type: slo-headroom-tier-filter, parameters: {epsilonExploreNeg: 2}}]"),
              HasSubstr("/epsilonExploreNeg"));
}

}  // namespace
}  // namespace baton::schedule
