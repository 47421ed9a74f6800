#include "control/local/leader_worker_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "control/local/deployment.hpp"
#include "net/kube/object.hpp"

namespace baton::local {

namespace {

using text::json::Array;

constexpr std::string_view kSet = "leaderworkerset.sigs.k8s.io/name";
constexpr std::string_view kGroupIndex = "leaderworkerset.sigs.k8s.io/group-index";
constexpr std::string_view kWorkerIndex = "leaderworkerset.sigs.k8s.io/worker-index";
constexpr std::string_view kGroupKey = "leaderworkerset.sigs.k8s.io/group-key";
constexpr std::string_view kRevision = "leaderworkerset.sigs.k8s.io/template-revision-hash";
constexpr std::string_view kSubgroupIndex = "leaderworkerset.sigs.k8s.io/subgroup-index";
constexpr std::string_view kSubgroupKey = "leaderworkerset.sigs.k8s.io/subgroup-key";
constexpr std::string_view kSize = "leaderworkerset.sigs.k8s.io/size";
constexpr std::string_view kLeaderName = "leaderworkerset.sigs.k8s.io/leader-name";
constexpr std::string_view kSubgroupSize = "leaderworkerset.sigs.k8s.io/subgroup-size";

bool pod_is_ready(const kube::Object& pod) { return kube::condition_is(pod, "Ready", "True"); }

int int_at(const kube::Object& in, std::initializer_list<std::string_view> path, int fallback) {
  const auto* found = in.find_path(path);
  return found == nullptr ? fallback : static_cast<int>(found->if_int().value_or(fallback));
}

int number(std::string_view text) {
  int out = -1;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc{} && end == text.data() + text.size() ? out : -1;
}

// The set, as numbers.
struct Wanted {
  int replicas = 1;
  int size = 1;
  int max_unavailable = 1;
  int max_surge = 0;
  bool leader_must_be_ready = false;
  bool recreates = true;
  std::string revision;
};

enum class Round : bool { kDown, kUp };

// An integer, or a percentage of the replicas.
int scaled(const kube::Object* value, int replicas, Round round, int fallback) {
  if (value == nullptr) return fallback;
  if (const auto whole = value->if_int()) return static_cast<int>(*whole);
  const auto* text = value->if_string();
  if (text == nullptr || !text->ends_with('%')) return fallback;
  const int percent = number(std::string_view(*text).substr(0, text->size() - 1));
  if (percent < 0) return fallback;
  const double share = replicas * percent / 100.0;
  return static_cast<int>(round == Round::kUp ? std::ceil(share) : std::floor(share));
}

Wanted wanted_of(const kube::Object& set) {
  Wanted out;
  out.replicas = int_at(set, {"spec", "replicas"}, 1);
  out.size = std::max(1, int_at(set, {"spec", "leaderWorkerTemplate", "size"}, 1));
  const auto* rolling = set.find_path({"spec", "rolloutStrategy", "rollingUpdateConfiguration"});
  if (rolling != nullptr) {
    out.max_unavailable = scaled(rolling->find("maxUnavailable"), out.replicas, Round::kDown, 1);
    out.max_surge = scaled(rolling->find("maxSurge"), out.replicas, Round::kUp, 0);
  }
  if (out.max_unavailable <= 0 && out.max_surge <= 0) out.max_unavailable = 1;  // or nothing moves
  out.leader_must_be_ready = set.string_at({"spec", "startupPolicy"}) == "LeaderReady";
  out.recreates = set.string_at({"spec", "leaderWorkerTemplate", "restartPolicy"}) != "None";
  kube::Object rolled;
  for (const auto* member : {"leaderTemplate", "workerTemplate", "size", "subGroupPolicy"}) {
    const auto* part = set.find_path({"spec", "leaderWorkerTemplate", member});
    if (part != nullptr) rolled[member] = *part;
  }
  out.revision = template_hash(rolled);
  return out;
}

// Pods of one index.
struct Group {
  const kube::Object* leader = nullptr;
  std::map<int, const kube::Object*> workers;  // by worker index
  std::vector<const kube::Object*> all;
  bool is_going = false;   // a pod of it is
  bool is_broken = false;  // a pod of it failed or restarted
  bool is_current = true;  // all of the set's template
  bool is_ready = false;   // complete, and every pod is
};

bool has_restarted(const kube::Object& pod) {
  for (const auto* member : {"initContainerStatuses", "containerStatuses"}) {
    const auto* list = pod.find_path({"status", member});
    if (list == nullptr || list->if_array() == nullptr) continue;
    for (const auto& status : *list->if_array()) {
      if (int_at(status, {"restartCount"}, 0) > 0) return true;
    }
  }
  return false;
}

std::map<int, Group> groups_of(const std::vector<kube::Object>& pods, const Wanted& wanted) {
  std::map<int, Group> out;
  for (const auto& pod : pods) {
    const int index = number(kube::label(pod, kGroupIndex));
    const int worker = number(kube::label(pod, kWorkerIndex));
    auto& group = out[index];
    group.all.push_back(&pod);
    if (worker == 0) {
      group.leader = &pod;
    } else {
      group.workers[worker] = &pod;
    }
    const auto phase = pod.string_at({"status", "phase"});
    group.is_going |= kube::is_deleting(pod);
    group.is_broken |= phase == "Failed" || phase == "Succeeded" || has_restarted(pod);
    group.is_current &= kube::label(pod, kRevision) == wanted.revision;
  }
  for (auto& [index, group] : out) {
    group.is_ready =
        !group.is_going && static_cast<int>(group.all.size()) == wanted.size &&
        std::ranges::all_of(group.all, [](const auto* pod) { return pod_is_ready(*pod); });
  }
  return out;
}

std::string leader_name(const kube::Object& set, int group) {
  return fmt::format("{}-{}", kube::name_of(set), group);
}

// Opaque and the same for the pods of a group.
std::string key_of_group(const kube::Object& set, std::string_view what) {
  kube::Object text = fmt::format("{}/{}", kube::namespace_of(set), what);
  return template_hash(text);
}

// The leader counts into the first subgroup; where it is one pod too many, beside it.
int subgroup_of(int worker, int size, int subgroup_size) {
  if (worker == 0) return 0;
  return (size - 1) % subgroup_size == 0 ? (worker - 1) / subgroup_size : worker / subgroup_size;
}

kube::Object variable(std::string_view name, std::string value) {
  kube::Object out;
  out["name"] = name;
  out["value"] = std::move(value);
  return out;
}

kube::Object own_address(std::string_view name) {
  kube::Object out;
  out["name"] = name;
  out["valueFrom"]["fieldRef"]["fieldPath"] = "status.podIP";
  return out;
}

void add_environment(kube::Object& spec, const std::vector<kube::Object>& variables) {
  for (const auto* list : {"initContainers", "containers"}) {
    auto* containers = spec.find(list);
    if (containers == nullptr || containers->if_array() == nullptr) continue;
    for (auto& container : *containers->if_array()) {
      Array env(variables.begin(), variables.end());
      if (const auto* own = container.find("env"); own != nullptr && own->if_array() != nullptr) {
        for (const auto& entry : *own->if_array()) {
          const bool given = std::ranges::any_of(variables, [&](const kube::Object& v) {
            return v.string_at({"name"}) == entry.string_at({"name"});
          });
          if (!given) env.push_back(entry);
        }
      }
      container["env"] = std::move(env);
    }
  }
}

struct Member {
  int group;
  int worker;                            // 0: the leader
  const kube::Object* leader = nullptr;  // of a worker
};

void add_metadata(const kube::Object& set, const Wanted& wanted, const Member& member,
                  kube::Object& pod) {
  const auto leader = leader_name(set, member.group);
  auto& metadata = pod["metadata"];
  metadata["namespace"] = kube::namespace_of(set);
  metadata["name"] = member.worker == 0 ? leader : fmt::format("{}-{}", leader, member.worker);
  metadata["ownerReferences"] = Array{kube::controller_reference(set)};
  const int subgroup =
      int_at(set, {"spec", "leaderWorkerTemplate", "subGroupPolicy", "subGroupSize"}, 0);
  auto& labels = metadata["labels"];
  labels[kSet] = kube::name_of(set);
  labels[kGroupIndex] = std::to_string(member.group);
  labels[kWorkerIndex] = std::to_string(member.worker);
  labels[kGroupKey] = key_of_group(set, leader);
  labels[kRevision] = wanted.revision;
  if (subgroup > 0) {
    const int index = subgroup_of(member.worker, wanted.size, subgroup);
    labels[kSubgroupIndex] = std::to_string(index);
    labels[kSubgroupKey] = key_of_group(set, fmt::format("{}/{}", leader, index));
  }
  auto& annotations = metadata["annotations"];
  annotations[kSize] = std::to_string(wanted.size);
  if (member.worker != 0) annotations[kLeaderName] = leader;
  if (subgroup > 0) annotations[kSubgroupSize] = std::to_string(subgroup);
}

kube::Object pod_of_group(const kube::Object& set, const Wanted& wanted, const Member& member) {
  const auto* own = member.worker == 0
                        ? set.find_path({"spec", "leaderWorkerTemplate", "leaderTemplate"})
                        : nullptr;
  if (own == nullptr) own = set.find_path({"spec", "leaderWorkerTemplate", "workerTemplate"});
  kube::Object pod;
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  if (const auto* metadata = own == nullptr ? nullptr : own->find("metadata")) {
    pod["metadata"] = *metadata;
  }
  add_metadata(set, wanted, member, pod);
  if (const auto* spec = own == nullptr ? nullptr : own->find("spec")) pod["spec"] = *spec;
  pod["spec"]["hostname"] = kube::name_of(pod);
  pod["spec"]["subdomain"] = kube::name_of(set);
  constexpr std::string_view kAddress = "LWS_LEADER_ADDRESS";
  add_environment(
      pod["spec"],
      {member.worker == 0
           ? own_address(kAddress)
           : variable(kAddress, std::string(member.leader->string_at({"status", "podIP"}))),
       variable("LWS_GROUP_SIZE", std::to_string(wanted.size)),
       variable("LWS_WORKER_INDEX", std::to_string(member.worker))});
  return pod;
}

class Steps {
 public:
  Steps(const kube::Object& set, const std::vector<kube::Object>& pods)
      : set_(set), wanted_(wanted_of(set)), groups_(groups_of(pods, wanted_)) {}

  GroupStep run() {
    const bool updates = std::ranges::any_of(groups_, [&](const auto& entry) {
      return entry.first < wanted_.replicas && !entry.second.is_current;
    });
    const int total = wanted_.replicas + (updates ? wanted_.max_surge : 0);
    for (const auto& [index, group] : groups_) {
      const bool surplus = index < 0 || index >= total;
      const bool lost = group.is_going || group.is_broken || group.leader == nullptr;
      if (surplus || (lost && wanted_.recreates) || (!group.is_current && !group.is_ready)) {
        remove(group);
      }
    }
    if (updates) replace_ready_ones(total);
    for (int index = 0; index < total; ++index) complete(index);
    return std::move(out_);
  }

 private:
  void remove(const Group& group) {
    for (const auto* pod : group.all) {
      const std::string name(kube::name_of(*pod));
      if (!kube::is_deleting(*pod) && std::ranges::find(out_.remove, name) == out_.remove.end()) {
        out_.remove.push_back(name);
      }
    }
  }

  void replace_ready_ones(int total) {
    int ready = 0;
    for (const auto& [index, group] : groups_) {
      if (index < total && group.is_ready && !group.is_broken) ++ready;
    }
    for (auto at = groups_.rbegin(); at != groups_.rend(); ++at) {
      const auto& [index, group] = *at;
      if (index >= total || group.is_current || !group.is_ready) continue;
      if (ready - 1 < wanted_.replicas - wanted_.max_unavailable) return;
      remove(group);
      --ready;
    }
  }

  // Makes what is missing of a group that stays.
  void complete(int index) {
    const auto found = groups_.find(index);
    if (found == groups_.end()) {
      out_.create.push_back(pod_of_group(set_, wanted_, {index, 0}));
      return;
    }
    const auto& group = found->second;
    const bool stays = group.is_current && !group.is_going &&
                       (!wanted_.recreates || (!group.is_broken && group.leader != nullptr));
    if (!stays) return;
    if (group.leader == nullptr) {
      out_.create.push_back(pod_of_group(set_, wanted_, {index, 0}));
      return;
    }
    if (group.leader->string_at({"status", "podIP"}).empty()) return;
    if (wanted_.leader_must_be_ready && !pod_is_ready(*group.leader)) return;
    for (int worker = 1; worker < wanted_.size; ++worker) {
      if (group.workers.contains(worker)) continue;
      out_.create.push_back(pod_of_group(set_, wanted_, {index, worker, group.leader}));
    }
  }

  const kube::Object& set_;
  const Wanted wanted_;
  const std::map<int, Group> groups_;
  GroupStep out_;
};

std::string trouble_in(const std::vector<kube::Object>& pods) {
  for (const auto& pod : pods) {
    if (kube::is_deleting(pod)) continue;
    if (auto trouble = trouble_of(pod); !trouble.empty()) return trouble;
  }
  return "";
}

}  // namespace

GroupStep next_group_step(const kube::Object& set, const std::vector<kube::Object>& pods) {
  return Steps(set, pods).run();
}

kube::Object leader_worker_set_status(const kube::Object& set,
                                      const std::vector<kube::Object>& pods, Wall now) {
  const Wanted wanted = wanted_of(set);
  int replicas = 0;
  int ready = 0;
  int updated = 0;
  for (const auto& [index, group] : groups_of(pods, wanted)) {
    if (group.is_going) continue;
    ++replicas;
    if (group.is_ready) ++ready;
    if (group.is_current) ++updated;
  }
  const auto* before = set.find("status");
  kube::Object status = before == nullptr ? kube::Object() : *before;
  status["observedGeneration"] = kube::generation_of(set);
  status["replicas"] = replicas;
  status["readyReplicas"] = ready;
  status["updatedReplicas"] = updated;
  status["hpaPodSelector"] = fmt::format("{}={},{}=0", kSet, kube::name_of(set), kWorkerIndex);
  const bool available = ready >= wanted.replicas && updated == replicas;
  std::string trouble = trouble_in(pods);
  if (trouble.empty()) {
    trouble = fmt::format("Replicas are progressing, with {} groups ready of total {} groups",
                          ready, wanted.replicas);
  }
  kube::set_condition(
      status["conditions"],
      available
          ? kube::Condition{"Available", "True", "AllGroupsReady", "All replicas are ready", ""}
          : kube::Condition{"Available", "False", "GroupsProgressing", trouble, ""},
      now);
  kube::set_condition(status["conditions"],
                      {"Progressing", available ? "False" : "True",
                       available ? "AllGroupsReady" : "GroupsProgressing", "", ""},
                      now);
  return status;
}

}  // namespace baton::local
