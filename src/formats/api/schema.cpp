#include "formats/api/schema.hpp"

#include <array>
#include <utility>

#include "formats/api/schema_parts.hpp"

namespace baton::api {
namespace {

using enum FieldType;
using enum Versions;
using text::json::Array;
using text::json::Object;
using text::json::Value;

extern const Struct kModelSpec;

constexpr std::string_view kCriticalities[] = {"Critical", "Standard", "Sheddable"};

constexpr Field kLoraFields[] = {
    {.name = "adapters",
     .type = kObjects,
     .of = &kModelSpec,
     .says = "What to load beside the "
             "base model."},
    {.name = "maxRank", .type = kInt, .least = 1},
    {.name = "maxAdapters", .type = kInt, .least = 1, .says = "Adapters active at once."},
    {.name = "maxCpuAdapters", .type = kInt, .least = 1, .says = "Adapters kept in memory."},
};
constexpr Struct kLora{kLoraFields};

constexpr Field kConfidentialFields[] = {{.name = "enabled", .type = kBool, .needed = true},
                                         {.name = "resourceId",
                                          .type = kString,
                                          .says = "The key's place: kbs:///repository/type/tag."}};
constexpr Struct kConfidential{kConfidentialFields};

constexpr Field kModelFields[] = {
    {.name = "uri",
     .type = kString,
     .go_name = "URI",
     .says = "Where the weights are: hf://, s3://, pvc://, oci://, oci+native://."},
    {.name = "name", .type = kString, .says = "What clients ask for; else the service's name."},
    {.name = "criticality", .type = kString, .words = kCriticalities, .versions = kV1Alpha1},
    {.name = "lora", .type = kObject, .of = &kLora, .go_name = "LoRA"},
    {.name = "confidential",
     .type = kObject,
     .of = &kConfidential,
     .versions = kV1Alpha2,
     .says = "The weights are encrypted."},
};
const Struct kModelSpec{kModelFields};

constexpr Field kStorageInitializerFields[] = {
    {.name = "enabled", .type = kBool, .says = "false: nothing is downloaded or mounted."}};
constexpr Struct kStorageInitializer{kStorageInitializerFields};

constexpr Field kParallelismFields[] = {
    {.name = "tensor", .type = kInt, .least = 1},
    {.name = "pipeline", .type = kInt, .least = 1},
    {.name = "data", .type = kInt, .least = 1},
    {.name = "dataLocal", .type = kInt, .least = 1, .says = "Of data, those in one pod."},
    {.name = "dataRPCPort", .type = kInt, .least = 1, .most = parts::kMaxPort},
    {.name = "expert", .type = kBool},
};
constexpr Struct kParallelism{kParallelismFields};

constexpr std::string_view kEvictionPolicies[] = {"lru", "arc"};
constexpr Field kEmptyDirFields[] = {{.name = "size", .type = kQuantity}};
constexpr Struct kEmptyDir{kEmptyDirFields};
constexpr Field kPvcRefFields[] = {{.name = "name", .type = kString},
                                   {.name = "path", .type = kString}};
constexpr Struct kPvcRef{kPvcRefFields};
constexpr Field kPvcFields[] = {
    {.name = "spec", .type = kRaw, .says = "Of an ephemeral PersistentVolumeClaim."},
    {.name = "ref", .type = kObject, .of = &kPvcRef, .says = "A claim that exists."}};
constexpr Struct kPvc{kPvcFields};
constexpr Field kFileSystemFields[] = {
    {.name = "emptyDir", .type = kObject, .of = &kEmptyDir},
    {.name = "pvc", .type = kObject, .of = &kPvc, .go_name = "PVC"}};
constexpr Struct kFileSystem{kFileSystemFields};
constexpr Field kTierFields[] = {{.name = "fileSystem", .type = kObject, .of = &kFileSystem}};
constexpr Struct kTier{kTierFields};
constexpr Field kOffloadingFields[] = {
    {.name = "cpu", .type = kQuantity, .go_name = "CPU", .needed = true},
    {.name = "evictionPolicy", .type = kString, .words = kEvictionPolicies, .preset = R"("lru")"},
    {.name = "secondary", .type = kObjects, .of = &kTier, .says = "Slower tiers, in order."}};
constexpr Struct kOffloading{kOffloadingFields};

constexpr Field kRolloutFields[] = {{.name = "maxUnavailable", .type = kIntOrPercent},
                                    {.name = "maxSurge", .type = kIntOrPercent}};
constexpr Struct kRollout{kRolloutFields};

constexpr Field kGatewayRefFields[] = {{.name = "name", .type = kString, .needed = true},
                                       {.name = "namespace", .type = kString},
                                       {.name = "sectionName", .type = kString}};
constexpr Struct kGatewayRef{kGatewayRefFields};
constexpr Struct kIngressRef{std::span(kGatewayRefFields).first(2)};
constexpr Field kGatewayFields[] = {{.name = "refs", .type = kObjects, .of = &kGatewayRef}};
constexpr Struct kGateway{kGatewayFields};
constexpr Field kIngressFields[] = {{.name = "refs", .type = kObjects, .of = &kIngressRef}};
constexpr Struct kIngress{kIngressFields};

constexpr Field kHttpFields[] = {{.name = "refs",
                                  .type = kObjects,
                                  .of = &parts::kLocalRef,
                                  .says = "HTTPRoutes of your own, in the same namespace."},
                                 {.name = "spec",
                                  .type = kRaw,
                                  .of = &parts::kRouteSpec,
                                  .says = "An HTTPRouteSpec for the managed route."}};
constexpr Struct kHttp{kHttpFields};
constexpr Field kRouteFields[] = {
    {.name = "http", .type = kObject, .of = &kHttp, .go_name = "HTTP"},
    {.name = "group",
     .type = kString,
     .versions = kBoth,
     .says = "Services of one group share their traffic by weight.",
     .pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
     .shortest = 1,
     .longest = parts::kLongestLabel},
    {.name = "weight",
     .type = kInt,
     .least = 0,
     .most = 1'000'000,
     .says = "This service's share of its group's traffic."}};
constexpr Struct kRoute{kRouteFields};

constexpr Field kPoolFields[] = {
    {.name = "spec", .type = kRaw, .of = &parts::kXPoolSpec, .versions = kV1Alpha1},
    {.name = "spec", .type = kRaw, .of = &parts::kPoolSpec, .versions = kV1Alpha2},
    {.name = "ref",
     .type = kObject,
     .of = &parts::kLocalRef,
     .says = "An InferencePool of your own, with its own picker."}};
constexpr Struct kPool{kPoolFields};
constexpr Field kConfigRefFields[] = {{.name = "name", .type = kString},
                                      {.name = "key", .type = kString, .says = "Else epp."},
                                      {.name = "optional", .type = kBool}};
constexpr Struct kConfigRef{kConfigRefFields};
constexpr Field kPickerConfigFields[] = {
    {.name = "inline", .type = kRaw, .says = "An EndpointPickerConfig, as an object."},
    {.name = "ref", .type = kObject, .of = &kConfigRef, .says = "A ConfigMap that holds it."}};
constexpr Struct kPickerConfig{kPickerConfigFields};
constexpr Field kTokenizerFields[] = {
    {.name = "template", .type = kPodSpec, .of = &parts::kPodSpec}};
constexpr Struct kTokenizer{kTokenizerFields};
constexpr Field kSchedulerFields[] = {
    {.name = "pool", .type = kObject, .of = &kPool},
    {.name = "template",
     .type = kPodSpec,
     .of = &parts::kPodSpec,
     .says = "The endpoint picker's pod."},
    {.name = "labels", .type = kStringMap},
    {.name = "annotations", .type = kStringMap},
    {.name = "replicas", .type = kInt, .least = 1},
    {.name = "config", .type = kObject, .of = &kPickerConfig},
    {.name = "tokenizer", .type = kObject, .of = &kTokenizer},
};
constexpr Struct kScheduler{kSchedulerFields};

constexpr Field kRouterFields[] = {
    {.name = "route", .type = kObject, .of = &kRoute, .says = "{}: a managed HTTPRoute."},
    {.name = "gateway", .type = kObject, .of = &kGateway, .says = "{}: the default gateway."},
    {.name = "ingress", .type = kObject, .of = &kIngress, .says = "Has no effect."},
    {.name = "scheduler",
     .type = kObject,
     .of = &kScheduler,
     .says = "{}: an endpoint picker decides which pod answers."},
};
constexpr Struct kRouter{kRouterFields};

constexpr Field kTracingFields[] = {{.name = "exporterEndpoint", .type = kString},
                                    {.name = "sampler", .type = kString},
                                    {.name = "samplerArg", .type = kString},
                                    {.name = "exporter", .type = kString}};
constexpr Struct kTracing{kTracingFields};

constexpr Field kWorkloadFields[] = {
    {.name = "replicas",
     .type = kInt,
     .least = 0,
     .says = "Unset: whatever the workload has, others may scale it."},
    {.name = "scaling", .type = kObject, .of = &parts::kScaling, .says = "Excludes replicas."},
    {.name = "parallelism", .type = kObject, .of = &kParallelism},
    {.name = "labels", .type = kStringMap, .says = "Of pods and Service."},
    {.name = "annotations", .type = kStringMap, .says = "Of pods and Service."},
    {.name = "template",
     .type = kPodSpec,
     .of = &parts::kPodSpec,
     .says = "The engine's pod; the leader's with worker."},
    {.name = "worker",
     .type = kPodSpec,
     .of = &parts::kPodSpec,
     .says = "The pods of a group beside its leader; {} makes groups of the preset's."},
    {.name = "kvCacheOffloading",
     .type = kObject,
     .of = &kOffloading,
     .go_name = "KVCacheOffloading",
     .versions = kV1Alpha2,
     .says = "Where KV cache goes that the accelerator has no room for."},
    {.name = "rolloutStrategy", .type = kObject, .of = &kRollout},
};
constexpr std::size_t kWorkloadSize = std::size(kWorkloadFields);
constexpr Rule kWorkloadRules[] = {
    {"!(has(self.replicas) && has(self.scaling))", "replicas and scaling exclude each other"},
};
constexpr Struct kWorkload{.fields = kWorkloadFields, .rules = kWorkloadRules};

constexpr Field kServiceOnlyFields[] = {
    {.name = "model", .type = kObject, .of = &kModelSpec},
    {.name = "storageInitializer", .type = kObject, .of = &kStorageInitializer},
    {.name = "prefill",
     .type = kObject,
     .of = &kWorkload,
     .says = "Pods that only read prompts; the others then only write answers."},
    {.name = "router", .type = kObject, .of = &kRouter, .says = "How requests reach the pods."},
    {.name = "tracing",
     .type = kObject,
     .of = &kTracing,
     .says = "{}: OpenTelemetry tracing of picker and engines."},
    {.name = "baseRefs",
     .type = kObjects,
     .of = &parts::kLocalRef,
     .says = "LLMInferenceServiceConfigs below this spec, the last one on top."},
};

// The decode workload is inline in the spec.
constexpr auto kServiceFields = [] {
  std::array<Field, std::size(kServiceOnlyFields) + kWorkloadSize> all{};
  std::size_t n = 0;
  for (const Field& field : kServiceOnlyFields) all[n++] = field;
  for (const Field& field : kWorkloadFields) all[n++] = field;
  return all;
}();
constexpr Struct kServiceSpec{.fields = kServiceFields, .rules = kWorkloadRules};

Value viewed(const Field& field, const Value& value) {
  if (field.type == kObject) return template_view(*field.of, value);
  const Array* items = value.if_array();
  if (field.type != kObjects || items == nullptr) return value;
  Array out;
  for (const Value& item : *items) out.push_back(template_view(*field.of, item));
  return out;
}

}  // namespace

namespace parts {
namespace {
constexpr Field kLocalRefFields[] = {{.name = "name", .type = kString}};
}  // namespace
constinit const Struct kLocalRef{kLocalRefFields};
}  // namespace parts

const Field* Struct::find(std::string_view name) const {
  for (const Field& field : fields) {
    if (field.name == name && field.versions != kV1Alpha1) return &field;
  }
  return nullptr;
}

const Struct& service_spec() { return kServiceSpec; }

Value template_view(const Struct& type, const Value& value) {
  if (!value.is_object()) return value;
  Object out;
  for (const Field& field : type.fields) {
    if (field.versions == kV1Alpha1) continue;
    const Value* member = value.find(field.name);
    out.append(std::string(field.go_name.empty() ? field.name : field.go_name),
               member == nullptr ? Value() : viewed(field, *member));
  }
  return out;
}

}  // namespace baton::api
