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

class ScalingTest : public ReconcileTest {
 protected:
  void edit(const std::function<void(kube::Object& spec)>& change) {
    auto object = service();
    change(object["spec"]);
    const auto written = cluster_.update(object, kube::DryRun::kNo, soon());
    ASSERT_TRUE(written) << written.error().message();
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

}  // namespace
}  // namespace baton::reconcile
