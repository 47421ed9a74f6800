// HorizontalPodAutoscalers and ScaledObjects. Controller reference 4.15.

#include <gmock/gmock.h>

#include "control/plan/describe.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::dump;

ServiceView scaled(std::string_view spec) {
  ServiceView v = view(spec);
  v.settings.prometheus.url = "https://prometheus:9090";
  return v;
}

// "kind name -> target kind target name".
std::vector<std::string> scalers(const ServiceView& v) {
  std::vector<std::string> out;
  for (const Value& one : planned(v).children) {
    const std::string_view kind = one.string_at({"kind"});
    if (kind != "HorizontalPodAutoscaler" && kind != "ScaledObject") continue;
    const Value& to = *one.find_path({"spec", "scaleTargetRef"});
    out.push_back(std::string(kind) + " " + name_of(one) + " -> " +
                  std::string(to.string_at({"kind"})) + " " + std::string(to.string_at({"name"})));
  }
  return out;
}

// llmisvc:I01
TEST(PodAutoscaler, FollowsTheReplicasThatTheVariantAutoscalerWants) {
  const Value hpa = child(
      planned("{scaling: {maxReplicas: 5, wva: {variantCost: '3.5', hpa: {behavior: {scaleDown: "
              "{stabilizationWindowSeconds: 9}}}}}}"),
      "HorizontalPodAutoscaler", "s-kserve-hpa");
  EXPECT_EQ(hpa.string_at({"apiVersion"}), "autoscaling/v2");
  EXPECT_EQ(*hpa.find("spec"),
            yaml("{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: s-kserve}, "
                 "minReplicas: 1, maxReplicas: 5, behavior: {scaleDown: "
                 "{stabilizationWindowSeconds: 9}}, metrics: [{type: External, external: {metric: "
                 "{name: wva_desired_replicas, selector: {matchLabels: {variant_name: "
                 "s-kserve-hpa}}}, target: {type: Value, value: '1'}}}]}"));
  EXPECT_EQ(*hpa.find_path({"metadata", "annotations"}),
            yaml("{llm-d.ai/managed: 'true', llm-d.ai/model-id: m, llm-d.ai/variant-cost: '3.5'}"));
  EXPECT_EQ(*hpa.find_path({"metadata", "labels"}),
            yaml("{app.kubernetes.io/component: llminferenceservice-workload, "
                 "app.kubernetes.io/name: s, app.kubernetes.io/part-of: llminferenceservice, "
                 "inference.optimization/acceleratorName: unknown}"));
  EXPECT_EQ(hpa.find_path({"metadata", "ownerReferences"})->if_array()->size(), 1U);

  const Value plain = child(planned("{scaling: {minReplicas: 2, maxReplicas: 3, wva: {hpa: {}}}}"),
                            "HorizontalPodAutoscaler", "s-kserve-hpa");
  EXPECT_EQ(*plain.find_path({"spec", "minReplicas"}), Value(2));
  EXPECT_EQ(plain.find_path({"spec", "behavior"}), nullptr);
  EXPECT_EQ(plain.string_at({"metadata", "annotations", "llm-d.ai/variant-cost"}), "10.0");
}

// llmisvc:I02
TEST(ScaledObject, AsksPrometheusForTheVariantAutoscaler) {
  ServiceView v = scaled(
      "{scaling: {minReplicas: 2, maxReplicas: 5, wva: {keda: {pollingInterval: 7, fallback: "
      "{failureThreshold: 3, replicas: 2}}}}}");
  const auto trigger = [&] {
    const Value object = child(planned(v), "ScaledObject", "s-kserve-keda");
    EXPECT_EQ(object.string_at({"metadata", "annotations", "llm-d.ai/managed"}), "true");
    return (*object.find_path({"spec", "triggers"})->if_array())[0];
  };
  const Value object = child(planned(v), "ScaledObject", "s-kserve-keda");
  EXPECT_EQ(object.string_at({"apiVersion"}), "keda.sh/v1alpha1");
  EXPECT_EQ(
      *object.find("spec"),
      yaml("{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: s-kserve}, "
           "minReplicaCount: 2, maxReplicaCount: 5, pollingInterval: 7, fallback: "
           "{failureThreshold: 3, replicas: 2}, triggers: [{type: prometheus, name: "
           "wva-desired-replicas, metadata: {serverAddress: 'https://prometheus:9090', query: "
           "'wva_desired_replicas{variant_name=\"s-kserve-keda\",exported_namespace=\"ns\"}', "
           "threshold: '1', unsafeSsl: 'false'}}]}"));

  v.settings.prometheus.tls_insecure_skip_verify = true;
  v.settings.prometheus.auth_modes = "bearer";
  v.settings.prometheus.trigger_auth_name = "auth";
  EXPECT_EQ(dump(*trigger().find("authenticationRef")), R"({"name":"auth"})");
  EXPECT_EQ(trigger().string_at({"metadata", "authModes"}), "bearer");
  EXPECT_EQ(trigger().string_at({"metadata", "unsafeSsl"}), "true");
  v.settings.prometheus.trigger_auth_kind = "ClusterTriggerAuthentication";
  EXPECT_EQ(dump(*trigger().find("authenticationRef")),
            R"({"name":"auth","kind":"ClusterTriggerAuthentication"})");
}

// llmisvc:I03
TEST(ScaledObject, TakesTheTriggersOfTheUser) {
  const Value object = child(
      planned("{scaling: {minReplicas: 1, maxReplicas: 4, keda: {idleReplicaCount: 0, "
              "cooldownPeriod: 60, triggers: [{type: cron, metadata: {start: x}}, {type: cpu}]}}}"),
      "ScaledObject", "s-kserve-keda");
  EXPECT_EQ(*object.find("spec"),
            yaml("{scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: s-kserve}, "
                 "minReplicaCount: 1, maxReplicaCount: 4, idleReplicaCount: 0, cooldownPeriod: 60, "
                 "triggers: [{type: cron, metadata: {start: x}}, {type: cpu}]}"));
  EXPECT_EQ(object.find_path({"metadata", "annotations"}), nullptr);
  EXPECT_EQ(object.find_path({"metadata", "labels", "inference.optimization/acceleratorName"}),
            nullptr);
}

// llmisvc:I04
TEST(Scaling, TargetsEachWorkloadByItsKind) {
  const std::string hpa = "scaling: {maxReplicas: 2, wva: {hpa: {}}}";
  const std::string keda = "scaling: {maxReplicas: 2, wva: {keda: {}}}";
  const std::string direct = "scaling: {maxReplicas: 2, keda: {triggers: [{type: cpu}]}}";
  const std::string group = ", worker: {}, parallelism: {data: 2, dataLocal: 1}";
  const auto both = [](const std::string& text, const std::string& main,
                       const std::string& prefill) {
    return scalers(scaled("{" + text + main + ", prefill: {" + text + prefill + "}}"));
  };
  EXPECT_THAT(both(hpa, "", ""),
              ElementsAre("HorizontalPodAutoscaler s-kserve-hpa -> Deployment s-kserve",
                          "HorizontalPodAutoscaler s-kserve-prefill-hpa -> Deployment "
                          "s-kserve-prefill"));
  EXPECT_THAT(both(keda, group, group),
              ElementsAre("ScaledObject s-kserve-keda -> LeaderWorkerSet s-kserve-mn",
                          "ScaledObject s-kserve-prefill-keda -> LeaderWorkerSet "
                          "s-kserve-mn-prefill"));
  EXPECT_THAT(both(direct, group, ""),
              ElementsAre("ScaledObject s-kserve-keda -> LeaderWorkerSet s-kserve-mn",
                          "ScaledObject s-kserve-prefill-keda -> Deployment s-kserve-prefill"));
  EXPECT_THAT(scalers(scaled("{prefill: {" + hpa + "}}")),
              ElementsAre("HorizontalPodAutoscaler s-kserve-prefill-hpa -> Deployment "
                          "s-kserve-prefill"));
  const Value set =
      child(planned(scaled("{" + keda + group + "}")), "ScaledObject", "s-kserve-keda");
  EXPECT_EQ(set.string_at({"spec", "scaleTargetRef", "apiVersion"}), "leaderworkerset.x-k8s.io/v1");
}

TEST(Scaling, IsShownWithItsBounds) {
  EXPECT_THAT(
      describe(planned("{scaling: {maxReplicas: 2, wva: {hpa: {}}}}")),
      HasSubstr("HorizontalPodAutoscaler s-kserve-hpa  1 to 2 replicas of Deployment s-kserve"));
}

TEST(Scaling, IsOneObjectOrNone) {
  EXPECT_THAT(scalers(scaled("{replicas: 2}")), IsEmpty());
  ServiceView stopped = scaled("{scaling: {maxReplicas: 2, wva: {hpa: {}}}}");
  stopped.service["metadata"]["annotations"] = yaml("{serving.kserve.io/stop: 'true'}");
  EXPECT_THAT(scalers(stopped), IsEmpty());
}

TEST(Scaling, LeavesTheReplicasToTheScaler) {
  ServiceView v = scaled("{scaling: {maxReplicas: 9, wva: {hpa: {}}}}");
  EXPECT_EQ(child(planned(v), "Deployment", "s-kserve").find_path({"spec", "replicas"}), nullptr);
  Value live = child(planned(v), "Deployment", "s-kserve");
  live["spec"]["replicas"] = 7;
  v.children = {live};
  EXPECT_EQ(child(planned(v), "Deployment", "s-kserve").find_path({"spec", "replicas"}), nullptr);
}

// llmisvc:I07
TEST(Scaling, NamesTheAccelerator) {
  const auto label = [](std::string_view spec, std::string_view name) {
    return std::string(
        child(planned(spec), "HorizontalPodAutoscaler", name)
            .string_at({"metadata", "labels", "inference.optimization/acceleratorName"}));
  };
  const std::string hpa = "scaling: {maxReplicas: 2, wva: {hpa: {}}}";
  const std::string set = "labels: {inference.optimization/acceleratorName: ";
  EXPECT_EQ(label("{" + set + "H200}, " + hpa + "}", "s-kserve-hpa"), "H200");
  EXPECT_EQ(label("{" + set + "''}, " + hpa + "}", "s-kserve-hpa"), "unknown");
  EXPECT_EQ(label("{" + hpa + "}", "s-kserve-hpa"), "unknown");
  EXPECT_EQ(label("{" + set + "A}, prefill: {" + set + "B}, " + hpa + "}}", "s-kserve-prefill-hpa"),
            "B");
}

TEST(ScaledObject, KeepsWhatKedaWrote) {
  ServiceView v = scaled("{scaling: {maxReplicas: 4, keda: {triggers: [{type: cpu}]}}}");
  Value live = child(planned(v), "ScaledObject", "s-kserve-keda");
  live["metadata"]["labels"]["scaledobject.keda.sh/name"] = "s-kserve-keda";
  live["metadata"]["labels"]["other"] = "x";
  live["metadata"]["finalizers"] = yaml("[finalizer.keda.sh]");
  v.children = {live};
  const Value again = child(planned(v), "ScaledObject", "s-kserve-keda");
  EXPECT_EQ(again.string_at({"metadata", "labels", "scaledobject.keda.sh/name"}), "s-kserve-keda");
  EXPECT_EQ(dump(*again.find_path({"metadata", "finalizers"})), R"(["finalizer.keda.sh"])");
  EXPECT_EQ(again.find_path({"metadata", "labels", "other"}), nullptr);
}

TEST(ScaledObject, NeedsToKnowPrometheus) {
  ServiceView v = view("{scaling: {maxReplicas: 4, wva: {keda: {}}}}");
  EXPECT_THAT(refusal(v),
              HasSubstr("autoscaling-wva-controller-config: prometheus.url: is required"));
  const Attempt tried = attempt(v);
  ASSERT_TRUE(tried.failure);
  EXPECT_EQ(reason(tried.failure->stage), "ReconcileScalingError");
  EXPECT_FALSE(child(tried.plan, "Deployment", "s-kserve").is_null());

  v.settings.prometheus.url = "http://p";
  v.settings.prometheus.auth_modes = "bearer";
  EXPECT_THAT(refusal(v), HasSubstr("authModes and triggerAuthName go together"));
  v.settings.prometheus.auth_modes = "";
  v.settings.prometheus.trigger_auth_name = "a";
  EXPECT_THAT(refusal(v), HasSubstr("authModes and triggerAuthName go together"));
}

TEST(ChildKinds, HoldEveryKindThatIsPlanned) {
  ServiceView v = scaled(
      "{scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, wva: {hpa: "
      "{}}}, worker: {}, parallelism: {data: 2, dataLocal: 1}}, router: {route: {}, scheduler: "
      "{tokenizer: {}}}}");
  std::vector<Value> children = planned(v).children;
  for (const Value& one :
       planned(scaled("{scaling: {maxReplicas: 2, wva: {keda: {}}}}")).children) {
    children.push_back(one);
  }
  for (const Value& one : children) {
    bool known = false;
    for (const ChildKind& kind : child_kinds()) {
      const std::string version = kind.group.empty()
                                      ? std::string(kind.version)
                                      : std::string(kind.group) + "/" + std::string(kind.version);
      known = known ||
              (one.string_at({"apiVersion"}) == version && one.string_at({"kind"}) == kind.kind);
    }
    EXPECT_TRUE(known) << one.string_at({"apiVersion"}) << " " << one.string_at({"kind"});
  }
}

}  // namespace
}  // namespace baton::plan
