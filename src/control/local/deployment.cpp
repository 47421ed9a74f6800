#include "control/local/deployment.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/kube/object.hpp"

namespace baton::local {

namespace {

constexpr std::string_view kHashLabel = "pod-template-hash";

int wanted_replicas(const kube::Object& deployment) {
  const auto* replicas = deployment.find_path({"spec", "replicas"});
  return replicas == nullptr ? 1 : static_cast<int>(replicas->if_int().value_or(1));
}

bool is_ready(const kube::Object& pod) { return kube::condition_is(pod, "Ready", "True"); }

std::string current_hash(const kube::Object& deployment) {
  const auto* pod_template = deployment.find_path({"spec", "template"});
  return template_hash(pod_template == nullptr ? kube::Object() : *pod_template);
}

// Not ready ones first, then the youngest: what costs least to lose.
void sort_by_value(std::vector<const kube::Object*>& pods) {
  std::ranges::sort(pods, [](const kube::Object* a, const kube::Object* b) {
    if (is_ready(*a) != is_ready(*b)) return !is_ready(*a);
    return a->string_at({"metadata", "creationTimestamp"}) >
           b->string_at({"metadata", "creationTimestamp"});
  });
}

struct Counted {
  std::vector<const kube::Object*> current, old;  // not going
  int going = 0;
  int ready = 0;
};

Counted count(const kube::Object& deployment, const std::vector<kube::Object>& pods) {
  Counted out;
  const auto hash = current_hash(deployment);
  for (const auto& pod : pods) {
    if (kube::is_deleting(pod)) {
      ++out.going;
      continue;
    }
    (kube::label(pod, kHashLabel) == hash ? out.current : out.old).push_back(&pod);
    if (is_ready(pod)) ++out.ready;
  }
  return out;
}

int size(const std::vector<const kube::Object*>& pods) { return static_cast<int>(pods.size()); }

}  // namespace

std::string template_hash(const kube::Object& pod_template) {
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a, 64 bits
  for (const char c : text::json::dump(pod_template)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  constexpr std::uint64_t kHalf = 14348907;  // 27^5: what five characters hold
  return kube::name_suffix(hash) + kube::name_suffix(hash / kHalf);
}

kube::Object pod_of(const kube::Object& deployment) {
  kube::Object pod;
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  const auto* pod_template = deployment.find_path({"spec", "template"});
  if (const auto* metadata = pod_template ? pod_template->find("metadata") : nullptr) {
    pod["metadata"] = *metadata;
  }
  const auto hash = current_hash(deployment);
  auto& metadata = pod["metadata"];
  metadata["namespace"] = kube::namespace_of(deployment);
  metadata["generateName"] = fmt::format("{}-{}-", kube::name_of(deployment), hash);
  metadata["labels"][kHashLabel] = hash;
  metadata["ownerReferences"] = text::json::Array{kube::controller_reference(deployment)};
  if (const auto* spec = pod_template ? pod_template->find("spec") : nullptr) pod["spec"] = *spec;
  return pod;
}

Rollout next_step(const kube::Object& deployment, const std::vector<kube::Object>& pods) {
  const int wanted = wanted_replicas(deployment);
  const bool recreate = deployment.string_at({"spec", "strategy", "type"}) == "Recreate";
  auto [current, old, going, ready] = count(deployment, pods);
  Rollout out;
  const auto remove = [&](const kube::Object& pod) {
    out.remove.emplace_back(kube::name_of(pod));
    if (is_ready(pod)) --ready;
  };
  if (recreate && !old.empty()) {
    for (const auto* pod : old) remove(*pod);
    return out;
  }
  if (recreate && going > 0) return out;

  sort_by_value(current);
  for (int surplus = size(current) - wanted; surplus > 0; --surplus) {
    remove(*current[static_cast<std::size_t>(size(current) - wanted - surplus)]);
  }
  const int limit = wanted + (old.empty() ? 0 : 1);
  out.create = std::max(0, std::min(wanted - size(current), limit - size(current) - size(old)));
  sort_by_value(old);
  for (const auto* pod : old) {
    if (!is_ready(*pod) || ready > wanted) remove(*pod);
  }
  return out;
}

std::string trouble_of(const kube::Object& pod) {
  if (const auto* scheduled = kube::find_condition(pod, "PodScheduled");
      scheduled != nullptr && scheduled->string_at({"status"}) == "False") {
    return fmt::format("pod {}: {}", kube::name_of(pod), scheduled->string_at({"message"}));
  }
  for (const auto* member : {"initContainerStatuses", "containerStatuses"}) {
    const auto* list = pod.find_path({"status", member});
    if (list == nullptr || list->if_array() == nullptr) continue;
    for (const auto& status : *list->if_array()) {
      const auto reason = status.string_at({"state", "waiting", "reason"});
      if (reason.empty() || reason == "PodInitializing" || reason == "ContainerCreating") continue;
      const auto message = status.string_at({"state", "waiting", "message"});
      if (message.starts_with("container ")) {  // of the pod as a whole
        return fmt::format("pod {}: {}: {}", kube::name_of(pod), reason, message);
      }
      return fmt::format("pod {}: container {}: {}: {}", kube::name_of(pod),
                         status.string_at({"name"}), reason, message);
    }
  }
  return "";
}

kube::Object deployment_status(const kube::Object& deployment,
                               const std::vector<kube::Object>& pods, Wall now) {
  const int wanted = wanted_replicas(deployment);
  const auto counted = count(deployment, pods);
  const auto* before = deployment.find("status");
  kube::Object status = before == nullptr ? kube::Object() : *before;
  status["observedGeneration"] = kube::generation_of(deployment);
  status["replicas"] = size(counted.current) + size(counted.old);
  status["updatedReplicas"] = size(counted.current);
  status["readyReplicas"] = counted.ready;
  status["availableReplicas"] = counted.ready;
  status["unavailableReplicas"] = std::max(0, wanted - counted.ready);
  std::string trouble;
  for (const auto& pod : pods) {
    if (trouble.empty() && !kube::is_deleting(pod)) trouble = trouble_of(pod);
  }
  const bool available = counted.ready >= wanted;
  kube::set_condition(status["conditions"],
                      available
                          ? kube::Condition{"Available", "True", "MinimumReplicasAvailable",
                                            "Deployment has minimum availability.", ""}
                          : kube::Condition{"Available", "False", "MinimumReplicasUnavailable",
                                            trouble.empty() ? fmt::format("{} of {} pods are ready",
                                                                          counted.ready, wanted)
                                                            : trouble,
                                            ""},
                      now);
  const bool complete = available && counted.old.empty() && size(counted.current) == wanted;
  kube::set_condition(
      status["conditions"],
      {"Progressing", "True", complete ? "NewReplicaSetAvailable" : "ReplicaSetUpdated", "", ""},
      now);
  return status;
}

}  // namespace baton::local
