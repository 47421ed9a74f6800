#include "control/plan/plan.hpp"

namespace baton::plan {

const std::vector<ChildKind>& child_kinds() {
  static const std::vector<ChildKind> kKinds = {
      {"", "v1", "ServiceAccount"},
      {"rbac.authorization.k8s.io", "v1", "Role"},
      {"rbac.authorization.k8s.io", "v1", "RoleBinding"},
      {"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"},
      {"", "v1", "Secret"},
      {"", "v1", "ConfigMap"},
      {"resource.k8s.io", "v1", "ResourceClaimTemplate"},
      {"apps", "v1", "Deployment"},
      {"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"},
      {"", "v1", "Service"},
      {"autoscaling", "v2", "HorizontalPodAutoscaler"},
      {"keda.sh", "v1alpha1", "ScaledObject"},
      // Made by upstream releases of 2025; never by plan().
      {"llmd.ai", "v1alpha1", "VariantAutoscaling"},
      {"inference.networking.k8s.io", "v1", "InferencePool"},
      {"inference.networking.x-k8s.io", "v1alpha2", "InferencePool"},
      {"gateway.networking.k8s.io", "v1", "HTTPRoute"},
  };
  return kKinds;
}

}  // namespace baton::plan
