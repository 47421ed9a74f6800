#pragma once
// The parts of schema.hpp that have files of their own. Internal to formats/api.

#include "formats/api/schema.hpp"

namespace baton::api::parts {

extern const Struct kPodSpec;
extern const Struct kContainer;
extern const Struct kRouteSpec;  // gateway.networking.k8s.io/v1 HTTPRouteSpec
extern const Struct kPoolSpec;   // inference.networking.k8s.io/v1 InferencePoolSpec
extern const Struct kXPoolSpec;  // inference.networking.x-k8s.io/v1alpha2 InferencePoolSpec
extern const Struct kScaling;

// A name in the same namespace.
extern const Struct kLocalRef;

inline constexpr std::string_view kSubdomainPattern =
    R"(^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)";
inline constexpr std::string_view kLabelPattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
inline constexpr std::int64_t kLongestSubdomain = 253;
inline constexpr std::int64_t kLongestLabel = 63;
inline constexpr std::int64_t kMaxPort = 65535;

}  // namespace baton::api::parts
