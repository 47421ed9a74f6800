#include "routing/schedule/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "routing/schedule/scheduler.hpp"

namespace baton::schedule {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kHead = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";

std::string problem(std::string_view rest) {
  const auto config = load_picker_config(std::string(kHead) + std::string(rest), "picker.yaml");
  if (!config) return config.error().message();
  const auto made = Scheduler::make(*config);
  return made ? "" : made.error().message();
}

// The configuration of the project's description, as given.
constexpr std::string_view kSeed = R"(
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: pd-profile-handler
    parameters:
      threshold: 100
  - type: prefill-header-handler
  - type: prefill-filter
  - type: decode-filter
  - type: prefix-cache-scorer
  - type: load-aware-scorer
  - type: max-score-picker
schedulingProfiles:
  - name: prefill
    plugins:
      - pluginRef: prefill-filter
      - pluginRef: prefix-cache-scorer
        weight: 2.0
      - pluginRef: load-aware-scorer
        weight: 1.0
      - pluginRef: max-score-picker
  - name: decode
    plugins:
      - pluginRef: decode-filter
      - pluginRef: prefix-cache-scorer
        weight: 2.0
      - pluginRef: load-aware-scorer
        weight: 1.0
      - pluginRef: max-score-picker
)";

TEST(PickerConfig, LoadsTheOctoberConfigurationD012) {
  const auto config = load_picker_config(kSeed, "seed");
  ASSERT_TRUE(config) << config.error().message();
  const auto made = Scheduler::make(*config);
  ASSERT_TRUE(made) << made.error().message();

  EXPECT_EQ(config->plugins.size(), 7);
  EXPECT_EQ(made->prefix(), PrefixParameters{});
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

TEST(PickerConfig, RefusesWrongHeadersDuplicatesAndTypes) {
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
  EXPECT_THAT(pd("{primaryPort: 1}"), HasSubstr("not offered yet"));
  EXPECT_THAT(pd("{decodeProfile: decod}"), HasSubstr("no profile 'decod' (did you mean 'decode'"));
  EXPECT_THAT(pd("{prefixPluginName: other}"),
              HasSubstr("no prefix-cache-scorer is named 'other'"));
  EXPECT_THAT(pd("{deciderPluginName: prefix-based-pd-decider}"),
              HasSubstr("deciders are not offered yet"));
}

TEST(PickerConfig, RefusesWhatHasNoEffectYet) {
  EXPECT_THAT(problem("flowControl: {maxRequests: 1}"), HasSubstr("flow control is not offered"));
  EXPECT_THAT(problem("featureGates: [flowControl]"), HasSubstr("remove the gate"));
  EXPECT_EQ(problem("featureGates: [flowControl=false]"), "");
  EXPECT_THAT(problem("featureGates: [flowControll]"), HasSubstr("did you mean 'flowControl'?"));
  EXPECT_THAT(problem("dataLayer: {sources: []}"), HasSubstr("/dataLayer/sources: data sources"));
  EXPECT_THAT(problem("plugins: [{type: prefix-cache-scorer, parameters: {autoTune: true}}]"),
              HasSubstr("/plugins/0/parameters/autoTune: belongs to the token-based generation"));
  EXPECT_THAT(problem("plugins: [{type: pd-profile-handler}]\nschedulingProfiles: [{name: decode}, "
                      "{name: prefill}]"),
              HasSubstr("no effect without prefill-header-handler"));
  EXPECT_THAT(problem("plugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}]"),
              HasSubstr("more than one endpoint per pick"));
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
  EXPECT_TRUE(made->prefix());
}

}  // namespace
}  // namespace baton::schedule
