#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "routing/schedule/plugin.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using testing::load;
using testing::Pod;

const Mono kNow = ManualClock().now();

struct Fixture {
  explicit Fixture(const std::vector<Pod>& pods) : snapshot(testing::snapshot(pods)) {
    candidates.resize(pods.size());
    std::iota(candidates.begin(), candidates.end(), Index{0});
  }
  Plugin make(std::string_view type, text::json::Value parameters = {}) {
    Fields fields(parameters, "/parameters");
    auto made = make_plugin(type, fields);
    EXPECT_TRUE(made) << made.error().message();
    return *std::move(made);
  }
  std::vector<float> score(std::string_view type, text::json::Value parameters = {}) {
    const auto plugin = make(type, std::move(parameters));
    std::vector<float> scores(candidates.size(), 0);
    std::get<std::unique_ptr<Scorer>>(plugin.part)->score(context(), candidates, scores);
    return scores;
  }
  std::vector<Index> keep(std::string_view type) {
    const auto plugin = make(type);
    auto kept = candidates;
    std::get<std::unique_ptr<Filter>>(plugin.part)->keep(context(), kept);
    return kept;
  }
  Context context() { return {request, snapshot, kNow, random}; }

  Request request;
  Snapshot snapshot;
  SeededRandom random{7};
  std::vector<Index> candidates;
};

std::vector<Pod> with_queues(std::initializer_list<float> queues) {
  std::vector<Pod> pods;
  for (const float q : queues) pods.push_back({"p", "decode", load(q, 0, 0, kNow)});
  return pods;
}

TEST(QueueScorer, SpreadsBetweenTheLongestAndTheShortestS004) {
  EXPECT_THAT(Fixture(with_queues({10, 5, 0})).score("queue-scorer"), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(Fixture(with_queues({3, 3})).score("queue-scorer"), ElementsAre(1, 1));
}

TEST(KvCacheScorer, IsTheFreeShareS005) {
  Fixture f({{"a", "", load(0, 0, 0.8F, kNow)},
             {"b", "", load(0, 0, 0.5F, kNow)},
             {"c", "", load(0, 0, 0, kNow)},
             {"d", "", load(0, 0, 1, kNow)}});
  EXPECT_THAT(f.score("kv-cache-utilization-scorer"),
              ElementsAre(FloatEq(0.2F), FloatEq(0.5F), 1, 0));
}

TEST(LoadAwareScorer, FallsFromAHalfToZeroAtTheThresholdS007) {
  text::json::Value ten;
  ten["threshold"] = 10;
  EXPECT_THAT(Fixture(with_queues({0, 2, 5, 15})).score("load-aware-scorer", ten),
              ElementsAre(0.5F, FloatEq(0.4F), 0.25F, 0));
  text::json::Value negative;
  negative["threshold"] = -1;
  EXPECT_THAT(Fixture(with_queues({64})).score("load-aware-scorer", negative), ElementsAre(0.25F));
}

TEST(LoadScorers, CountReservationsThatTheScrapeHasNotSeen) {
  Fixture f({{"a", "", load(2, 1, 0, kNow)}, {"b", "", load(0, 0, 0, kNow)}});
  f.snapshot.reservations->add(0, 3);  // all three are in the scrape
  f.snapshot.reservations->add(1, 4);

  EXPECT_EQ(f.snapshot.queue(0), 2);
  EXPECT_EQ(f.snapshot.queue(1), 4);
  EXPECT_THAT(f.score("queue-scorer"), ElementsAre(1, 0));
}

TEST(LoadScorers, GiveNothingToAStaleEndpoint) {
  Fixture f({{"a", "", load(0, 0, 0, kNow - kLoadStaleAfter - Nanos(1))},
             {"b", "", load(9, 0, 0.9F, kNow)},
             {"c", "", Load{}}});
  EXPECT_THAT(f.score("load-aware-scorer"), ElementsAre(0, FloatEq(0.46484375F), 0));
  EXPECT_THAT(f.score("queue-scorer"), ElementsAre(0, 1, 0));
  EXPECT_THAT(f.score("kv-cache-utilization-scorer"), ElementsAre(0, FloatEq(0.1F), 0));
}

TEST(PrefixCacheScorer, IsTheMatchedShareS011) {
  Fixture f({{"a"}, {"b"}, {"c"}});
  const std::array<std::uint32_t, 3> matched = {0, 2, 4};
  f.request.matched = matched;
  f.request.prompt_blocks = 4;
  EXPECT_THAT(f.score("prefix-cache-scorer"), ElementsAre(0, 0.5F, 1));

  f.request.matched = {};
  EXPECT_THAT(f.score("prefix-cache-scorer"), ElementsAre(0, 0, 0));
  f.request.prompt_blocks = 0;
  EXPECT_THAT(f.score("prefix-cache-scorer"), ElementsAre(0, 0, 0));
}

TEST(RoleFilters, TakeTheDocumentedRolesS030) {
  Fixture f({{"0", ""},
             {"1", "decode"},
             {"2", "prefill"},
             {"3", "both"},
             {"4", "prefill-decode"},
             {"5", "encode"},
             {"6", "encode-prefill"},
             {"7", "encode-prefill-decode"}});
  EXPECT_THAT(f.keep("decode-filter"), ElementsAre(0, 1, 3, 4, 7));
  EXPECT_THAT(f.keep("prefill-filter"), ElementsAre(2, 3, 4, 6, 7));
}

std::vector<int> picks(Fixture& f, std::string_view type, std::span<const float> totals, int n) {
  const auto plugin = f.make(type);
  std::vector<int> counts(totals.size());
  for (int i = 0; i < n; ++i) {
    ++counts[std::get<std::unique_ptr<Picker>>(plugin.part)
                 ->pick(f.context(), f.candidates, totals)];
  }
  return counts;
}

TEST(MaxScorePicker, TakesTheHighestAndIsUniformOverTiesS032) {
  Fixture f({{"a"}, {"b"}, {"c"}, {"d"}});
  EXPECT_THAT(picks(f, "max-score-picker", std::array{0.1F, 0.9F, 0.2F, 0.3F}, 100),
              ElementsAre(0, 100, 0, 0));
  const auto counts = picks(f, "max-score-picker", std::array{0.9F, 0.9F, 0.1F, 0.9F}, 30'000);
  EXPECT_EQ(counts[2], 0);
  for (const auto i : {0U, 1U, 3U}) EXPECT_NEAR(counts[i], 10'000, 400);
}

TEST(MaxScorePicker, PrefersTheLessReservedAmongTies) {
  Fixture f({{"a"}, {"b"}, {"c"}});
  f.snapshot.reservations->add(0, 2);
  f.snapshot.reservations->add(2, 1);
  EXPECT_THAT(picks(f, "max-score-picker", std::array{0.5F, 0.5F, 0.5F}, 50),
              ElementsAre(0, 50, 0));
}

TEST(RandomPicker, IsUniformS034) {
  Fixture f({{"a"}, {"b"}});
  const auto counts = picks(f, "random-picker", std::array{1.0F, 0.0F}, 10'000);
  EXPECT_NEAR(counts[0], 5'000, 300);
}

}  // namespace
}  // namespace baton::schedule
