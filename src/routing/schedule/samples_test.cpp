// Configurations of the shapes that llm-d's samples (deploy/config) and guides have.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/text/json.hpp"
#include "routing/schedule/testing/configured.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

Result<Scheduler> load(std::string_view text) {
  const std::string head(text.starts_with("apiVersion") ? "" : testing::kHead);
  BATON_TRY_ASSIGN(const auto config, load_picker_config(head + std::string(text), "sample"));
  return Scheduler::make(config);
}

// Names of the plugins: of those that are listed, and of those that are created.
std::vector<std::string> instances(const Setup& setup, std::string_view which) {
  std::vector<std::string> out;
  for (const auto& one : setup.effective) {
    if (!one.pointer.starts_with("/plugins/") || !one.pointer.ends_with(which)) continue;
    out.push_back(*one.value.if_string());
  }
  return out;
}

// Created wherever their kind is not listed; other ones stand in the samples.
constexpr std::array<std::string_view, 7> kUsual = {
    "openai-parser",       "anthropic-parser",       "vllmhttp-parser",     "passthrough-parser",
    "metrics-data-source", "core-metrics-extractor", "utilization-detector"};

struct Sample {
  std::string_view name, text, handler;
  std::vector<std::string> listed;
  std::vector<std::string> created;
};

const std::vector<Sample> kSamples = {
    {"one profile",
     R"(plugins: [{type: prefix-cache-scorer}, {type: decode-filter}, {type: max-score-picker}, {type: single-profile-handler}]
schedulingProfiles:
- {name: default, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}]}
)",
     "single-profile-handler",
     {"prefix-cache-scorer", "decode-filter", "max-score-picker", "single-profile-handler"},
     {"approx-prefix-cache-producer", "token-producer"}},
    {"data parallel",
     R"(plugins:
- type: prefix-cache-scorer
- type: decode-filter
- type: max-score-picker
- {type: data-parallel-profile-handler, parameters: {primaryPort: 8000}}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}]}
)",
     "data-parallel-profile-handler",
     {"prefix-cache-scorer", "decode-filter", "max-score-picker", "data-parallel-profile-handler"},
     {"approx-prefix-cache-producer", "token-producer"}},
    {"prefill and decode",
     R"(plugins:
- {type: approx-prefix-cache-producer, parameters: {blockSizeTokens: 16, autoTune: false, maxPrefixTokensToMatch: 16384, lruCapacityPerServer: 31250}}
- type: prefix-cache-scorer
- type: queue-scorer
- type: prefill-filter
- type: decode-filter
- type: max-score-picker
- {type: disagg-profile-handler, parameters: {deciders: {prefill: prefix-based-pd-decider}}}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 16}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: queue-scorer, weight: 1}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: queue-scorer, weight: 1}]}
)",
     "disagg-profile-handler",
     {"approx-prefix-cache-producer", "prefix-cache-scorer", "queue-scorer", "prefill-filter",
      "decode-filter", "max-score-picker", "disagg-profile-handler", "prefix-based-pd-decider"},
     {"token-producer"}},
    {"encode, prefill and decode",
     R"(plugins:
- type: queue-scorer
- type: encode-filter
- type: prefill-filter
- type: decode-filter
- {type: disagg-profile-handler, parameters: {deciders: {encode: always-disagg-multimodal-decider, prefill: prefix-based-pd-decider}}}
- type: always-disagg-multimodal-decider
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 16}}
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encode-filter}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: queue-scorer, weight: 1}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: queue-scorer, weight: 1}]}
)",
     "disagg-profile-handler",
     {"queue-scorer", "encode-filter", "prefill-filter", "decode-filter", "disagg-profile-handler",
      "always-disagg-multimodal-decider", "prefix-based-pd-decider"},
     {"approx-prefix-cache-producer", "max-score-picker", "token-producer"}},
    {"precise prefixes, tokens of another server",
     R"(plugins:
- {type: token-producer, parameters: {modelName: org/model, vllm: {url: "http://localhost:8000"}}}
- type: endpoint-notification-source
- type: metrics-data-source
- type: core-metrics-extractor
- type: single-profile-handler
- type: decode-filter
- {type: precise-prefix-cache-producer, parameters: {tokenProcessorConfig: {blockSize: 64}, indexerConfig: {kvBlockIndexConfig: {enableMetrics: true}}}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
- type: kv-cache-utilization-scorer
- type: queue-scorer
- type: max-score-picker
dataLayer:
  sources:
  - {pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}
  - {pluginRef: endpoint-notification-source, extractors: [{pluginRef: precise-prefix-cache-producer}]}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer}, {pluginRef: queue-scorer}, {pluginRef: max-score-picker}]}
)",
     "single-profile-handler",
     {"token-producer", "endpoint-notification-source", "metrics-data-source",
      "core-metrics-extractor", "single-profile-handler", "decode-filter",
      "precise-prefix-cache-producer", "prefix-cache-scorer", "kv-cache-utilization-scorer",
      "queue-scorer", "max-score-picker"},
     {}},
    {"engines that connect to the picker",
     R"(plugins:
- type: single-profile-handler
- type: decode-filter
- {type: precise-prefix-cache-producer, parameters: {kvEventsConfig: {zmqEndpoint: "tcp://0.0.0.0:5557", topicFilter: "kv@", concurrency: 16, discoverPods: false}}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
- type: max-score-picker
schedulingProfiles:
- {name: default, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer}, {pluginRef: max-score-picker}]}
)",
     "single-profile-handler",
     {"single-profile-handler", "decode-filter", "precise-prefix-cache-producer",
      "prefix-cache-scorer", "max-score-picker"},
     {"token-producer"}},
    {"cold requests by turns",
     R"(plugins:
- {type: precise-prefix-cache-producer, parameters: {tokenProcessorConfig: {blockSizeTokens: 5}}}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
- {type: no-hit-lru-scorer, parameters: {lruSize: 2048}}
- type: decode-filter
- type: max-score-picker
schedulingProfiles:
- {name: default, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: no-hit-lru-scorer, weight: 1}]}
)",
     "single-profile-handler",
     {"precise-prefix-cache-producer", "prefix-cache-scorer", "no-hit-lru-scorer", "decode-filter",
      "max-score-picker"},
     {"single-profile-handler", "token-producer"}},
    {"a random pod behind an admitter, in the older version",
     R"(apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: probabilistic-admitter
- type: random-picker
- {type: utilization-detector, parameters: {queueDepthThreshold: 999999999, kvCacheUtilThreshold: 1.0}}
flowControl: {saturationDetector: {pluginRef: utilization-detector}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: random-picker}]}]
)",
     "single-profile-handler",
     {"probabilistic-admitter", "random-picker", "utilization-detector"},
     {"single-profile-handler"}},
    {"programs share fairly",
     R"(featureGates: [flowControl]
plugins: [{type: program-aware-fairness}, {type: queue-scorer}, {type: max-score-picker}, {type: single-profile-handler}]
flowControl: {defaultPriorityBand: {fairnessPolicyRef: program-aware-fairness}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: max-score-picker}]}]
)",
     "single-profile-handler",
     {"program-aware-fairness", "queue-scorer", "max-score-picker", "single-profile-handler"},
     {"fcfs-ordering-policy", "global-strict-fairness-policy", "static-usage-limit-policy"}},
    {"flow control with bands",
     R"(featureGates: [flowControl]
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: round-robin-fairness-policy
- type: fcfs-ordering-policy
- {type: concurrency-detector, parameters: {maxConcurrency: 132, concurrencyMode: requests, headroom: 0.0}}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]}
flowControl:
  maxBytes: 10Gi
  maxRequests: 1k
  defaultRequestTTL: 60s
  saturationDetector: {pluginRef: concurrency-detector}
  priorityBands:
  - {priority: 100, maxRequests: "500", fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: fcfs-ordering-policy}
  - {priority: -10, maxRequests: "50", fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: fcfs-ordering-policy}
)",
     "single-profile-handler",
     {"queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer",
      "round-robin-fairness-policy", "fcfs-ordering-policy", "concurrency-detector"},
     {"global-strict-fairness-policy", "static-usage-limit-policy", "max-score-picker",
      "single-profile-handler", "approx-prefix-cache-producer", "inflight-load-producer",
      "token-producer"}},
    {"wide expert parallelism",
     R"(plugins:
- type: always-disagg-pd-decider
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}}
- type: prefill-filter
- type: decode-filter
- type: prefix-cache-scorer
- type: queue-scorer
- type: active-request-scorer
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer, weight: 2}, {pluginRef: active-request-scorer, weight: 2}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: active-request-scorer}]}
)",
     "disagg-profile-handler",
     {"always-disagg-pd-decider", "disagg-profile-handler", "prefill-filter", "decode-filter",
      "prefix-cache-scorer", "queue-scorer", "active-request-scorer"},
     {"max-score-picker", "approx-prefix-cache-producer", "inflight-load-producer",
      "token-producer"}},
    {"prefill by tokens in flight",
     R"(plugins:
- type: always-disagg-pd-decider
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}}
- type: prefill-filter
- type: decode-filter
- {type: approx-prefix-cache-producer, parameters: {maxPrefixTokensToMatch: 131072}}
- type: inflight-load-producer
- {type: prefix-cache-affinity-filter, parameters: {peakPrefillThroughput: 33821}}
- type: token-load-scorer
- type: active-request-scorer
- type: max-score-picker
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-affinity-filter}, {pluginRef: token-load-scorer}, {pluginRef: max-score-picker}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: active-request-scorer}, {pluginRef: max-score-picker}]}
)",
     "disagg-profile-handler",
     {"always-disagg-pd-decider", "disagg-profile-handler", "prefill-filter", "decode-filter",
      "approx-prefix-cache-producer", "inflight-load-producer", "prefix-cache-affinity-filter",
      "token-load-scorer", "active-request-scorer", "max-score-picker"},
     {"token-producer"}},
    {"a cache in the GPU and one behind it",
     R"(plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- {type: prefix-cache-scorer, name: gpu}
- {type: approx-prefix-cache-producer, name: behind, parameters: {autoTune: false, lruCapacityPerServer: 41000}}
- {type: prefix-cache-scorer, name: cpu, parameters: {prefixMatchInfoProducerName: behind}}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: gpu, weight: 1}, {pluginRef: cpu, weight: 1}]}
)",
     "single-profile-handler",
     {"queue-scorer", "kv-cache-utilization-scorer", "gpu", "behind", "cpu"},
     {"max-score-picker", "single-profile-handler", "token-producer"}},
    {"latency as it is predicted",
     R"(plugins:
- {type: approx-prefix-cache-producer, parameters: {maxPrefixTokensToMatch: 262144}}
- type: predicted-latency-producer
- {type: prefix-cache-affinity-filter, name: loose, parameters: {affinityThreshold: 0.8, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}}
- type: latency-scorer
- type: weighted-random-picker
schedulingProfiles:
- {name: default, plugins: [{pluginRef: loose}, {pluginRef: latency-scorer}, {pluginRef: weighted-random-picker}]}
)",
     "single-profile-handler",
     {"approx-prefix-cache-producer", "predicted-latency-producer", "loose", "latency-scorer",
      "weighted-random-picker"},
     {"single-profile-handler", "token-producer", "inflight-load-producer"}},
    {"sessions, with bodies that nobody reads",
     R"(plugins:
- type: session-affinity-scorer
- type: queue-scorer
- type: passthrough-parser
requestHandler: {parsers: [{pluginRef: passthrough-parser}]}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: session-affinity-scorer, weight: 10}, {pluginRef: queue-scorer, weight: 1}]}
)",
     "single-profile-handler",
     {"session-affinity-scorer", "queue-scorer", "passthrough-parser"},
     {"max-score-picker", "single-profile-handler"}},
    {"prefill near decode",
     R"(plugins:
- {type: approx-prefix-cache-producer, parameters: {maxPrefixTokensToMatch: 16384, lruCapacityPerServer: 31250}}
- type: prefix-cache-scorer
- type: queue-scorer
- type: prefill-filter
- type: decode-filter
- type: max-score-picker
- type: topology-extractor
- type: topology-affinity-filter
- type: topology-affinity-scorer
- {type: disagg-profile-handler, parameters: {deciders: {prefill: prefix-based-pd-decider}}}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 16}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: topology-affinity-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: topology-affinity-scorer, weight: 1}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: queue-scorer, weight: 1}]}
)",
     "disagg-profile-handler",
     {"approx-prefix-cache-producer", "prefix-cache-scorer", "queue-scorer", "prefill-filter",
      "decode-filter", "max-score-picker", "topology-extractor", "topology-affinity-filter",
      "topology-affinity-scorer", "disagg-profile-handler", "prefix-based-pd-decider"},
     {"token-producer"}},
    {"bodies that nobody reads",
     R"(plugins: [{type: random-picker}, {type: passthrough-parser}]
requestHandler: {parsers: [{pluginRef: passthrough-parser}]}
schedulingProfiles: [{name: default, plugins: [{pluginRef: random-picker}]}]
)",
     "single-profile-handler",
     {"random-picker", "passthrough-parser"},
     {"single-profile-handler"}},
};

TEST(Samples, LoadWithThePluginsThatTheyList) {
  for (const auto& sample : kSamples) {
    const auto made = load(sample.text);
    ASSERT_TRUE(made) << sample.name << ": " << made.error().message();
    EXPECT_EQ(made->setup().handler_type, sample.handler) << sample.name;
    EXPECT_THAT(instances(made->setup(), "/name"), ElementsAreArray(sample.listed)) << sample.name;
    auto created = instances(made->setup(), "/-");
    std::erase_if(created,
                  [](const auto& name) { return std::ranges::find(kUsual, name) != kUsual.end(); });
    EXPECT_THAT(created, UnorderedElementsAreArray(sample.created)) << sample.name;
  }
}

// What a sample has of level A.
TEST(Samples, ThatAreNotOfferedSayWhatToUse) {
  struct Refused {
    std::string_view plugin, said;
  };
  for (const auto& [plugin, said] : {
           Refused{"{type: dcgm-data-source, parameters: {port: 9400, interval: 1s}}",
                   "use metrics-data-source"},
           Refused{"{type: burst-prefix-cache-producer, parameters: {windowDurationMs: 100}}",
                   "use approx-prefix-cache-producer"},
           Refused{"{type: disaggregatedset-rollout-screener}", "share the revision label"},
       }) {
    const auto made = load("plugins: [" + std::string(plugin) + "]\n");
    ASSERT_FALSE(made) << plugin;
    EXPECT_THAT(made.error().message(), HasSubstr(said)) << plugin;
  }
}

}  // namespace
}  // namespace baton::schedule
