#pragma once
// From which saturation on a priority's requests wait (picker reference 4.9, usage limits). Pure.

#include <cstdint>

#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

// A band among those that there are.
struct Standing {
  std::size_t rank = 0, bands = 1;  // 0: the highest priority
  std::int32_t priority = 0, highest = 0, lowest = 0;
};

// 0..1, in the detector's unit. Never higher for a lower priority.
double ceiling(const UsageLimit& limit, const Standing& standing, double saturation);

}  // namespace baton::schedule
