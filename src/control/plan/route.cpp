// The HTTPRoute of a service.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/group.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/pool_migration.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kModelRouting = "serving.kserve.io/model-based-routing-enabled";
constexpr std::string_view kGroupLabel = "serving.kserve.io/routing-group";
constexpr std::size_t kMaxMatches = 64;  // of a rule (Gateway API)

// Header names have no case.
bool is_header(const Value& header, std::string_view name) {
  return std::ranges::equal(header.string_at({"name"}), name, [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  });
}

Value* routing_header(Value& match, std::string_view name) {
  for (Value& header : items(match.find("headers"))) {
    if (is_header(header, name)) return &header;
  }
  return nullptr;
}

// A gateway's administrator may decline for all of its services.
bool gateway_declines(const Build& build) {
  const Value* refs = get(build.spec(), {"router", "gateway", "refs"});
  return std::ranges::any_of(items(refs), [&](const Value& ref) {
    const std::string_view place = ref.string_at({"namespace"});
    return std::ranges::any_of(build.observed.gateways, [&](const Value& gateway) {
      return name_of(gateway) == ref.string_at({"name"}) &&
             namespace_of(gateway) == (place.empty() ? std::string_view(build.ns) : place) &&
             gateway.string_at({"metadata", "annotations", kModelRouting}) == "false";
    });
  });
}

// Routing by the model header is an offer of the presets; service, gateway and installation may
// each decline it.
bool routes_by_model(const Build& build) {
  if (build.settings().model_routing_header.empty()) return false;
  if (build.spec().string_at({"annotations", kModelRouting}) != "true") return false;
  switch (build.settings().model_routing) {
    case Settings::ModelRouting::kDisabled:
      return false;
    case Settings::ModelRouting::kForced:
      return true;
    case Settings::ModelRouting::kEnabled:
      return !gateway_declines(build);
  }
  return false;
}

void drop_model_matches(const Build& build, Array& rules) {
  std::erase_if(rules, [&](Value& rule) {
    Value* matches = rule.find("matches");
    if (matches == nullptr || !matches->is_array() || matches->if_array()->empty()) return false;
    std::erase_if(*matches->if_array(), [&](Value& match) {
      return routing_header(match, build.settings().model_routing_header) != nullptr;
    });
    return matches->if_array()->empty();
  });
}

// Adapters are models of their own: what is matched for the base model is matched for each.
void add_adapter_matches(Build& build, Array& rules) {
  std::vector<std::string> adapters;
  for (const Value& adapter : items(get(build.spec(), {"model", "lora", "adapters"}))) {
    if (const auto name = adapter.string_at({"name"}); !name.empty()) adapters.emplace_back(name);
  }
  std::ranges::sort(adapters);
  for (Value& rule : rules) {
    Value* matches = rule.find("matches");
    if (adapters.empty() || matches == nullptr || !matches->is_array()) continue;
    Array more;
    for (const std::string& adapter : adapters) {
      for (Value match : *matches->if_array()) {  // a copy
        Value* header = routing_header(match, build.settings().model_routing_header);
        if (header == nullptr) continue;
        (*header)["value"] = fmt::format("publishers/{}/models/{}", build.ns, adapter);
        more.push_back(std::move(match));
      }
    }
    std::ranges::move(more, std::back_inserter(*matches->if_array()));
    if (matches->if_array()->size() > kMaxMatches) {
      build.warn("/spec/model/lora/adapters",
                 fmt::format("makes {} matches in the route's rule '{}'; Gateway API takes {}",
                             matches->if_array()->size(), rule.string_at({"name"}), kMaxMatches));
    }
  }
}

// The default pool's backends get the group that the gateways understand; a pool the user names
// keeps what the rules say.
void choose_pool_group(const Build& build, std::string_view group, Value& route) {
  const std::string pool = build.child("-inference-pool");
  const Value* scheduler = get(build.spec(), {"router", "scheduler"});
  if (scheduler == nullptr || get(*scheduler, {"pool", "ref"}) != nullptr) return;
  for (Value& rule : items(route["spec"].find("rules"))) {
    for (Value& backend : items(rule.find("backendRefs"))) {
      const bool ours =
          backend.string_at({"kind"}) == "InferencePool" && backend.string_at({"name"}) == pool;
      if (ours) backend["group"] = group;
    }
  }
  if (group == kPoolGroupV1) route["metadata"]["annotations"][kPoolMigrated] = "v1";
}

std::string_view group_for_pools(const Build& build, std::string_view route_name) {
  // A pool the user names is read as v1.
  if (get(build.spec(), {"router", "scheduler", "pool", "ref"}) != nullptr) return kPoolGroupV1;
  return pool_group(build.live("HTTPRoute", route_name), build.child("-inference-pool"),
                    build.settings().serves_x_pools ? XPools::kServed : XPools::kAbsent);
}

void join_group(Build& build, std::string_view pool_api, Value& route) {
  if (group_of(build.service).empty()) return;
  Group group = traffic_group({build.service, build.observed.peers, pool_api});
  split_traffic(group, build.service, route["spec"]);
  if (!group.divergent.empty()) {
    build.out.warnings.push_back(
        {"/spec/router/route/group",
         fmt::format("members of group {} that serve other models take no part of this traffic: {}",
                     group.name, fmt::join(group.divergent, ", ")),
         "MemberDivergence"});
  }
  build.out.group = std::move(group);
}

// Two services that answer to one model name: the gateway would choose between them by age.
void warn_of_collisions(Build& build) {
  const std::vector<std::string> own = spec_model_names(build.service);
  const std::string_view group = group_of(build.service);
  for (const Value& peer : build.observed.peers) {
    const bool self = name_of(peer) == build.name || namespace_of(peer) != build.ns;
    if (self || get(peer, {"metadata", "deletionTimestamp"}) != nullptr) continue;
    if (!group.empty() && group_of(peer) == group) continue;
    std::vector<std::string> shared;
    std::ranges::set_intersection(own, model_names(peer), std::back_inserter(shared));
    if (shared.empty()) continue;
    build.out.warnings.push_back({"/spec/model/name",
                                  fmt::format("{} is served by LLMInferenceService {} as well",
                                              fmt::join(shared, ", "), name_of(peer)),
                                  "ModelNameCollision"});
  }
}

}  // namespace

Status add_route(Build& build) {
  const Value* http = get(build.spec(), {"router", "route", "http"});
  if (http == nullptr || get(*http, {"spec"}) == nullptr) return {};
  if (!items(get(*http, {"refs"})).empty()) return {};

  const std::string name = build.child("-kserve-route");
  Value labels = component_labels(build.name, "llminferenceservice-router");
  const std::string_view group = group_of(build.service);
  if (!group.empty()) labels[kGroupLabel] = group;
  Value route =
      object("gateway.networking.k8s.io/v1", "HTTPRoute", build.ns, name, std::move(labels));
  route["spec"] = *http->find("spec");
  if (Value* rules = route["spec"].find("rules"); rules != nullptr && rules->is_array()) {
    if (routes_by_model(build)) {
      add_adapter_matches(build, *rules->if_array());
    } else {
      drop_model_matches(build, *rules->if_array());
    }
  }
  const std::string_view pool_api = group_for_pools(build, name);
  choose_pool_group(build, pool_api, route);
  join_group(build, pool_api, route);
  build.add(std::move(route));
  warn_of_collisions(build);
  return {};
}

}  // namespace baton::plan
