#pragma once
// Replaces the Go templates in the strings of a merged spec.

#include <string>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

// Renders every string under /spec of `service`, which is also what the templates see (.Spec is the
// merged spec, not the one the user wrote). A list element that renders to nothing is dropped.
// kInvalid: "<JSON pointer>: line, column: what".
Status render(Value& service, const Settings& settings);

// The --kv-transfer-config flag, "" when there is nothing to say. `offloading`: kvCacheOffloading
// or null. `role`: "kv_producer", "kv_consumer" for P/D over NIXL, or "".
std::string kv_transfer_json(const Value& offloading, std::string_view role);

}  // namespace baton::plan
