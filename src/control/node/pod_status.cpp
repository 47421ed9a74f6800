#include "control/node/pod_status.hpp"

#include <algorithm>

#include "net/kube/object.hpp"

namespace baton::node {

namespace {

enum class Truth : bool { kFalse, kTrue };

void put(kube::Object& status, std::string type, Truth truth, std::string reason, Wall now) {
  const bool is_true = truth == Truth::kTrue;
  kube::set_condition(
      status["conditions"],
      {std::move(type), is_true ? "True" : "False", is_true ? "" : std::move(reason), "", ""}, now);
}

kube::Object base_of(const kube::Object& pod) {
  const auto* status = pod.find("status");
  return status == nullptr ? kube::Object() : *status;
}

std::string_view phase_of(const std::vector<std::unique_ptr<Container>>& containers,
                          bool initialized) {
  bool all_done = true;
  bool any_failed = false;
  for (const auto& container : containers) {
    if (container->role() == Container::Role::kSidecar) continue;
    if (container->is_completed() && container->exit_code() != 0) any_failed = true;
    if (container->role() == Container::Role::kMain && !container->is_completed()) all_done = false;
    if (container->role() == Container::Role::kInit && any_failed) return "Failed";
  }
  if (!initialized) return "Pending";
  if (!all_done) return "Running";
  return any_failed ? "Failed" : "Succeeded";
}

std::string_view reason_for(Code code) {
  switch (code) {
    case Code::kDenied:
      return "ProgramNotAllowed";
    case Code::kUnsupported:
      return "Unsupported";
    default:
      return "CreateContainerConfigError";
  }
}

}  // namespace

kube::Object pod_status(const kube::Object& pod,
                        const std::vector<std::unique_ptr<Container>>& containers, bool initialized,
                        Wall now) {
  kube::Object status = base_of(pod);
  text::json::Array init;
  text::json::Array main;
  bool ready = initialized;
  for (const auto& container : containers) {
    const bool is_main = container->role() == Container::Role::kMain;
    (is_main ? main : init).push_back(container->status());
    ready = ready && container->is_ready();
  }
  status["phase"] = phase_of(containers, initialized);
  if (!init.empty()) status["initContainerStatuses"] = std::move(init);
  status["containerStatuses"] = std::move(main);
  text::json::Array addresses;
  addresses.push_back(text::json::Object{{"ip", status.string_at({"podIP"})}});
  status["podIPs"] = std::move(addresses);
  put(status, "PodScheduled", Truth::kTrue, "", now);
  put(status, "Initialized", Truth(initialized), "ContainersNotInitialized", now);
  put(status, "ContainersReady", Truth(ready), "ContainersNotReady", now);
  put(status, "Ready", Truth(ready), "ContainersNotReady", now);
  return status;
}

kube::Object failed_status(const kube::Object& pod, const Error& error, Wall now) {
  kube::Object status = base_of(pod);
  text::json::Array containers;
  if (const auto* list = pod.find_path({"spec", "containers"}); list && list->if_array()) {
    for (const auto& spec : *list->if_array()) {
      kube::Object entry;
      entry["name"] = spec.string_at({"name"});
      entry["image"] = spec.string_at({"image"});
      entry["ready"] = false;
      entry["restartCount"] = 0;
      entry["state"]["waiting"]["reason"] = reason_for(error.code());
      entry["state"]["waiting"]["message"] = error.message();
      containers.push_back(std::move(entry));
    }
  }
  status["phase"] = "Pending";
  status["containerStatuses"] = std::move(containers);
  put(status, "PodScheduled", Truth::kTrue, "", now);
  put(status, "Initialized", Truth::kFalse, "ContainersNotInitialized", now);
  put(status, "Ready", Truth::kFalse, "ContainersNotReady", now);
  return status;
}

kube::Object hosted_status(const kube::Object& pod, Wall now) {
  kube::Object status = base_of(pod);
  text::json::Array containers;
  if (const auto* list = pod.find_path({"spec", "containers"}); list && list->if_array()) {
    for (const auto& spec : *list->if_array()) {
      kube::Object entry;
      entry["name"] = spec.string_at({"name"});
      entry["image"] = spec.string_at({"image"});
      entry["imageID"] = "";
      entry["ready"] = true;
      entry["started"] = true;
      entry["restartCount"] = 0;
      entry["state"]["running"]["startedAt"] = status.string_at({"startTime"});
      containers.push_back(std::move(entry));
    }
  }
  status["phase"] = "Running";
  status["containerStatuses"] = std::move(containers);
  for (const auto* type : {"PodScheduled", "Initialized", "ContainersReady", "Ready"}) {
    put(status, type, Truth::kTrue, "", now);
  }
  return status;
}

kube::Object keep_foreign_conditions(kube::Object next, const kube::Object& current) {
  const auto* theirs = current.find("conditions");
  if (theirs == nullptr || theirs->if_array() == nullptr) return next;
  const kube::Object ours{text::json::Object{{"status", next}}};
  for (const auto& condition : *theirs->if_array()) {
    if (kube::find_condition(ours, condition.string_at({"type"})) != nullptr) continue;
    next["conditions"].push_back(condition);
  }
  return next;
}

kube::Object unscheduled_status(const kube::Object& pod, std::string_view message, Wall now) {
  kube::Object status = base_of(pod);
  status["phase"] = "Pending";
  kube::set_condition(status["conditions"],
                      {"PodScheduled", "False", "Unschedulable", std::string(message), ""}, now);
  return status;
}

Nanos grace_of(const kube::Object& pod) {
  constexpr std::int64_t kDefault = 30;
  for (const auto& path : {std::pair{"metadata", "deletionGracePeriodSeconds"},
                           {"spec", "terminationGracePeriodSeconds"}}) {
    if (const auto* value = pod.find_path({path.first, path.second})) {
      return std::chrono::seconds(std::max<std::int64_t>(value->if_int().value_or(kDefault), 0));
    }
  }
  return std::chrono::seconds(kDefault);
}

}  // namespace baton::node
