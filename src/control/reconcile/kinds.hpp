#pragma once
// The kinds a controller looks at, and what of each it keeps.

#include <functional>
#include <vector>

#include "net/kube/cache.hpp"

namespace baton::reconcile {

extern const kube::Type kService;        // LLMInferenceService
extern const kube::Type kServiceConfig;  // LLMInferenceServiceConfig
extern const kube::Type kConfigMap, kSecret, kServiceAccount, kCoreService, kPod, kDeployment,
    kLeaderWorkerSet, kGateway, kRoute, kPool, kOldPool, kClusterRoleBinding;

inline constexpr std::string_view kPartOfLabel = "app.kubernetes.io/part-of";
inline constexpr std::string_view kPartOf = "llminferenceservice";
inline constexpr std::string_view kNameLabel = "app.kubernetes.io/name";
// On the Service before a gateway.
inline constexpr std::string_view kGatewayNameLabel = "gateway.networking.k8s.io/gateway-name";

// What a service may own (plan::child_kinds).
const std::vector<kube::Type>& child_types();

// Everything that is followed. Workloads, pods and roles only with kPartOfLabel: a cluster has many
// others. Of Secrets no value is ever kept, of other people's ConfigMaps neither.
std::vector<kube::Cache::Kind> followed_kinds();

// Whether the cache keeps the ConfigMap's data.
bool keeps_data(const kube::Object& config_map);

}  // namespace baton::reconcile
