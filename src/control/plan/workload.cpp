// The engine pods: Deployments, LeaderWorkerSets, their accounts, and the Service before them.

#include <fmt/format.h>

#include <algorithm>

#include "control/plan/accounts.hpp"
#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"
#include "formats/api/validate.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr int kEnginePort = 8000;

Value engine_labels(const Build& build, std::string_view component, std::string_view role) {
  Value labels = component_labels(build.name, component);
  labels[kWorkload] = "workload";
  labels[kRole] = role;
  return labels;
}

// Left open where the spec says none: an autoscaler may own the number, and whoever writes the plan
// keeps the one that is there then.
void set_replicas(const Workload& workload, Value& spec) {
  if (const Value* replicas = get(workload.spec, {"replicas"})) spec["replicas"] = *replicas;
}

// The rules that let a sidecar see which pods it may be sent to.
Value sidecar_rules() {
  const Array read{"get", "list", "watch"};
  return Array{
      Object{{"apiGroups", Array{""}}, {"resources", Array{"pods"}}, {"verbs", read}},
      Object{{"apiGroups", Array{"inference.networking.k8s.io", "inference.networking.x-k8s.io"}},
             {"resources", Array{"inferencepools"}},
             {"verbs", read}}};
}

void add_sidecar_role(Build& build, const Account& account, std::string_view stem) {
  const Value labels = component_labels(build.name, "llminferenceservice-workload");
  const std::string role_name = build.child(fmt::format("{}-role", stem));
  Value role = object("rbac.authorization.k8s.io/v1", "Role", build.ns, role_name, labels);
  role["rules"] = sidecar_rules();
  build.add(std::move(role));
  Value binding = object("rbac.authorization.k8s.io/v1", "RoleBinding", build.ns,
                         build.child(fmt::format("{}-rb", stem)), labels);
  binding["roleRef"] =
      Object{{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "Role"}, {"name", role_name}};
  binding["subjects"] =
      Array{Object{{"kind", "ServiceAccount"}, {"name", account.name}, {"namespace", build.ns}}};
  build.add(std::move(binding));
}

Value rollout(const Value& workload, bool fill_defaults) {
  const Value* strategy = get(workload, {"rolloutStrategy"});
  if (strategy == nullptr || *strategy == Value(Object())) return {};
  Object out;
  const auto take = [&](std::string_view key, Value fallback) {
    if (const Value* value = get(*strategy, {key})) {
      out.set(key, *value);
    } else if (fill_defaults) {
      out.set(key, std::move(fallback));
    }
  };
  take("maxUnavailable", 1);
  take("maxSurge", 0);
  return out.empty() ? Value() : Value(std::move(out));
}

// ---- one pod per replica ----

Value deployment(const Build& build, const Workload& workload, Value pod) {
  const std::string name = workload_name(build, workload);
  const std::string component =
      fmt::format("llminferenceservice-workload{}", workload.is_prefill() ? "-prefill" : "");
  Value out = object("apps/v1", "Deployment", build.ns, name,
                     engine_labels(build, component, workload.role));
  hand_down(build, Handed::kDeployment, out["metadata"]);
  Value selector = component_labels(build.name, component);
  selector[kWorkload] = "workload";
  Value spec;
  set_replicas(workload, spec);
  spec["selector"] = Object{{"matchLabels", std::move(selector)}};
  if (Value rolling = rollout(workload.spec, false); !rolling.is_null()) {
    spec["strategy"] = Object{{"type", "RollingUpdate"}, {"rollingUpdate", std::move(rolling)}};
  }
  spec["template"] = Object{
      {"metadata", pod_metadata(build, workload, engine_labels(build, component, workload.role))},
      {"spec", std::move(pod)}};
  out["spec"] = std::move(spec);
  return out;
}

// ---- several pods per replica ----

struct Group {
  Value leader;  // null: workers only
  Value worker;
};

Value leader_worker_set(const Build& build, const Workload& workload, Group pods) {
  const std::string_view suffix = workload.is_prefill() ? "-prefill" : "";
  const std::string name = workload_name(build, workload);
  const std::string leader = fmt::format("llminferenceservice-workload-leader{}", suffix);
  const std::string worker = fmt::format("llminferenceservice-workload-worker{}", suffix);
  const bool led = !pods.leader.is_null();
  const Value worker_labels =
      led ? component_labels(build.name, worker) : engine_labels(build, worker, workload.role);

  Value out =
      object("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", build.ns, name, worker_labels);
  hand_down(build, Handed::kLeaderWorkerSet, out["metadata"]);
  Value group;
  if (led) {
    group["leaderTemplate"] = Object{
        {"metadata", pod_metadata(build, workload, engine_labels(build, leader, workload.role))},
        {"spec", std::move(pods.leader)}};
  }
  group["workerTemplate"] = Object{{"metadata", pod_metadata(build, workload, worker_labels)},
                                   {"spec", std::move(pods.worker)}};
  const auto size = api::group_size(workload.spec);
  if (size) group["size"] = *size;
  group["restartPolicy"] = "RecreateGroupOnPodRestart";
  if (workload.is_prefill() && get(workload.spec, {"parallelism", "data"}) != nullptr) {
    group["subGroupPolicy"] = Object{{"subGroupSize", size.value_or(1)}};
  }
  Value spec;
  set_replicas(workload, spec);
  spec["leaderWorkerTemplate"] = std::move(group);
  spec["startupPolicy"] = "LeaderCreated";
  Value strategy = Object{{"type", "RollingUpdate"}};
  if (Value rolling = rollout(workload.spec, true); !rolling.is_null()) {
    strategy["rollingUpdateConfiguration"] = std::move(rolling);
  }
  spec["rolloutStrategy"] = std::move(strategy);
  out["spec"] = std::move(spec);
  return out;
}

// The pod spec of a live group, or null.
const Value* live_pod(const Build& build, const Workload& workload, std::string_view member) {
  const Value* live = build.live("LeaderWorkerSet", workload_name(build, workload));
  return live == nullptr ? nullptr : get(*live, {"spec", "leaderWorkerTemplate", member, "spec"});
}

Result<Value> planned_group(Build& build, const Workload& workload, const Account& account) {
  Group pods;
  if (get(workload.spec, {"template"}) != nullptr) {
    BATON_TRY_ASSIGN(pods.leader, pod_spec(build, {workload, "template", account,
                                                   live_pod(build, workload, "leaderTemplate")}));
  }
  BATON_TRY_ASSIGN(pods.worker, pod_spec(build, {workload, "worker", account,
                                                 live_pod(build, workload, "workerTemplate")}));
  return leader_worker_set(build, workload, std::move(pods));
}

// One account for leader and workers.
Result<Account> group_account(Build& build, const Workload& workload) {
  const Value* leader = get(workload.spec, {"template"});
  const Value* worker = get(workload.spec, {"worker"});
  Account out = named_or_ours({leader, worker}, workload_name(build, workload));
  if (out.is_ours) return out;
  const bool by_leader = leader != nullptr && leader->string_at({"serviceAccountName"}) == out.name;
  BATON_TRY(check_account(
      build, out, fmt::format("{}/{}", workload.pointer, by_leader ? "template" : "worker")));
  const std::string_view workers = worker->string_at({"serviceAccountName"});
  if (!workers.empty() && workers != out.name) {
    build.warn(workload.pointer + "/worker/serviceAccountName",
               fmt::format("has no effect: workers run as {}, as their leader does", out.name));
  }
  return out;
}

bool any_sidecar(const Workload& workload) {
  return std::ranges::any_of(std::initializer_list<std::string_view>{"template", "worker"},
                             [&](std::string_view place) {
                               const Value* pod = get(workload.spec, {place});
                               return pod != nullptr && has_routing_sidecar(*pod);
                             });
}

}  // namespace

Status add_multi_node(Build& build) {
  const Workload main = main_workload(build);
  const auto prefill = prefill_workload(build);
  std::vector<Value> sets;
  add_device_template(build);
  if (main.is_multi_node()) {
    BATON_TRY_ASSIGN(const Account owner, group_account(build, main));
    add_account(build, owner);
    if (any_sidecar(main)) add_sidecar_role(build, owner, "-kserve-mn");
    BATON_TRY_ASSIGN(Value set, planned_group(build, main, owner));
    sets.push_back(std::move(set));
  }
  if (prefill && prefill->is_multi_node()) {
    BATON_TRY_ASSIGN(const Account owner, group_account(build, *prefill));
    add_account(build, owner);
    BATON_TRY_ASSIGN(Value set, planned_group(build, *prefill, owner));
    sets.push_back(std::move(set));
  }
  for (Value& set : sets) build.add(std::move(set));
  return {};
}

namespace {

Status add_deployment(Build& build, const Workload& workload) {
  const Value* pod = get(workload.spec, {"template"});
  if (pod == nullptr) {
    return invalid(
        fmt::format("{}/template: is missing: no preset and no baseRef has one", workload.pointer));
  }
  // Without a sidecar the user's account, or the namespace's default, will do.
  const bool ours = has_routing_sidecar(*pod) && !workload.is_prefill();
  Account account = named_or_ours({pod}, ours ? workload_name(build, workload) : "");
  account.is_ours = account.is_ours && ours;
  BATON_TRY(check_account(build, account, workload.pointer + "/template"));
  if (ours) {
    add_account(build, account);
    add_sidecar_role(build, account, "-kserve");
  }
  const Value* live = build.live("Deployment", workload_name(build, workload));
  if (live != nullptr) live = get(*live, {"spec", "template", "spec"});
  BATON_TRY_ASSIGN(Value planned, pod_spec(build, {workload, "template", account, live}));
  build.add(deployment(build, workload, std::move(planned)));
  return {};
}

}  // namespace

Status add_single_node(Build& build) {
  if (const Workload main = main_workload(build); !main.is_multi_node()) {
    BATON_TRY(add_deployment(build, main));
  }
  if (const auto prefill = prefill_workload(build); prefill && !prefill->is_multi_node()) {
    BATON_TRY(add_deployment(build, *prefill));
  }
  return {};
}

void add_workload_service(Build& build) {
  Value out = object("v1", "Service", build.ns, build.child("-kserve-workload-svc"),
                     component_labels(build.name, "llminferenceservice-workload"));
  for (const std::string_view map : {"labels", "annotations"}) {
    const Value handed = pod_metadata(build, main_workload(build), Object());
    if (const Value* from = get(build.spec(), {map})) {
      for (const auto& [key, value] : *from->if_object()) {
        if (handed.find_path({map, key}) != nullptr) out["metadata"][map][key] = value;
      }
    }
  }
  const std::string_view scheme = build.settings().enable_tls ? "https" : "http";
  out["spec"] = Object{{"selector", front_selector(build.name, build.split())},
                       {"ports", Array{Object{{"name", scheme},
                                              {"protocol", "TCP"},
                                              {"appProtocol", scheme},
                                              {"port", kEnginePort},
                                              {"targetPort", kEnginePort}}}}};
  build.add(std::move(out));
}

}  // namespace baton::plan
