// spec.scaling, and the rules that the API server holds it to.

#include "formats/api/schema_parts.hpp"

namespace baton::api::parts {
namespace {

using enum FieldType;

constexpr Field kModifierFields[] = {
    {.name = "formula", .type = kString},
    {.name = "target", .type = kString},
    {.name = "activationTarget", .type = kString},
    {.name = "metricType", .type = kString},
};
constexpr Struct kModifiers{.fields = kModifierFields};
constexpr Field kHpaConfigFields[] = {
    {.name = "name", .type = kString},
    {.name = "behavior", .type = kRaw},
};
constexpr Struct kHpaConfig{.fields = kHpaConfigFields, .open = true};
constexpr Field kAdvancedFields[] = {
    {.name = "restoreToOriginalReplicaCount", .type = kBool},
    {.name = "horizontalPodAutoscalerConfig", .type = kRaw, .of = &kHpaConfig},
    {.name = "scalingModifiers", .type = kRaw, .of = &kModifiers},
};
constexpr Struct kAdvanced{.fields = kAdvancedFields, .open = true};

constexpr Field kKedaFields[] = {
    {.name = "pollingInterval", .type = kInt, .least = 1, .says = "Seconds between two looks."},
    {.name = "cooldownPeriod",
     .type = kInt,
     .least = 0,
     .says = "Seconds without an active trigger before scaling to idleReplicaCount."},
    {.name = "initialCooldownPeriod",
     .type = kInt,
     .least = 0,
     .says = "Seconds before the first scaling down."},
    {.name = "idleReplicaCount",
     .type = kInt,
     .least = 0,
     .says = "Replicas while no trigger is active; below minReplicas."},
    {.name = "fallback", .type = kRaw, .says = "As in a ScaledObject."},
    {.name = "advanced",
     .type = kRaw,
     .of = &kAdvanced,
     .says = "As in a ScaledObject, without the name of the autoscaler."},
    {.name = "triggers",
     .type = kRaws,
     .says = "As in a ScaledObject; at least one.",
     .needed = true,
     .shortest = 1},
};
constexpr Rule kAutoscalerNameRule = {
    "!has(self.advanced) || !has(self.advanced.horizontalPodAutoscalerConfig) || "
    "!has(self.advanced.horizontalPodAutoscalerConfig.name) || "
    "self.advanced.horizontalPodAutoscalerConfig.name == ''",
    "horizontalPodAutoscalerConfig.name must be empty: the controller names the autoscaler"};
constexpr Rule kDirectKedaRules[] = {kAutoscalerNameRule};
constexpr Rule kWvaKedaRules[] = {
    kAutoscalerNameRule,
    {"!has(self.advanced) || !has(self.advanced.scalingModifiers) || "
     "(!has(self.advanced.scalingModifiers.formula) || self.advanced.scalingModifiers.formula == "
     "'') && (!has(self.advanced.scalingModifiers.target) || "
     "self.advanced.scalingModifiers.target == '') && "
     "(!has(self.advanced.scalingModifiers.activationTarget) || "
     "self.advanced.scalingModifiers.activationTarget == '') && "
     "(!has(self.advanced.scalingModifiers.metricType) || "
     "self.advanced.scalingModifiers.metricType == '')",
     "scalingModifiers must be empty: the variant autoscaler computes the metric"},
};
constexpr Struct kDirectKeda{.fields = kKedaFields, .rules = kDirectKedaRules};
constexpr Struct kWvaKeda{.fields = std::span(kKedaFields).first(6), .rules = kWvaKedaRules};

constexpr Field kHpaFields[] = {{.name = "behavior",
                                 .type = kRaw,
                                 .says = "As in a HorizontalPodAutoscaler (autoscaling/v2)."}};
constexpr Struct kHpa{.fields = kHpaFields};

constexpr Field kWvaFields[] = {
    {.name = "variantCost",
     .type = kString,
     .says = "What a replica of this variant costs, relative to others.",
     .preset = R"("10.0")",
     .pattern = R"(^\d+(\.\d+)?$)"},
    {.name = "hpa",
     .type = kObject,
     .of = &kHpa,
     .go_name = "HPA",
     .says = "Scale by a HorizontalPodAutoscaler."},
    {.name = "keda",
     .type = kObject,
     .of = &kWvaKeda,
     .go_name = "KEDA",
     .says = "Scale by a KEDA ScaledObject."},
};
constexpr Rule kWvaRules[] = {
    {"!(has(self.hpa) && has(self.keda))", "hpa and keda exclude each other"},
    {"has(self.hpa) || has(self.keda)", "one of hpa and keda is required"},
};
constexpr Struct kWva{.fields = kWvaFields, .rules = kWvaRules};

constexpr Field kScalingFields[] = {
    {.name = "minReplicas", .type = kInt, .least = 1, .preset = "1"},
    {.name = "maxReplicas", .type = kInt, .least = 1, .needed = true},
    {.name = "wva",
     .type = kObject,
     .of = &kWva,
     .go_name = "WVA",
     .says = "The workload variant autoscaler decides how many replicas there should be."},
    {.name = "keda",
     .type = kObject,
     .of = &kDirectKeda,
     .go_name = "KEDA",
     .says = "Triggers of your own decide."},
};
constexpr Rule kScalingRules[] = {
    {"has(self.wva) || has(self.keda)", "one of wva and keda is required"},
    {"!(has(self.wva) && has(self.keda))", "wva and keda exclude each other"},
    {"!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
     "minReplicas must not be above maxReplicas"},
    {"!has(self.wva) || !has(self.wva.keda) || !has(self.wva.keda.idleReplicaCount) || "
     "has(self.minReplicas) && self.wva.keda.idleReplicaCount < self.minReplicas",
     "idleReplicaCount needs minReplicas and must be below it"},
    {"!has(self.keda) || !has(self.keda.idleReplicaCount) || "
     "has(self.minReplicas) && self.keda.idleReplicaCount < self.minReplicas",
     "idleReplicaCount needs minReplicas and must be below it"},
};

}  // namespace

constinit const Struct kScaling{.fields = kScalingFields, .rules = kScalingRules};

}  // namespace baton::api::parts
