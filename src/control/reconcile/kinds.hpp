#pragma once
// The kinds a controller looks at, and what of each it keeps.

#include <functional>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
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
// others. Of Secrets no value is ever kept, of other people's ConfigMaps neither. By what services
// are found (found_by.hpp) depends on the prefix of presets' names.
std::vector<kube::Cache::Kind> followed_kinds(
    const std::string& config_prefix = plan::Settings().config_prefix);

// Whether the cache keeps the ConfigMap's data.
bool keeps_data(const kube::Object& config_map);

}  // namespace baton::reconcile
