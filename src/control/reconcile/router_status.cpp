#include "control/reconcile/router_status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "control/plan/child_name.hpp"
#include "control/reconcile/fields.hpp"

namespace baton::reconcile {

namespace {

using kube::Condition;
using kube::Object;
using text::json::Array;

constexpr std::string_view kGateways = "gateway.networking.k8s.io";
constexpr std::string_view kPoolGroup = "inference.networking.k8s.io";

const Object* condition_in(const Object& entry, std::string_view type) {
  for (const auto& condition : items(entry, {"conditions"})) {
    if (condition.string_at({"type"}) == type) return &condition;
  }
  return nullptr;
}

bool is_stale(const Object& condition, std::int64_t generation) {
  const auto* seen = condition.find("observedGeneration");
  return seen != nullptr && seen->if_int().value_or(0) < generation;
}

// "" when the condition holds for this generation; else why not.
std::string failing(const Object& entry, std::string_view type, std::int64_t generation) {
  const auto* condition = condition_in(entry, type);
  if (condition == nullptr) return fmt::format("{} is not reported", type);
  if (condition->string_at({"status"}) != "True") {
    return fmt::format("{} is {} ({}): {}", type, condition->string_at({"status"}),
                       condition->string_at({"reason"}), condition->string_at({"message"}));
  }
  if (is_stale(*condition, generation)) {
    return fmt::format("{} is of an earlier generation", type);
  }
  return "";
}

bool same_parent(const Object& a, const Object& b, std::string_view ns) {
  return a.string_at({"name"}) == b.string_at({"name"}) &&
         or_else(a.string_at({"namespace"}), ns) == or_else(b.string_at({"namespace"}), ns) &&
         (a.string_at({"sectionName"}).empty() || b.string_at({"sectionName"}).empty() ||
          a.string_at({"sectionName"}) == b.string_at({"sectionName"}));
}

// "" when the route is ready, else the reason.
std::string route_problem(const Object& route) {
  const auto generation = kube::generation_of(route);
  const auto ns = kube::namespace_of(route);
  const auto& parents = items(route, {"spec", "parentRefs"});
  if (parents.empty()) return "it has no parentRefs";
  const auto& entries = items(route, {"status", "parents"});
  for (const auto& parent : parents) {
    const bool told = std::ranges::any_of(entries, [&](const Object& entry) {
      const auto* ref = entry.find("parentRef");
      return ref != nullptr && same_parent(*ref, parent, ns) && condition_in(entry, "Accepted");
    });
    if (!told) return fmt::format("Gateway {} has not accepted it yet", text_of(parent, ns));
  }
  for (const auto& entry : entries) {
    if (condition_in(entry, "Accepted") == nullptr) continue;  // a policy's controller
    for (const auto* type : {"Accepted", "ResolvedRefs"}) {
      if (auto problem = failing(entry, type, generation); !problem.empty()) return problem;
    }
  }
  return "";
}

// Every gateway that the routes name, once, by "ns/name".
std::map<std::string, const Object*> gateways_of_routes(const RouterView& view) {
  std::map<std::string, const Object*> out;
  for (const auto* route : view.routes) {
    for (const auto& parent : items(*route, {"spec", "parentRefs"})) {
      if (!is_gateway_ref(parent)) continue;
      const auto ns = kube::namespace_of(*route);
      out[text_of(parent, ns)] = find_gateway(view.gateways, parent, ns);
    }
  }
  return out;
}

Condition gateways_condition(const RouterView& view) {
  std::string waiting;
  for (const auto& [name, gateway] : gateways_of_routes(view)) {
    if (gateway != nullptr && kube::condition_is(*gateway, "Programmed", "True")) continue;
    waiting += (waiting.empty() ? "" : ", ") + name;
  }
  if (waiting.empty()) return part("GatewaysReady", "", "");
  return part("GatewaysReady", "GatewaysNotReady",
              fmt::format("Gateways that are not programmed: {}", waiting));
}

Condition routes_condition(const RouterView& view) {
  std::string problems;
  for (const auto* route : view.routes) {
    const auto problem = route_problem(*route);
    if (problem.empty()) continue;
    problems += fmt::format("{}HTTPRoute {}: {}", problems.empty() ? "" : "; ",
                            kube::name_of(*route), problem);
  }
  return problems.empty() ? part("HTTPRoutesReady", "", "")
                          : part("HTTPRoutesReady", "HTTPRoutesNotReady", problems);
}

// The entries of a pool's status: "parents" in v1, "parent" in x-k8s.
std::vector<const Object*> parents_of(const Object& pool) {
  std::vector<const Object*> out;
  for (const auto* member : {"parents", "parent"}) {
    for (const auto& entry : items(pool, {"status", member})) out.push_back(&entry);
  }
  return out;
}

bool names_gateway(const Object& entry, const Object& pool, const std::string& gateway) {
  const auto* ref = entry.find("parentRef");
  return ref != nullptr && text_of(*ref, kube::namespace_of(pool)) == gateway;
}

Condition pool_problem(const Object& pool, const std::map<std::string, const Object*>& gateways) {
  const auto name = kube::name_of(pool);
  const auto generation = kube::generation_of(pool);
  const auto entries = parents_of(pool);
  const auto refused = [&](const Object& entry) {
    return part("InferencePoolReady", "InferencePoolNotReady",
                fmt::format("InferencePool {}: {}", name, failing(entry, "Accepted", generation)));
  };
  if (gateways.empty()) {
    for (const auto* entry : entries) {
      const auto* accepted = condition_in(*entry, "Accepted");
      if (accepted != nullptr && accepted->string_at({"status"}) == "False") return refused(*entry);
    }
    return part("InferencePoolReady", "", "");
  }
  std::string waiting;
  for (const auto& [gateway, object] : gateways) {
    bool told = false;
    for (const auto* entry : entries) {
      if (!names_gateway(*entry, pool, gateway)) continue;
      told = true;
      if (!failing(*entry, "Accepted", generation).empty()) return refused(*entry);
    }
    if (!told) waiting += (waiting.empty() ? "" : ", ") + gateway;
  }
  if (waiting.empty()) return part("InferencePoolReady", "", "");
  return part("InferencePoolReady", "WaitingForGateway",
              fmt::format("InferencePool {} is not yet accepted by gateway {}", name, waiting));
}

// Ready when either generation's pool is; else the problem of the first, v1.
Condition pools_condition(const RouterView& view) {
  const auto gateways = gateways_of_routes(view);
  std::optional<Condition> first;
  for (const auto* pool : view.pools) {
    auto condition = pool_problem(*pool, gateways);
    if (condition.status == "True") return condition;
    if (!first) first = std::move(condition);
  }
  if (first) return *std::move(first);
  return part("InferencePoolReady", "InferencePoolFetchError", "the InferencePool does not exist");
}

Object reference(std::string_view group, std::string_view kind, const Object& object) {
  return text::json::Object{{"group", group},
                            {"kind", kind},
                            {"name", kube::name_of(object)},
                            {"namespace", kube::namespace_of(object)}};
}

Array observed_gateways(const RouterView& view) {
  Array out;
  for (const auto& [name, gateway] : gateways_of_routes(view)) {
    if (gateway == nullptr) continue;
    std::set<std::string> sections;
    std::map<std::string_view, Object> routes;
    for (const auto* route : view.routes) {
      for (const auto& parent : items(*route, {"spec", "parentRefs"})) {
        if (!is_gateway_ref(parent) || text_of(parent, kube::namespace_of(*route)) != name)
          continue;
        if (const auto section = parent.string_at({"sectionName"}); !section.empty()) {
          sections.emplace(section);
        }
        routes[kube::name_of(*route)] = reference(kGateways, "HTTPRoute", *route);
      }
    }
    Object entry = reference(kGateways, "Gateway", *gateway);
    for (const auto& section : sections) entry["listeners"].push_back(section);
    for (auto& [route_name, ref] : routes) entry["httpRoutes"].push_back(std::move(ref));
    out.push_back(std::move(entry));
  }
  return out;
}

Object observed_scheduler(const RouterView& view) {
  const auto ns = kube::namespace_of(view.merged);
  const auto name = kube::name_of(view.merged);
  const auto& scheduler = *view.merged.find_path({"spec", "router", "scheduler"});
  const auto ref = scheduler.string_at({"pool", "ref", "name"});
  Object out;
  Object& pool = out["inferencePool"];
  pool["group"] = kPoolGroup;
  pool["kind"] = "InferencePool";
  pool["name"] = ref.empty() ? plan::child_name(name, "-inference-pool") : std::string(ref);
  pool["namespace"] = ns;
  if (!ref.empty()) return out;
  Object& service = out["service"];
  service["group"] = "";
  service["kind"] = "Service";
  service["name"] = or_else(scheduler.string_at({"pool", "spec", "endpointPickerRef", "name"}),
                            plan::child_name(name, "-epp-service"));
  service["namespace"] = ns;
  return out;
}

Object observed_group(const plan::Group& group) {
  Object out;
  out["name"] = group.name;
  out["members"] = Array{};
  for (const auto& member : group.members) {
    Object entry;
    entry["name"] = member.name;
    entry["weight"] = member.weight;
    if (member.stopped) entry["stopped"] = true;
    entry["backendRef"] = member.backend_ref;
    out["members"].push_back(std::move(entry));
  }
  return out;
}

void set_or_erase(Object& status, std::string_view member, Object value, bool set) {
  if (set) {
    status[member] = std::move(value);
  } else if (auto* members = status.if_object()) {
    members->erase(member);
  }
}

}  // namespace

bool is_gateway_ref(const Object& ref) {
  const auto kind = ref.string_at({"kind"});
  return kind.empty() || kind == "Gateway";
}

std::string text_of(const Object& ref, std::string_view ns) {
  return fmt::format("{}/{}", or_else(ref.string_at({"namespace"}), ns), ref.string_at({"name"}));
}

const Object* find_gateway(const Objects& gateways, const Object& ref, std::string_view ns) {
  for (const auto* gateway : gateways) {
    if (kube::name_of(*gateway) == ref.string_at({"name"}) &&
        kube::namespace_of(*gateway) == or_else(ref.string_at({"namespace"}), ns)) {
      return gateway;
    }
  }
  return nullptr;
}

std::optional<Condition> invalid_reference(const RouterView& view, const Object* planned_route) {
  const auto ns = kube::namespace_of(view.merged);
  for (const auto& ref : items(view.merged, {"spec", "router", "gateway", "refs"})) {
    if (find_gateway(view.gateways, ref, ns) != nullptr) continue;
    return part("GatewaysReady", "RefsInvalid",
                fmt::format("Gateway {} does not exist", text_of(ref, ns)));
  }
  Objects routes;
  for (const auto& ref : items(view.merged, {"spec", "router", "route", "http", "refs"})) {
    const auto found = std::ranges::find_if(view.routes, [&](const Object* route) {
      return kube::name_of(*route) == ref.string_at({"name"});
    });
    if (found == view.routes.end()) {
      return part("HTTPRoutesReady", "RefsInvalid",
                  fmt::format("HTTPRoute {} does not exist", text_of(ref, ns)));
    }
    if (items(**found, {"spec", "parentRefs"}).empty()) {
      return part("HTTPRoutesReady", "RefsInvalid",
                  fmt::format("HTTPRoute {} has no parent gateway references", text_of(ref, ns)));
    }
    routes.push_back(*found);
  }
  if (planned_route != nullptr) routes.push_back(planned_route);
  for (const auto* route : routes) {
    for (const auto& parent : items(*route, {"spec", "parentRefs"})) {
      if (!is_gateway_ref(parent)) continue;
      if (find_gateway(view.gateways, parent, kube::namespace_of(*route)) != nullptr) continue;
      return part("HTTPRoutesReady", "RefsInvalid",
                  fmt::format("HTTPRoute {} references non-existent Gateway {}",
                              kube::name_of(*route), text_of(parent, kube::namespace_of(*route))));
    }
  }
  return std::nullopt;
}

void put_router_conditions(const RouterView& view, Conditions& conditions) {
  const auto set_if = [&](bool applies, std::string_view type, auto make) {
    if (applies) {
      conditions.set(make(view));
    } else {
      conditions.remove(type);
    }
  };
  const auto& merged = view.merged;
  set_if(!items(merged, {"spec", "router", "gateway", "refs"}).empty(), "GatewaysReady",
         gateways_condition);
  set_if(has(merged, {"spec", "router", "route", "http"}), "HTTPRoutesReady", routes_condition);
  set_if(has(merged, {"spec", "router", "scheduler"}), "InferencePoolReady", pools_condition);
}

void put_routing(const RouterView& view, const std::vector<Address>& addresses,
                 const std::optional<plan::Group>& group, Object& status) {
  set_or_erase(status, "addresses", to_status(addresses), !addresses.empty());
  const auto url = preferred_url(view, addresses);
  set_or_erase(status, "url", url, !url.empty());

  Object router = text::json::Object{};
  if (auto gateways = observed_gateways(view); !gateways.empty()) {
    router["gateways"] = std::move(gateways);
  }
  if (has(view.merged, {"spec", "router", "scheduler"})) {
    router["scheduler"] = observed_scheduler(view);
  }
  if (group) router["group"] = observed_group(*group);
  const bool told = !router.if_object()->empty();
  set_or_erase(status, "router", std::move(router), told);
}

}  // namespace baton::reconcile
