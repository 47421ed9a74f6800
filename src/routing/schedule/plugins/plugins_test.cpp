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
    plugin.scorer->score(context(), candidates, scores);
    return scores;
  }
  std::vector<Index> keep(std::string_view type, text::json::Value parameters = {}) {
    const auto plugin = make(type, std::move(parameters));
    auto kept = candidates;
    plugin.filter->keep(context(), kept);
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
  // epp:S004
  EXPECT_THAT(Fixture(with_queues({10, 5, 0})).score("queue-scorer"), ElementsAre(0, 0.5, 1));
  EXPECT_THAT(Fixture(with_queues({3, 3})).score("queue-scorer"), ElementsAre(1, 1));
  EXPECT_THAT(Fixture(with_queues({0, 0})).score("queue-scorer"), ElementsAre(1, 1));
}

TEST(KvCacheScorer, IsTheFreeShareS005) {
  // epp:S005
  Fixture f({{"a", "", load(0, 0, 0.8F, kNow)},
             {"b", "", load(0, 0, 0.5F, kNow)},
             {"c", "", load(0, 0, 0, kNow)},
             {"d", "", load(0, 0, 1, kNow)}});
  EXPECT_THAT(f.score("kv-cache-utilization-scorer"),
              ElementsAre(FloatEq(0.2F), FloatEq(0.5F), 1, 0));
}

text::json::Value parameters(std::string_view json) { return *text::json::parse(json); }

TEST(LoadAwareScorer, FallsFromAHalfToZeroAtTheThresholdS007) {
  // epp:S007
  const auto scores = [](std::initializer_list<float> queues, std::string_view json) {
    return Fixture(with_queues(queues)).score("load-aware-scorer", parameters(json));
  };
  EXPECT_THAT(scores({0, 2, 5, 15}, R"({"threshold": 10})"),
              ElementsAre(0.5F, FloatEq(0.4F), 0.25F, 0));
  EXPECT_THAT(scores({64}, R"({"threshold": -1})"), ElementsAre(0.25F));
  EXPECT_THAT(scores({64}, R"({"threshold": 0})"), ElementsAre(0.25F));
}

std::string problem(std::string_view type, std::string_view json) {
  const auto value = parameters(json);
  Fields fields(value, "/p");
  const auto made = make_plugin(type, fields);
  return made ? "" : made.error().message();
}

std::vector<Index> ranked(Fixture& f, std::string_view type, std::string_view json,
                          std::span<const float> totals) {
  const auto plugin = f.make(type, parameters(json));
  std::vector<Index> ranked;
  plugin.picker->pick(f.context(), f.candidates, totals, ranked);
  return ranked;
}

TEST(RunningRequestsScorer, HasTheShapeOfTheQueueScorer) {
  // epp:S006
  Fixture f({{"a", "", load(0, 10, 0, kNow)},
             {"b", "", load(9, 5, 0, kNow)},
             {"c", "", load(0, 0, 0, kNow)}});
  EXPECT_THAT(f.score("running-requests-size-scorer"), ElementsAre(0, 0.5, 1));
  Fixture equal({{"a", "", load(0, 3, 0, kNow)}, {"b", "", load(0, 3, 0, kNow)}});
  EXPECT_THAT(equal.score("running-requests-size-scorer"), ElementsAre(1, 1));
}

TEST(LoraScorer, PrefersTheLoadedThenRoomThenTheQueue) {
  // epp:S008
  const auto with = [](std::vector<std::string> active, std::vector<std::string> waiting,
                       std::uint32_t most) {
    Load load;
    load.adapters =
        std::make_shared<Adapters>(Adapters{std::move(active), std::move(waiting), most});
    return load;
  };
  Fixture f({{"a", "", with({"m", "x"}, {}, 2)},
             {"b", "", with({"x"}, {}, 2)},
             {"c", "", with({"x"}, {"m"}, 2)},
             {"d", "", with({"x", "y"}, {}, 2)}});
  f.request.model = "m";
  EXPECT_THAT(f.score("lora-affinity-scorer"), ElementsAre(1, 0.8F, 0.6F, 0));
  EXPECT_THAT(Fixture({}).score("lora-affinity-scorer"), ElementsAre());
}

TEST(ActiveRequestScorer, IsRelativeToTheBusiest) {
  // epp:S009
  Fixture f({{"a"}, {"b"}, {"c"}});
  EXPECT_THAT(f.score("active-request-scorer"), ElementsAre(1, 1, 1));  // no data
  f.snapshot.reservations->add(1, 1);
  f.snapshot.reservations->add(2, 4);
  EXPECT_THAT(f.score("active-request-scorer"), ElementsAre(1, 0.75F, 0));
  EXPECT_THAT(f.score("active-request-scorer", parameters(R"({"maxBusyScore": 0})")),
              ElementsAre(1, 0, 0));
  EXPECT_THAT(
      f.score("active-request-scorer", parameters(R"({"idleThreshold": 1, "maxBusyScore": 0.5})")),
      ElementsAre(1, 1, 0));
  f.snapshot.reservations->add(1, 1);
  EXPECT_THAT(
      f.score("active-request-scorer", parameters(R"({"idleThreshold": 1, "maxBusyScore": 0.5})")),
      ElementsAre(1, 0.25F, 0));
  EXPECT_THAT(f.score("active-request-scorer", parameters(R"({"maxBusyScore": 7})")),
              ElementsAre(1, 0.5F, 0));
}

TEST(TokenLoadScorer, CountsWhatIsInFlightAndWhatThisRequestAdds) {
  // epp:S010
  Fixture f({{"a"}, {"b"}, {"c"}});
  f.snapshot.reservations->add_tokens(1, 500);
  f.snapshot.reservations->add_tokens(2, 5000);
  const auto thousand = parameters(R"({"queueThresholdTokens": 1000})");
  EXPECT_THAT(f.score("token-load-scorer", thousand), ElementsAre(1, 0.5F, 0));

  f.request.prompt_bytes = 1600;  // 400 tokens, 100 of them cached on b
  const std::array<std::uint32_t, 3> matched = {0, 1, 0};
  f.request.matched = matched;
  f.request.block_bytes = 400;
  EXPECT_THAT(f.score("token-load-scorer", thousand), ElementsAre(0.6F, FloatEq(0.2F), 0));

  f.snapshot.reservations = nullptr;  // nobody counts
  f.request.prompt_bytes = 0;
  EXPECT_THAT(f.score("token-load-scorer", thousand), ElementsAre(1, 1, 1));
}

TEST(PrefixCacheScorer, MayWeighTheMatchedLength) {  // epp:S011
  Fixture f({{"a"}, {"b"}});
  const std::array<std::uint32_t, 2> matched = {2, 4};
  f.request.matched = matched;
  f.request.prompt_blocks = 4;
  f.request.block_bytes = 400;  // 100 tokens
  EXPECT_THAT(f.score("prefix-cache-scorer",
                      parameters(R"({"matchLengthWeight": 0.5, "matchLengthScaleTokens": 400})")),
              ElementsAre(FloatEq(0.25F + 0.125F), 1));
  for (const auto* wrong : {R"({"matchLengthWeight": -0.1})", R"({"matchLengthWeight": 1.1})",
                            R"({"matchLengthWeight": 0.5, "matchLengthScaleTokens": 0})"}) {
    EXPECT_NE(problem("prefix-cache-scorer", wrong), "") << wrong;
  }
}

TEST(NoHitLruScorer, SendsColdRequestsRound) {
  // epp:S012, epp:S013
  Fixture f({{"a"}, {"b"}, {"c"}});
  const auto plugin = f.make("no-hit-lru-scorer");
  const auto scores = [&](std::size_t n) {
    std::vector<float> out(n, 0);
    plugin.scorer->score(f.context(), std::span(f.candidates).first(n), out);
    return out;
  };
  const auto routed = [&](Index to) {
    Decision decision;
    decision.primary = to;
    decision.runs.push_back({});
    decision.runs[0].candidates = f.candidates;
    decision.runs[0].picked = to;
    plugin.memory->routed(f.context(), decision);
  };
  EXPECT_THAT(scores(3), ElementsAre(1, 0.5F, 0));
  EXPECT_THAT(scores(1), ElementsAre(1));
  EXPECT_THAT(scores(0), ElementsAre());
  routed(0);
  routed(1);
  EXPECT_THAT(scores(3), ElementsAre(0.5F, 0, 1));

  const std::array<std::uint32_t, 3> matched = {0, 1, 0};
  f.request.matched = matched;  // warm: equal for all, and nothing is remembered
  EXPECT_THAT(scores(3), ElementsAre(0.5F, 0.5F, 0.5F));
  routed(2);
  f.request.matched = {};
  EXPECT_THAT(scores(3), ElementsAre(0.5F, 0, 1));
  routed(2);
  EXPECT_THAT(scores(3), ElementsAre(1, 0.5F, 0));
}

TEST(NoHitLruScorer, TouchesThePrefillTargetToo) {
  // epp:S014
  Fixture f({{"a"}, {"b"}, {"c"}});
  const auto plugin = f.make("no-hit-lru-scorer");
  Decision decision;
  plugin.memory->routed(f.context(), decision);  // no results at all
  decision.primary = 0;
  decision.prefill = 1;
  decision.runs.push_back({});
  decision.runs[0].picked = 0;
  decision.runs[0].candidates = f.candidates;
  plugin.memory->routed(f.context(), decision);
  std::vector<float> out(3, 0);
  plugin.scorer->score(f.context(), f.candidates, out);
  EXPECT_THAT(out, ElementsAre(0.5F, 0, 1));
}

TEST(ContextLengthAware, ScoresAndFiltersByTheLabelledRange) {
  // epp:S015
  const auto pod = [](std::string range) {
    return Pod{"p", "", {}, {{"llm-d.ai/context-length-range", std::move(range)}}};
  };
  Fixture f({pod("0-2000"), pod("1000-1000"), pod("2000-9000"), {"none"}, pod("some"), pod("9-1")});
  f.request.prompt_tokens = 1000;
  const auto scores = f.score("context-length-aware");
  EXPECT_FLOAT_EQ(scores[0], 0.3F + 0.7F * (0.7F / 1.2F + 0.3F * 0.5F));
  EXPECT_FLOAT_EQ(scores[1], 1);
  EXPECT_FLOAT_EQ(scores[2], 0.15F);
  EXPECT_FLOAT_EQ(scores[3], 0.5F);
  EXPECT_FLOAT_EQ(scores[4], 0);
  EXPECT_FLOAT_EQ(scores[5], 0);
  EXPECT_GT(scores[0], scores[2]);
  EXPECT_THAT(f.keep("context-length-aware", parameters(R"({"enableFiltering": true})")),
              ElementsAre(0, 1, 3));

  Fixture over({pod("0-100"), pod("0-200")});
  over.request.prompt_tokens = 1000;  // above both: the larger one
  const auto above = over.score("context-length-aware");
  EXPECT_GT(above[1], above[0]);
  over.request.prompt_tokens = 0;  // no tokens: length 0
  EXPECT_GT(over.score("context-length-aware")[0], 0.9F);
}

TEST(PrefixAffinityFilter, NarrowsToThePodsThatHoldThePrompt) {
  // epp:S026
  Fixture f({{"a"}, {"b"}, {"c"}});
  const std::array<std::uint32_t, 3> matched = {7, 8, 10};
  f.request.matched = matched;
  f.request.prompt_blocks = 10;
  const auto keep = [&](std::string_view json) {
    return f.keep("prefix-cache-affinity-filter", parameters(json));
  };
  EXPECT_THAT(keep("{}"), ElementsAre(1, 2));
  EXPECT_THAT(keep(R"({"affinityThreshold": 0})"), ElementsAre(0, 1, 2));
  EXPECT_THAT(keep(R"({"explorationProbability": 1})"), ElementsAre(0, 1, 2));
  f.snapshot.reservations->add_tokens(1, 30'000);
  f.snapshot.reservations->add_tokens(2, 20'000);
  EXPECT_THAT(keep(R"({"peakPrefillThroughput": 1000})"), ElementsAre(0, 1, 2));  // 20 s later
  EXPECT_THAT(keep(R"({"peakPrefillThroughput": 1000, "maxTTFTPenaltyMs": 0})"), ElementsAre(1, 2));
  EXPECT_THAT(keep(R"({"peakPrefillThroughput": 1000, "maxTTFTPenaltyMs": 20000})"),
              ElementsAre(1, 2));
  f.request.matched = {};
  EXPECT_THAT(keep("{}"), ElementsAre(0, 1, 2));
  Fixture one({{"a"}});
  EXPECT_THAT(one.keep("prefix-cache-affinity-filter"), ElementsAre(0));
  for (const auto* wrong : {R"({"affinityThreshold": 1.5})", R"({"explorationProbability": -1})",
                            R"({"peakPrefillThroughput": 0})", R"({"ttftSource": "guess"})"}) {
    EXPECT_NE(problem("prefix-cache-affinity-filter", wrong), "") << wrong;
  }
}

TEST(LabelSelectorFilter, IsAKubernetesSelector) {
  // epp:S029
  Fixture f({{"a", "", {}, {{"tier", "gold"}, {"zone", "1"}}},
             {"b", "", {}, {{"tier", "silver"}}},
             {"c", "", {}, {}},
             {"d", "", {}, {{"zone", "1"}}}});
  const auto keep = [&](std::string_view json) {
    return f.keep("label-selector-filter", parameters(json));
  };
  const auto expression = [&](std::string_view op, std::string_view values) {
    return keep(R"({"matchExpressions": [{"key": "tier", "operator": ")" + std::string(op) +
                R"(", "values": )" + std::string(values) + "}]}");
  };
  EXPECT_THAT(keep("{}"), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(expression("In", R"(["gold"])"), ElementsAre(0));
  EXPECT_THAT(expression("NotIn", R"(["gold"])"), ElementsAre(1, 2, 3));
  EXPECT_THAT(expression("Exists", "[]"), ElementsAre(0, 1));
  EXPECT_THAT(expression("DoesNotExist", "[]"), ElementsAre(2, 3));
  EXPECT_THAT(keep(R"({"matchLabels": {"zone": "1"}, "matchExpressions":
                       [{"key": "tier", "operator": "Exists"}]})"),
              ElementsAre(0));
  EXPECT_THAT(f.keep("by-label-selector", parameters(R"({"matchLabels": {"tier": "silver"}})")),
              ElementsAre(1));
  EXPECT_THAT(
      problem("label-selector-filter",
              R"({"matchExpressions": [{"key": "a", "operator": "Inn", "values": ["b"]}]})"),
      ::testing::HasSubstr("did you mean 'In'?"));
  EXPECT_NE(problem("label-selector-filter", R"({"matchLabels": 7})"), "");
}

TEST(ByLabel, TakesTheListedValues) {
  // epp:S030
  Fixture f({{"a", "", {}, {{"tier", "gold"}}}, {"b", "", {}, {{"tier", "x"}}}, {"c"}});
  EXPECT_THAT(f.keep("by-label", parameters(R"({"label": "tier", "validValues": ["gold"]})")),
              ElementsAre(0));
  EXPECT_THAT(f.keep("by-label", parameters(R"({"label": "tier", "allowsNoLabel": true})")),
              ElementsAre(2));
  EXPECT_NE(problem("by-label", R"({"label": "tier"})"), "");
  EXPECT_NE(problem("by-label", R"({"validValues": ["gold"]})"), "");
}

TEST(TestingFilter, TakesTheNamedEndpointsInTheirOrder) {
  // epp:S031
  Fixture f({{"a"}, {"b"}, {"c"}, {"d"}});
  auto endpoints = *f.snapshot.endpoints;
  for (auto& endpoint : endpoints) endpoint.port = 80;
  endpoints[0].host = "10.0.0.1";
  endpoints[1].host = endpoints[2].host = "10.0.0.2";
  endpoints[2].port = 81;
  endpoints[3].host = "fd00::1";
  f.snapshot.set_endpoints(std::make_shared<std::vector<Endpoint>>(endpoints));
  const auto keep = [&](std::string_view value) {
    const std::array headers = {Header{"test-epp-endpoint-selection", value}};
    f.request.headers = headers;
    return f.keep("header-based-testing-filter");
  };
  EXPECT_THAT(keep("10.0.0.1"), ElementsAre(0));
  EXPECT_THAT(keep("10.0.0.2:81"), ElementsAre(2));
  EXPECT_THAT(keep("10.0.0.1:81"), ElementsAre());
  EXPECT_THAT(keep("10.0.0.2, 10.0.0.1:80,10.0.0.2:80"), ElementsAre(1, 2, 0));
  EXPECT_THAT(keep("[fd00::1]:80"), ElementsAre(3));
  EXPECT_THAT(keep("[fd00::1]"), ElementsAre(3));
  EXPECT_THAT(keep("fd00::1"), ElementsAre(3));
  EXPECT_THAT(keep("10.0.0.1:port,[fd00::1,"), ElementsAre());
  f.request.headers = {};
  EXPECT_THAT(f.keep("header-based-testing-filter"), ElementsAre());
}

TEST(Detectors, AreFiltersToo) {
  Fixture f({{"a", "", load(4, 0, 0.5F, kNow)},
             {"b", "", load(5, 0, 0.5F, kNow)},
             {"c", "", load(0, 0, 0.8F, kNow)},
             {"d", "", load(0, 0, 0, kNow - Millis(201))}});
  EXPECT_THAT(f.keep("utilization-detector"), ElementsAre(0));
  EXPECT_THAT(f.keep("utilization-detector", parameters(R"({"headroom": 0.1})")),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(f.keep("utilization-detector", parameters(R"({"queueDepthThreshold": 1})")),
              ElementsAre(0, 1, 2, 3))
      << "nobody fits: all stay";

  f.snapshot.reservations->add(0, 2);
  f.snapshot.reservations->add_tokens(1, 50);
  EXPECT_THAT(f.keep("concurrency-detector", parameters(R"({"maxConcurrency": 2})")),
              ElementsAre(1, 2, 3));
  const auto limits = [](std::string_view mode) {
    return parameters(R"({"maxConcurrency": 2, "maxTokenConcurrency": 50, "concurrencyMode": ")" +
                      std::string(mode) + "\"}");
  };
  EXPECT_THAT(f.keep("concurrency-detector", limits("tokens")), ElementsAre(0, 2, 3));
  EXPECT_THAT(f.keep("concurrency-detector", limits("hybrid")), ElementsAre(2, 3));
}

TEST(Pickers, RankAsManyAsAsked) {
  // epp:S032
  Fixture f({{"a"}, {"b"}, {"c"}, {"d"}});
  const std::array totals = {0.1F, 0.9F, 0.2F, 0.3F};
  EXPECT_THAT(ranked(f, "max-score-picker", R"({"maxNumOfEndpoints": 3})", totals),
              ElementsAre(1, 3, 2));
  EXPECT_THAT(ranked(f, "max-score-picker", R"({"maxNumOfEndpoints": 4})", totals),
              ElementsAre(1, 3, 2, 0));
  EXPECT_THAT(ranked(f, "max-score-picker", R"({"maxNumOfEndpoints": 9})", totals),
              ElementsAre(1, 3, 2, 0));
  EXPECT_THAT(ranked(f, "max-score-picker", R"({"maxNumOfEndpoints": -1})", totals),
              ElementsAre(1));
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

TEST(PrefixCacheScorer, IsTheMatchedShare) {  // epp:S011
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

TEST(RoleFilters, TakeTheDocumentedRolesS030) {  // epp:S030
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
  EXPECT_THAT(f.keep("encode-filter"), ElementsAre(5, 6, 7));
}

std::vector<int> picks(Fixture& f, std::string_view type, std::span<const float> totals, int n) {
  const auto plugin = f.make(type);
  std::vector<int> counts(totals.size());
  for (int i = 0; i < n; ++i) {
    std::vector<Index> ranked;
    plugin.picker->pick(f.context(), f.candidates, totals, ranked);
    ++counts[ranked.at(0)];
  }
  return counts;
}

TEST(MaxScorePicker, TakesTheHighestAndIsUniformOverTiesS032) {  // epp:S032
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

TEST(WeightedRandomPicker, PicksInProportionToTheScore) {
  // epp:S033
  Fixture f({{"a"}, {"b"}, {"c"}});
  const auto counts = picks(f, "weighted-random-picker", std::array{1.0F, 3.0F, 0.0F}, 20'000);
  EXPECT_NEAR(counts[0], 5'000, 400);
  EXPECT_EQ(counts[2], 0);
  const auto equal = picks(f, "weighted-random-picker", std::array{0.0F, 0.0F, 0.0F}, 9'000);
  for (const int count : equal) EXPECT_NEAR(count, 3'000, 300);
}

TEST(RandomPicker, RanksDifferentEndpointsUniformly) {
  // epp:S034
  Fixture f({{"a"}, {"b"}, {"c"}, {"d"}});
  const std::array totals = {0.1F, 0.9F, 0.2F, 0.3F};
  for (const int one : picks(f, "random-picker", totals, 20'000)) EXPECT_NEAR(one, 5'000, 400);
  std::array<int, 4> counts = {};
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    f.random = SeededRandom(seed);
    const auto two = ranked(f, "random-picker", R"({"maxNumOfEndpoints": 2})", totals);
    ASSERT_EQ(two.size(), 2U);
    EXPECT_NE(two[0], two[1]) << seed;
    for (const Index i : two) ++counts[i];
    EXPECT_THAT(ranked(f, "random-picker", R"({"maxNumOfEndpoints": 9})", totals),
                ::testing::UnorderedElementsAre(0, 1, 2, 3));
  }
  for (const int count : counts) EXPECT_NEAR(count, 150, 45);
}

}  // namespace
}  // namespace baton::schedule
