// The HTTPRoute of a service, and which of the two InferencePool APIs it refers to.

#include <algorithm>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kModelRouting = "serving.kserve.io/model-based-routing-enabled";
constexpr std::string_view kMigrated = "serving.kserve.io/inference-pool-migrated";
constexpr std::string_view kV1Group = "inference.networking.k8s.io";
constexpr std::string_view kXGroup = "inference.networking.x-k8s.io";

bool has_routing_header(const Value& match, std::string_view header) {
  const Value* headers = match.find("headers");
  if (headers == nullptr || !headers->is_array()) return false;
  return std::ranges::any_of(*headers->if_array(),
                             [&](const Value& one) { return one.string_at({"name"}) == header; });
}

// Routing by the model header is an offer of the presets; a service may decline it.
bool routes_by_model(const Build& build) {
  return !build.settings().model_routing_header.empty() &&
         build.spec().string_at({"annotations", kModelRouting}) == "true";
}

void drop_model_matches(const Build& build, Array& rules) {
  std::erase_if(rules, [&](Value& rule) {
    Value* matches = rule.find("matches");
    if (matches == nullptr || !matches->is_array() || matches->if_array()->empty()) return false;
    std::erase_if(*matches->if_array(), [&](const Value& match) {
      return has_routing_header(match, build.settings().model_routing_header);
    });
    return matches->if_array()->empty();
  });
}

bool is_pool(const Value& backend, std::string_view pool) {
  return backend.string_at({"kind"}) == "InferencePool" && backend.string_at({"name"}) == pool;
}

template <class Visit>
void each_backend(auto& route, Visit visit) {
  auto* rules = route.find("rules");
  if (rules == nullptr || !rules->is_array()) return;
  for (auto& rule : *rules->if_array()) {
    auto* backends = rule.find("backendRefs");
    if (backends == nullptr || !backends->is_array()) continue;
    for (auto& backend : *backends->if_array()) visit(backend);
  }
}

bool refers_to(const Value& live, std::string_view pool, std::string_view group) {
  bool found = false;
  if (const Value* spec = live.find("spec")) {
    each_backend(*spec, [&](const Value& backend) {
      found = found || (is_pool(backend, pool) && backend.string_at({"group"}) == group);
    });
  }
  return found;
}

struct Verdicts {
  bool understood = false;    // some gateway knows the kind of backend
  bool invalid_kind = false;  // some gateway does not
};

Verdicts verdicts(const Value& live) {
  Verdicts out;
  const Value* parents = get(live, {"status", "parents"});
  if (parents == nullptr || !parents->is_array()) return out;
  for (const Value& parent : *parents->if_array()) {
    const Value* conditions = parent.find("conditions");
    if (conditions == nullptr || !conditions->is_array()) continue;
    for (const Value& condition : *conditions->if_array()) {
      if (condition.string_at({"type"}) != "ResolvedRefs") continue;
      const bool refused = condition.string_at({"status"}) == "False" &&
                           condition.string_at({"reason"}) == "InvalidKind";
      (refused ? out.invalid_kind : out.understood) = true;
    }
  }
  return out;
}

// Gateways learn the v1 API later than the old one: a route starts with the old group and moves,
// once and for good, when a gateway shows that it wants v1.
bool uses_v1(const Build& build, std::string_view route, std::string_view pool) {
  if (!build.settings().serves_x_pools) return true;
  const Value* live = build.live("HTTPRoute", route);
  if (live == nullptr) return false;
  if (live->string_at({"metadata", "annotations", kMigrated}) == "v1") return true;
  const Verdicts said = verdicts(*live);
  if (refers_to(*live, pool, kV1Group) && said.understood) return true;
  return refers_to(*live, pool, kXGroup) && said.invalid_kind && !said.understood;
}

void choose_pool_group(const Build& build, std::string_view name, Value& route) {
  const std::string pool = build.child("-inference-pool");
  const Value* scheduler = get(build.spec(), {"router", "scheduler"});
  if (scheduler == nullptr || get(*scheduler, {"pool", "ref"}) != nullptr) return;
  const bool v1 = uses_v1(build, name, pool);
  each_backend(route["spec"], [&](Value& backend) {
    if (is_pool(backend, pool)) backend["group"] = v1 ? kV1Group : kXGroup;
  });
  if (v1) route["metadata"]["annotations"][kMigrated] = "v1";
}

}  // namespace

void add_route(Build& build) {
  const Value* http = get(build.spec(), {"router", "route", "http"});
  if (http == nullptr || get(*http, {"spec"}) == nullptr) return;
  const Value* refs = get(*http, {"refs"});
  if (refs != nullptr && refs->is_array() && !refs->if_array()->empty()) return;

  const std::string name = build.child("-kserve-route");
  Value labels = component_labels(build.name, "llminferenceservice-router");
  const std::string_view group = build.spec().string_at({"router", "route", "group"});
  if (!group.empty()) labels["serving.kserve.io/routing-group"] = group;
  Value route =
      object("gateway.networking.k8s.io/v1", "HTTPRoute", build.ns, name, std::move(labels));
  route["spec"] = *http->find("spec");
  if (Value* rules = route["spec"].find("rules");
      rules != nullptr && rules->is_array() && !routes_by_model(build)) {
    drop_model_matches(build, *rules->if_array());
  }
  choose_pool_group(build, name, route);
  build.add(std::move(route));
}

}  // namespace baton::plan
