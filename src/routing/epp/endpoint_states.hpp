#pragma once
// What each endpoint last told, for people: at /debug/endpoints.

#include "base/core/clock.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::epp {

// {"endpoints": [{"id", "address", "labels", "in_flight", and once it told something "age_ms",
// "waiting", "running", "kv_usage", "adapters", "attributes", "models"}, ...]}
text::json::Value endpoint_states(const schedule::Snapshot& snapshot, Mono now);

}  // namespace baton::epp
