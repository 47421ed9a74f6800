// What autoscalers report, as conditions. Controller reference 5.5.

#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

const kube::Type kAutoscaler{"autoscaling", "v2", "HorizontalPodAutoscaler"};
const kube::Type kScaledObject{"keda.sh", "v1alpha1", "ScaledObject"};

struct Report {
  const char* what;
  const char* conditions;  // of the autoscaler
  const char* told;        // "status reason: message" of the service's condition
};

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ScalingTest : public ReconcileTest {
 protected:
  void edit(const std::function<void(kube::Object& spec)>& change) {
    ReconcileTest::edit([&](kube::Object& o) { change(o["spec"]); });
  }
  void scale(const char* scaling) {
    create_quickstart();
    edit([&](kube::Object& spec) {
      spec.if_object()->erase("replicas");
      spec["scaling"] = parse(scaling);
    });
    settle();
  }
  std::string told(std::string_view type) {
    const auto object = service();
    const auto* found = kube::find_condition(object, type);
    if (found == nullptr) return "absent";
    std::string out(found->string_at({"status"}));
    if (out != "True") {
      out += " " + std::string(found->string_at({"reason"})) + ": " +
             std::string(found->string_at({"message"}));
    }
    return out;
  }
  void report(const kube::ObjectKey& key, const char* conditions) {
    auto object = cluster_.get(key, soon());
    ASSERT_TRUE(object) << kube::to_string(key);
    (*object)["status"] = kube::Object(text::json::Object{});
    if (*conditions != '\0') (*object)["status"]["conditions"] = parse(conditions);
    ASSERT_TRUE(cluster_.update_status(*object, soon()));
    settle();
  }
  // "HorizontalPodAutoscaler storyteller-kserve-hpa" …
  std::vector<std::string> scalers() {
    std::vector<std::string> out;
    for (const auto& type : {kAutoscaler, kScaledObject}) {
      for (const auto& one : cluster_.list({type, "default", {}}, soon())->items) {
        out.push_back(type.kind + " " + std::string(kube::name_of(one)));
      }
    }
    return out;
  }
  kube::Object scaled_object() {
    return *cluster_.get({kScaledObject, "default", "storyteller-kserve-keda"}, soon());
  }
  // Passes of a controller that knows where Prometheus is.
  void settle_with_prometheus() {
    for (int i = 0; i < 4; ++i) {
      const auto done = pass(informed_);
      EXPECT_TRUE(done) << done.error().message();
    }
  }
  static Installation installation() {
    Installation out;
    out.plan.prometheus.url = "https://prometheus:9090";
    return out;
  }

  observe::Registry informed_metrics_;
  Reconciler informed_{{troubled_, clock_, informed_metrics_}, {installation(), 0}};

  void check(const kube::ObjectKey& key, const std::vector<Report>& reports) {
    for (const auto& one : reports) {
      SCOPED_TRACE(one.what);
      report(key, one.conditions);
      EXPECT_EQ(told("ScalingReady"), one.told);
    }
  }
};

TEST_F(ScalingTest, FollowsThePodAutoscaler) {  // llmisvc:I08
  scale("{maxReplicas: 3, wva: {hpa: {}}}");
  const kube::ObjectKey key{kAutoscaler, "default", "storyteller-kserve-hpa"};
  const char* healthy =
      "[{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'True'}]";
  const char* progressing = "False HPAProgressing: the autoscaler has not reported yet";
  check(key,
        {{"no conditions", "", progressing},
         {"healthy", healthy, "True"},
         {"no metric",
          "[{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'False', "
          "reason: FailedGetExternalMetric, message: no such metric}]",
          "False FailedGetExternalMetric: no such metric"},
         {"healthy again", healthy, "True"},
         {"no scale",
          "[{type: AbleToScale, status: 'False', reason: FailedGetScale, message: no "
          "deployment}, {type: ScalingActive, status: 'True'}]",
          "False FailedGetScale: no deployment"},
         {"at its limit",
          "[{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'True'}, "
          "{type: ScalingLimited, status: 'True', reason: TooManyReplicas, message: at most 3}]",
          "True"}});
  ASSERT_TRUE(cluster_.remove(key, {}, soon()));
  settle();
  EXPECT_EQ(told("ScalingReady"), progressing) << "made again, and has not reported";
}

TEST_F(ScalingTest, FollowsKeda) {  // llmisvc:I09
  scale("{maxReplicas: 4, keda: {triggers: [{type: cpu}]}}");
  const kube::ObjectKey key{kScaledObject, "default", "storyteller-kserve-keda"};
  const char* progressing = "False ScaledObjectProgressing: the autoscaler has not reported yet";
  check(
      key,
      {{"nil conditions", "", progressing},
       {"ready", "[{type: Ready, status: 'True'}]", "True"},
       {"not ready",
        "[{type: Ready, status: 'False', reason: TriggerError, message: no cpu metric}]",
        "False TriggerError: no cpu metric"},
       {"ready again", "[{type: Ready, status: 'True'}]", "True"},
       {"unknown", "[{type: Ready, status: Unknown, reason: X, message: y}]", progressing},
       {"paused", "[{type: Ready, status: 'True'}, {type: Paused, status: 'True', reason: Paused}]",
        "True"},
       {"falls back",
        "[{type: Ready, status: 'True'}, {type: Fallback, status: 'True', reason: F}]", "True"}});
  ASSERT_TRUE(cluster_.remove(key, {}, soon()));
  settle();
  EXPECT_EQ(told("ScalingReady"), progressing) << "made again, and has not reported";
}

TEST_F(ScalingTest, TellsOfPrefillApartAndForgetsWhatNoLongerScales) {  // llmisvc:I12
  create_quickstart();
  settle();
  EXPECT_EQ(told("ScalingReady"), "absent");
  EXPECT_EQ(told("PrefillScalingReady"), "absent");
  edit([](kube::Object& spec) {
    spec["prefill"].if_object()->erase("replicas");
    spec["prefill"]["scaling"] = parse("{maxReplicas: 2, wva: {hpa: {}}}");
  });
  settle();
  EXPECT_EQ(told("PrefillScalingReady"),
            "False HPAProgressing: the autoscaler has not reported yet");
  EXPECT_EQ(told("ScalingReady"), "absent");
  report({kAutoscaler, "default", "storyteller-kserve-prefill-hpa"},
         "[{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'True'}]");
  EXPECT_EQ(told("PrefillScalingReady"), "True");
  edit([](kube::Object& spec) { spec["prefill"].if_object()->erase("scaling"); });
  settle();
  EXPECT_EQ(told("PrefillScalingReady"), "absent");
}

TEST_F(ScalingTest, LeavesOneScalerWhenItIsSwitched) {  // llmisvc:I05
  const auto switch_to = [&](const char* scaling) {
    edit([&](kube::Object& spec) { spec["scaling"] = parse(scaling); });
    settle_with_prometheus();
  };
  const char* hpa = "{maxReplicas: 3, wva: {hpa: {}}}";
  const auto pod_autoscaler = ElementsAre("HorizontalPodAutoscaler storyteller-kserve-hpa");
  const auto keda = ElementsAre("ScaledObject storyteller-kserve-keda");
  create_quickstart();
  edit([&](kube::Object& spec) { spec.if_object()->erase("replicas"); });
  switch_to(hpa);
  EXPECT_THAT(scalers(), pod_autoscaler);
  switch_to("{maxReplicas: 3, wva: {keda: {}}}");
  EXPECT_THAT(scalers(), keda);
  EXPECT_EQ(kube::annotation(scaled_object(), "llm-d.ai/managed"), "true");
  switch_to("{maxReplicas: 3, keda: {triggers: [{type: cpu}]}}");
  EXPECT_THAT(scalers(), keda);
  EXPECT_EQ(kube::annotation(scaled_object(), "llm-d.ai/managed"), "");
  EXPECT_EQ(text::json::dump(*scaled_object().find_path({"spec", "triggers"})),
            R"([{"type":"cpu"}])");
  switch_to("{maxReplicas: 3, wva: {keda: {}}}");
  EXPECT_EQ(kube::annotation(scaled_object(), "llm-d.ai/managed"), "true");
  EXPECT_EQ(
      scaled_object().find_path({"spec", "triggers"})->if_array()->front().string_at({"type"}),
      "prometheus");
  switch_to(hpa);
  EXPECT_THAT(scalers(), pod_autoscaler);
  edit([&](kube::Object& spec) { spec.if_object()->erase("scaling"); });
  settle_with_prometheus();
  EXPECT_THAT(scalers(), IsEmpty());
}

TEST_F(ScalingTest, TakesTheScalersAwayWhenTheServiceStops) {  // llmisvc:I06
  const auto stop = [&](const char* value) {
    ReconcileTest::edit(
        [&](kube::Object& o) { o["metadata"]["annotations"]["serving.kserve.io/stop"] = value; });
    settle_with_prometheus();
  };
  create_quickstart();
  for (const std::string groups : {"", ", worker: {}, parallelism: {data: 2, dataLocal: 1}"}) {
    for (const std::string scaler : {"wva: {hpa: {}}", "wva: {keda: {}}"}) {
      const std::string part = "scaling: {maxReplicas: 3, " + scaler + "}" + groups;
      SCOPED_TRACE(part);
      edit([&](kube::Object& spec) {
        const auto model = *spec.find("model");
        spec = parse("{" + part + ", prefill: {" + part + "}}");
        spec["model"] = model;
      });
      stop("false");
      EXPECT_EQ(scalers().size(), 2U);
      stop("true");
      EXPECT_THAT(scalers(), IsEmpty());
      EXPECT_EQ(told("ScalingReady"), "absent");
    }
  }
}

TEST_F(ScalingTest, LeavesWhatKedaWritesAndNothingElse) {  // llmisvc:I10
  scale("{maxReplicas: 4, keda: {triggers: [{type: cpu}]}}");
  auto object = scaled_object();
  object["metadata"]["labels"]["scaledobject.keda.sh/name"] = "storyteller-kserve-keda";
  object["metadata"]["finalizers"] = parse("[finalizer.keda.sh]");
  ASSERT_TRUE(cluster_.update(object, kube::DryRun::kNo, soon()));
  const int writes = troubled_.writes();
  settle();
  EXPECT_EQ(troubled_.writes(), writes) << "nothing is undone, nothing is written back and forth";
  EXPECT_EQ(kube::label(scaled_object(), "scaledobject.keda.sh/name"), "storyteller-kserve-keda");

  object = scaled_object();
  object["metadata"]["labels"]["other"] = "x";
  ASSERT_TRUE(cluster_.update(object, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(kube::label(scaled_object(), "other"), "");
  EXPECT_EQ(kube::label(scaled_object(), "scaledobject.keda.sh/name"), "storyteller-kserve-keda");
  EXPECT_EQ(text::json::dump(*scaled_object().find_path({"metadata", "finalizers"})),
            R"(["finalizer.keda.sh"])");
}

TEST_F(ScalingTest, SaysWhatTheScalerLacks) {  // llmisvc:I11
  create_quickstart();
  edit([](kube::Object& spec) {
    spec.if_object()->erase("replicas");
    spec["scaling"] = parse("{maxReplicas: 3, wva: {keda: {}}}");
  });
  EXPECT_TRUE(pass());  // the finalizer
  EXPECT_FALSE(pass());
  EXPECT_THAT(told("MainWorkloadReady"),
              HasSubstr("autoscaling-wva-controller-config: prometheus.url: is required"));
  Installation half = installation();
  half.plan.prometheus.auth_modes = "bearer";
  observe::Registry metrics;
  Reconciler with_half({troubled_, clock_, metrics}, {half, 0});
  EXPECT_FALSE(pass(with_half));
  EXPECT_THAT(told("MainWorkloadReady"), HasSubstr("authModes and triggerAuthName go together"));
  EXPECT_THAT(scalers(), IsEmpty());

  troubled_.leave_out({"ScaledObject"});
  EXPECT_EQ(pass(informed_).error().code(), Code::kNotFound);
  EXPECT_THAT(told("MainWorkloadReady"),
              HasSubstr("ScalingCRDNotFound: keda.sh/v1alpha1 ScaledObject"));
  EXPECT_THAT(events("ScalingCRDNotFound"), ElementsAre(HasSubstr("ScaledObject")));
  troubled_.leave_out({});
  settle_with_prometheus();
  EXPECT_EQ(told("ScalingReady"),
            "False ScaledObjectProgressing: the autoscaler has not reported yet");
}

}  // namespace
}  // namespace baton::reconcile
