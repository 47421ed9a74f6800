#include "control/reconcile/service_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "control/reconcile/router_status.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

using kube::Condition;

constexpr std::string_view kComponent = "app.kubernetes.io/component";

// Which condition a workload's object stands for.
struct WorkloadCondition {
  std::string_view kind;
  std::string_view component;
  std::string_view condition;
  std::string_view member;  // of status.workloads
};
constexpr std::array kWorkloads = {
    WorkloadCondition{"Deployment", "llminferenceservice-workload", "MainWorkloadReady", "primary"},
    WorkloadCondition{"LeaderWorkerSet", "llminferenceservice-workload-worker",
                      "WorkerWorkloadReady", "primary"},
    WorkloadCondition{"Deployment", "llminferenceservice-workload-prefill", "PrefillWorkloadReady",
                      "prefill"},
    WorkloadCondition{"LeaderWorkerSet", "llminferenceservice-workload-worker-prefill",
                      "PrefillWorkerWorkloadReady", "prefill"},
    WorkloadCondition{"Deployment", "llminferenceservice-router-scheduler",
                      "SchedulerWorkloadReady", "scheduler"},
    WorkloadCondition{"Deployment", "tokenizer", "TokenizerReady", ""},
};

constexpr std::array<std::string_view, 4> kOfWorkloads = {
    "MainWorkloadReady", "WorkerWorkloadReady", "PrefillWorkloadReady",
    "PrefillWorkerWorkloadReady"};
constexpr std::array<std::string_view, 5> kOfRouter = {"GatewaysReady", "HTTPRoutesReady",
                                                       "InferencePoolReady",
                                                       "SchedulerWorkloadReady", "TokenizerReady"};
constexpr std::array<std::string_view, 3> kOfReady = {"PresetsCombined", "WorkloadsReady",
                                                      "RouterReady"};

const WorkloadCondition* workload_of(const kube::Object& child) {
  for (const auto& entry : kWorkloads) {
    if (child.string_at({"kind"}) == entry.kind &&
        kube::label(child, kComponent) == entry.component)
      return &entry;
  }
  return nullptr;
}

Condition workload_condition(const WorkloadCondition& entry, const kube::Object& child) {
  Condition out{std::string(entry.condition), "False", "Progressing", "", "Info"};
  if (entry.kind == "LeaderWorkerSet") out.message = "LWS is progressing";
  const auto* available = kube::find_condition(child, "Available");
  if (available == nullptr) return out;
  if (available->string_at({"status"}) == "True") return {out.type, "True", "", "", "Info"};
  out.reason = available->string_at({"reason"});
  out.message = available->string_at({"message"});
  return out;
}

// Every condition of the status being made, by type.
class Conditions {
 public:
  Conditions(kube::Object& list, Wall now) : list_(list), now_(now) {}

  void set(const Condition& condition) { kube::set_condition(list_, condition, now_); }
  void remove(std::string_view type) { kube::remove_condition(list_, type); }
  const kube::Object* find(std::string_view type) const {
    if (list_.if_array() == nullptr) return nullptr;
    for (const auto& entry : *list_.if_array()) {
      if (entry.string_at({"type"}) == type) return &entry;
    }
    return nullptr;
  }
  // True unless one of `parts` that is present is False; then with the first one's words.
  void combine(std::string_view type, std::span<const std::string_view> parts) {
    for (const auto part : parts) {
      const auto* entry = find(part);
      if (entry == nullptr || entry->string_at({"status"}) != "False") continue;
      return set({std::string(type), "False", std::string(entry->string_at({"reason"})),
                  std::string(entry->string_at({"message"})), ""});
    }
    set({std::string(type), "True", "", "", ""});
  }
  void sort() {
    if (auto* array = list_.if_array()) {
      std::ranges::sort(*array, {}, [](const kube::Object& c) { return c.string_at({"type"}); });
    }
  }

 private:
  kube::Object& list_;
  const Wall now_;
};

Condition presets_condition(const Observed& observed) {
  if (!observed.plan_error) return {"PresetsCombined", "True", "", "", ""};
  const auto& error = *observed.plan_error;
  return {"PresetsCombined", "False",
          error.code() == Code::kNotFound ? "ConfigNotFound" : "CombineBaseError", error.message(),
          ""};
}

void put_workloads(const Observed& observed, kube::Object& status, Conditions& conditions) {
  kube::Object workloads;
  for (const auto& entry : kWorkloads) conditions.remove(entry.condition);
  for (const auto& child : observed.children) {
    if (child.string_at({"kind"}) == "Service" &&
        kube::label(child, kComponent) == "llminferenceservice-workload") {
      workloads["service"]["kind"] = "Service";
      workloads["service"]["name"] = kube::name_of(child);
    }
    const auto* entry = workload_of(child);
    if (entry == nullptr) continue;
    conditions.set(workload_condition(*entry, child));
    if (entry->member.empty()) continue;
    auto& out = workloads[entry->member];
    out["apiGroup"] = kube::type_of(child).group;
    out["kind"] = entry->kind;
    out["name"] = kube::name_of(child);
    const auto* ready = child.find_path({"status", "readyReplicas"});
    out["readyReplicas"] = ready == nullptr ? kube::Object(0) : *ready;
  }
  status["workloads"] = std::move(workloads);
}

// "Preset:kserve/kserve-config-llm-template".
kube::Object applied_configs(const plan::Plan& plan) {
  kube::Object out = text::json::Array{};
  for (const auto& text : plan.applied_configs) {
    const auto colon = text.find(':');
    const auto slash = text.find('/', colon);
    kube::Object entry;
    entry["name"] = text.substr(slash + 1);
    entry["namespace"] = text.substr(colon + 1, slash - colon - 1);
    entry["source"] = text.substr(0, colon);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace

kube::Object service_status(const Observed& observed, Wall now) {
  const auto* before = observed.service.find("status");
  kube::Object status = before == nullptr ? kube::Object(text::json::Object{}) : *before;
  kube::Object list;
  if (const auto* old = status.find("conditions")) list = *old;
  Conditions conditions(list, now);
  conditions.set(presets_condition(observed));
  if (observed.plan != nullptr) {
    put_workloads(observed, status, conditions);
    for (const auto type : {"GatewaysReady", "HTTPRoutesReady", "InferencePoolReady"}) {
      conditions.remove(type);
    }
    const RouterView view{observed.service, observed.plan->merged, observed.children,
                          observed.gateways, observed.settings};
    for (const auto& condition : router_conditions(view)) conditions.set(condition);
    put_addresses(view, status);
    status["appliedConfigs"] = applied_configs(*observed.plan);
  }
  conditions.combine("WorkloadsReady", kOfWorkloads);
  if (observed.apply_error) {
    conditions.set(
        {"WorkloadsReady", "False", "ReconcileError", observed.apply_error->message(), ""});
  }
  conditions.combine("RouterReady", kOfRouter);
  conditions.combine("Ready", kOfReady);
  conditions.sort();
  status["conditions"] = std::move(list);
  status["observedGeneration"] = kube::generation_of(observed.service);
  return status;
}

std::string false_conditions(const kube::Object& service) {
  std::string out;
  const auto* list = service.find_path({"status", "conditions"});
  if (list == nullptr || list->if_array() == nullptr) return out;
  for (const auto& condition : *list->if_array()) {
    const auto type = condition.string_at({"type"});
    if (condition.string_at({"status"}) != "False" || type == "Ready") continue;
    if (!out.empty()) out += ", ";
    out += type;
  }
  return out;
}

}  // namespace baton::reconcile
