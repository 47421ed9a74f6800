// HTTPRoute, pools and picker.

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

Value route(const Plan& plan) { return child(plan, "HTTPRoute", "s-kserve-route"); }

const Array& rules(const Value& route) { return *route.find_path({"spec", "rules"})->if_array(); }

Value backend(const Value& route, std::size_t rule) {
  return rules(route)[rule].find("backendRefs")->if_array()->front();
}

std::string config_text(const Plan& plan) {
  const auto args = strings(main_of(plan, "s-kserve-router-scheduler"), "args");
  return args.size() >= 2 && args[args.size() - 2] == "--config-text" ? args.back() : "";
}

// D01
TEST(Route, HasTwelveRulesBehindTheDefaultGateway) {
  const Value r = route(planned(kRouted));

  ASSERT_EQ(rules(r).size(), 12U);
  EXPECT_EQ(
      dump(*r.find_path({"spec", "parentRefs"})),
      R"([{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"kserve-ingress-gateway",)"
      R"("namespace":"kserve"}])");
  EXPECT_EQ(rules(r)[4].find("matches")->if_array()->size(), 8U);
  EXPECT_EQ(backend(r, 10).string_at({"name"}), "s-kserve-workload-svc");
}

// D02
TEST(Route, GoesToTheServiceWithoutAScheduler) {
  const Value r = route(planned("{router: {route: {}}}"));
  for (std::size_t i = 0; i < rules(r).size(); ++i) {
    EXPECT_EQ(backend(r, i).string_at({"kind"}), "Service");
    EXPECT_EQ(backend(r, i).string_at({"name"}), "s-kserve-workload-svc");
    EXPECT_EQ(*backend(r, i).find("port"), Value(8000));
  }
}

// D03
TEST(Route, GoesToAPoolOfTheUsersOwn) {
  const Plan p = planned("{router: {route: {}, scheduler: {pool: {ref: {name: theirs}}}}}");
  EXPECT_EQ(backend(route(p), 0).string_at({"name"}), "theirs");
  EXPECT_TRUE(child(p, "Deployment", "s-kserve-router-scheduler").is_null());
  EXPECT_TRUE(child(p, "InferencePool", "s-inference-pool").is_null());
}

// D04
TEST(Route, TakesRulesOfTheUserAsTheyAre) {
  const Value r = route(planned(
      "{router: {route: {http: {spec: {rules: [{name: only, backendRefs: [{name: x}]}]}}}}}"));
  ASSERT_EQ(rules(r).size(), 1U);
  EXPECT_EQ(dump(rules(r)[0]), R"({"name":"only","backendRefs":[{"name":"x"}]})");
}

// D05
TEST(Route, IsNotMadeBesideRoutesOfTheUser) {
  EXPECT_TRUE(
      route(planned("{router: {route: {http: {refs: [{name: mine}]}}, scheduler: {}}}")).is_null());
  EXPECT_TRUE(route(planned("{}")).is_null());
}

// D06, B28
TEST(Route, HangsOnTheGatewaysNamed) {
  const Value r =
      route(planned("{router: {route: {}, gateway: {refs: [{name: a, namespace: b, sectionName: "
                    "c}, {name: d}]}}}"));
  EXPECT_EQ(
      dump(*r.find_path({"spec", "parentRefs"})),
      R"([{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"a","namespace":"b","sectionName":"c"},)"
      R"({"group":"gateway.networking.k8s.io","kind":"Gateway","name":"d"}])");
}

// D12
TEST(Route, DropsModelRoutingWhenTheServiceDeclines) {
  const Value r =
      route(planned("{annotations: {serving.kserve.io/model-based-routing-enabled: 'false'}, "
                    "router: {route: {}, scheduler: {}}}"));
  EXPECT_EQ(rules(r).size(), 10U);
}

// E01, E02
TEST(Pools, AreTwoAndANewRouteUsesTheOldGroup) {
  const Plan p = planned(kRouted);
  std::vector<std::string_view> versions;
  for (const Value& one : p.children) {
    if (one.string_at({"kind"}) == "InferencePool")
      versions.push_back(one.string_at({"apiVersion"}));
  }
  EXPECT_THAT(versions, ElementsAre("inference.networking.k8s.io/v1",
                                    "inference.networking.x-k8s.io/v1alpha2"));
  EXPECT_EQ(backend(route(p), 0).string_at({"group"}), "inference.networking.x-k8s.io");

  ServiceView only_v1 = view(kRouted);
  only_v1.settings.serves_x_pools = false;
  EXPECT_EQ(backend(route(planned(only_v1)), 0).string_at({"group"}),
            "inference.networking.k8s.io");
}

ServiceView with_live_route(std::string_view group, std::string_view annotations,
                            std::string_view conditions) {
  ServiceView v = view(kRouted);
  Value live = route(planned(v));
  for (Value& rule : *live["spec"]["rules"].if_array())
    rule["backendRefs"].if_array()->front()["group"] = group;
  live["metadata"]["annotations"] = yaml(annotations);
  live["status"]["parents"] = yaml(conditions);
  v.children.push_back(std::move(live));
  return v;
}

constexpr std::string_view kX = "inference.networking.x-k8s.io";
constexpr std::string_view kV1 = "inference.networking.k8s.io";

// E03, E04, E05, E06
TEST(Pools, MoveToV1OnceTheGatewayShowsThatItWantsThat) {
  const auto group = [](const ServiceView& v) {
    return std::string(backend(route(planned(v)), 0).string_at({"group"}));
  };
  EXPECT_EQ(group(with_live_route(kX, "{serving.kserve.io/inference-pool-migrated: v1}", "[]")),
            kV1);

  const ServiceView refused = with_live_route(
      kX, "{}", "[{conditions: [{type: ResolvedRefs, status: 'False', reason: InvalidKind}]}]");
  EXPECT_EQ(group(refused), kV1);
  EXPECT_EQ(
      route(planned(refused))
          .string_at({"metadata", "annotations", "serving.kserve.io/inference-pool-migrated"}),
      "v1");

  EXPECT_EQ(
      group(with_live_route(
          kV1, "{}",
          "[{conditions: [{type: ResolvedRefs, status: 'False', reason: BackendNotFound}]}]")),
      kV1);
  EXPECT_EQ(
      group(with_live_route(kX, "{}", "[{conditions: [{type: ResolvedRefs, status: 'True'}]}]")),
      kX);
  EXPECT_EQ(group(with_live_route(kX, "{}", "[{conditions: [{type: Accepted, status: 'True'}]}]")),
            kX);
}

// B19, G19, G20
TEST(Pools, SelectEveryEnginePodUnlessToldOtherwise) {
  const Value pool = child(planned(kRouted), "InferencePool", "s-inference-pool");
  EXPECT_EQ(dump(*pool.find_path({"spec", "selector", "matchLabels"})),
            R"({"app.kubernetes.io/name":"s","app.kubernetes.io/part-of":"llminferenceservice",)"
            R"("kserve.io/component":"workload"})");
  EXPECT_EQ(dump(*pool.find_path({"spec", "endpointPickerRef", "port"})), R"({"number":9002})");

  const Value own = child(
      planned("{router: {scheduler: {pool: {spec: {endpointPickerRef: {port: {number: 7}}}}}}}"),
      "InferencePool", "s-inference-pool");
  EXPECT_EQ(dump(*own.find_path({"spec", "endpointPickerRef", "port"})), R"({"number":7})");
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
