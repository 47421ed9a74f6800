#include "control/reconcile/steps.hpp"

namespace baton::reconcile {

Step step_of(const kube::Object& child) {
  const auto kind = child.string_at({"kind"});
  if (kind == "HTTPRoute") return Step::kRoute;
  if (kind == "InferencePool" || kind == "ClusterRoleBinding") return Step::kScheduler;
  if (kind == "Secret") return Step::kSecret;
  if (kind == "LeaderWorkerSet") return Step::kMultiNode;
  if (kind == "HorizontalPodAutoscaler" || kind == "ScaledObject" || kind == "VariantAutoscaling") {
    return Step::kScaling;
  }
  const auto component = kube::label(child, "app.kubernetes.io/component");
  if (component == "llminferenceservice-router-scheduler" || component == "tokenizer") {
    return Step::kScheduler;
  }
  if (kind == "Service") return Step::kWorkloadService;
  if (component.starts_with("llminferenceservice-workload-leader") ||
      component.starts_with("llminferenceservice-workload-worker")) {
    return Step::kMultiNode;
  }
  return Step::kSingleNode;
}

}  // namespace baton::reconcile
