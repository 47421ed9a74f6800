#pragma once
// What changed between two objects, as JSON Patch (RFC 6902). Pure.

#include "base/text/json.hpp"

namespace baton::webhook {

// Operations (add, remove, replace) that turn `before` into `after`; [] when they are equal. Lists
// of another length are replaced whole.
text::json::Array json_patch(const text::json::Value& before, const text::json::Value& after);

}  // namespace baton::webhook
