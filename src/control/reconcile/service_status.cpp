#include "control/reconcile/service_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "control/plan/child_name.hpp"
#include "control/plan/group.hpp"
#include "control/reconcile/conditions.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/image_volumes.hpp"
#include "control/reconcile/references.hpp"
#include "control/reconcile/transfer_proof.hpp"

namespace baton::reconcile {

namespace {

using kube::Condition;
using kube::Object;

constexpr std::string_view kComponent = "app.kubernetes.io/component";

// Which condition a workload's object stands for.
struct WorkloadCondition {
  std::string_view kind;
  std::string_view component;
  std::string_view condition;
  std::string_view member;  // of status.workloads
  Step step;
};
constexpr std::array kWorkloads = {
    WorkloadCondition{"Deployment", "llminferenceservice-workload", "MainWorkloadReady", "primary",
                      Step::kSingleNode},
    WorkloadCondition{"LeaderWorkerSet", "llminferenceservice-workload-worker",
                      "WorkerWorkloadReady", "primary", Step::kMultiNode},
    WorkloadCondition{"Deployment", "llminferenceservice-workload-prefill", "PrefillWorkloadReady",
                      "prefill", Step::kSingleNode},
    WorkloadCondition{"LeaderWorkerSet", "llminferenceservice-workload-worker-prefill",
                      "PrefillWorkerWorkloadReady", "prefill", Step::kMultiNode},
    WorkloadCondition{"Deployment", "llminferenceservice-router-scheduler",
                      "SchedulerWorkloadReady", "scheduler", Step::kScheduler},
    WorkloadCondition{"Deployment", "tokenizer", "TokenizerReady", "", Step::kScheduler},
};

constexpr std::array<std::string_view, 6> kOfWorkloads = {
    "MainWorkloadReady",          "WorkerWorkloadReady", "PrefillWorkloadReady",
    "PrefillWorkerWorkloadReady", "ScalingReady",        "PrefillScalingReady"};
constexpr std::array<std::string_view, 5> kOfRouter = {"GatewaysReady", "HTTPRoutesReady",
                                                       "InferencePoolReady",
                                                       "SchedulerWorkloadReady", "TokenizerReady"};
constexpr std::array<std::string_view, 3> kOfReady = {"PresetsCombined", "WorkloadsReady",
                                                      "RouterReady"};

// A stopped service says so of every part, whether it had it or not.
constexpr std::array<std::string_view, 9> kStopped = {
    "MainWorkloadReady",          "WorkerWorkloadReady",    "PrefillWorkloadReady",
    "PrefillWorkerWorkloadReady", "SchedulerWorkloadReady", "TokenizerReady",
    "InferencePoolReady",         "GatewaysReady",          "HTTPRoutesReady"};

const WorkloadCondition* workload_of(const Object& child) {
  for (const auto& entry : kWorkloads) {
    if (child.string_at({"kind"}) == entry.kind &&
        kube::label(child, kComponent) == entry.component)
      return &entry;
  }
  return nullptr;
}

std::int64_t number(const Object& object, std::initializer_list<std::string_view> path) {
  const auto* value = object.find_path(path);
  return value == nullptr ? 0 : value->if_int().value_or(0);
}

Condition workload_condition(const WorkloadCondition& entry, const Object& child) {
  // One replica is enough of pickers: they are active and passive.
  if (entry.step == Step::kScheduler && number(child, {"status", "availableReplicas"}) > 0) {
    return part(entry.condition, "", "");
  }
  const auto* available = kube::find_condition(child, "Available");
  if (available == nullptr) {
    return part(entry.condition, "Progressing",
                entry.kind == "LeaderWorkerSet" ? "LWS is progressing" : "");
  }
  if (available->string_at({"status"}) == "True" && entry.step != Step::kScheduler) {
    return part(entry.condition, "", "");
  }
  return part(entry.condition, or_else(available->string_at({"reason"}), "Progressing"),
              available->string_at({"message"}));
}

// HPA: none of the two that matter is False, and one is there. KEDA: Ready.
Condition scaling_condition(std::string_view type, const Object& child) {
  const bool hpa = child.string_at({"kind"}) == "HorizontalPodAutoscaler";
  const auto progressing = hpa ? "HPAProgressing" : "ScaledObjectProgressing";
  bool good = false;
  for (const auto* name : {"AbleToScale", "ScalingActive", "Ready"}) {
    if (hpa == (std::string_view(name) == "Ready")) continue;
    const auto* condition = kube::find_condition(child, name);
    if (condition == nullptr) continue;
    if (condition->string_at({"status"}) == "False") {
      return part(type, or_else(condition->string_at({"reason"}), progressing),
                  condition->string_at({"message"}));
    }
    good = good || hpa || condition->string_at({"status"}) == "True";
  }
  return good ? part(type, "", "") : part(type, progressing, "the autoscaler has not reported yet");
}

bool is_scaling(const Object& child) {
  const auto kind = child.string_at({"kind"});
  return kind == "HorizontalPodAutoscaler" || kind == "ScaledObject";
}

// The condition of a step that failed.
Condition failed(const StepFailure& failure) {
  if (failure.condition) return *failure.condition;
  const auto told = [&](std::string_view type, std::string_view reason) {
    return part(type, reason, failure.error.message());
  };
  const bool absent = failure.error.code() == Code::kNotFound;
  switch (failure.step) {
    case Step::kSecret:
      return told("MainWorkloadReady", "ReconcileCertsError");
    case Step::kMultiNode:
      return told("WorkerWorkloadReady", "ReconcileMultiNodeWorkloadError");
    case Step::kSingleNode:
      return told("MainWorkloadReady", "ReconcileSingleNodeWorkloadError");
    case Step::kWorkloadService:
      return told("MainWorkloadReady", "ReconcileWorkloadServiceError");
    case Step::kScaling:
      return told("MainWorkloadReady", absent ? "ScalingCRDNotFound" : "ReconcileScalingError");
    case Step::kScheduler:
      return told("SchedulerWorkloadReady", "SchedulerReconcileError");
    case Step::kReferences:
    case Step::kRoute:
    case Step::kEnd:
      break;
  }
  return told("HTTPRoutesReady", "HTTPRouteReconcileError");
}

class Writer {
 public:
  Writer(const Outcome& outcome, Object& status, Conditions& conditions)
      : outcome_(outcome), status_(status), conditions_(conditions) {}

  void write() {
    conditions_.set(outcome_.presets);
    for (const auto type : {"WorkloadsReady", "RouterReady"}) conditions_.initialise(type);
    if (outcome_.stopped) {
      put_stopped();
    } else if (outcome_.combined) {
      put_workload_conditions();
      put_router();
      put_or_remove(kImageVolumeCondition, outcome_.image_volumes);
      put_or_remove(kTransferCondition, outcome_.transfer);
      if (outcome_.failure) conditions_.set(failed(*outcome_.failure));
    }
    if (outcome_.stopped || outcome_.combined) {
      conditions_.combine("WorkloadsReady", kOfWorkloads);
      if (outcome_.stopped || reached(Step::kReferences)) {
        conditions_.combine("RouterReady", kOfRouter);
      }
    }
    conditions_.conclude("Ready", kOfReady);
  }

 private:
  // The pass came at least to the beginning of this step.
  bool reached(Step step) const { return !outcome_.failure || outcome_.failure->step >= step; }
  // It did all of it.
  bool passed(Step step) const { return !outcome_.failure || outcome_.failure->step > step; }

  // The condition tells of this pass's failure.
  bool fails(std::string_view condition) const {
    return outcome_.failure && failed(*outcome_.failure).type == condition;
  }

  void erase(std::string_view member) {
    if (auto* members = status_.if_object()) members->erase(member);
  }

  void put_or_remove(std::string_view type, const std::optional<Condition>& condition) {
    condition ? conditions_.set(*condition) : conditions_.remove(type);
  }

  void put_stopped() {
    for (const auto type : kStopped) {
      conditions_.set(part(type, "Stopped", "Service is stopped"));
    }
    for (const auto type :
         {std::string_view("ScalingReady"), std::string_view("PrefillScalingReady"),
          std::string_view("GroupReady"), std::string_view("GroupDegraded"), kImageVolumeCondition,
          kTransferCondition}) {
      conditions_.remove(type);
    }
    for (const auto member : {"router", "addresses", "url", "workloads"}) erase(member);
  }

  const Object* child_of(const WorkloadCondition& entry) const {
    for (const auto* child : outcome_.children) {
      if (workload_of(*child) == &entry) return child;
    }
    return nullptr;
  }

  void put_workload_conditions() {
    for (const auto& entry : kWorkloads) {
      if (!passed(entry.step)) continue;
      // Set once: whatever it was in between would count as a transition, pass after pass.
      if (fails(entry.condition)) continue;
      const auto* child = child_of(entry);
      if (child == nullptr) {
        conditions_.remove(entry.condition);
      } else {
        conditions_.set(workload_condition(entry, *child));
      }
    }
    if (passed(Step::kScaling)) put_scaling();
    if (passed(Step::kRoute)) put_workloads();
  }

  void put_scaling() {
    std::set<std::string_view> told;
    const auto name = kube::name_of(outcome_.service);
    for (const auto* child : outcome_.children) {
      if (!is_scaling(*child)) continue;
      const bool prefill = kube::name_of(*child) == plan::child_name(name, "-kserve-prefill-hpa") ||
                           kube::name_of(*child) == plan::child_name(name, "-kserve-prefill-keda");
      const std::string_view type = prefill ? "PrefillScalingReady" : "ScalingReady";
      conditions_.set(scaling_condition(type, *child));
      told.insert(type);
    }
    // Not before the others are set: one that is set anew counts as a transition.
    for (const std::string_view type : {"ScalingReady", "PrefillScalingReady"}) {
      if (!told.contains(type)) conditions_.remove(type);
    }
  }

  void put_workloads() {
    Object workloads = text::json::Object{};
    for (const auto* child : outcome_.children) {
      const auto* entry = workload_of(*child);
      if (entry == nullptr || entry->member.empty()) continue;
      auto& out = workloads[entry->member];
      out["apiGroup"] = kube::type_of(*child).group;
      out["kind"] = entry->kind;
      out["name"] = kube::name_of(*child);
      out["readyReplicas"] = number(*child, {"status", "readyReplicas"});
    }
    for (const auto* child : outcome_.children) {
      if (child->string_at({"kind"}) != "Service" || step_of(*child) != Step::kWorkloadService) {
        continue;
      }
      workloads["service"]["kind"] = "Service";
      workloads["service"]["name"] = kube::name_of(*child);
    }
    if (workloads.if_object()->empty()) return erase("workloads");
    status_["workloads"] = std::move(workloads);
  }

  void put_router() {
    // A Gateway that is not referred to any more says nothing of the router.
    const auto& refs = items(outcome_.plan.merged, {"spec", "router", "gateway", "refs"});
    if (refs.empty() && !fails("GatewaysReady")) conditions_.remove("GatewaysReady");
    if (!passed(Step::kRoute)) return;
    put_router_conditions(outcome_.router, conditions_);
    put_routing(outcome_.router, outcome_.addresses, outcome_.plan.group, status_);
    const auto& group = outcome_.plan.group;
    if (!group) {
      conditions_.remove("GroupReady");
      conditions_.remove("GroupDegraded");
      return;
    }
    conditions_.set(part("GroupReady", "", ""));
    const bool degraded = !group->divergent.empty();
    conditions_.set(
        {"GroupDegraded", degraded ? "True" : "False", degraded ? "MemberDivergence" : "",
         degraded
             ? fmt::format("members that serve other models: {}", fmt::join(group->divergent, ", "))
             : "",
         "Info"});
  }

  const Outcome& outcome_;
  Object& status_;
  Conditions& conditions_;
};

// "Preset:kserve/kserve-config-llm-template".
Object applied_configs(const plan::Plan& plan) {
  Object out = text::json::Array{};
  for (const auto& text : plan.applied_configs) {
    const auto colon = text.find(':');
    const auto slash = text.find('/', colon);
    Object entry;
    entry["name"] = text.substr(slash + 1);
    entry["namespace"] = text.substr(colon + 1, slash - colon - 1);
    entry["source"] = text.substr(0, colon);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace

Object service_status(const Outcome& outcome, Wall now) {
  const auto* before = outcome.service.find("status");
  Object status = before == nullptr || before->is_null() ? Object(text::json::Object{}) : *before;
  const auto* old = status.find("conditions");
  Conditions conditions(old == nullptr ? Object() : *old, now);
  Writer(outcome, status, conditions).write();

  // A stopped service whose configurations are missing keeps the list it had.
  const bool stopped_wrong = outcome.stopped && outcome.presets.status != "True";
  if (!stopped_wrong) {
    if (outcome.plan.applied_configs.empty()) {
      status.if_object()->erase("appliedConfigs");
    } else {
      status["appliedConfigs"] = applied_configs(outcome.plan);
    }
  }
  for (const auto& [key, name] : outcome.plan.pins) status["annotations"][key] = name;
  status["conditions"] = std::move(conditions).take();
  status["observedGeneration"] = kube::generation_of(outcome.service);
  return status;
}

bool is_detail(const Object& before, const Object& after) {
  const auto rest = [](const Object& service) {
    const auto* status = service.find("status");
    Object out = status == nullptr ? Object() : *status;
    if (auto* members = out.if_object()) {
      for (const auto member : {"conditions", "workloads"}) members->erase(member);
    }
    return out;
  };
  const auto told = [](const Object& service, std::string_view type) {
    const auto* found = kube::find_condition(service, type);
    return found == nullptr ? std::string_view() : found->string_at({"status"});
  };
  for (const std::string_view type :
       {std::string_view("Ready"), std::string_view("PresetsCombined"), kTransferCondition}) {
    if (told(before, type) != told(after, type)) return false;
  }
  return plan::is_routable(before) == plan::is_routable(after) && rest(before) == rest(after);
}

bool has_reported(const Object& child) {
  return child.string_at({"kind"}) != "Deployment" ||
         kube::find_condition(child, "Available") != nullptr;
}

std::string false_conditions(const Object& service) {
  std::string out;
  for (const auto& condition : items(service, {"status", "conditions"})) {
    const auto type = condition.string_at({"type"});
    if (condition.string_at({"status"}) != "False" || type == "Ready") continue;
    if (!out.empty()) out += ", ";
    out += type;
  }
  return out;
}

}  // namespace baton::reconcile
