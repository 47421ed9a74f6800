#pragma once
// Kubernetes quantities: "10Gi", "500m", "1e3", 4.

#include <cstdint>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

// Rounded up to whole units, as Kubernetes' Value(). kInvalid: no quantity, or beyond 63 bits.
Result<std::int64_t> quantity(const text::json::Value& value);

}  // namespace baton::api
