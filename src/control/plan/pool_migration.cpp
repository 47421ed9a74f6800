#include "control/plan/pool_migration.hpp"

#include <algorithm>

#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

bool uses_group(const Value& route, std::string_view pool, std::string_view group) {
  return std::ranges::any_of(items(route.find_path({"spec", "rules"})), [&](const Value& rule) {
    return std::ranges::any_of(items(rule.find("backendRefs")), [&](const Value& backend) {
      return backend.string_at({"kind"}) == "InferencePool" &&
             backend.string_at({"name"}) == pool && backend.string_at({"group"}) == group;
    });
  });
}

bool is_same_parent(const Value& named, const Value& judging, const std::string& route_namespace) {
  const auto place = [&](const Value& ref) {
    const std::string_view ns = ref.string_at({"namespace"});
    return ns.empty() ? std::string_view(route_namespace) : ns;
  };
  return named.string_at({"name"}) == judging.string_at({"name"}) &&
         place(named) == place(judging) &&
         named.string_at({"sectionName"}) == judging.string_at({"sectionName"});
}

}  // namespace

PoolSupport pool_support(const Value* live, std::string_view pool, std::string_view group) {
  if (live == nullptr || !uses_group(*live, pool, group)) return PoolSupport::kUnknown;
  const std::string ns = namespace_of(*live);
  PoolSupport said = PoolSupport::kUnknown;
  for (const Value& parent : items(live->find_path({"status", "parents"}))) {
    const Value* ref = parent.find("parentRef");
    const bool ours =
        ref != nullptr &&
        std::ranges::any_of(items(live->find_path({"spec", "parentRefs"})),
                            [&](const Value& named) { return is_same_parent(named, *ref, ns); });
    if (!ours) continue;
    for (const Value& condition : items(parent.find("conditions"))) {
      if (condition.string_at({"type"}) != "ResolvedRefs") continue;
      const std::string_view status = condition.string_at({"status"});
      const bool refused = status == "False" && condition.string_at({"reason"}) == "InvalidKind";
      if (!refused && (status == "True" || status == "False")) return PoolSupport::kYes;
      if (refused) said = PoolSupport::kNo;
    }
  }
  return said;
}

std::string_view pool_group(const Value* live, std::string_view pool, XPools x_api) {
  if (x_api == XPools::kAbsent) return kPoolGroupV1;
  if (live == nullptr) return kPoolGroupX;
  if (live->string_at({"metadata", "annotations", kPoolMigrated}) == "v1") return kPoolGroupV1;
  const bool v1_works = pool_support(live, pool, kPoolGroupV1) == PoolSupport::kYes;
  const bool x_fails = pool_support(live, pool, kPoolGroupX) == PoolSupport::kNo;
  return v1_works || x_fails ? kPoolGroupV1 : kPoolGroupX;
}

}  // namespace baton::plan
