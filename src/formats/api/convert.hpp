#pragma once
// v1alpha1 to v1alpha2, the version everything else works on.

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

inline constexpr std::string_view kGroup = "serving.kserve.io";
inline constexpr std::string_view kOldApiVersion = "serving.kserve.io/v1alpha1";
inline constexpr std::string_view kApiVersion = "serving.kserve.io/v1alpha2";
inline constexpr std::string_view kCriticality = "internal.serving.kserve.io/model-criticality";
inline constexpr std::string_view kLoraCriticalities =
    "internal.serving.kserve.io/lora-criticalities";

// What v1alpha1 has no field for while an object is read through it: a JSON object, pointer to
// value.
inline constexpr std::string_view kNewFields = "internal.serving.kserve.io/v1alpha2-fields";

// An LLMInferenceService or LLMInferenceServiceConfig of either version. What v1alpha2 has no field
// for (criticality) becomes an annotation. kInvalid: neither kind, neither version.
Result<text::json::Value> to_v1alpha2(text::json::Value object);

// And back: annotations become fields again and go. Of the spec nothing is lost: what v1alpha1 has
// no field for waits in kNewFields, and so does what of a pool's spec the older API would not bring
// back as it is; it returns unless somebody edits what v1alpha1 shows of it. Of the status
// everything is dropped that v1alpha1 does not have.
Result<text::json::Value> to_v1alpha1(text::json::Value object);

// Either, by "serving.kserve.io/<version>".
Result<text::json::Value> convert(text::json::Value object, std::string_view api_version);

// An InferencePool spec of the x-k8s API (selector map, targetPortNumber, extensionRef) as v1. What
// is in v1's shape already stays, a reference to a picker with its defaults filled in.
text::json::Value pool_spec_to_v1(const text::json::Value& spec);

// And back: only the first target port is kept.
text::json::Value pool_spec_to_x(const text::json::Value& spec);

}  // namespace baton::api
