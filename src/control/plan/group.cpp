#include "control/plan/group.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/plan/child_name.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::int64_t kGroupPort = 8000;

bool is_terminating(const Value& service) {
  return get(service, {"metadata", "deletionTimestamp"}) != nullptr;
}

std::vector<std::string> sorted_unique(std::vector<std::string> names) {
  std::erase(names, "");
  std::ranges::sort(names);
  const auto rest = std::ranges::unique(names);
  names.erase(rest.begin(), rest.end());
  return names;
}

std::string_view plain(std::string_view model, std::string_view ns) {
  const std::string prefix = fmt::format("publishers/{}/models/", ns);
  return model.starts_with(prefix) ? model.substr(prefix.size()) : model;
}

Value pool_backend(std::string_view group, std::string_view name) {
  return Object{{"group", group}, {"kind", "InferencePool"}, {"name", name}, {"port", kGroupPort}};
}

std::string workload_service(const Value& service) {
  return child_name(name_of(service), "-kserve-workload-svc");
}

Value service_backend(const Value& service) {
  return Object{{"group", ""},
                {"kind", "Service"},
                {"name", workload_service(service)},
                {"port", kGroupPort}};
}

// Where the traffic for `self` goes, by its merged spec.
Value own_backend(const Value& self, std::string_view pool_group) {
  if (get(self, {"spec", "router", "scheduler"}) == nullptr) return service_backend(self);
  return pool_backend(pool_group, pool_name(self));
}

// A peer's spec is not merged: its status tells what it has.
Value peer_backend(const Value& peer, std::string_view pool_group) {
  if (get(peer, {"spec", "router", "scheduler", "pool", "ref"}) != nullptr) {
    return pool_backend(pool_group, pool_name(peer));
  }
  const std::string_view pool =
      peer.string_at({"status", "router", "scheduler", "inferencePool", "name"});
  return pool.empty() ? service_backend(peer) : pool_backend(pool_group, pool);
}

Group::Member member_of(const Value& service, bool stopped, Value backend) {
  const Value* weight = get(service, {"spec", "router", "route", "weight"});
  return {.name = name_of(service),
          .weight = weight == nullptr ? 0 : weight->if_int().value_or(0),
          .stopped = stopped,
          .backend_ref = std::move(backend)};
}

bool is_own(const Value& backend, const Value& self) {
  const std::string_view kind = backend.string_at({"kind"});
  const std::string_view name = backend.string_at({"name"});
  if (kind == "InferencePool") {
    return name == pool_name(self) || name == child_name(name_of(self), "-inference-pool");
  }
  return (kind.empty() || kind == "Service") && name == workload_service(self);
}

bool is_below(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

// A rule for the service's own path stays its own: everybody can reach each member alone.
bool is_private(const Value& rule, const Value& self) {
  const std::string root = fmt::format("/{}/{}", namespace_of(self), name_of(self));
  return std::ranges::any_of(items(rule.find("matches")), [&](const Value& match) {
    return is_below(match.string_at({"path", "value"}), root);
  });
}

const Value* condition_of(const Value& service, std::string_view type) {
  for (const Value& condition : items(service.find_path({"status", "conditions"}))) {
    if (condition.string_at({"type"}) == type) return &condition;
  }
  return nullptr;
}

// RouterReady; or all that is missing is that gateways accept its own route, which nobody needs who
// sends to its pool. Every change of a weight is a route to accept anew: without this, the members
// of a group would leave each other out in turn.
bool takes_requests(const Value& service) {
  const auto is = [&](std::string_view type, std::string_view status) {
    const Value* condition = condition_of(service, type);
    return condition != nullptr && condition->string_at({"status"}) == status;
  };
  if (is("RouterReady", "True")) return true;
  const Value* routes = condition_of(service, "HTTPRoutesReady");
  if (routes == nullptr || routes->string_at({"reason"}) != "HTTPRoutesNotReady") return false;
  constexpr std::string_view kOthers[] = {"GatewaysReady", "InferencePoolReady",
                                          "SchedulerWorkloadReady", "TokenizerReady"};
  return std::ranges::none_of(kOthers, [&](std::string_view type) { return is(type, "False"); });
}

}  // namespace

std::string_view group_of(const Value& service) {
  return service.string_at({"spec", "router", "route", "group"});
}

std::vector<std::string> spec_model_names(const Value& service) {
  const std::string_view base = service.string_at({"spec", "model", "name"});
  std::vector<std::string> names{base.empty() ? name_of(service) : std::string(base)};
  for (const Value& adapter : items(service.find_path({"spec", "model", "lora", "adapters"}))) {
    names.emplace_back(adapter.string_at({"name"}));
  }
  return sorted_unique(std::move(names));
}

std::vector<std::string> model_names(const Value& service) {
  const std::string ns = namespace_of(service);
  std::vector<std::string> names;
  for (const Value& address : items(service.find_path({"status", "addresses"}))) {
    for (const Value& model : items(address.find("models"))) {
      names.emplace_back(plain(model.string_at({"name"}), ns));
    }
  }
  names = sorted_unique(std::move(names));
  return names.empty() ? spec_model_names(service) : names;
}

bool is_routable(const Value& service) {
  if (!takes_requests(service) || get(service, {"status", "workloads", "primary"}) == nullptr)
    return false;
  for (const std::string_view workload : {"primary", "prefill", "scheduler"}) {
    const Value* status = get(service, {"status", "workloads", workload});
    if (status == nullptr) continue;
    const Value* ready = status->find("readyReplicas");
    if (ready == nullptr || ready->if_int().value_or(0) <= 0) return false;
  }
  return true;
}

Value as_if_running(Value service) {
  if (get(service, {"status"}) != nullptr) return service;
  Value status = Object{{"conditions", Array{Object{{"type", "RouterReady"}, {"status", "True"}}}},
                        {"workloads", Object{{"primary", Object{{"readyReplicas", 1}}}}}};
  const Value* scheduler = get(service, {"spec", "router", "scheduler"});
  if (scheduler != nullptr && get(*scheduler, {"pool", "ref"}) == nullptr) {
    status["router"]["scheduler"]["inferencePool"]["name"] = pool_name(service);
  }
  service["status"] = std::move(status);
  return service;
}

Group traffic_group(const GroupView& view) {
  Group out{.name = std::string(group_of(view.self)), .members = {}, .divergent = {}};
  out.members.push_back(member_of(view.self, false, own_backend(view.self, view.pool_group)));
  const std::vector<std::string> names = spec_model_names(view.self);
  const std::string_view base = view.self.string_at({"spec", "model", "name"});
  for (const Value& peer : view.peers) {
    if (group_of(peer) != out.name || is_terminating(peer)) continue;
    if (namespace_of(peer) != namespace_of(view.self) || name_of(peer) == name_of(view.self))
      continue;
    const bool stopped = is_stopped(peer);
    if (!stopped && !is_routable(peer)) continue;
    const std::vector<std::string> theirs = model_names(peer);
    const bool matches =
        stopped ? std::ranges::find(theirs, base) != theirs.end() : theirs == names;
    if (matches) {
      out.members.push_back(member_of(peer, stopped, peer_backend(peer, view.pool_group)));
    } else {
      out.divergent.push_back(name_of(peer));
    }
  }
  std::ranges::sort(out.members, {}, &Group::Member::name);
  std::ranges::sort(out.divergent);
  return out;
}

void split_traffic(const Group& group, const Value& self, Value& route_spec) {
  Array backends;
  for (const Group::Member& member : group.members) {
    // Some gateways leak traffic to a backend of weight 0: a stopped member is left out.
    if (member.stopped) continue;
    Value backend = member.backend_ref;
    backend["weight"] = member.weight;
    backends.push_back(std::move(backend));
  }
  for (Value& rule : items(route_spec.find("rules"))) {
    const bool ours =
        std::ranges::any_of(items(std::as_const(rule).find("backendRefs")),
                            [&](const Value& backend) { return is_own(backend, self); });
    if (ours && !is_private(rule, self)) rule["backendRefs"] = backends;
  }
}

}  // namespace baton::plan
