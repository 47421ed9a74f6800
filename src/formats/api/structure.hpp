#pragma once
// Types, ranges and names of fields, by the schema. Internal to formats/api.

#include <string>

#include "base/text/json.hpp"
#include "formats/api/finding.hpp"
#include "formats/api/schema.hpp"

namespace baton::api {

void check_structure(const Struct& type, const text::json::Value& value, const std::string& pointer,
                     Findings& out);

}  // namespace baton::api
