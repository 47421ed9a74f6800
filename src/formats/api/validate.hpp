#pragma once
// Defaulting and validation of LLMInferenceServices and their configs, both as v1alpha2.

#include <cstdint>
#include <optional>

#include "base/text/json.hpp"
#include "formats/api/finding.hpp"

namespace baton::api {

// Fills what the API server's hook fills: the model's name, the routing group label, empty lists of
// containers. Doing it twice changes nothing.
void set_defaults(text::json::Value& service);

// metadata.name and metadata.namespace are there and are DNS labels.
Findings check_identity(const text::json::Value& object);

// kPartial: as written, baseRefs may still add what is missing. kWhole: after the merge.
enum class Completeness : bool { kPartial, kWhole };

// All findings at once. Unknown fields are warnings, with the nearest known name.
Findings validate(const text::json::Value& service, Completeness completeness);

// What is refused besides when the service, given as v1alpha2, was written as v1alpha1.
Findings validate_v1alpha1(const text::json::Value& service);

// A config may leave anything out, but may not refer to other configs.
Findings validate_config(const text::json::Value& config);

// What may not change in place: the number of pods in a group.
Findings validate_update(const text::json::Value& before, const text::json::Value& after);

// Pods per replica of a multi-node workload; nullopt when its parallelism does not say.
std::optional<std::int64_t> group_size(const text::json::Value& workload);

}  // namespace baton::api
