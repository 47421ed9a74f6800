#pragma once
// Rules that need more than one field. Numbers are those of the controller specification: V1-V25
// of the webhook, 1-8 of the schema's expressions. Internal to formats/api.

#include <string_view>

#include "base/text/json.hpp"
#include "formats/api/finding.hpp"

namespace baton::api {

// Members may be of any type: a wrong type is reported by the schema and ignored here.
void check_router(const text::json::Value& spec, Findings& out);  // V1-V3, V10-V12, V24, V25
// V3 as v1alpha1 has it: parents named twice are refused even when they are the same.
void check_parents_once(const text::json::Value& spec, Findings& out);
void check_model(const text::json::Value& spec, Findings& out);      // V14, V23
void check_workloads(const text::json::Value& spec, Findings& out);  // V4-V6, V17-V21
void check_scaling(const text::json::Value& spec, Findings& out);    // V15, V16, 1-8
void check_dra(const text::json::Value& object, Findings& out);      // V22

// The member when it is there and not null, else nullptr.
const text::json::Value* member(const text::json::Value& in,
                                std::initializer_list<std::string_view> path);

}  // namespace baton::api
