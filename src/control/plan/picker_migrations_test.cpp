// Configurations and flags of older endpoint pickers, for newer ones. Controller reference 6.3.

#include "control/plan/picker_migrations.hpp"

#include <gmock/gmock.h>

#include "control/plan/presets.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kUrl = "http://s-tokenizer.ns.svc.cluster.local:8000";

Version version(std::string_view text) { return *parse_version(text); }

// The document after migration to `to`; migrating again must change nothing.
Value migrated(std::string_view config, std::string_view to, std::string_view url = "") {
  Value value = yaml(config);
  EXPECT_TRUE(migrate_config(value, version(to), url)) << config;
  Value again = value;
  EXPECT_TRUE(migrate_config(again, version(to), url)) << config;
  EXPECT_EQ(again, value) << config;
  return value;
}

std::vector<std::string> types(const Value& config) {
  std::vector<std::string> out;
  for (const Value& plugin : items(config.find("plugins"))) {
    out.emplace_back(plugin.string_at({"type"}));
  }
  return out;
}

Value plugin(const Value& config, std::string_view type) {
  for (const Value& one : items(config.find("plugins"))) {
    if (one.string_at({"type"}) == type) return one;
  }
  return {};
}

std::string parameters(const Value& config, std::string_view type) {
  const Value found = plugin(config, type);
  const Value* given = found.find("parameters");
  return given == nullptr ? "none" : dump(*given);
}

std::vector<std::string> refs(const Value& config, std::size_t profile) {
  std::vector<std::string> out;
  const Value& one = (*config.find("schedulingProfiles")->if_array())[profile];
  for (const Value& ref : items(one.find("plugins"))) {
    out.emplace_back(ref.string_at({"pluginRef"}));
  }
  return out;
}

TEST(Versions, AreReadAsReleasesAreWritten) {
  EXPECT_EQ(version("0.10.0"), (Version{0, 10, 0}));
  EXPECT_EQ(version("v1.2.3-rc.1+x"), (Version{1, 2, 3}));
  EXPECT_EQ(version(""), Version{});
  EXPECT_LT(version("0.9.9"), version("0.10.0"));
  for (const std::string_view wrong : {"1", "1.2", "main", "1.2.3.4", "a.b.c", "1..2", "-1.0.0"}) {
    EXPECT_FALSE(parse_version(wrong)) << wrong;
  }
}

constexpr std::string_view kOld =
    "{apiVersion: inference.networking.x-k8s.io/v1alpha1, plugins: [{type: "
    "prefill-header-handler}, "
    "{type: pd-profile-handler, parameters: {threshold: 100}}, {type: prefix-cache-scorer, "
    "parameters: {hashBlockSize: 5, autoTune: true, prefixMatchInfoProducerName: p}}, {type: "
    "model-server-protocol-metrics}], schedulingProfiles: [{name: a, plugins: [{pluginRef: "
    "prefill-header-handler}, {pluginRef: prefix-cache-scorer}]}]}";

// llmisvc:G13 with Flags.AreTouchedFromTheirVersionOn
TEST(Migrations, HappenFromTheVersionOnThatNeedsThem) {
  EXPECT_EQ(migrated(kOld, ""), yaml(kOld));
  EXPECT_EQ(migrated(kOld, "0.6.9"), yaml(kOld));

  const Value v7 = migrated(kOld, "0.7.0");
  EXPECT_THAT(types(v7), ElementsAre("disagg-headers-handler", "prefix-based-pd-decider",
                                     "disagg-profile-handler", "prefix-cache-scorer",
                                     "model-server-protocol-metrics"));
  EXPECT_THAT(refs(v7, 0), ElementsAre("disagg-headers-handler", "prefix-cache-scorer"));
  EXPECT_EQ(parameters(v7, "prefix-cache-scorer"),
            R"({"autoTune":true,"prefixMatchInfoProducerName":"p"})");

  const Value v8 = migrated(kOld, "0.8.0");
  EXPECT_EQ(types(v8).back(), "core-metrics-extractor");
  EXPECT_EQ(v8.string_at({"apiVersion"}), "inference.networking.x-k8s.io/v1alpha1");

  const Value v9 = migrated(kOld, "0.9.0");
  EXPECT_EQ(v9.string_at({"apiVersion"}), "llm-d.ai/v1alpha1");
  EXPECT_EQ(migrated(kOld, "0.10.0"), v9);
}

TEST(Migrations, LeaveNamesThatTheUserGave) {
  const Value v = migrated(
      "{plugins: [{type: pd-profile-handler, name: mine}, {type: x, name: prefill-header-handler}, "
      "{type: prefill-header-handler}], schedulingProfiles: [{plugins: [{pluginRef: mine}, "
      "{pluginRef: prefill-header-handler}]}]}",
      "0.7.0");
  EXPECT_THAT(types(v), ElementsAre("disagg-profile-handler", "x", "disagg-headers-handler"));
  EXPECT_THAT(refs(v, 0), ElementsAre("mine", "prefill-header-handler"));
}

// llmisvc:G14
TEST(Deciders, ComeFromThresholdsAndStandBeforeTheirHandler) {
  struct Case {
    std::string_view plugins;
    std::vector<std::string> types;
    std::string_view decider, tokens;
  };
  const Case cases[] = {
      {"{type: pd-profile-handler, parameters: {threshold: 0}}",
       {"always-disagg-pd-decider", "disagg-profile-handler"},
       "always-disagg-pd-decider",
       "none"},
      {"{type: pd-profile-handler, parameters: {threshold: 100}}",
       {"prefix-based-pd-decider", "disagg-profile-handler"},
       "prefix-based-pd-decider",
       R"({"nonCachedTokens":25})"},
      {"{type: pd-profile-handler, parameters: {threshold: 5}}",
       {"prefix-based-pd-decider", "disagg-profile-handler"},
       "prefix-based-pd-decider",
       R"({"nonCachedTokens":2})"},
      {"{type: pd-profile-handler, parameters: {threshold: 1}}",
       {"prefix-based-pd-decider", "disagg-profile-handler"},
       "prefix-based-pd-decider",
       R"({"nonCachedTokens":1})"},
      // A name that is given wins over the threshold, and is moved to where it is loaded in time.
      {"{type: pd-profile-handler, parameters: {threshold: 100, deciderPluginName: mine}}, {type: "
       "some-decider, name: mine}",
       {"some-decider", "disagg-profile-handler"},
       "mine",
       "none"},
      {"{type: pd-profile-handler, parameters: {deciderPluginName: always-disagg-pd-decider}}",
       {"always-disagg-pd-decider", "disagg-profile-handler"},
       "always-disagg-pd-decider",
       "none"},
      // One that is there already is used as it is.
      {"{type: pd-profile-handler, parameters: {threshold: 100}}, {type: prefix-based-pd-decider, "
       "parameters: {nonCachedTokens: 7}}",
       {"prefix-based-pd-decider", "disagg-profile-handler"},
       "prefix-based-pd-decider",
       R"({"nonCachedTokens":7})"},
      {"{type: always-disagg-pd-decider}, {type: disagg-profile-handler, parameters: {deciders: "
       "{prefill: always-disagg-pd-decider}}}",
       {"always-disagg-pd-decider", "disagg-profile-handler"},
       "always-disagg-pd-decider",
       "none"},
  };
  for (const Case& c : cases) {
    const Value v = migrated("{plugins: [" + std::string(c.plugins) + "]}", "0.7.0");
    EXPECT_EQ(types(v), c.types) << c.plugins;
    EXPECT_EQ(parameters(v, "disagg-profile-handler"),
              "{\"deciders\":{\"prefill\":\"" + std::string(c.decider) + "\"}}")
        << c.plugins;
    EXPECT_EQ(parameters(v, "prefix-based-pd-decider"), c.tokens) << c.plugins;
  }
  Value wrong = yaml("{plugins: [{type: pd-profile-handler, parameters: {threshold: many}}]}");
  const Status refused = migrate_config(wrong, version("0.7.0"), "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(),
            "plugins/0/parameters/threshold: expected a number, is string");
}

// llmisvc:G17
TEST(PrefixScorer, KeepsOnlyTheNameOfItsProducer) {
  const auto kept = [](std::string_view given, std::string_view to) {
    return parameters(
        migrated("{plugins: [{type: prefix-cache-scorer, parameters: " + std::string(given) + "}]}",
                 to),
        "prefix-cache-scorer");
  };
  EXPECT_EQ(kept("{blockSize: 5, prefixMatchInfoProducerName: p, lruCapacity: 1}", "0.9.0"),
            R"({"prefixMatchInfoProducerName":"p"})");
  EXPECT_EQ(kept("{blockSize: 5}", "0.9.0"), "none");
  EXPECT_EQ(kept("{blockSize: 5}", "0.8.0"), R"({"blockSize":5})");
}

constexpr std::string_view kPrecise =
    "{plugins: [{type: single-profile-handler}, {type: precise-prefix-cache-scorer, parameters: "
    "{kvEventsConfig: {topicFilter: kv@}, indexerConfig: {tokenizersPoolConfig: {uds: {socketFile: "
    "/x}}, tokenProcessorConfig: {blockSize: 64}, kvBlockIndexConfig: {enableMetrics: true}}}}, "
    "{type: prefix-cache-scorer, parameters: {blockSize: 1}}], schedulingProfiles: [{name: a, "
    "plugins: [{pluginRef: precise-prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer}, "
    "{pluginRef: prefix-cache-scorer, weight: 1}]}]}";

// llmisvc:G11
TEST(PreciseScorer, BecomesTokensMatchesAndScores) {
  const Value v = migrated(kPrecise, "0.9.0", kUrl);
  EXPECT_THAT(types(v), ElementsAre("single-profile-handler", "token-producer",
                                    "precise-prefix-cache-producer", "prefix-cache-scorer"));
  EXPECT_EQ(parameters(v, "token-producer"),
            R"({"modelName":"/mnt/models/base","vllm":{"url":")" + std::string(kUrl) + "\"}}");
  EXPECT_EQ(parameters(v, "precise-prefix-cache-producer"),
            R"({"kvEventsConfig":{"topicFilter":"kv@"},"indexerConfig":{"kvBlockIndexConfig":)"
            R"({"enableMetrics":true}},"tokenProcessorConfig":{"blockSize":64}})");
  EXPECT_EQ(parameters(v, "prefix-cache-scorer"),
            R"({"prefixMatchInfoProducerName":"precise-prefix-cache-producer"})");
  EXPECT_THAT(refs(v, 0), ElementsAre("prefix-cache-scorer", "queue-scorer"));
  EXPECT_EQ(*(*(*v.find("schedulingProfiles")->if_array())[0].find("plugins")->if_array())[0].find(
                "weight"),
            Value(3));

  EXPECT_THAT(
      types(migrated(kPrecise, "0.8.0", kUrl)),
      ElementsAre("single-profile-handler", "precise-prefix-cache-scorer", "prefix-cache-scorer"));
  EXPECT_THAT(
      types(migrated(kPrecise, "0.9.0")),
      ElementsAre("single-profile-handler", "precise-prefix-cache-scorer", "prefix-cache-scorer"));

  const Value named = migrated(
      "{plugins: [{type: precise-prefix-cache-scorer, name: ppc}], schedulingProfiles: [{plugins: "
      "[{pluginRef: ppc}]}]}",
      "0.9.0", kUrl);
  EXPECT_EQ(plugin(named, "prefix-cache-scorer").string_at({"name"}), "ppc");
  EXPECT_THAT(refs(named, 0), ElementsAre("ppc"));
}

// llmisvc:G12
TEST(PreciseScorer, PrefersTokenSettingsOfTheTopLevel) {
  EXPECT_EQ(parameters(migrated("{plugins: [{type: precise-prefix-cache-scorer, parameters: "
                                "{tokenProcessorConfig: {blockSize: 16}, indexerConfig: "
                                "{tokenProcessorConfig: {blockSize: 64}}}}]}",
                                "0.9.0", kUrl),
                       "precise-prefix-cache-producer"),
            R"({"tokenProcessorConfig":{"blockSize":16},"indexerConfig":{}})");
  EXPECT_EQ(parameters(migrated("{plugins: [{type: precise-prefix-cache-scorer}]}", "0.9.0", kUrl),
                       "precise-prefix-cache-producer"),
            "none");
}

// llmisvc:G23
TEST(TokenProducer, GetsWhatItLacks) {
  EXPECT_EQ(
      parameters(migrated("{plugins: [{type: token-producer}]}", "0.9.0", kUrl), "token-producer"),
      R"({"modelName":"/mnt/models/base","vllm":{"url":")" + std::string(kUrl) + "\"}}");
  EXPECT_EQ(
      parameters(migrated("{plugins: [{type: token-producer, parameters: {modelName: m, vllm: "
                          "{url: u, timeout: 1s}}}]}",
                          "0.9.0", kUrl),
                 "token-producer"),
      R"({"modelName":"m","vllm":{"url":"u","timeout":"1s"}})");
  EXPECT_EQ(parameters(migrated("{plugins: [{type: token-producer}]}", "0.9.0"), "token-producer"),
            "none");
}

TEST(Migrations, TakeEveryDefaultToEveryVersion) {
  for (const std::string_view file :
       {"seed-pd.yaml", "seed-single.yaml", "current-pd.yaml", "current-single.yaml"}) {
    for (const std::string_view to : {"0.6.0", "0.7.0", "0.8.0", "0.9.0", "0.10.0"}) {
      migrated(picker_text(file), to, kUrl);
    }
  }
  // Those of today need nothing.
  for (const std::string_view file : {"current-pd.yaml", "current-single.yaml"}) {
    EXPECT_EQ(migrated(picker_text(file), "0.10.0"), yaml(picker_text(file)));
  }
}

// --- command lines ---

Value pod_with(std::string_view main) {
  return yaml("{containers: [{name: other, args: [--config-text, x]}, " + std::string(main) + "]}");
}

struct Outcome {
  std::vector<std::string> command, args;
  Value config;  // the text after --config-text, parsed
};

Outcome moved(std::string_view main, std::string_view to) {
  Value pod = pod_with(main);
  const Status done = migrate_picker(pod, version(to), "");
  EXPECT_TRUE(done) << (done ? "" : done.error().message());
  Value again = pod;
  EXPECT_TRUE(migrate_picker(again, version(to), ""));
  EXPECT_EQ(again, pod) << main;
  const Value found = container(pod, "containers", "main");
  Outcome out{strings(found, "command"), strings(found, "args"), {}};
  for (std::vector<std::string>* list : {&out.command, &out.args}) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      std::string& word = (*list)[i];
      if (word.starts_with("--config-text=") || word.starts_with("-configText=")) {
        out.config = yaml(word.substr(word.find('=') + 1));
        word = word.substr(0, word.find('='));
      } else if (word == "--config-text" || word == "-configText") {
        out.config = yaml((*list)[i + 1]);
        list->erase(list->begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return out;
}

std::string refused(std::string_view main, std::string_view to) {
  Value pod = pod_with(main);
  const Status done = migrate_picker(pod, version(to), "");
  return done ? "accepted" : done.error().message();
}

TEST(Flags, AreTouchedFromTheirVersionOn) {
  constexpr std::string_view kMain =
      "{name: main, args: [--cache-info-metric=c, --model-server-metrics-path=/m, --config-text, "
      "'{plugins: []}']}";
  EXPECT_THAT(
      moved(kMain, "0.6.0").args,
      ElementsAre("--cache-info-metric=c", "--model-server-metrics-path=/m", "--config-text"));
  EXPECT_THAT(moved(kMain, "0.9.0").args,
              ElementsAre("--model-server-metrics-path=/m", "--config-text"));
  EXPECT_THAT(moved(kMain, "0.10.0").args, ElementsAre("--config-text"));
}

// llmisvc:G15
TEST(Flags, OfEngineMetricsMoveIntoTheConfiguration) {
  for (const std::string_view text : {"[--config-text, '{plugins: []}']",
                                      "['--config-text={plugins: "
                                      "[]}']",
                                      "[-configText, '{plugins: []}']",
                                      "['-configText={plugins: "
                                      "[]}']"}) {
    const Outcome got = moved(
        "{name: main, command: [/app/epp, -total-queued-requests-metric=q, "
        "--total-running-requests-metric, r, --lora-info-metric=l], args: " +
            std::string(text.substr(0, text.size() - 1)) +
            ", --kv-cache-usage-percentage-metric=k, -cache-info-metric, c]}",
        "0.7.0");
    EXPECT_THAT(got.command, ElementsAre("/app/epp"));
    EXPECT_EQ(got.args.size(), 1U) << text;
    EXPECT_EQ(
        parameters(got.config, "model-server-protocol-metrics"),
        R"({"engineLabelKey":"inference.networking.k8s.io/engine-type","defaultEngine":"vllm",)"
        R"("engineConfigs":[{"name":"vllm","queuedRequestsSpec":"q","runningRequestsSpec":"r",)"
        R"("kvUsageSpec":"k","loraSpec":"l","cacheInfoSpec":"c"}]})")
        << text;
  }
  EXPECT_EQ(
      types(moved("{name: main, args: [--lora-info-metric=l, --config-text, '{plugins: []}']}",
                  "0.8.0")
                .config),
      std::vector<std::string>{"core-metrics-extractor"});

  for (const std::string_view elsewhere : {"--config-file, /c", "--zap-encoder=json"}) {
    EXPECT_THAT(refused("{name: main, args: [--lora-info-metric=l, --cache-info-metric=c, " +
                            std::string(elsewhere) + "]}",
                        "0.7.0"),
                HasSubstr("version 0.7.0 does not know --cache-info-metric --lora-info-metric"));
  }
}

// llmisvc:G16
TEST(Flags, OfTheMetricsSourceMoveIntoTheConfiguration) {
  const Outcome got = moved(
      "{name: main, command: [/app/epp, --model-server-metrics-scheme, https, "
      "-model-server-metrics-https-insecure-skip-verify], args: [--model-server-metrics-path=/m, "
      "--model-server-metrics-port=1, --config-text, '{plugins: [{type: queue-scorer}]}']}",
      "0.10.0");
  EXPECT_THAT(got.command, ElementsAre("/app/epp"));
  EXPECT_THAT(got.args, ElementsAre("--config-text"));
  EXPECT_THAT(types(got.config), ElementsAre("queue-scorer", "metrics-data-source"));
  const Value source = plugin(got.config, "metrics-data-source");
  EXPECT_EQ(*source.find("parameters"),
            yaml("{scheme: https, path: /m, insecureSkipVerify: true}"));

  EXPECT_EQ(plugin(moved("{name: main, args: "
                         "[--model-server-metrics-https-insecure-skip-verify=F, --config-text, "
                         "'{plugins: []}']}",
                         "0.10.0")
                       .config,
                   "metrics-data-source")
                    .find("parameters")
                    ->find("insecureSkipVerify")
                    ->if_bool() != nullptr,
            true);
  EXPECT_THAT(
      refused("{name: main, args: [--model-server-metrics-https-insecure-skip-verify=maybe, "
              "--config-text, '{plugins: []}']}",
              "0.10.0"),
      HasSubstr("expected true or false, is 'maybe'"));
  EXPECT_THAT(refused("{name: main, args: [--model-server-metrics-scheme=https, "
                      "--model-server-metrics-path=/m, --config-file=/c]}",
                      "0.10.0"),
              HasSubstr("--model-server-metrics-path --model-server-metrics-scheme"));
  // The port is nowhere needed.
  EXPECT_THAT(
      moved("{name: main, args: [--model-server-metrics-port, '1', --config-file=/c]}", "0.10.0")
          .args,
      ElementsAre("--config-file=/c"));
  EXPECT_THAT(refused("{name: main, args: [--model-server-metrics-path]}", "0.10.0"),
              HasSubstr("--model-server-metrics-path has no value"));
}

TEST(Flags, LeaveATextThatNeedsNoChangeByteForByte) {
  Value pod = pod_with("{name: main, args: [--config-text, \"# mine\\nplugins: []\\n\"]}");
  const Value before = pod;
  ASSERT_TRUE(migrate_picker(pod, version("0.10.0"), ""));
  EXPECT_EQ(pod, before);
}

TEST(TokenizerSidecar, IsAskedThroughItsSocket) {
  Value pod = yaml(
      "{containers: [{name: tokenizer}, {name: main, args: [--config-text, '{plugins: [{type: "
      "precise-prefix-cache-scorer, parameters: {indexerConfig: {tokenProcessorConfig: {blockSize: "
      "64, hashSeed: x}, tokenizersPoolConfig: {modelName: Qwen/Q, workersCount: 2}}}}]}']}]}");
  ASSERT_TRUE(use_tokenizer_sidecar(pod));
  const Value once = pod;
  ASSERT_TRUE(use_tokenizer_sidecar(pod));
  EXPECT_EQ(pod, once);
  EXPECT_EQ(*plugin(yaml(strings(container(pod, "containers", "main"), "args")[1]),
                    "precise-prefix-cache-scorer")
                 .find("parameters"),
            yaml("{tokenProcessorConfig: {blockSizeTokens: 64, hashSeed: x}, indexerConfig: "
                 "{tokenizersPoolConfig: {modelName: base, workersCount: 2, uds: {socketFile: "
                 "/tmp/tokenizer/tokenizer-uds.socket}}}}"));

  Value alone = yaml(
      "{containers: [{name: main, args: [--config-text, '{plugins: [{type: "
      "precise-prefix-cache-scorer}]}']}]}");
  const Value before = alone;
  ASSERT_TRUE(use_tokenizer_sidecar(alone));
  EXPECT_EQ(alone, before);
}

TEST(TokenizerSidecar, GoesWhenNoPluginNeedsIt) {
  const auto containers = [](std::string_view plugin, std::string_view to) {
    Value pod = yaml(
        "{containers: [{name: tokenizer}, {name: main, args: [--config-text, '{plugins: "
        "[{type: " +
        std::string(plugin) + "}]}']}]}");
    EXPECT_TRUE(migrate_picker(pod, version(to), ""));
    return items(pod.find("containers")).size();
  };
  EXPECT_EQ(containers("queue-scorer", "0.9.0"), 1U);
  EXPECT_EQ(containers("queue-scorer", "0.8.0"), 2U);
  EXPECT_EQ(containers("precise-prefix-cache-scorer", "0.9.0"), 2U);
}

}  // namespace
}  // namespace baton::plan
