#pragma once
// Which of the two InferencePool APIs a managed route refers to. Gateways learn v1
// (inference.networking.k8s.io) later than the x-k8s API, so a route starts with the old group and
// moves once and for good when a gateway shows that it wants v1. Pure.

#include <cstdint>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::plan {

inline constexpr std::string_view kPoolGroupV1 = "inference.networking.k8s.io";
inline constexpr std::string_view kPoolGroupX = "inference.networking.x-k8s.io";
// "v1" on a route that has moved: whoever forgets it makes the route flap.
inline constexpr std::string_view kPoolMigrated = "serving.kserve.io/inference-pool-migrated";

// What the gateways of a route say about backends of one group.
enum class PoolSupport : std::uint8_t {
  kUnknown,  // no route, the group is not used, or nobody has judged it yet
  kYes,      // resolved, or refused for another reason than the kind
  kNo,       // InvalidKind from every gateway that judged it
};
// `live`: the HTTPRoute as the cluster has it, or null. Only parents that its spec names count, and
// of these only those with a ResolvedRefs condition (policy controllers have none).
PoolSupport pool_support(const text::json::Value* live, std::string_view pool,
                         std::string_view group);

enum class XPools : bool { kAbsent, kServed };
// kPoolGroupX or kPoolGroupV1.
std::string_view pool_group(const text::json::Value* live, std::string_view pool, XPools x_api);

}  // namespace baton::plan
