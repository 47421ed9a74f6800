#include "formats/api/schema.hpp"

#include <array>
#include <utility>

namespace baton::api {
namespace {

using enum FieldType;
using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::int64_t kMaxWeight = 1'000'000;
constexpr std::int64_t kMaxPort = 65535;

extern const Struct kModelSpec;

// A name in the same namespace.
constexpr Field kLocalRefFields[] = {{.name = "name", .type = kString}};
constexpr Struct kLocalRef{kLocalRefFields};

constexpr Field kLoraFields[] = {
    {.name = "adapters", .type = kObjects, .of = &kModelSpec},
    {.name = "maxRank", .type = kInt, .least = 1},
    {.name = "maxAdapters", .type = kInt, .least = 1},
    {.name = "maxCpuAdapters", .type = kInt, .least = 1},
};
constexpr Struct kLora{kLoraFields};

constexpr Field kConfidentialFields[] = {{.name = "enabled", .type = kBool},
                                         {.name = "resourceId", .type = kString}};
constexpr Struct kConfidential{kConfidentialFields};

constexpr Field kModelFields[] = {
    {.name = "uri", .type = kString, .go_name = "URI"},
    {.name = "name", .type = kString},
    {.name = "lora", .type = kObject, .of = &kLora, .go_name = "LoRA"},
    {.name = "confidential", .type = kObject, .of = &kConfidential},
};
const Struct kModelSpec{kModelFields};

constexpr Field kStorageInitializerFields[] = {{.name = "enabled", .type = kBool}};
constexpr Struct kStorageInitializer{kStorageInitializerFields};

constexpr Field kKedaFields[] = {
    {.name = "pollingInterval", .type = kInt, .least = 1},
    {.name = "cooldownPeriod", .type = kInt, .least = 0},
    {.name = "initialCooldownPeriod", .type = kInt, .least = 0},
    {.name = "idleReplicaCount", .type = kInt, .least = 0},
    {.name = "fallback", .type = kRaw},
    {.name = "advanced", .type = kRaw},
    {.name = "triggers", .type = kRaws},
};
constexpr Struct kDirectKeda{kKedaFields};
constexpr Struct kWvaKeda{std::span(kKedaFields).first(6)};

constexpr Field kHpaFields[] = {{.name = "behavior", .type = kRaw}};
constexpr Struct kHpa{kHpaFields};
constexpr Field kWvaFields[] = {
    {.name = "variantCost", .type = kString},
    {.name = "hpa", .type = kObject, .of = &kHpa, .go_name = "HPA"},
    {.name = "keda", .type = kObject, .of = &kWvaKeda, .go_name = "KEDA"},
};
constexpr Struct kWva{kWvaFields};
constexpr Field kScalingFields[] = {
    {.name = "minReplicas", .type = kInt, .least = 1},
    {.name = "maxReplicas", .type = kInt, .least = 1},
    {.name = "wva", .type = kObject, .of = &kWva, .go_name = "WVA"},
    {.name = "keda", .type = kObject, .of = &kDirectKeda, .go_name = "KEDA"},
};
constexpr Struct kScaling{kScalingFields};

constexpr Field kParallelismFields[] = {
    {.name = "tensor", .type = kInt, .least = 1},
    {.name = "pipeline", .type = kInt, .least = 1},
    {.name = "data", .type = kInt, .least = 1},
    {.name = "dataLocal", .type = kInt, .least = 1},
    {.name = "dataRPCPort", .type = kInt, .least = 1, .most = kMaxPort},
    {.name = "expert", .type = kBool},
};
constexpr Struct kParallelism{kParallelismFields};

constexpr std::string_view kEvictionPolicies[] = {"lru", "arc"};
constexpr Field kEmptyDirFields[] = {{.name = "size", .type = kQuantity}};
constexpr Struct kEmptyDir{kEmptyDirFields};
constexpr Field kPvcRefFields[] = {{.name = "name", .type = kString},
                                   {.name = "path", .type = kString}};
constexpr Struct kPvcRef{kPvcRefFields};
constexpr Field kPvcFields[] = {{.name = "spec", .type = kRaw},
                                {.name = "ref", .type = kObject, .of = &kPvcRef}};
constexpr Struct kPvc{kPvcFields};
constexpr Field kFileSystemFields[] = {
    {.name = "emptyDir", .type = kObject, .of = &kEmptyDir},
    {.name = "pvc", .type = kObject, .of = &kPvc, .go_name = "PVC"}};
constexpr Struct kFileSystem{kFileSystemFields};
constexpr Field kTierFields[] = {{.name = "fileSystem", .type = kObject, .of = &kFileSystem}};
constexpr Struct kTier{kTierFields};
constexpr Field kOffloadingFields[] = {
    {.name = "cpu", .type = kQuantity, .go_name = "CPU"},
    {.name = "evictionPolicy", .type = kString, .words = kEvictionPolicies},
    {.name = "secondary", .type = kObjects, .of = &kTier}};
constexpr Struct kOffloading{kOffloadingFields};

constexpr Field kRolloutFields[] = {{.name = "maxUnavailable", .type = kIntOrPercent},
                                    {.name = "maxSurge", .type = kIntOrPercent}};
constexpr Struct kRollout{kRolloutFields};

constexpr Field kGatewayRefFields[] = {{.name = "name", .type = kString},
                                       {.name = "namespace", .type = kString},
                                       {.name = "sectionName", .type = kString}};
constexpr Struct kGatewayRef{kGatewayRefFields};
constexpr Struct kIngressRef{std::span(kGatewayRefFields).first(2)};
constexpr Field kGatewayFields[] = {{.name = "refs", .type = kObjects, .of = &kGatewayRef}};
constexpr Struct kGateway{kGatewayFields};
constexpr Field kIngressFields[] = {{.name = "refs", .type = kObjects, .of = &kIngressRef}};
constexpr Struct kIngress{kIngressFields};

constexpr Field kHttpFields[] = {{.name = "refs", .type = kObjects, .of = &kLocalRef},
                                 {.name = "spec", .type = kRaw}};
constexpr Struct kHttp{kHttpFields};
constexpr Field kRouteFields[] = {
    {.name = "http", .type = kObject, .of = &kHttp, .go_name = "HTTP"},
    {.name = "group", .type = kString},
    {.name = "weight", .type = kInt, .least = 0, .most = kMaxWeight}};
constexpr Struct kRoute{kRouteFields};

constexpr Field kPoolFields[] = {{.name = "spec", .type = kRaw},
                                 {.name = "ref", .type = kObject, .of = &kLocalRef}};
constexpr Struct kPool{kPoolFields};
constexpr Field kConfigRefFields[] = {{.name = "name", .type = kString},
                                      {.name = "key", .type = kString},
                                      {.name = "optional", .type = kBool}};
constexpr Struct kConfigRef{kConfigRefFields};
constexpr Field kPickerConfigFields[] = {{.name = "inline", .type = kRaw},
                                         {.name = "ref", .type = kObject, .of = &kConfigRef}};
constexpr Struct kPickerConfig{kPickerConfigFields};
constexpr Field kTokenizerFields[] = {{.name = "template", .type = kPodSpec}};
constexpr Struct kTokenizer{kTokenizerFields};
constexpr Field kSchedulerFields[] = {
    {.name = "pool", .type = kObject, .of = &kPool},
    {.name = "template", .type = kPodSpec},
    {.name = "labels", .type = kStringMap},
    {.name = "annotations", .type = kStringMap},
    {.name = "replicas", .type = kInt, .least = 1},
    {.name = "config", .type = kObject, .of = &kPickerConfig},
    {.name = "tokenizer", .type = kObject, .of = &kTokenizer},
};
constexpr Struct kScheduler{kSchedulerFields};

constexpr Field kRouterFields[] = {
    {.name = "route", .type = kObject, .of = &kRoute},
    {.name = "gateway", .type = kObject, .of = &kGateway},
    {.name = "ingress", .type = kObject, .of = &kIngress},
    {.name = "scheduler", .type = kObject, .of = &kScheduler},
};
constexpr Struct kRouter{kRouterFields};

constexpr Field kTracingFields[] = {{.name = "exporterEndpoint", .type = kString},
                                    {.name = "sampler", .type = kString},
                                    {.name = "samplerArg", .type = kString},
                                    {.name = "exporter", .type = kString}};
constexpr Struct kTracing{kTracingFields};

constexpr Field kWorkloadFields[] = {
    {.name = "replicas", .type = kInt, .least = 0},
    {.name = "scaling", .type = kObject, .of = &kScaling},
    {.name = "parallelism", .type = kObject, .of = &kParallelism},
    {.name = "labels", .type = kStringMap},
    {.name = "annotations", .type = kStringMap},
    {.name = "template", .type = kPodSpec},
    {.name = "worker", .type = kPodSpec},
    {.name = "kvCacheOffloading",
     .type = kObject,
     .of = &kOffloading,
     .go_name = "KVCacheOffloading"},
    {.name = "rolloutStrategy", .type = kObject, .of = &kRollout},
};
constexpr std::size_t kWorkloadSize = std::size(kWorkloadFields);
constexpr Struct kWorkload{kWorkloadFields};

constexpr Field kServiceOnlyFields[] = {
    {.name = "model", .type = kObject, .of = &kModelSpec},
    {.name = "storageInitializer", .type = kObject, .of = &kStorageInitializer},
    {.name = "prefill", .type = kObject, .of = &kWorkload},
    {.name = "router", .type = kObject, .of = &kRouter},
    {.name = "tracing", .type = kObject, .of = &kTracing},
    {.name = "baseRefs", .type = kObjects, .of = &kLocalRef},
};

// The decode workload is inline in the spec.
constexpr auto kServiceFields = [] {
  std::array<Field, std::size(kServiceOnlyFields) + kWorkloadSize> all{};
  std::size_t n = 0;
  for (const Field& field : kServiceOnlyFields) all[n++] = field;
  for (const Field& field : kWorkloadFields) all[n++] = field;
  return all;
}();
constexpr Struct kServiceSpec{kServiceFields};

constexpr std::string_view kContainerFields[] = {"name",
                                                 "image",
                                                 "command",
                                                 "args",
                                                 "workingDir",
                                                 "ports",
                                                 "envFrom",
                                                 "env",
                                                 "resources",
                                                 "resizePolicy",
                                                 "restartPolicy",
                                                 "restartPolicyRules",
                                                 "volumeMounts",
                                                 "volumeDevices",
                                                 "livenessProbe",
                                                 "readinessProbe",
                                                 "startupProbe",
                                                 "lifecycle",
                                                 "stdin",
                                                 "stdinOnce",
                                                 "tty",
                                                 "imagePullPolicy",
                                                 "securityContext",
                                                 "terminationMessagePath",
                                                 "terminationMessagePolicy"};

constexpr std::string_view kPodSpecFields[] = {"volumes",
                                               "initContainers",
                                               "containers",
                                               "ephemeralContainers",
                                               "restartPolicy",
                                               "terminationGracePeriodSeconds",
                                               "activeDeadlineSeconds",
                                               "dnsPolicy",
                                               "nodeSelector",
                                               "serviceAccountName",
                                               "serviceAccount",
                                               "automountServiceAccountToken",
                                               "nodeName",
                                               "hostNetwork",
                                               "hostPID",
                                               "hostIPC",
                                               "hostUsers",
                                               "shareProcessNamespace",
                                               "securityContext",
                                               "imagePullSecrets",
                                               "hostname",
                                               "hostnameOverride",
                                               "subdomain",
                                               "affinity",
                                               "schedulerName",
                                               "tolerations",
                                               "hostAliases",
                                               "priorityClassName",
                                               "priority",
                                               "dnsConfig",
                                               "readinessGates",
                                               "runtimeClassName",
                                               "enableServiceLinks",
                                               "preemptionPolicy",
                                               "overhead",
                                               "topologySpreadConstraints",
                                               "setHostnameAsFQDN",
                                               "os",
                                               "schedulingGates",
                                               "resourceClaims",
                                               "resources",
                                               "workloadRef"};

Value viewed(const Field& field, const Value& value) {
  if (field.type == kObject) return template_view(*field.of, value);
  const Array* items = value.if_array();
  if (field.type != kObjects || items == nullptr) return value;
  Array out;
  for (const Value& item : *items) out.push_back(template_view(*field.of, item));
  return out;
}

}  // namespace

const Field* Struct::find(std::string_view name) const {
  for (const Field& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

const Struct& service_spec() { return kServiceSpec; }

Value template_view(const Struct& type, const Value& value) {
  if (!value.is_object()) return value;
  Object out;
  for (const Field& field : type.fields) {
    const Value* member = value.find(field.name);
    out.append(std::string(field.go_name.empty() ? field.name : field.go_name),
               member == nullptr ? Value() : viewed(field, *member));
  }
  return out;
}

std::span<const std::string_view> container_fields() { return kContainerFields; }
std::span<const std::string_view> pod_spec_fields() { return kPodSpecFields; }

}  // namespace baton::api
