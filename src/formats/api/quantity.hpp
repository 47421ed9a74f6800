#pragma once
// Kubernetes quantities: "10Gi", "500m", "1e3", 4.

#include <cstdint>
#include <string>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

// Rounded up to whole units, as Kubernetes' Value(). kInvalid: no quantity, or beyond 63 bits.
Result<std::int64_t> quantity(const text::json::Value& value);

// Their sum in whole units, as an API server would write it: "6Gi". kInvalid: as above.
Result<std::string> sum_of_quantities(const text::json::Value& one, const text::json::Value& other);

}  // namespace baton::api
