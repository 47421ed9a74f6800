#pragma once
// v1alpha1 to v1alpha2, the version everything else works on.

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

inline constexpr std::string_view kGroup = "serving.kserve.io";
inline constexpr std::string_view kApiVersion = "serving.kserve.io/v1alpha2";
inline constexpr std::string_view kCriticality = "internal.serving.kserve.io/model-criticality";
inline constexpr std::string_view kLoraCriticalities =
    "internal.serving.kserve.io/lora-criticalities";

// An LLMInferenceService or LLMInferenceServiceConfig of either version. What v1alpha2 has no field
// for (criticality) becomes an annotation. kInvalid: neither kind, neither version.
Result<text::json::Value> to_v1alpha2(text::json::Value object);

// An InferencePool spec of the x-k8s API (selector map, targetPortNumber, extensionRef) as v1; one
// that is v1 already is left alone.
text::json::Value pool_spec_to_v1(const text::json::Value& spec);

// And back: only the first target port is kept.
text::json::Value pool_spec_to_x(const text::json::Value& spec);

}  // namespace baton::api
