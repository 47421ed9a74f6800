#pragma once
// The filters that work on sequences; filters.cpp has the table of all.

#include "base/text/jinja/interpreter.hpp"

namespace baton::text::jinja {

using Filter = Result<Value>(Interpreter& in, const Value& input, const Args& args);

Filter batch, dictsort, first, groupby, join, last, length, list, map, max, min, reject, rejectattr,
    reverse, select, selectattr, slice, sort, sum, unique;

}  // namespace baton::text::jinja
