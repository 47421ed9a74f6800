// Plugins that go by what a header, a label or an engine's own metric says.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "routing/schedule/engine_metrics.hpp"
#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::load;
using testing::Pod;
using testing::problem;
using testing::try_make;

const Mono kNow = ManualClock().now();
std::string one(std::string_view type, std::string_view parameters, std::string_view more = "") {
  return "plugins: [{type: " + std::string(type) + ", parameters: " + std::string(parameters) +
         "}" + std::string(more) + "]";
}

struct Fixture {
  Fixture(const std::string& text, const std::vector<Pod>& pods)
      : made(try_make(text)), snapshot(testing::snapshot(pods)) {
    EXPECT_TRUE(made) << made.error().message();
  }
  Result<Decision> decide() { return made->schedule(request, snapshot, kNow, random); }
  // Of the last profile that ran: the names that its filters left.
  std::vector<std::string> kept() {
    const auto decision = decide();
    std::vector<std::string> out;
    if (!decision) return out;
    for (const auto i : decision->runs.back().candidates) {
      out.push_back((*snapshot.endpoints)[i].name);
    }
    return out;
  }
  // And what its first scorer gave them.
  std::vector<float> scores() {
    const auto decision = decide();
    if (!decision) return {};
    const auto& run = decision->runs.back();
    return {run.scores.begin(),
            run.scores.begin() + static_cast<std::ptrdiff_t>(run.candidates.size())};
  }

  Result<Scheduler> made;
  Snapshot snapshot;
  Request request;
  SeededRandom random{3};
};

TEST(HeaderLabelScorer, PrefersTheEndpointsThatTheHeaderNames) {
  // epp:S021
  const auto config = one("header-label-affinity-scorer", "{headerName: X-Tier, labelKey: tier}");
  Fixture f(config, {{"a", "", {}, {{"tier", "gold"}}}, {"b", "", {}, {{"tier", "lead"}}}, {"c"}});
  EXPECT_THAT(f.scores(), ElementsAre(0, 0, 0));
  const std::vector<Header> gold = {{"x-tier", "gold"}};
  f.request.headers = gold;
  EXPECT_THAT(f.scores(), ElementsAre(1, 0, 0));
  const std::vector<Header> none = {{"x-tier", "tin"}};
  f.request.headers = none;
  EXPECT_THAT(f.scores(), ElementsAre(0, 0, 0));
  EXPECT_THAT(problem(one("header-label-affinity-scorer", "{labelKey: tier}")),
              HasSubstr("/headerName: the header's name is missing"));
  EXPECT_THAT(problem(one("header-label-affinity-scorer", "{headerName: a}")),
              HasSubstr("/labelKey: the label's name is missing"));
}

TEST(HeaderProfile, ARequestNamesItsProfile) {
  // epp:D011
  const auto config = [](std::string_view profiles, std::string_view parameters = "{}") {
    return one("header-profile-handler", parameters,
               ", {type: prefill-filter}, {type: decode-filter}") +
           "\nschedulingProfiles: [" + std::string(profiles) + "]";
  };
  const std::string both =
      "{name: decode, plugins: [{pluginRef: decode-filter}]}, {name: prefill, plugins: "
      "[{pluginRef: prefill-filter}]}";
  const std::vector<Pod> pods = {{"d", "decode"}, {"p", "prefill"}};
  Fixture f(config(both), pods);
  const auto with = [&](std::string_view value) {
    const std::vector<Header> headers = {{"epp-profile", value}};
    f.request.headers = headers;
    return f.decide();
  };
  EXPECT_EQ(with("prefill")->primary, 1);
  EXPECT_EQ(with(" decode ")->primary, 0);
  EXPECT_EQ(with("  ")->primary, 0);
  f.request.headers = {};
  EXPECT_EQ(f.decide()->primary, 0);
  const auto unknown = with("Prefill");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::kInvalid);
  EXPECT_THAT(unknown.error().message(), HasSubstr("there is no profile 'Prefill'"));

  Fixture single(config("{name: only, plugins: [{pluginRef: prefill-filter}]}"), pods);
  const std::vector<Header> any = {{"epp-profile", "other"}};
  single.request.headers = any;
  EXPECT_EQ(single.decide()->primary, 1);

  Fixture named(config(both, "{headerName: X-Profile, defaultProfile: prefill}"), pods);
  EXPECT_EQ(named.decide()->primary, 1);
  const std::vector<Header> decode = {{"x-profile", "decode"}};
  named.request.headers = decode;
  EXPECT_EQ(named.decide()->primary, 0);
  EXPECT_THAT(problem(config("{name: a}, {name: b}")), HasSubstr("there is no profile 'decode'"));
}

std::string limits(std::string_view conditions, std::string_view more = "") {
  return one("utilization-filter",
             "{conditions: [" + std::string(conditions) + "]" + std::string(more) + "}");
}

TEST(UtilizationFilter, KeepsWhoIsAtOrBelowEveryLimit) {
  // epp:S025
  const std::vector<Pod> pods = {{"a", "", load(2, 1, 0.5F, kNow)},
                                 {"b", "", load(3, 5, 0.4F, kNow)},
                                 {"c", "", load(0, 6, 0.6F, kNow)},
                                 {"silent"}};
  const auto kept = [&](std::string_view conditions, std::string_view more = "") {
    return Fixture(limits(conditions, more), pods).kept();
  };
  EXPECT_THAT(kept("{metric: waiting-queue, maxValue: 2}"), ElementsAre("a", "c", "silent"));
  EXPECT_THAT(kept("{metric: running-requests, maxValue: 5}"), ElementsAre("a", "b", "silent"));
  EXPECT_THAT(kept("{metric: kv-cache-utilization, maxValue: 0.5}"),
              ElementsAre("a", "b", "silent"));
  EXPECT_THAT(
      kept("{metric: waiting-queue, maxValue: 2}, {metric: kv-cache-utilization, maxValue: 0.5}"),
      ElementsAre("a", "silent"));
  Fixture active(limits("{metric: active-requests, maxValue: 1}"), pods);
  active.snapshot.reservations->add(0, 1);
  active.snapshot.reservations->add(1, 2);
  EXPECT_THAT(active.kept(), ElementsAre("a", "c", "silent"));
}

TEST(UtilizationFilter, MayLeaveNobodyOrFallBack) {
  // epp:S025
  const std::vector<Pod> busy = {{"a", "", load(9, 9, 1, kNow)}};
  const std::string_view limit = "{metric: running-requests, maxValue: 8}";
  const auto drained = Fixture(limits(limit), busy).decide();
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().code(), Code::kExhausted);
  EXPECT_THAT(Fixture(limits(limit, ", fallbackOnEmpty: true"), busy).kept(), ElementsAre("a"));
}

TEST(UtilizationFilter, WrongConditionsFailTheStart) {
  // epp:S025
  EXPECT_THAT(problem(one("utilization-filter", "{}")), HasSubstr("at least one condition"));
  EXPECT_THAT(problem(limits("{metric: load, maxValue: 1}")), HasSubstr("'load' is none of"));
  EXPECT_THAT(problem(limits("{metric: waiting-queue}")), HasSubstr("a limit is missing"));
  EXPECT_THAT(problem(limits("{metric: waiting-queue, maxValue: -1}")), HasSubstr("outside"));
  EXPECT_THAT(problem(limits("{metric: kv-cache-utilization, maxValue: 1.5}")),
              HasSubstr("1.5 is outside 0..1"));
}

constexpr std::string_view kGpu =
    ", {type: core-metrics-extractor, parameters: {engineConfigs: [{name: vllm, "
    "queuedRequestsSpec: q, customMetrics: [{attributeKey: gpu, metricSpec: 'gpu_used{x=y}'}]}]}}";

// Endpoints by what they tell of it; nullopt: nothing.
std::vector<Pod> telling(const std::vector<std::optional<double>>& values) {
  std::vector<Pod> out;
  for (const auto& value : values) {
    Pod pod{std::string(1, static_cast<char>('a' + out.size())), "", load(0, 0, 0, kNow)};
    if (value) {
      pod.load.attributes =
          std::make_shared<Attributes>(Attributes{{{"other", 7}, {"gpu", *value}}});
    }
    out.push_back(pod);
  }
  return out;
}

std::string attribute_filter(std::string_view op, std::string_view more = "") {
  return one("endpoint-attribute-filter",
             "{attribute: gpu, algorithm: {type: threshold, threshold: {operator: " +
                 std::string(op) + ", value: 2}}" + std::string(more) + "}",
             kGpu);
}

TEST(EndpointAttributeFilter, ComparesWithSixOperators) {
  // epp:S023
  const auto kept = [](std::string_view op) {
    return Fixture(attribute_filter(op), telling({1, 2, 3})).kept();
  };
  EXPECT_THAT(kept("LessThan"), ElementsAre("a"));
  EXPECT_THAT(kept("LessThanOrEqual"), ElementsAre("a", "b"));
  EXPECT_THAT(kept("GreaterThan"), ElementsAre("c"));
  EXPECT_THAT(kept("GreaterThanOrEqual"), ElementsAre("b", "c"));
  EXPECT_THAT(kept("Equal"), ElementsAre("b"));
  EXPECT_THAT(kept("NotEqual"), ElementsAre("a", "c"));
}

TEST(EndpointAttributeFilter, SaysWhatIsMissingAndWhatIsLeft) {
  // epp:S023
  const auto kept = [](std::string_view more, const std::vector<std::optional<double>>& values) {
    return Fixture(attribute_filter("LessThan", more), telling(values)).kept();
  };
  EXPECT_THAT(kept("", {1, std::nullopt, 3}), ElementsAre("a", "b"));
  EXPECT_THAT(kept(", onMissing: Fail", {1, std::nullopt, 3}), ElementsAre("a"));
  EXPECT_THAT(kept("", {3, 4}), IsEmpty());
  EXPECT_THAT(kept(", fallbackOnEmpty: true", {3, 4}), ElementsAre("a", "b"));
  Fixture stale(attribute_filter("LessThan", ", onMissing: Fail"), telling({1, 1}));
  stale.snapshot.loads[1].updated = kNow - std::chrono::seconds(5);
  EXPECT_THAT(stale.kept(), ElementsAre("a"));
}

TEST(EndpointAttributeFilter, WrongParametersFailTheStart) {
  // epp:S023
  EXPECT_THAT(problem(attribute_filter("Less")), HasSubstr("'Less' is none of"));
  EXPECT_THAT(problem(attribute_filter("LessThan", ", onMissing: Maybe")),
              HasSubstr("'Maybe' is none of"));
  EXPECT_THAT(problem(one("endpoint-attribute-filter", "{attribute: gpu}", kGpu)),
              HasSubstr("/algorithm/type: '' is none of threshold"));
  EXPECT_THAT(problem(one("endpoint-attribute-filter",
                          "{attribute: gpu, algorithm: {type: threshold}}", kGpu)),
              HasSubstr("operator and value are missing"));
  EXPECT_THAT(problem(attribute_filter("LessThan", ", producer: dcgm-extractor")),
              HasSubstr("no engine of 'dcgm-extractor' tells 'gpu'"));
}

std::string attribute_scorer(std::string_view algorithm, std::string_view key = "gpu") {
  return one(
      "endpoint-attribute-scorer",
      "{attributeKey: " + std::string(key) + ", algorithm: {" + std::string(algorithm) + "}}",
      kGpu);
}

TEST(EndpointAttributeScorer, PlacesValuesInARange) {
  // epp:S022
  const auto scores = [](std::string_view algorithm,
                         const std::vector<std::optional<double>>& values) {
    return Fixture(attribute_scorer(algorithm), telling(values)).scores();
  };
  const std::string_view lower = "type: linear_lower_is_better";
  EXPECT_THAT(scores(lower, {10, 20, std::nullopt, 30}), ElementsAre(1, 0.5F, 0, 0));
  EXPECT_THAT(scores("type: linear_higher_is_better", {10, 20, std::nullopt, 30}),
              ElementsAre(0, 0.5F, 0, 1));
  EXPECT_THAT(scores(lower, {5, 5, std::nullopt}), ElementsAre(1, 1, 0));
  EXPECT_THAT(
      scores("type: linear_lower_is_better, normalization: {fixedRange: {min: 0, max: 100}}",
             {-5, 25, 100, 300}),
      ElementsAre(1, 0.75F, 0, 0));
  EXPECT_THAT(scores("type: linear_higher_is_better, normalization: {adaptiveRange: {}}", {1, 3}),
              ElementsAre(0, 1));
}

TEST(EndpointAttributeScorer, WrongParametersFailTheStart) {
  // epp:S022
  const auto of = [](std::string_view algorithm) { return problem(attribute_scorer(algorithm)); };
  EXPECT_THAT(of("type: linear"), HasSubstr("'linear' is none of"));
  EXPECT_THAT(of("type: linear_lower_is_better, normalization: {fixedRange: {min: 0, max: 1}, "
                 "adaptiveRange: {}}"),
              HasSubstr("exclude each other"));
  EXPECT_THAT(of("type: linear_lower_is_better, normalization: {fixedRange: {min: 1, max: 1}}"),
              HasSubstr("max must be above min"));
  EXPECT_THAT(
      problem(attribute_scorer("type: linear_lower_is_better", "gpu/core-metrics-extractor")),
      HasSubstr("give attribute and producer apart"));
  EXPECT_THAT(problem(attribute_scorer("type: linear_lower_is_better", "gqu")),
              HasSubstr("no engine of 'core-metrics-extractor' tells 'gqu' (did you mean 'gpu'"));
  EXPECT_THAT(problem(attribute_scorer("type: linear_lower_is_better", "''")),
              HasSubstr("the attribute's name is missing"));
}

TEST(CustomMetrics, AreReadFromTheEnginesConfiguration) {
  const auto read = [](std::string_view json) {
    return engines_of(*text::json::parse(json), "/e");
  };
  const auto engines = read(R"([{"name":"mine","queuedRequestsSpec":"my_queue","customMetrics":)"
                            R"([{"attributeKey":"gpu","metricSpec":"my_gpu{x=y}"}]}])");
  ASSERT_TRUE(engines);
  EXPECT_EQ((*engines)[0].custom,
            (std::vector<CustomMetric>{
                {.attribute = "gpu", .spec = {.family = "my_gpu", .labels = {{"x", "y"}}}}}));
  EXPECT_EQ((*engines)[0].prefix, "my_");
  const auto wrong = [&](std::string_view customs) {
    const auto out = read("[{\"name\":\"m\",\"customMetrics\":[" + std::string(customs) + "]}]");
    return out ? "" : out.error().message();
  };
  EXPECT_THAT(wrong(R"({"metricSpec":"a"})"), HasSubstr("/0/attributeKey: the attribute's name"));
  EXPECT_THAT(wrong(R"({"attributeKey":"a"})"), HasSubstr("/0/metricSpec: the metric's name"));
  EXPECT_THAT(
      wrong(R"({"attributeKey":"a","metricSpec":"m"},{"attributeKey":"a","metricSpec":"n"})"),
      HasSubstr("/1/attributeKey: the attribute is there twice"));
}

// A decode pod, and prefill pods at falling distance.
const std::vector<Pod> kPlaces = {
    {"d",
     "decode",
     {},
     {{"kubernetes.io/hostname", "h1"},
      {"topology.kubernetes.io/rack", "r1"},
      {"topology.kubernetes.io/zone", "z1"},
      {"topology.kubernetes.io/region", "e1"}}},
    {"nowhere", "prefill"},
    {"region", "prefill", {}, {{"topology.kubernetes.io/region", "e1"}}},
    {"zone", "prefill", {}, {{"topology.kubernetes.io/zone", "z1"}}},
    {"rack",
     "prefill",
     {},
     {{"topology.kubernetes.io/rack", "r1"}, {"kubernetes.io/hostname", "h2"}}},
    {"host", "prefill", {}, {{"kubernetes.io/hostname", "h1"}}}};

std::string topology(std::string_view what, std::string_view parameters = "{}",
                     std::string_view extractor = ", {type: topology-extractor}") {
  return one("topology-affinity-" + std::string(what), parameters,
             std::string(extractor) +
                 ", {type: disagg-profile-handler, parameters: {deciders: {prefill: "
                 "always-disagg-pd-decider}}}, {type: always-disagg-pd-decider}, {type: "
                 "prefill-filter}, {type: decode-filter}") +
         "\nschedulingProfiles: [{name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: "
         "topology-affinity-" +
         std::string(what) +
         "}]}, {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: "
         "topology-affinity-" +
         std::string(what) + "}]}]";
}

TEST(TopologyScorer, PrefersThePeersHostThenRackThenZoneThenRegion) {
  // epp:S024
  Fixture f(topology("scorer"), kPlaces);
  EXPECT_THAT(f.scores(), ElementsAre(0, FloatEq(0.02F), FloatEq(0.05F), FloatEq(0.2F), 1));
  EXPECT_THAT(f.decide()->runs.front().scores, ElementsAre(0));  // decode has no peer yet
}

TEST(TopologyFilter, KeepsThoseNearThePeerOrEverybody) {
  // epp:S024
  const auto kept = [](std::string_view least) {
    return Fixture(topology("filter", "{minAffinity: " + std::string(least) + "}"), kPlaces).kept();
  };
  EXPECT_THAT(Fixture(topology("filter"), kPlaces).kept(), ElementsAre("host"));
  EXPECT_THAT(kept("rack"), ElementsAre("rack", "host"));
  EXPECT_THAT(kept("zone"), ElementsAre("zone", "rack", "host"));
  EXPECT_THAT(kept("region"), ElementsAre("region", "zone", "rack", "host"));
  const std::vector<Pod> far = {kPlaces[0], kPlaces[1], kPlaces[2]};
  EXPECT_THAT(Fixture(topology("filter"), far).kept(), ElementsAre("nowhere", "region"));
}

TEST(TopologyExtractor, NamesLabelsAndFallsBackToThePodsHostname) {
  // epp:L015
  Fixture f(topology("filter", "{topologyProducerName: mine}",
                     ", {type: topology-extractor}, {name: mine, type: topology-extractor, "
                     "parameters: {hostname: example.com/host}}"),
            {{"d", "decode", {}, {{"example.com/host", "h1"}}},
             {"a", "prefill", {}, {{"kubernetes.io/hostname", "h1"}}},
             {"b", "prefill", {}, {{"example.com/host", "h1"}}},
             {"c", "prefill"}});
  auto endpoints = std::make_shared<std::vector<Endpoint>>(*f.snapshot.endpoints);
  (*endpoints)[3].hostname = "h1";
  f.snapshot.set_endpoints(endpoints);
  EXPECT_THAT(f.kept(), ElementsAre("b", "c"));
  EXPECT_THAT(problem(topology("filter", "{topologyProducerName: other}")),
              HasSubstr("no topology-extractor is named 'other'"));
  EXPECT_THAT(problem(topology("filter", "{}", "")), HasSubstr("list topology-extractor"));
  EXPECT_THAT(problem(topology("filter", "{minAffinity: planet}")), HasSubstr("is none of"));
}

TEST(MediaScorer, IsTheShareOfItemsThatAnEndpointWasSent) {
  // epp:K011
  Fixture f(one("mm-embeddings-cache-scorer", "{}"), {{"a"}, {"b"}, {"c"}});
  EXPECT_EQ(f.made->setup().media, MediaCache{.items = 2048});  // its producer is created
  EXPECT_THAT(f.scores(), ElementsAre(0, 0, 0));
  const std::vector<std::uint32_t> held = {0, 1, 2};
  f.request.media = 2;
  f.request.media_held = held;
  EXPECT_THAT(f.scores(), ElementsAre(0, 0.5F, 1));
  const auto items = [](std::string_view megabytes) {
    return try_make(one("mm-embeddings-cache-producer",
                        "{cacheSizeInMBPerServer: " + std::string(megabytes) + "}"))
        ->setup()
        .media->items;
  };
  EXPECT_EQ(items("4"), 2U);
  EXPECT_EQ(items("1"), 1U);
  EXPECT_EQ(items("0"), 2048U);
  EXPECT_EQ(items("-3"), 2048U);
}

TEST(OutputEstimate, IsByThePromptWithinTheCaps) {
  // epp:K010
  const OutputEstimate free{.ratio = 1.5};
  EXPECT_EQ(expected_output(free, 100, std::nullopt), 150);
  EXPECT_EQ(expected_output(free, 3, std::nullopt), 5);
  EXPECT_EQ(expected_output(free, 100, 20), 20);
  EXPECT_EQ(expected_output(free, 100, 0), 0);
  EXPECT_EQ(expected_output(free, 100, -1), 150);
  const OutputEstimate capped{.ratio = 2, .most = 40};
  EXPECT_EQ(expected_output(capped, 100, std::nullopt), 40);
  EXPECT_EQ(expected_output(capped, 100, 30), 30);
  EXPECT_EQ(expected_output(capped, 100, 60), 40);
  EXPECT_EQ(expected_output({.ratio = 0}, 100, std::nullopt), 0);
  const auto estimate = [](std::string_view parameters) {
    return try_make(one("inflight-load-producer", parameters))->setup().output;
  };
  EXPECT_EQ(estimate("{}"), std::nullopt);
  EXPECT_EQ(estimate("{addEstimatedOutputTokens: true}"), free);
  EXPECT_EQ(
      estimate("{addEstimatedOutputTokens: true, outputRatio: 2, maxEstimatedOutputTokens: 40}"),
      capped);
  EXPECT_THAT(
      problem(one("inflight-load-producer", "{addEstimatedOutputTokens: true, outputRatio: -1}")),
      HasSubstr("-1 is outside"));
}

TEST(Notifications, ReachTheExtractorsThatTakeThem) {
  // epp:L012
  const auto sources = [](std::string_view plugins, std::string_view sources) {
    return "plugins: [{name: pods, type: k8s-notification-source, parameters: {version: v1, kind: "
           "Pod}}, {type: topology-extractor}, {type: inflight-load-producer}, {type: "
           "endpoint-notification-source}, {type: queue-scorer}" +
           std::string(plugins) + "]\ndataLayer: {sources: [" + std::string(sources) + "]}";
  };
  EXPECT_EQ(problem(sources("",
                            "{pluginRef: pods, extractors: [{pluginRef: topology-extractor}]}, "
                            "{pluginRef: endpoint-notification-source, extractors: [{pluginRef: "
                            "topology-extractor}, {pluginRef: inflight-load-producer}]}")),
            "");
  EXPECT_THAT(problem(sources("", "{pluginRef: pods, extractors: [{pluginRef: queue-scorer}]}")),
              HasSubstr("'queue-scorer' is no extractor of objects"));
  EXPECT_THAT(problem(sources("",
                              "{pluginRef: endpoint-notification-source, extractors: [{pluginRef: "
                              "queue-scorer}]}")),
              HasSubstr("'queue-scorer' is no extractor of endpoints"));
  const std::string nodes =
      ", {name: nodes, type: k8s-notification-source, parameters: {version: v1, kind: Node}}";
  EXPECT_THAT(problem(sources(nodes,
                              "{pluginRef: nodes, extractors: [{pluginRef: "
                              "topology-extractor}]}")),
              HasSubstr("'topology-extractor' takes Pods (version v1), not Node"));
  const std::string again =
      ", {name: again, type: k8s-notification-source, parameters: {version: v1, kind: Pod}}";
  EXPECT_THAT(problem(sources(again, "{pluginRef: pods}, {pluginRef: again}")),
              HasSubstr("/1/pluginRef: another source tells of Pod already"));
  EXPECT_THAT(problem(one("k8s-notification-source", "{kind: Pod}")), HasSubstr("/version: "));
  EXPECT_THAT(problem(one("k8s-notification-source", "{version: v1}")), HasSubstr("/kind: "));
  const auto warned = try_make(sources(nodes, "{pluginRef: nodes}"));
  ASSERT_TRUE(warned);
  EXPECT_THAT(warned->setup().warnings,
              ::testing::IsSupersetOf({HasSubstr("no extractor takes what it tells"),
                                       HasSubstr("'pods' has no effect")}));
}

TEST(ModelsSource, IsAskedWhenAnExtractorTakesItsLists) {
  const std::string plugins =
      "plugins: [{type: models-data-source, parameters: {scheme: https, interval: 1s}}, {type: "
      "models-data-extractor}, {type: queue-scorer}]\n";
  const auto wired =
      try_make(plugins +
               "dataLayer: {sources: [{pluginRef: models-data-source, extractors: [{pluginRef: "
               "models-data-extractor}]}]}");
  ASSERT_TRUE(wired) << wired.error().message();
  MetricsSource wanted;
  wanted.scheme = "https";
  wanted.path = "/v1/models";
  wanted.interval = Millis(1000);
  EXPECT_EQ(wired->setup().models, wanted);
  EXPECT_TRUE(wired->setup().scrapes);  // metrics, too
  EXPECT_EQ(try_make(plugins)->setup().models, std::nullopt);
  EXPECT_THAT(problem(plugins + "dataLayer: {sources: [{pluginRef: models-data-source, extractors: "
                                "[{pluginRef: queue-scorer}]}]}"),
              HasSubstr("'queue-scorer' is no extractor of models"));
}

}  // namespace
}  // namespace baton::schedule
