#pragma once
// Which build a process runs, for dashboards.

#include "base/observe/metrics.hpp"

namespace baton::observe {

// Adds baton_build_info, always 1: its labels `version` and `commit` tell releases apart.
void tell_build(Registry& registry);

}  // namespace baton::observe
