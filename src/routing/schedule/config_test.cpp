#include "routing/schedule/config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "routing/schedule/testing/configured.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kHead;
using testing::problem;
using testing::setup;

// The configuration of the project's description, as given.
std::string seed() {
  std::ifstream file(BATON_SOURCE_DIR "/examples/seed/endpoint-picker-config.yaml");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(PickerConfig, LoadsTheOctoberConfigurationD012) {
  const auto config = load_picker_config(seed(), "seed");
  ASSERT_TRUE(config) << config.error().message();
  const auto made = Scheduler::make(*config);
  ASSERT_TRUE(made) << made.error().message();

  EXPECT_EQ(config->plugins.size(), 7);
  EXPECT_THAT(made->setup().indexes, ElementsAre(PrefixParameters{}));
}

TEST(PickerConfig, NamesThePlaceAndTheNearestName) {
  EXPECT_EQ(problem("plugins: [{typ: queue-scorer}]"),
            "picker.yaml: /plugins/0/type: a plugin needs a type");
  EXPECT_EQ(problem("plugins: [{type: queue-scorer, paramters: {}}]"),
            "picker.yaml: /plugins/0/paramters: unknown field (did you mean 'parameters'?)");
  EXPECT_EQ(problem("plugins: [{type: queue-scorrer}]"),
            "picker.yaml: /plugins/0/type: unknown plugin type 'queue-scorrer' (did you mean "
            "'queue-scorer'?)");
  EXPECT_EQ(problem("plugins: [{type: pd-profile-handler, parameters: {treshold: 1}}]"),
            "plugin 'pd-profile-handler': /plugins/0/parameters/treshold: unknown field (did you "
            "mean 'threshold'?)");
  EXPECT_EQ(problem("plugins: [{type: queue-scorer}]\nschedulingProfiles: [{name: a, plugins: "
                    "[{pluginRef: queue-score}]}]"),
            "picker.yaml: /schedulingProfiles/0/plugins/0/pluginRef: no plugin is named "
            "'queue-score' (did you mean 'queue-scorer'?)");
  EXPECT_THAT(problem("pluggins: []"), HasSubstr("did you mean 'plugins'?"));
}

TEST(PickerConfig, RefusesWrongHeadersDuplicatesAndTypes) {  // epp:S003
  EXPECT_THAT(load_picker_config("kind: EndpointPickerConfig", "x").error().message(),
              HasSubstr("/apiVersion: expected llm-d.ai/v1alpha1"));
  EXPECT_THAT(load_picker_config("apiVersion: llm-d.ai/v1alpha1\nkind: Pod", "x").error().message(),
              HasSubstr("/kind: expected EndpointPickerConfig, found 'Pod'"));
  EXPECT_THAT(problem("plugins: [{type: queue-scorer}, {type: queue-scorer}]"),
              HasSubstr("the name 'queue-scorer' is used twice"));
  EXPECT_THAT(problem("plugins: [{type: max-score-picker}]\nschedulingProfiles: [{name: a, plugins:"
                      " [{pluginRef: max-score-picker}, {pluginRef: max-score-picker}]}]"),
              HasSubstr("has a picker already"));
  EXPECT_THAT(problem("schedulingProfiles: [{name: a}, {name: a}]"), HasSubstr("there twice"));
  EXPECT_THAT(problem("schedulingProfiles: [{name: a}, {name: b}]"),
              HasSubstr("need a profile handler"));
  EXPECT_THAT(problem("plugins: [{type: single-profile-handler}]\n"
                      "schedulingProfiles: [{name: a}, {name: b}]"),
              HasSubstr("needs exactly one profile, there are 2"));
  EXPECT_THAT(problem("plugins: [{type: single-profile-handler}, {type: pd-profile-handler}]"),
              HasSubstr("more than one profile handler"));
  EXPECT_THAT(problem("plugins: 7"), HasSubstr("/plugins: expected a list, found number"));
  EXPECT_THAT(problem("plugins: [a]"), HasSubstr("/plugins/0: expected an object, found string"));
}

TEST(PickerConfig, ReadsPdParametersWithinTheirBoundsD009) {
  const auto pd = [](std::string_view parameters) {
    return problem("plugins: [{type: pd-profile-handler, parameters: " + std::string(parameters) +
                   "}, {type: prefill-header-handler}]\n"
                   "schedulingProfiles: [{name: decode}, {name: prefill}]");
  };
  EXPECT_EQ(pd("{threshold: 0, hashBlockSize: 64, decodeProfile: decode, primaryPort: 0}"), "");
  EXPECT_THAT(pd("{threshold: -1}"), HasSubstr("/threshold: -1 is outside"));
  EXPECT_THAT(pd("{threshold: 1.5}"), HasSubstr("expected an integer, found 1.5"));
  EXPECT_THAT(pd("{hashBlockSize: 0}"), HasSubstr("/hashBlockSize: 0 is outside"));
  EXPECT_THAT(pd("{primaryPort: 65536}"), HasSubstr("/primaryPort: 65536 is outside"));
  EXPECT_EQ(pd("{primaryPort: 1}"), "");
  EXPECT_EQ(pd("{primaryPort: 65535}"), "");
  EXPECT_THAT(pd("{primaryPort: -10}"), HasSubstr("/primaryPort: -10 is outside"));
  EXPECT_THAT(pd("{primaryPort: 1.5}"), HasSubstr("expected an integer"));
  EXPECT_THAT(pd("{decodeProfile: decod}"), HasSubstr("no profile 'decod' (did you mean 'decode'"));
  EXPECT_THAT(pd("{prefixPluginName: other}"),
              HasSubstr("no prefix-cache-scorer is named 'other'"));
  EXPECT_THAT(pd("{deciderPluginName: prefix-based-pd-decider}"),
              HasSubstr("no decider is named 'prefix-based-pd-decider'"));
}

TEST(PickerConfig, RefusesWhatIsNotOfferedAndNamesWhatToUse) {
  EXPECT_THAT(
      problem("plugins: [{type: multicluster-queue-scorer}]"),
      HasSubstr("/plugins/0/type: the plugin type 'multicluster-queue-scorer' is not offered: "
                "use queue-scorer"));
  EXPECT_THAT(problem("dataLayer: {peerDiscovery: {pluginRef: x}}"),
              HasSubstr("/dataLayer/peerDiscovery: replicas do not share state"));
  EXPECT_THAT(problem("plugins: [{type: prefix-cache-scorer, parameters: {autoTune: true}}]"),
              HasSubstr("/plugins/0/parameters/autoTune: it belongs to approx-prefix-cache"));
  EXPECT_THAT(problem("plugins: [{type: pd-profile-handler}]\nschedulingProfiles: [{name: decode}, "
                      "{name: prefill}]"),
              HasSubstr("no effect without prefill-header-handler"));
}

TEST(PickerConfig, AnExperimentalPluginNeedsToBeAllowed) {
  // epp:C009
  const auto of = [](std::string_view rest) {
    const auto config = load_picker_config(std::string(kHead) + std::string(rest), "x");
    EXPECT_TRUE(config && Scheduler::make(*config));
    return refuse_experimental(*config);
  };
  EXPECT_TRUE(of("plugins: [{type: queue-scorer}, {type: decode-filter}]"));
  const auto refused = of("plugins: [{type: queue-scorer}, {type: session-affinity-scorer}]");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("/plugins/1/type: session-affinity-scorer is experimental"));
}

const Setting* setting(const Setup& setup, std::string_view pointer) {
  for (const auto& one : setup.effective) {
    if (one.pointer == pointer) return &one;
  }
  return nullptr;
}

TEST(PickerConfig, LoadsBothApiVersionsStrictly) {
  // epp:C001
  EXPECT_TRUE(load_picker_config(
      R"({"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"})", "json"));
  const auto old = load_picker_config(seed(), "seed");
  ASSERT_TRUE(old);
  EXPECT_THAT(old->warnings[0], HasSubstr("inference.networking.x-k8s.io/v1alpha1 is deprecated"));
  EXPECT_THAT(load_picker_config("apiVersion: llm-d.ai/v1alpha1", "x").error().message(),
              HasSubstr("/kind: expected EndpointPickerConfig"));
  EXPECT_THAT(problem("plugin: []"), HasSubstr("/plugin: unknown field"));
  EXPECT_THAT(problem("plugins: [{type: queue-scorer, parameters: {x: 1}}]"),
              HasSubstr("/plugins/0/parameters/x: unknown field"));
  EXPECT_THAT(problem("plugins: [{type: queue-scorer, type: queue-scorer}]"),
              HasSubstr("duplicate key"));
  EXPECT_NE(problem("plugins: [}"), "");
}

TEST(PickerConfig, ReadsEveryFormOfAGate) {
  // epp:C003
  EXPECT_FALSE(setup("").flow);
  EXPECT_TRUE(setup("featureGates: [flowControl]").flow);
  EXPECT_TRUE(setup("featureGates: [flowControl=true]").flow);
  EXPECT_FALSE(setup("featureGates: [flowControl=false]").flow);
  EXPECT_EQ(problem("featureGates: [haPopulateNonLeaderDatastore]"), "");
  EXPECT_THAT(problem("featureGates: [haPopulateNonLeaderDatastore=false]"),
              HasSubstr("a picker that waits to lead follows the cluster all the same; remove it"));
  EXPECT_THAT(problem("featureGates: [flowControll]"), HasSubstr("did you mean 'flowControl'?"));
  EXPECT_THAT(problem("featureGates: [flowControl=yes]"),
              HasSubstr("neither flowControl=true nor flowControl=false"));
  EXPECT_THAT(problem("featureGates: [1]"), HasSubstr("expected a list of strings"));
}

TEST(PickerConfig, TheNewPlaceWinsOverTheDeprecatedOne) {
  // epp:C004
  constexpr std::string_view kPlugins =
      "plugins: [{name: a, type: utilization-detector, parameters: {queueDepthThreshold: 7}}, "
      "{name: b, type: utilization-detector, parameters: {queueDepthThreshold: 9}}, "
      "{type: openai-parser}, {type: vllmhttp-parser}]\n";
  const auto with = [&](std::string_view rest) {
    return setup(std::string(kPlugins) + std::string(rest));
  };
  EXPECT_EQ(with("saturationDetector: {pluginRef: a}").detector.queue_depth, 7);
  EXPECT_EQ(with("saturationDetector: {pluginRef: a}\n"
                 "flowControl: {saturationDetector: {pluginRef: b}}")
                .detector.queue_depth,
            9);
  EXPECT_THAT(with("parser: {pluginRef: openai-parser}").parsers,
              ::testing::ElementsAre(Parser::kOpenai));
  EXPECT_THAT(with("parser: {pluginRef: openai-parser}\n"
                   "requestHandler: {parsers: [{pluginRef: vllmhttp-parser}]}")
                  .parsers,
              ::testing::ElementsAre(Parser::kVllmHttp));
  EXPECT_THAT(with("parser: {pluginRef: openai-parser}").warnings,
              ::testing::Contains(HasSubstr("/parser: deprecated")));
}

TEST(PickerConfig, FillsInHandlerPickerWeightAndParsers) {
  // epp:C005
  const auto made = setup("plugins: [{type: queue-scorer}]");
  EXPECT_THAT(made.parsers, ::testing::ElementsAre(Parser::kOpenai, Parser::kAnthropic,
                                                   Parser::kVllmHttp, Parser::kPassthrough));
  const auto text = describe(made);
  EXPECT_THAT(text,
              HasSubstr("\"single-profile-handler\"  # created: there is no profile handler"));
  EXPECT_THAT(text, HasSubstr("\"max-score-picker\"  # created: a profile has no picker"));
  const auto weighted = setup(
      "plugins: [{type: max-score-picker}, {type: queue-scorer}]\n"
      "schedulingProfiles: [{name: a, plugins: [{pluginRef: "
      "max-score-picker}, {pluginRef: queue-scorer}]}]");
  const auto* weight = setting(weighted, "/schedulingProfiles/0/plugins/1/weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->value, text::json::Value(1));
  EXPECT_EQ(weight->origin, "default");
  EXPECT_THAT(setup("plugins: [{type: passthrough-parser}]\n"
                    "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}")
                  .parsers,
              ::testing::ElementsAre(Parser::kPassthrough));
}

TEST(PickerConfig, CreatesMissingProducersOnce) {
  // epp:C007
  const auto text =
      describe(setup("plugins: [{type: prefix-cache-scorer}, {type: no-hit-lru-scorer}]"));
  const auto first = text.find("\"approx-prefix-cache-producer\"  # created: needed by");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(text.find("\"approx-prefix-cache-producer\"", first + 1), std::string::npos);
  EXPECT_THAT(text, HasSubstr("\"token-producer\"  # created")) << "needed by the created one";
  EXPECT_THAT(problem("plugins: [{type: prefix-cache-scorer, parameters: "
                      "{prefixMatchInfoProducerName: approx-prefix-cache-producr}}]"),
              HasSubstr("no producer is named"));
  EXPECT_THAT(problem("plugins: [{type: prefix-cache-scorer, parameters: "
                      "{prefixMatchInfoProducerName: queue-scorer}}, {type: queue-scorer}]"),
              HasSubstr("'queue-scorer' does not produce that"));
  EXPECT_THAT(problem("plugins: [{type: prefix-cache-scorer, parameters: "
                      "{prefixMatchInfoProducerName: a/b}}]"),
              HasSubstr("without '/'"));
}

TEST(PickerConfig, BlocksOfTheProducerAreInTokens) {
  // epp:K005
  const auto blocks = [](std::string_view parameters) {
    return testing::make(
               "plugins: [{type: prefix-cache-scorer}, {type: "
               "approx-prefix-cache-producer, parameters: " +
               std::string(parameters) + "}]")
        .setup()
        .indexes.at(0);
  };
  EXPECT_EQ(blocks("{}").block_bytes, 256);  // 64 tokens at least
  EXPECT_EQ(blocks("{}").max_blocks, 131072 / 64);
  EXPECT_EQ(blocks("{blockSizeTokens: 128}").block_bytes, 512);
  EXPECT_EQ(blocks("{blockSize: 256}").block_bytes, 1024);
  EXPECT_EQ(blocks("{maxPrefixTokensToMatch: 640}").max_blocks, 10);
  EXPECT_EQ(blocks("{maxPrefixTokensToMatch: 0}").max_blocks, 2048);
  EXPECT_EQ(blocks("{maxPrefixTokensToMatch: 10}").max_blocks, 0);
  EXPECT_EQ(blocks("{maxPrefixTokensToMatch: 0, maxPrefixBlocksToMatch: 7}").max_blocks, 7);
  EXPECT_GT(blocks("{maxPrefixTokensToMatch: 0, maxPrefixBlocksToMatch: 0}").max_blocks, 1 << 29);
  EXPECT_TRUE(blocks("{}").engine_capacity);
  EXPECT_FALSE(blocks("{autoTune: false}").engine_capacity);
  EXPECT_EQ(blocks("{autoTune: false}").lru_capacity, 31250);
  EXPECT_FALSE(blocks("{lruCapacityPerServer: 31250}").engine_capacity);
  EXPECT_THAT(problem("plugins: [{type: approx-prefix-cache-producer, parameters: "
                      "{maxPrefixTokensToMatch: -1}}]"),
              HasSubstr("-1 is outside"));
  EXPECT_THAT(problem("plugins: [{type: approx-prefix-cache-producer, parameters: "
                      "{autoTune: false, blockSizeTokens: 0}}]"),
              HasSubstr("must be above 0"));
  EXPECT_THAT(problem("plugins: [{type: approx-prefix-cache-producer, parameters: {blocks: 1}}]"),
              HasSubstr("/parameters/blocks: unknown field"));
}

TEST(PickerConfig, WithoutAConfigurationThreeScorersDecide) {
  // epp:C002 with the data layer below
  const auto config = default_picker_config();
  std::string weights;
  for (const auto& ref : config.profiles[0].plugins) {
    weights += fmt::format("{}={} ", ref.plugin, ref.weight);
  }
  EXPECT_THAT(weights,
              HasSubstr("queue-scorer=2 kv-cache-utilization-scorer=2 prefix-cache-scorer=3"));
  EXPECT_TRUE(Scheduler::make(config)->setup().scrapes);
}

TEST(PickerConfig, WiresTheDataLayer) {
  const auto standard = setup("dataLayer: {}");
  EXPECT_TRUE(standard.scrapes);
  EXPECT_FALSE(standard.discovery);
  EXPECT_FALSE(setup("dataLayer: {injectDefaults: false}").scrapes);
  const auto file = setup(
      "plugins: [{name: static, type: file-discovery, parameters: {path: e.yaml, watchFile: "
      "true}}, "
      "{type: metrics-data-source, parameters: {path: /m, interval: 250ms}}, "
      "{type: core-metrics-extractor}]\n"
      "dataLayer: {discovery: {pluginRef: static}, injectDefaults: false, sources: [{pluginRef: "
      "metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]}");
  ASSERT_TRUE(file.discovery);
  EXPECT_EQ(file.discovery->path, "e.yaml");
  EXPECT_TRUE(file.discovery->watch);
  EXPECT_TRUE(file.scrapes);
  EXPECT_EQ(file.metrics.path, "/m");
  EXPECT_EQ(file.metrics.interval, Millis(250));
  EXPECT_THAT(problem("plugins: [{type: queue-scorer}]\ndataLayer: {discovery: {pluginRef: "
                      "queue-scorer}}"),
              HasSubstr("/dataLayer/discovery/pluginRef: 'queue-scorer' is no endpoint discovery"));
  EXPECT_THAT(problem("dataLayer: {sources: [{pluginRef: metrics}]}"),
              HasSubstr("/dataLayer/sources/0/pluginRef: no plugin is named 'metrics'"));
  EXPECT_THAT(
      problem("plugins: [{type: metrics-data-source}, {type: core-metrics-extractor}]\n"
              "dataLayer: {sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef:"
              " core-metrics-extractor}, {pluginRef: core-metrics-extractor}]}]}"),
      HasSubstr("has such an extractor already"));
}

TEST(PickerConfig, ReadsFlowControl) {
  // epp:F017 epp:F003
  const auto on = setup(R"(
featureGates: [flowControl]
plugins: [{type: round-robin-fairness-policy}, {type: edf-ordering-policy}, {type: static-usage-limit-policy, parameters: {threshold: 0.8}}]
flowControl:
  maxBytes: 1Gi
  maxRequests: 1k
  defaultRequestTTL: 30s
  usageLimitPolicyPluginRef: static-usage-limit-policy
  defaultNegativePriorityBand: {maxRequests: 5}
  priorityBands:
  - {priority: 10, maxBytes: 0, maxRequests: 20, fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: edf-ordering-policy}
)");
  ASSERT_TRUE(on.flow);
  EXPECT_EQ(on.flow->max_bytes, std::int64_t{1} << 30);
  EXPECT_EQ(on.flow->max_requests, 1000);
  EXPECT_EQ(on.flow->ttl, std::chrono::seconds(30));
  EXPECT_EQ(on.flow->no_endpoint_ttl, std::chrono::seconds(30));
  EXPECT_EQ(on.flow->usage_limit, (UsageLimit{.threshold = 0.8}));
  ASSERT_EQ(on.flow->bands.size(), 2);  // 0 is always there
  EXPECT_EQ(on.flow->bands[0].priority, 10);
  EXPECT_EQ(on.flow->bands[0].max_bytes, 1'000'000'000);
  EXPECT_EQ(on.flow->bands[0].fairness.kind, Fairness::Kind::kRoundRobin);
  EXPECT_EQ(on.flow->bands[0].ordering, Ordering::kEdf);
  EXPECT_EQ(on.flow->bands[1].priority, 0);
  EXPECT_EQ(on.flow->otherwise_negative.max_requests, 5);
  const auto same =
      setup("featureGates: [flowControl]\nflowControl: {defaultPriorityBand: {maxRequests: 7}}");
  EXPECT_EQ(same.flow->otherwise_negative.max_requests, 7);  // epp:F012

  EXPECT_THAT(problem("flowControl: {maxBytes: -1}"),
              HasSubstr("/flowControl/maxBytes: -1 is negative"));
  EXPECT_THAT(problem("flowControl: {priorityBands: [{priority: 1}, {priority: 1}]}"),
              HasSubstr("the priority 1 is there twice"));
  EXPECT_THAT(
      problem("featureGates: [flowControl]\nflowControl: {priorityBands: [{priority: 1, "
              "fairnessPolicyRef: none}]}"),
      HasSubstr("/flowControl/priorityBands/0/fairnessPolicyRef: no plugin is named 'none'"));
  EXPECT_THAT(problem("featureGates: [flowControl]\nplugins: [{type: edf-ordering-policy}]\n"
                      "flowControl: {priorityBands: [{priority: 1, fairnessPolicyRef: "
                      "edf-ordering-policy}]}"),
              HasSubstr("'edf-ordering-policy' is no fairness policy"));
  const auto off = setup("flowControl: {maxRequests: 5}");
  EXPECT_FALSE(off.flow);
  EXPECT_THAT(off.warnings, ::testing::Contains(HasSubstr("the feature gate flowControl is off")));
  EXPECT_THAT(describe(off), HasSubstr("no effect: /flowControl/maxRequests: the feature gate"));
  EXPECT_THAT(setup("plugins: [{type: utilization-detector}]\n"
                    "flowControl: {saturationDetector: {pluginRef: utilization-detector}}")
                  .warnings,
              ::testing::IsEmpty());
}

TEST(PickerConfig, AnAdmittersParametersAreAboveZero) {  // epp:F019
  for (const auto* bad :
       {"k: 0", "power: -1", "queueDepthThreshold: 0", "kvCacheUtilThreshold: x"}) {
    EXPECT_THAT(problem("plugins: [{type: probabilistic-admitter, parameters: {" +
                        std::string(bad) + "}}]"),
                HasSubstr("plugin 'probabilistic-admitter': /plugins/0/parameters/"))
        << bad;
  }
}

TEST(PickerConfig, EveryErrorNamesWhereItIs) {
  // epp:C006
  struct Wrong {
    std::string_view text, said;
  };
  constexpr std::string_view kQueue = "plugins: [{type: queue-scorer}]\n";
  const Wrong wrong[] = {
      {"plugins: [{name: a}]", "/plugins/0/type: a plugin needs a type"},
      {"plugins: [{type: nobody}]", "/plugins/0/type: unknown plugin type 'nobody'"},
      {"plugins: [{type: queue-scorer}, {type: queue-scorer}]",
       "the name 'queue-scorer' is used twice"},
      {"plugins: [{type: token-load-scorer, parameters: {x: 1}}]",
       "plugin 'token-load-scorer': /plugins/0/parameters/x: unknown field"},
      {"plugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: x}}]",
       "plugin 'max-score-picker': /plugins/0/parameters/maxNumOfEndpoints: expected"},
      {"schedulingProfiles: [{plugins: []}]", "/schedulingProfiles/0/name: a profile needs a name"},
      {"schedulingProfiles: [{name: a}, {name: a}]", "the profile 'a' is there twice"},
      {"schedulingProfiles: [{name: a, plugins: [{weight: 1}]}]",
       "/schedulingProfiles/0/plugins/0/pluginRef: a plugin reference is missing"},
      {"schedulingProfiles: [{name: a, plugins: [{pluginRef: b}]}]", "no plugin is named 'b'"},
      {"dataLayer: {sources: [{pluginRef: b}]}",
       "/dataLayer/sources/0/pluginRef: no plugin is named 'b'"},
      {"dataLayer: {sources: [{pluginRef: queue-scorer}]}", "/dataLayer/sources/0/pluginRef: "},
      {"requestHandler: {parsers: [{pluginRef: b}]}",
       "/requestHandler/parsers/0/pluginRef: no plugin is named 'b'"},
      {"requestHandler: {parsers: [{pluginRef: queue-scorer}]}", "'queue-scorer' is no parser"},
      {"flowControl: {saturationDetector: {pluginRef: b}}",
       "/flowControl/saturationDetector/pluginRef: no plugin is named 'b'"},
      {"flowControl: {saturationDetector: {pluginRef: queue-scorer}}", "'queue-scorer' is no"},
      {"plugins: [{type: single-profile-handler}, {type: data-parallel-profile-handler}]",
       "more than one profile handler"},
      {"plugins: [{type: openai-parser}]\n"
       "schedulingProfiles: [{name: a, plugins: [{pluginRef: openai-parser}]}]",
       "/schedulingProfiles/0/plugins/0: 'openai-parser' is no filter, scorer or picker"},
      {"flowControl: {maxRequests: -1}", "/flowControl/maxRequests: -1 is negative"},
  };
  for (const auto& [text, said] : wrong) {
    const bool lists = text.starts_with("plugins:");
    EXPECT_THAT(problem((lists ? "" : std::string(kQueue)) + std::string(text)), HasSubstr(said))
        << text;
  }
}

TEST(PickerConfig, AReferenceMayStandBeforeWhatItNamesButNotNameItsOwner) {
  // epp:C008
  const auto with = [](std::string_view decider) {
    return problem(
        "plugins: [{type: disagg-profile-handler, parameters: {deciders: {prefill: " +
        std::string(decider) +
        "}}}, {name: late, type: prefix-based-pd-decider, parameters: {nonCachedTokens: 9}}]\n"
        "schedulingProfiles: [{name: decode}, {name: prefill}]");
  };
  EXPECT_EQ(with("late"), "");
  EXPECT_THAT(with("disagg-profile-handler"),
              HasSubstr("no decider is named 'disagg-profile-handler'"));
}

TEST(PickerConfig, TokensToComeAreNotCounted) {
  const auto told =
      describe(setup("plugins: [{type: inflight-load-producer, parameters: {outputRatio: 2, "
                     "maxEstimatedOutputTokens: 7}}]"));
  EXPECT_THAT(told, HasSubstr("no effect: /plugins/0/parameters/outputRatio: addEst"));
  EXPECT_THAT(told, HasSubstr("no effect: /plugins/0/parameters/maxEstimatedOutputTokens: add"));
}

TEST(PickerConfig, SaysWhereEveryValueComesFrom) {
  const auto made = setup(
      "plugins: [{type: active-request-scorer, parameters: {idleThreshold: 2, "
      "requestTimeout: 5s}}]");
  const auto* given = setting(made, "/plugins/0/parameters/idleThreshold");
  const auto* standard = setting(made, "/plugins/0/parameters/maxBusyScore");
  ASSERT_TRUE(given && standard);
  EXPECT_EQ(given->origin, "given");
  EXPECT_EQ(standard->origin, "default");
  EXPECT_THAT(describe(made), HasSubstr("no effect: /plugins/0/parameters/requestTimeout: "));
}

TEST(PickerConfig, HandlerAndScorerCountTheSameBlocks) {
  EXPECT_THAT(problem("plugins: [{type: pd-profile-handler, parameters: {hashBlockSize: 32}}, "
                      "{type: prefill-header-handler}, {type: prefix-cache-scorer}]\n"
                      "schedulingProfiles: [{name: decode}, {name: prefill}]"),
              HasSubstr("hashBlockSize is 32 in pd-profile-handler and 64"));
}

TEST(PickerConfig, TheDefaultIsValid) {
  const auto made = Scheduler::make(default_picker_config());

  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->setup().indexes.size(), 1U);
}

}  // namespace
}  // namespace baton::schedule
