#pragma once
// Labels and selectors. Each caller gets its own object: what is added to a pod's labels never
// reaches a selector, which is immutable.

#include <string_view>

#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

inline constexpr std::string_view kComponent = "app.kubernetes.io/component";
inline constexpr std::string_view kName = "app.kubernetes.io/name";
inline constexpr std::string_view kPartOf = "app.kubernetes.io/part-of";
inline constexpr std::string_view kWorkload = "kserve.io/component";
inline constexpr std::string_view kRole = "llm-d.ai/role";
// Equal on prefill and decode pods of which one can read the other's KV blocks: model, engine
// images and what decides the shape of a block (revision.cpp). A picker must not pair pods that
// differ.
inline constexpr std::string_view kRevision = "baton.dev/revision";

// Whether Baton's selectors ask for the label, so that pods keep the planned value. Not the role,
// which a user may give.
bool is_selected(std::string_view key);

// component, name, part-of.
Value component_labels(std::string_view service, std::string_view component);

// Pods of the pool: every engine pod of the service, decode and prefill.
Value workload_selector(std::string_view service);

// Pods that may be asked without a picker: not the prefill ones.
enum class Split : bool { kNo, kYes };  // prefill and decode apart
Value front_selector(std::string_view service, Split split);

}  // namespace baton::plan
