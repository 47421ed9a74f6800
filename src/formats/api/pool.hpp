#pragma once
// InferencePools of three generations, as the v1 object: v1, x-k8s v1alpha2 (flat), and the form of
// the October 2025 description with a target per role.

#include <string>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

struct Pool {
  text::json::Value object;  // inference.networking.k8s.io/v1
  std::string note;          // what was changed beyond names; "" for nothing
};

// kInvalid: no selector, no port, targets whose ports differ or that select nothing in common.
Result<Pool> pool_to_v1(const text::json::Value& object);

}  // namespace baton::api
