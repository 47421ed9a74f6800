// Configurations that follow engines' KV events: both generations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/schedule/testing/configured.hpp"

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::problem;

PreciseParameters precise(std::string_view rest) {
  return testing::setup(rest).precise.value_or(PreciseParameters{});
}

TEST(PrecisePrefix, TheProducerAndItsScorerAreRead) {
  const auto p = precise(R"(
plugins:
- {type: token-producer, parameters: {modelName: /mnt/models/base, vllm: {url: http://x}}}
- type: precise-prefix-cache-producer
  parameters:
    tokenProcessorConfig: {blockSizeTokens: 64, hashSeed: "42", hashAlgorithm: xxh64}
    indexerConfig:
      kvBlockIndexConfig: {inMemoryConfig: {size: 1000}, enableMetrics: true}
      kvCacheBackendConfigs: [{name: GPU, weight: 1}, {name: cpu, weight: 0.5}]
    kvEventsConfig:
      topicFilter: "kv@"
      concurrency: 4
      engineType: vllm
      podDiscoveryConfig: {socketPort: 6000, replaySocketPort: 6001}
    speculativeIndexing: true
    speculativeTTL: 3s
- type: prefix-cache-scorer
  parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}
schedulingProfiles: [{name: default, plugins: [{pluginRef: prefix-cache-scorer}]}]
)");
  const PreciseParameters wanted{.block_tokens = 64,
                                 .xxh64 = true,
                                 .hash_seed = "42",
                                 .tiers = {{"gpu", 1}, {"cpu", 0.5}},
                                 .topic = "kv@",
                                 .listen = {},
                                 .connects = true,
                                 .port = 6000,
                                 .replay_port = 6001,
                                 .speculative = std::chrono::seconds(3),
                                 .metrics = true,
                                 .tokenizer = "/mnt/models/base"};
  EXPECT_EQ(p, wanted);
}

constexpr std::string_view kOctober = R"(
plugins:
- type: single-profile-handler
- type: precise-prefix-cache-scorer
  parameters:
    indexerConfig:
      tokenProcessorConfig: {blockSize: 32}
      tokenizersPoolConfig: {modelName: /models/m, hf: {tokenizersCacheDir: /tmp}}
    kvEventsConfig: {podDiscoveryConfig: {socketPort: 5600}}
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: precise-prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer}]
)";

TEST(PrecisePrefix, TheScorerOfTheOlderGenerationIsBoth) {
  const auto p = precise(kOctober);
  EXPECT_EQ(p.block_tokens, 32U);
  EXPECT_EQ(p.tokenizer, "/models/m");
  EXPECT_EQ(p.port, 5600);
  // Bytes are hashed for engines out of sync.
  EXPECT_THAT(testing::make(kOctober).setup().views,
              ElementsAre(MatchView{.index = 0, .precise = true}));
}

TEST(PrecisePrefix, TokensMayComeFromAServerThatRenders) {  // epp:K008
  const auto with = [](std::string_view parameters) {
    return "plugins: [{type: token-producer, parameters: " + std::string(parameters) +
           "}, {type: precise-prefix-cache-producer}]";
  };
  const auto p = precise(with("{modelName: org/model, vllm: {url: 'http://r:1', timeout: 2s}}"));
  ASSERT_TRUE(p.render);
  EXPECT_EQ(*p.render, (RenderServer{"http://r:1", "org/model", std::chrono::seconds(2)}));
  EXPECT_EQ(precise(with("{modelName: m, vllm: {}}")).render->url, "http://localhost:8000");
  EXPECT_TRUE(testing::setup(with("{modelName: m, vllm: {}}")).warnings.empty());
  EXPECT_THAT(problem(with("{vllm: {}}")), HasSubstr("/modelName: vllm needs it"));
  EXPECT_THAT(problem(with("{modelName: m, vllm: {}, estimate: {}}")),
              HasSubstr("made in one way"));
  EXPECT_THAT(problem(with("{modelName: m, vllm: {timeout: soon}}")), HasSubstr("/vllm/timeout"));
  EXPECT_THAT(problem(with("{modelName: m, vllm: {url: 'https://r'}}")), HasSubstr("/vllm/url"));
  EXPECT_THAT(
      testing::setup("plugins: [{type: token-producer, parameters: {modelName: m, vllm: {}}}]")
          .warnings,
      ElementsAre(HasSubstr("no effect without precise prefixes")));
}

TEST(PrecisePrefix, EnginesMayConnectToThePickerBesidesOrInstead) {  // epp:C010
  const auto with = [](std::string_view events) {
    return precise("plugins: [{type: precise-prefix-cache-producer, parameters: {kvEventsConfig: " +
                   std::string(events) + "}}]");
  };
  EXPECT_EQ(with("{}").listen, "");
  EXPECT_TRUE(with("{}").connects);
  EXPECT_EQ(with("{zmqEndpoint: 'tcp://*:5557'}").listen, "tcp://*:5557");
  EXPECT_TRUE(with("{zmqEndpoint: 'tcp://*:5557'}").connects);
  EXPECT_FALSE(with("{zmqEndpoint: 'tcp://*:5557', discoverPods: false}").connects);
}

TEST(PrecisePrefix, WithoutATokenizerThereIsAWarning) {
  const auto setup = testing::setup(
      "plugins: [{type: precise-prefix-cache-scorer}]\nschedulingProfiles: [{name: d, plugins: "
      "[{pluginRef: precise-prefix-cache-scorer}]}]");
  ASSERT_EQ(setup.warnings.size(), 1U);
  EXPECT_THAT(setup.warnings[0], HasSubstr("compared by their bytes"));
}

TEST(PrecisePrefix, AScorerDefersToTheOneProducer) {
  const auto p = precise(
      "plugins: [{type: precise-prefix-cache-scorer}, {type: precise-prefix-cache-producer, "
      "parameters: {tokenProcessorConfig: {blockSizeTokens: 8}}}]\nschedulingProfiles: [{name: d, "
      "plugins: [{pluginRef: precise-prefix-cache-scorer}]}]");
  EXPECT_EQ(p.block_tokens, 8U);
}

TEST(PrecisePrefix, WhatCannotBeIsRefusedWithTheReason) {
  const auto with = [](std::string_view parameters) {
    return problem("plugins: [{type: precise-prefix-cache-producer, parameters: " +
                   std::string(parameters) + "}]");
  };
  EXPECT_THAT(with("{tokenProcessorConfig: {blockSizeTokens: -1}}"),
              HasSubstr("1 to 4096"));  // epp:K013
  EXPECT_THAT(with("{tokenProcessorConfig: {hashAlgorithm: sha256}}"), HasSubstr("cbor-fnv"));
  EXPECT_THAT(with("{kvEventsConfig: {zmqEndpoint: 'ipc:///tmp/x'}}"),
              HasSubstr("expected tcp://ADDRESS:PORT"));
  EXPECT_THAT(with("{kvEventsConfig: {discoverPods: false}}"), HasSubstr("no engine to follow"));
  EXPECT_THAT(with("{indexerConfig: {kvBlockIndexConfig: {redisConfig: {address: x}}}}"),
              HasSubstr("outside the process"));
  EXPECT_THAT(with("{indexerConfig: {tokenizersPoolConfig: {modelName: x}}}"),
              HasSubstr("belongs to token-producer"));
  EXPECT_THAT(with("{indexerConfg: {}}"), HasSubstr("did you mean 'indexerConfig'"));
  EXPECT_THAT(problem("plugins: [{type: precise-prefix-cache-producer}, {name: b, type: "
                      "precise-prefix-cache-producer}]"),
              HasSubstr("more than one plugin"));
}

}  // namespace
}  // namespace baton::schedule
