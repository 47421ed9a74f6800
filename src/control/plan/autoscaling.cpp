// What changes the number of engine pods: a HorizontalPodAutoscaler, or a ScaledObject of KEDA.
// Controller reference 4.15. Whoever changes from one to the other loses the first: it is in no
// plan any more.

#include <fmt/format.h>

#include <string>
#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kAccelerator = "inference.optimization/acceleratorName";
constexpr std::string_view kKedaLabel = "scaledobject.keda.sh/name";
constexpr std::string_view kMetric = "wva_desired_replicas";

const Value& scaling(const Workload& workload) { return *workload.spec.find("scaling"); }

std::string scaler_name(const Build& build, const Workload& workload, std::string_view kind) {
  return build.child(fmt::format("-kserve{}-{}", workload.is_prefill() ? "-prefill" : "", kind));
}

Value target(const Build& build, const Workload& workload) {
  const bool group = workload.is_multi_node();
  return Object{{"apiVersion", group ? "leaderworkerset.x-k8s.io/v1" : "apps/v1"},
                {"kind", group ? "LeaderWorkerSet" : "Deployment"},
                {"name", build.child(fmt::format("-kserve{}{}", group ? "-mn" : "",
                                                 workload.is_prefill() ? "-prefill" : ""))}};
}

Value least_replicas(const Workload& workload) {
  const Value* given = get(scaling(workload), {"minReplicas"});
  return given == nullptr ? Value(1) : *given;
}

Value scaler(const Build& build, std::string_view api_version, std::string_view kind,
             std::string_view name) {
  return object(api_version, kind, build.ns, name,
                component_labels(build.name, "llminferenceservice-workload"));
}

// What the workload variant autoscaler reads of an object that it shall steer.
void mark_for_wva(const Build& build, const Workload& workload, Value& metadata) {
  std::string_view model = build.spec().string_at({"model", "name"});
  if (model.empty()) model = build.spec().string_at({"model", "uri"});
  std::string_view cost = scaling(workload).string_at({"wva", "variantCost"});
  if (cost.empty()) cost = "10.0";
  std::string_view accelerator = workload.spec.string_at({"labels", kAccelerator});
  if (accelerator.empty()) accelerator = "unknown";
  metadata["labels"][kAccelerator] = accelerator;
  metadata["annotations"] = Object{
      {"llm-d.ai/managed", "true"}, {"llm-d.ai/model-id", model}, {"llm-d.ai/variant-cost", cost}};
}

Value pod_autoscaler(const Build& build, const Workload& workload) {
  const std::string name = scaler_name(build, workload, "hpa");
  Value out = scaler(build, "autoscaling/v2", "HorizontalPodAutoscaler", name);
  mark_for_wva(build, workload, out["metadata"]);
  const Value metric = Object{
      {"type", "External"},
      {"external",
       Object{{"metric",
               Object{{"name", kMetric},
                      {"selector", Object{{"matchLabels", Object{{"variant_name", name}}}}}}},
              {"target", Object{{"type", "Value"}, {"value", "1"}}}}}};
  Value spec = Object{{"scaleTargetRef", target(build, workload)},
                      {"minReplicas", least_replicas(workload)},
                      {"maxReplicas", *scaling(workload).find("maxReplicas")},
                      {"metrics", Array{metric}}};
  if (const Value* behavior = get(scaling(workload), {"wva", "hpa", "behavior"})) {
    spec["behavior"] = *behavior;
  }
  out["spec"] = std::move(spec);
  return out;
}

// The trigger that asks Prometheus how many replicas the variant autoscaler wants.
Result<Value> wanted_replicas(const Build& build, std::string_view name) {
  constexpr std::string_view kWhere =
      "inferenceservice-config: autoscaling-wva-controller-config: prometheus";
  const Settings::Prometheus& prometheus = build.settings().prometheus;
  if (prometheus.url.empty()) {
    return invalid(fmt::format("{}.url: is required for scaling.wva.keda", kWhere));
  }
  if (prometheus.auth_modes.empty() != prometheus.trigger_auth_name.empty()) {
    return invalid(
        fmt::format("{}: authModes and triggerAuthName go together, one is empty", kWhere));
  }
  Value metadata = Object{
      {"serverAddress", prometheus.url},
      {"query",
       fmt::format("{}{{variant_name=\"{}\",exported_namespace=\"{}\"}}", kMetric, name, build.ns)},
      {"threshold", "1"},
      {"unsafeSsl", prometheus.tls_insecure_skip_verify ? "true" : "false"}};
  Value trigger = Object{{"type", "prometheus"}, {"name", "wva-desired-replicas"}};
  if (!prometheus.auth_modes.empty()) {
    metadata["authModes"] = prometheus.auth_modes;
    trigger["authenticationRef"]["name"] = prometheus.trigger_auth_name;
    if (!prometheus.trigger_auth_kind.empty()) {
      trigger["authenticationRef"]["kind"] = prometheus.trigger_auth_kind;
    }
  }
  trigger["metadata"] = std::move(metadata);
  return trigger;
}

// KEDA marks its objects with a label and a finalizer of its own: they stay.
void keep_what_keda_wrote(const Build& build, std::string_view name, Value& metadata) {
  const Value* live = build.live("ScaledObject", name);
  if (live == nullptr) return;
  if (const Value* label = get(*live, {"metadata", "labels", kKedaLabel})) {
    metadata["labels"][kKedaLabel] = *label;
  }
  if (const Value* finalizers = get(*live, {"metadata", "finalizers"})) {
    metadata["finalizers"] = *finalizers;
  }
}

Result<Value> scaled_object(const Build& build, const Workload& workload) {
  const std::string name = scaler_name(build, workload, "keda");
  Value out = scaler(build, "keda.sh/v1alpha1", "ScaledObject", name);
  const bool direct = get(scaling(workload), {"keda"}) != nullptr;
  const Value* keda = get(scaling(workload), {"wva", "keda"});
  if (direct) keda = scaling(workload).find("keda");
  if (!direct) mark_for_wva(build, workload, out["metadata"]);

  Value spec = Object{{"scaleTargetRef", target(build, workload)},
                      {"minReplicaCount", least_replicas(workload)},
                      {"maxReplicaCount", *scaling(workload).find("maxReplicas")}};
  for (const std::string_view key : {"pollingInterval", "cooldownPeriod", "initialCooldownPeriod",
                                     "idleReplicaCount", "fallback", "advanced"}) {
    if (const Value* value = get(*keda, {key})) spec[key] = *value;
  }
  if (direct) {
    spec["triggers"] = *keda->find("triggers");
  } else {
    BATON_TRY_ASSIGN(Value trigger, wanted_replicas(build, name));
    spec["triggers"] = Array{std::move(trigger)};
  }
  out["spec"] = std::move(spec);
  keep_what_keda_wrote(build, name, out["metadata"]);
  return out;
}

Status scale(Build& build, const Workload& workload) {
  if (get(workload.spec, {"scaling"}) == nullptr) return {};
  if (get(scaling(workload), {"wva", "hpa"}) != nullptr) {
    build.add(pod_autoscaler(build, workload));
    return {};
  }
  BATON_TRY_ASSIGN(Value made, scaled_object(build, workload));
  build.add(std::move(made));
  return {};
}

}  // namespace

Status add_scaling(Build& build) {
  BATON_TRY(scale(build, main_workload(build)));
  const auto prefill = prefill_workload(build);
  return prefill ? scale(build, *prefill) : Status();
}

}  // namespace baton::plan
