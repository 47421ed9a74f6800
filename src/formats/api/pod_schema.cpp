// PodSpec and Container of core/v1. Deep enough for `kubectl explain`, for merging lists by name
// and for wrong types; what stands deeper, and fields of a newer Kubernetes, pass untouched.

#include "formats/api/schema_parts.hpp"

namespace baton::api {
namespace parts {
namespace {

using enum FieldType;

constexpr std::string_view kByName[] = {"name"};
constexpr std::string_view kByPort[] = {"containerPort", "protocol"};
constexpr std::string_view kByMountPath[] = {"mountPath"};
constexpr std::string_view kByDevicePath[] = {"devicePath"};

constexpr Field kPortFields[] = {
    {.name = "containerPort", .type = kInt, .needed = true},
    {.name = "name", .type = kString},
    {.name = "protocol", .type = kString, .preset = R"("TCP")"},
    {.name = "hostPort", .type = kInt},
    {.name = "hostIP", .type = kString},
};
constexpr Struct kPort{.fields = kPortFields, .open = true};

constexpr Field kEnvFields[] = {
    {.name = "name", .type = kString, .needed = true},
    {.name = "value", .type = kString},
    {.name = "valueFrom", .type = kRaw},
};
constexpr Struct kEnv{.fields = kEnvFields, .open = true};

constexpr Field kResourcesFields[] = {
    {.name = "limits", .type = kQuantityMap},
    {.name = "requests", .type = kQuantityMap},
    {.name = "claims", .type = kRaws},
};
constexpr Struct kResources{.fields = kResourcesFields, .open = true};

constexpr Field kMountFields[] = {
    {.name = "mountPath", .type = kString, .needed = true},
    {.name = "name", .type = kString},
    {.name = "readOnly", .type = kBool},
    {.name = "subPath", .type = kString},
    {.name = "subPathExpr", .type = kString},
    {.name = "mountPropagation", .type = kString},
    {.name = "recursiveReadOnly", .type = kString},
};
constexpr Struct kMount{.fields = kMountFields, .open = true};

constexpr Field kDeviceFields[] = {
    {.name = "devicePath", .type = kString, .needed = true},
    {.name = "name", .type = kString},
};
constexpr Struct kDevice{.fields = kDeviceFields, .open = true};

constexpr Field kNamedFields[] = {{.name = "name", .type = kString, .needed = true}};
constexpr Struct kNamed{.fields = kNamedFields, .open = true};

constexpr Field kContainerFields[] = {
    {.name = "name",
     .type = kString,
     .says = "Configurations merge containers by name; main is "
             "the engine's.",
     .needed = true},
    {.name = "image", .type = kString},
    {.name = "command", .type = kStrings},
    {.name = "args", .type = kStrings},
    {.name = "workingDir", .type = kString},
    {.name = "ports", .type = kRaws, .of = &kPort, .keys = kByPort},
    {.name = "envFrom", .type = kRaws},
    {.name = "env", .type = kRaws, .of = &kEnv, .keys = kByName},
    {.name = "resources", .type = kRaw, .of = &kResources},
    {.name = "resizePolicy", .type = kRaws},
    {.name = "restartPolicy", .type = kString},
    {.name = "restartPolicyRules", .type = kRaws},
    {.name = "volumeMounts", .type = kRaws, .of = &kMount, .keys = kByMountPath},
    {.name = "volumeDevices", .type = kRaws, .of = &kDevice, .keys = kByDevicePath},
    {.name = "livenessProbe", .type = kRaw},
    {.name = "readinessProbe", .type = kRaw},
    {.name = "startupProbe", .type = kRaw},
    {.name = "lifecycle", .type = kRaw},
    {.name = "stdin", .type = kBool},
    {.name = "stdinOnce", .type = kBool},
    {.name = "tty", .type = kBool},
    {.name = "imagePullPolicy", .type = kString},
    {.name = "securityContext", .type = kRaw},
    {.name = "terminationMessagePath", .type = kString},
    {.name = "terminationMessagePolicy", .type = kString},
};

constexpr Field kPodSpecFields[] = {
    {.name = "volumes", .type = kRaws, .of = &kNamed, .keys = kByName},
    {.name = "initContainers", .type = kRaws, .of = &kContainer, .keys = kByName},
    {.name = "containers", .type = kRaws, .of = &kContainer, .keys = kByName},
    {.name = "ephemeralContainers", .type = kRaws, .of = &kNamed, .keys = kByName},
    {.name = "restartPolicy", .type = kString},
    {.name = "terminationGracePeriodSeconds", .type = kLong},
    {.name = "activeDeadlineSeconds", .type = kLong},
    {.name = "dnsPolicy", .type = kString},
    {.name = "nodeSelector", .type = kStringMap},
    {.name = "serviceAccountName", .type = kString},
    {.name = "serviceAccount", .type = kString},
    {.name = "automountServiceAccountToken", .type = kBool},
    {.name = "nodeName", .type = kString},
    {.name = "hostNetwork", .type = kBool},
    {.name = "hostPID", .type = kBool},
    {.name = "hostIPC", .type = kBool},
    {.name = "hostUsers", .type = kBool},
    {.name = "shareProcessNamespace", .type = kBool},
    {.name = "securityContext", .type = kRaw},
    {.name = "imagePullSecrets", .type = kRaws, .of = &kNamed, .keys = kByName},
    {.name = "hostname", .type = kString},
    {.name = "hostnameOverride", .type = kString},
    {.name = "subdomain", .type = kString},
    {.name = "affinity", .type = kRaw},
    {.name = "schedulerName", .type = kString},
    {.name = "tolerations", .type = kRaws},
    {.name = "hostAliases", .type = kRaws},
    {.name = "priorityClassName", .type = kString},
    {.name = "priority", .type = kInt},
    {.name = "dnsConfig", .type = kRaw},
    {.name = "readinessGates", .type = kRaws},
    {.name = "runtimeClassName", .type = kString},
    {.name = "enableServiceLinks", .type = kBool},
    {.name = "preemptionPolicy", .type = kString},
    {.name = "overhead", .type = kQuantityMap},
    {.name = "topologySpreadConstraints", .type = kRaws},
    {.name = "setHostnameAsFQDN", .type = kBool},
    {.name = "os", .type = kRaw},
    {.name = "schedulingGates", .type = kRaws, .of = &kNamed, .keys = kByName},
    {.name = "resourceClaims", .type = kRaws, .of = &kNamed, .keys = kByName},
    {.name = "resources", .type = kRaw, .of = &kResources},
    {.name = "workloadRef", .type = kRaw},
};

}  // namespace

constinit const Struct kContainer{.fields = kContainerFields, .open = true};
constinit const Struct kPodSpec{.fields = kPodSpecFields, .open = true};

}  // namespace parts

const Struct& pod_spec() { return parts::kPodSpec; }
const Struct& container() { return parts::kContainer; }

}  // namespace baton::api
