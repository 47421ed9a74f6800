// The status of services and configurations: what the reconciler writes.

#include "formats/api/schema_parts.hpp"

namespace baton::api {
namespace parts {
namespace {

using enum FieldType;
using enum Versions;

constexpr std::string_view kByStatusName[] = {"name"};

constexpr Field kConditionFields[] = {
    {.name = "type", .type = kString, .needed = true},
    {.name = "status", .type = kString, .needed = true},
    {.name = "severity", .type = kString, .says = "Info: does not count for Ready."},
    {.name = "reason", .type = kString},
    {.name = "message", .type = kString},
    {.name = "lastTransitionTime", .type = kString},
};
constexpr Struct kCondition{.fields = kConditionFields};

constexpr Field kObjectRefFields[] = {
    {.name = "group", .type = kString, .needed = true},
    {.name = "kind", .type = kString, .needed = true},
    {.name = "name", .type = kString, .needed = true},
    {.name = "namespace", .type = kString},
};
constexpr Struct kObjectRef{.fields = kObjectRefFields};

constexpr Field kGatewayFields[] = {
    {.name = "group", .type = kString, .needed = true},
    {.name = "kind", .type = kString, .needed = true},
    {.name = "name", .type = kString, .needed = true},
    {.name = "namespace", .type = kString},
    {.name = "listeners", .type = kStrings, .says = "Those that the routes hang on."},
    {.name = "httpRoutes", .type = kObjects, .of = &kObjectRef},
};
constexpr Struct kGateway{.fields = kGatewayFields};

constexpr Field kModelFields[] = {{.name = "name", .type = kString, .needed = true}};
constexpr Struct kModel{.fields = kModelFields};

constexpr Field kAddressFields[] = {
    {.name = "name", .type = kString},
    {.name = "url", .type = kString},
    {.name = "CACerts", .type = kString},
    {.name = "audience", .type = kString},
    {.name = "origin",
     .type = kObject,
     .of = &kObjectRef,
     .versions = kV1Alpha2,
     .says = "What the address belongs to."},
    {.name = "models",
     .type = kObjects,
     .of = &kModel,
     .versions = kV1Alpha2,
     .says = "What can be asked for there."},
};
constexpr Struct kAddress{.fields = kAddressFields};

constexpr Field kBackendRefFields[] = {
    {.name = "group", .type = kString},
    {.name = "kind", .type = kString},
    {.name = "name", .type = kString, .needed = true},
    {.name = "namespace", .type = kString},
    {.name = "port", .type = kInt, .least = 1, .most = kMaxPort},
};
constexpr Rule kBackendRefRules[] = {
    {"has(self.group) && self.group != '' || has(self.kind) && self.kind != 'Service' || "
     "has(self.port)",
     "a Service needs a port"},
};
constexpr Struct kBackendRef{.fields = kBackendRefFields, .rules = kBackendRefRules};

constexpr Field kMemberFields[] = {
    {.name = "name", .type = kString, .needed = true},
    {.name = "weight", .type = kInt, .needed = true},
    {.name = "stopped", .type = kBool},
    {.name = "backendRef", .type = kObject, .of = &kBackendRef},
};
constexpr Struct kMember{.fields = kMemberFields};
constexpr Field kGroupFields[] = {
    {.name = "name", .type = kString, .needed = true},
    {.name = "members", .type = kObjects, .of = &kMember, .keys = kByStatusName},
};
constexpr Struct kGroup{.fields = kGroupFields};

constexpr Field kSchedulerFields[] = {
    {.name = "inferencePool", .type = kObject, .of = &kObjectRef},
    {.name = "service", .type = kObject, .of = &kObjectRef},
};
constexpr Struct kScheduler{.fields = kSchedulerFields};

constexpr Field kRouterFields[] = {
    {.name = "gateways", .type = kObjects, .of = &kGateway},
    {.name = "scheduler", .type = kObject, .of = &kScheduler},
    {.name = "group", .type = kObject, .of = &kGroup, .versions = kV1Alpha2},
};
constexpr Struct kRouter{.fields = kRouterFields};

constexpr Field kWorkloadFields[] = {
    {.name = "apiGroup", .type = kString},
    {.name = "kind", .type = kString, .needed = true},
    {.name = "name", .type = kString, .needed = true},
    {.name = "readyReplicas", .type = kInt},
};
constexpr Struct kWorkload{.fields = kWorkloadFields};
constexpr Field kWorkloadsFields[] = {
    {.name = "primary", .type = kObject, .of = &kWorkload},
    {.name = "prefill", .type = kObject, .of = &kWorkload},
    {.name = "scheduler", .type = kObject, .of = &kWorkload},
    {.name = "service", .type = kObject, .of = &kWorkload},
};
constexpr Struct kWorkloads{.fields = kWorkloadsFields};

constexpr std::string_view kSources[] = {"Preset", "UserRef"};
constexpr Field kAppliedFields[] = {
    {.name = "name", .type = kString, .needed = true},
    {.name = "namespace", .type = kString, .needed = true},
    {.name = "source", .type = kString, .words = kSources, .needed = true},
};
constexpr Struct kApplied{.fields = kAppliedFields};

constexpr Field kServiceFields[] = {
    {.name = "observedGeneration", .type = kLong},
    {.name = "conditions", .type = kObjects, .of = &kCondition},
    {.name = "annotations",
     .type = kStringMap,
     .says = "The presets that the service was made with, by well-known name."},
    {.name = "url", .type = kString, .says = "Where to send requests."},
    {.name = "address", .type = kObject, .of = &kAddress, .says = "Not written; see addresses."},
    {.name = "addresses", .type = kObjects, .of = &kAddress},
    {.name = "router", .type = kObject, .of = &kRouter},
    {.name = "workloads", .type = kObject, .of = &kWorkloads, .versions = kV1Alpha2},
    {.name = "appliedConfigs",
     .type = kObjects,
     .of = &kApplied,
     .versions = kV1Alpha2,
     .says = "In the order they were merged."},
};
constexpr Struct kService{.fields = kServiceFields};

constexpr Field kUserFields[] = {
    {.name = "name", .type = kString},
    {.name = "namespace", .type = kString},
};
constexpr Struct kUser{.fields = kUserFields};
constexpr Field kConfigFields[] = {
    {.name = "observedGeneration", .type = kLong},
    {.name = "conditions", .type = kObjects, .of = &kCondition},
    {.name = "annotations", .type = kStringMap},
    {.name = "referencedBy", .type = kObjects, .of = &kUser, .versions = kV1Alpha2},
};
constexpr Struct kConfig{.fields = kConfigFields};

}  // namespace
}  // namespace parts

const Struct& service_status() { return parts::kService; }
const Struct& config_status() { return parts::kConfig; }

}  // namespace baton::api
