// The endpoint picker.

#include <gmock/gmock.h>

#include "control/plan/presets.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kRouted = "{router: {route: {}, gateway: {}, scheduler: {}}}";

std::string config_text(const Plan& plan) {
  const auto args = strings(main_of(plan, "s-kserve-router-scheduler"), "args");
  return args.size() >= 2 && args[args.size() - 2] == "--config-text" ? args.back() : "";
}

// G06: the description's configuration, unless the installation asks for today's.
TEST(Picker, HasADefaultConfigurationForEachShape) {
  EXPECT_EQ(config_text(planned(kRouted)), picker_text("seed-single.yaml"));
  ServiceView split = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  EXPECT_EQ(config_text(planned(split)), picker_text("seed-pd.yaml"));
  EXPECT_EQ(*text::yaml::parse(picker_text("seed-pd.yaml"), "a"),
            *text::yaml::parse(picker_text("seed-pd.yaml"), "b"));
  split.settings.picker_default = Settings::PickerDefault::kCurrent;
  EXPECT_EQ(config_text(planned(split)), picker_text("current-pd.yaml"));
}

// G01, G05: never migrated, never rewritten.
TEST(Picker, TakesTheConfigurationGivenInline) {
  ServiceView v = view("{baseRefs: [{name: base}], router: {scheduler: {}}}");
  v.configs.push_back(
      config("base", "{router: {scheduler: {config: {inline: {kind: X, plugins: [{type: a}]}}}}}"));
  EXPECT_EQ(yaml(config_text(planned(v))), yaml("{kind: X, plugins: [{type: a}]}"));
}

// G02
TEST(Picker, AddsNothingWhereTheTemplateHasAConfigFlag) {
  for (const std::string flag : {"--config-text", "-configText", "--config-file", "-configFile"}) {
    const Plan p = planned("{router: {scheduler: {template: {containers: [{name: main, args: [" +
                           flag + ", x]}]}}}}");
    EXPECT_THAT(strings(main_of(p, "s-kserve-router-scheduler"), "args"), ElementsAre(flag, "x"));
  }
}

// G03, G04, B36
TEST(Picker, ReadsItsConfigurationFromAConfigMapVerbatim) {
  ServiceView v =
      view("{router: {scheduler: {config: {ref: {name: config-scheduler-x, key: k}}}}}");
  EXPECT_THAT(refusal(v),
              HasSubstr("/spec/router/scheduler/config/ref: no ConfigMap 'config-scheduler-x'"));

  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: config-scheduler-x, namespace: kserve}, data: {k: "
           "'kind:   Y'}}"));
  EXPECT_EQ(config_text(planned(v)), "kind:   Y");

  v.service["spec"]["router"]["scheduler"]["config"]["ref"]["key"] = "other";
  EXPECT_THAT(refusal(v), HasSubstr("ConfigMap kserve/config-scheduler-x has no key 'other'"));

  ServiceView plain = view("{router: {scheduler: {config: {ref: {name: mine, key: k}}}}}");
  plain.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: mine, namespace: kserve}, data: {k: x}}"));
  EXPECT_THAT(refusal(plain), HasSubstr("no ConfigMap 'mine'"));
}

// G08
TEST(Picker, ElectsALeaderAmongReplicas) {
  EXPECT_THAT(
      strings(main_of(planned("{router: {scheduler: {replicas: 3}}}"), "s-kserve-router-scheduler"),
              "args"),
      Contains("--ha-enable-leader-election"));
  EXPECT_THAT(
      strings(main_of(planned("{router: {scheduler: {replicas: 1}}}"), "s-kserve-router-scheduler"),
              "args"),
      Not(Contains("--ha-enable-leader-election")));
}

// G09
TEST(Picker, HasAnAccountWithItsRights) {
  const Plan p = planned(kRouted);
  EXPECT_FALSE(child(p, "ServiceAccount", "s-epp-sa").is_null());
  EXPECT_THAT(dump(child(p, "Role", "s-epp-role")), HasSubstr("leases"));
  const Value binding = child(p, "ClusterRoleBinding", "ns-s-epp-auth-rb");
  EXPECT_FALSE(binding.is_null());
  EXPECT_EQ(binding.find_path({"metadata", "ownerReferences"}), nullptr);

  const Plan own = planned("{router: {scheduler: {template: {serviceAccountName: mine}}}}");
  EXPECT_TRUE(child(own, "ServiceAccount", "s-epp-sa").is_null());
  EXPECT_EQ(pod(own, "s-kserve-router-scheduler").string_at({"serviceAccountName"}), "mine");
}

// G18
TEST(Picker, CarriesItsLabelsOnPodsOnly) {
  const Value d = child(planned("{router: {scheduler: {labels: {a: b}}}}"), "Deployment",
                        "s-kserve-router-scheduler");
  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", "a"}), "b");
  EXPECT_EQ(d.find_path({"metadata", "labels", "a"}), nullptr);
  EXPECT_EQ(d.find_path({"spec", "selector", "matchLabels", "a"}), nullptr);
}

}  // namespace
}  // namespace baton::plan
