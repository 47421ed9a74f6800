#include "control/reconcile/kinds.hpp"

#include <algorithm>
#include <map>

#include "control/plan/plan.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/found_by.hpp"
#include "control/reconcile/installation.hpp"

namespace baton::reconcile {

const kube::Type kService{"serving.kserve.io", "v1alpha2", "LLMInferenceService"};
const kube::Type kServiceConfig{"serving.kserve.io", "v1alpha2", "LLMInferenceServiceConfig"};
const kube::Type kConfigMap{"", "v1", "ConfigMap"};
const kube::Type kSecret{"", "v1", "Secret"};
const kube::Type kServiceAccount{"", "v1", "ServiceAccount"};
const kube::Type kCoreService{"", "v1", "Service"};
const kube::Type kPod{"", "v1", "Pod"};
const kube::Type kDeployment{"apps", "v1", "Deployment"};
const kube::Type kLeaderWorkerSet{"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"};
const kube::Type kGateway{"gateway.networking.k8s.io", "v1", "Gateway"};
const kube::Type kRoute{"gateway.networking.k8s.io", "v1", "HTTPRoute"};
const kube::Type kPool{"inference.networking.k8s.io", "v1", "InferencePool"};
const kube::Type kOldPool{"inference.networking.x-k8s.io", "v1alpha2", "InferencePool"};
const kube::Type kClusterRoleBinding{"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"};

namespace {

using kube::Object;
using Names = std::initializer_list<std::string_view>;

// `from`'s members of those names.
Object only(const Object& from, Names names) {
  Object out = text::json::Object{};
  for (const auto name : names) {
    if (const auto* value = from.find(name)) out[name] = *value;
  }
  return out;
}

Object only_each(const text::json::Array& list, Names names) {
  text::json::Array out;
  for (const auto& one : list) out.push_back(only(one, names));
  return out;
}

Object with_annotations(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* annotations = object.find_path({"metadata", "annotations"})) {
    out["metadata"]["annotations"] = *annotations;
  }
  return kube::without_bookkeeping(out);
}

Object trim_config_map(const Object& object) {
  Object out = with_annotations(object);
  if (keeps_data(object) && has(object, {"data"})) out["data"] = *object.find("data");
  return out;
}

Object trim_secret(const Object& object) {
  Object out = with_annotations(object);
  if (const auto* data = object.find("data"); data != nullptr && data->if_object() != nullptr) {
    for (const auto& entry : *data->if_object()) {
      out["data"][entry.key] =
          plan::reads_secret_value(entry.key) ? entry.value : Object(std::string());
    }
  }
  return out;
}

Object trim_account(const Object& object) {
  Object out = with_annotations(object);
  for (const auto* member : {"secrets", "imagePullSecrets"}) {
    if (const auto* value = object.find(member)) out[member] = *value;
  }
  return out;
}

Object trim_core_service(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* spec = object.find("spec")) out["spec"] = only(*spec, {"clusterIP"});
  out["spec"]["ports"] = only_each(items(object, {"spec", "ports"}), {"port"});
  return out;
}

// Of a pod template: names and images; of the picker's also its flags, which a plan may keep; of
// init containers their variables.
Object trim_pod_spec(const Object& pod, bool with_flags) {
  Object out = text::json::Object{};
  const Names kept =
      with_flags ? Names{"name", "image", "command", "args"} : Names{"name", "image"};
  if (has(pod, {"containers"})) out["containers"] = only_each(items(pod, {"containers"}), kept);
  // A live storage initializer's variables are looked at.
  if (has(pod, {"initContainers"})) {
    out["initContainers"] = only_each(items(pod, {"initContainers"}), {"name", "image", "env"});
  }
  return out;
}

Object trim_deployment(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* spec = object.find("spec")) {
    out["spec"] = only(*spec, {"replicas"});
    if (const auto* pod = spec->find_path({"template", "spec"})) {
      const bool engine = kube::label(object, "kserve.io/component") == "workload";
      out["spec"]["template"]["spec"] = trim_pod_spec(*pod, !engine);
    }
  }
  if (const auto* status = object.find("status")) {
    out["status"] = only(*status, {"readyReplicas", "availableReplicas", "conditions"});
  }
  return out;
}

Object trim_leader_worker_set(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* spec = object.find("spec")) {
    out["spec"] = only(*spec, {"replicas"});
    for (const auto* place : {"leaderTemplate", "workerTemplate"}) {
      if (const auto* pod = spec->find_path({"leaderWorkerTemplate", place, "spec"})) {
        out["spec"]["leaderWorkerTemplate"][place]["spec"] = trim_pod_spec(*pod, false);
      }
    }
  }
  if (const auto* status = object.find("status")) {
    out["status"] = only(*status, {"readyReplicas", "conditions"});
  }
  return out;
}

Object trim_autoscaler(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* status = object.find("status")) out["status"] = only(*status, {"conditions"});
  return out;
}

Object trim_pool(const Object& object) {
  Object out = kube::identity_only(object);
  for (const auto* member : {"spec", "status"}) {
    if (const auto* value = object.find(member)) out[member] = *value;
  }
  return out;
}

// Where a rule leads, and what is asked for there.
Object trim_rule(const Object& rule) {
  Object out = text::json::Object{};
  out["backendRefs"] = only_each(items(rule, {"backendRefs"}), {"group", "kind", "name"});
  for (const auto& match : items(rule, {"matches"})) {
    Object kept = text::json::Object{};
    if (const auto* path = match.find_path({"path", "value"})) kept["path"]["value"] = *path;
    if (const auto& headers = items(match, {"headers"}); !headers.empty()) {
      kept["headers"] = only_each(headers, {"name"});
    }
    out["matches"].push_back(std::move(kept));
  }
  return out;
}

Object trim_route(const Object& object) {
  Object out = with_annotations(object);
  if (const auto* spec = object.find("spec")) {
    out["spec"] = only(*spec, {"parentRefs", "hostnames"});
    for (const auto& rule : items(*spec, {"rules"})) {
      out["spec"]["rules"].push_back(trim_rule(rule));
    }
  }
  if (const auto* status = object.find("status")) out["status"] = *status;
  return out;
}

Object trim_gateway(const Object& object) {
  Object out = with_annotations(object);
  out["spec"]["listeners"] =
      only_each(items(object, {"spec", "listeners"}), {"name", "protocol", "port", "hostname"});
  if (const auto* status = object.find("status")) {
    out["status"] = only(*status, {"addresses", "conditions"});
  }
  return out;
}

Object trim_pod(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* status = object.find("status")) {
    out["status"] = only(*status, {"podIP", "podIPs", "initContainerStatuses", "conditions"});
  }
  return out;
}

Object trim_binding(const Object& object) {
  Object out = kube::identity_only(object);
  if (const auto* subjects = object.find("subjects")) out["subjects"] = *subjects;
  return out;
}

struct Rule {
  std::string_view kind;
  bool labelled;
  Object (*trim)(const Object&);
};
constexpr Rule kRules[] = {
    {"ServiceAccount", false, trim_account},
    {"Role", true, kube::identity_only},
    {"RoleBinding", true, kube::identity_only},
    {"ClusterRoleBinding", true, trim_binding},
    {"Secret", false, trim_secret},
    {"ConfigMap", false, trim_config_map},
    {"Deployment", true, trim_deployment},
    {"LeaderWorkerSet", true, trim_leader_worker_set},
    {"Service", false, trim_core_service},
    {"HorizontalPodAutoscaler", true, trim_autoscaler},
    {"ScaledObject", true, trim_autoscaler},
    {"InferencePool", false, trim_pool},
    {"HTTPRoute", false, trim_route},
};

}  // namespace

bool keeps_data(const Object& config_map) {
  const auto name = kube::name_of(config_map);
  return name == kInstallationConfigMap || name.starts_with("config-scheduler-") ||
         kube::label(config_map, kPartOfLabel) == kPartOf;
}

const std::vector<kube::Type>& child_types() {
  static const std::vector<kube::Type> kTypes = [] {
    std::vector<kube::Type> out;
    for (const auto& kind : plan::child_kinds()) {
      out.push_back({std::string(kind.group), std::string(kind.version), std::string(kind.kind)});
    }
    return out;
  }();
  return kTypes;
}

std::vector<kube::Cache::Kind> followed_kinds(const std::string& config_prefix) {
  const kube::LabelSelector ours{{std::string(kPartOfLabel), std::string(kPartOf)}};
  std::vector<kube::Cache::Kind> out{
      {kService,
       {},
       kube::without_bookkeeping,
       [config_prefix](const Object& service) { return service_keys(service, config_prefix); }},
      {kServiceConfig, {}, kube::without_bookkeeping},
      {kGateway, {}, trim_gateway},
      {kPod, ours, trim_pod, kube::by_label(std::string(kNameLabel))}};
  for (const auto& type : child_types()) {
    const auto* rule = std::ranges::find(kRules, type.kind, &Rule::kind);
    const bool known = rule != std::end(kRules);
    auto& kind = out.emplace_back();
    kind.type = type;
    if (known && rule->labelled) kind.labels = ours;
    kind.trim = known ? rule->trim : kube::identity_only;
    if (type == kCoreService) kind.keys = kube::by_label(std::string(kGatewayNameLabel));
    if (type == kServiceAccount || type == kSecret) kind.keys = owner_keys;
  }
  return out;
}

}  // namespace baton::reconcile
