#include "control/reconcile/found_by.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "control/plan/presets.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/kinds.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;

constexpr std::string_view kRoutingGroup = "serving.kserve.io/routing-group";
constexpr std::string_view kRefsInvalid = "RefsInvalid";
constexpr std::string_view kPinPrefix = "serving.kserve.io/";

std::set<std::string> names_in(const Object& object, std::initializer_list<std::string_view> path) {
  std::set<std::string> out;
  for (const auto& ref : items(object, path)) out.emplace(ref.string_at({"name"}));
  return out;
}

}  // namespace

std::string config_key(std::string_view name) { return fmt::format("config/{}", name); }
std::string route_key(std::string_view name) { return fmt::format("route/{}", name); }
std::string pool_key(std::string_view name) { return fmt::format("pool/{}", name); }
std::string tie_key(std::string_view tie) { return fmt::format("tie/{}", tie); }

std::set<std::string> used_configs(const Object& service, std::string_view config_prefix) {
  auto out = names_in(service, {"spec", "baseRefs"});
  const auto* pins = service.find_path({"status", "annotations"});
  if (pins != nullptr && pins->if_object() != nullptr) {
    for (const auto& [key, name] : *pins->if_object()) {
      if (name.is_string()) out.insert(*name.if_string());
    }
  }
  for (const auto preset : plan::preset_names()) {
    if (service.string_at({"status", "annotations", fmt::format("{}{}", kPinPrefix, preset)})
            .empty()) {
      out.insert(fmt::format("{}{}", config_prefix, preset));
    }
  }
  out.erase("");
  return out;
}

std::set<std::string> ties_of(const Object& object) {
  std::set<std::string> out = names_in(object, {"spec", "model", "lora", "adapters"});
  out.emplace(object.string_at({"spec", "router", "route", "group"}));
  out.emplace(object.string_at({"status", "router", "group", "name"}));
  out.emplace(object.string_at({"spec", "model", "name"}));
  out.emplace(kube::label(object, kRoutingGroup));
  for (const auto& address : items(object, {"status", "addresses"})) {
    out.merge(names_in(address, {"models"}));
  }
  out.erase("");
  return out;
}

bool has_wrong_refs(const Object& service, std::string_view condition) {
  const auto* found = kube::find_condition(service, condition);
  return found != nullptr && found->string_at({"reason"}) == kRefsInvalid;
}

std::vector<std::string> service_keys(const Object& service, std::string_view config_prefix) {
  std::vector<std::string> out;
  for (const auto& name : used_configs(service, config_prefix)) out.push_back(config_key(name));
  for (const auto& tie : ties_of(service)) out.push_back(tie_key(tie));
  auto routes = names_in(service, {"spec", "router", "route", "http", "refs"});
  for (const auto& gateway : items(service, {"status", "router", "gateways"})) {
    routes.merge(names_in(gateway, {"httpRoutes"}));
  }
  for (const auto& name : routes) out.push_back(route_key(name));
  for (const auto name :
       {service.string_at({"spec", "router", "scheduler", "pool", "ref", "name"}),
        service.string_at({"status", "router", "scheduler", "inferencePool", "name"})}) {
    if (!name.empty()) out.push_back(pool_key(name));
  }
  if (has_wrong_refs(service, "HTTPRoutesReady")) out.emplace_back(kAwaitsRoutes);
  return out;
}

std::vector<std::string> owner_keys(const Object& object) {
  const auto& owners = items(object, {"metadata", "ownerReferences"});
  const bool owned = std::ranges::any_of(
      owners, [](const Object& ref) { return ref.string_at({"kind"}) == kService.kind; });
  return owned ? std::vector<std::string>() : std::vector<std::string>{std::string(kFree)};
}

}  // namespace baton::reconcile
