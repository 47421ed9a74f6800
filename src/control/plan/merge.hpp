#pragma once
// Strategic merge of LLMInferenceServiceSpecs: how presets, baseRefs and the service become one.

#include "base/text/json.hpp"

namespace baton::plan {

// `over` on top of `base`. Objects merge member by member; containers, env, volumes … merge by
// their key (merge.cpp has the table), every other list is replaced. What `over` leaves unset, or
// sets to null, "", [] or {}, keeps the base; false and 0 count as set.
text::json::Value merge(text::json::Value base, const text::json::Value& over);

}  // namespace baton::plan
