#include "routing/schedule/flow/ceilings.hpp"

#include <algorithm>

namespace baton::schedule {
namespace {

// From 0 (the highest) to 1 (the lowest), in equal steps or as the priorities are apart.
double depth(const Standing& at, UsageLimit::Domain domain) {
  if (at.bands < 2) return 0;
  if (domain == UsageLimit::Domain::kRank) {
    return static_cast<double>(at.rank) / static_cast<double>(at.bands - 1);
  }
  const auto below = [&](std::int32_t priority) {
    return static_cast<double>(std::int64_t{at.highest} - priority);
  };
  return at.highest == at.lowest ? 0 : below(at.priority) / below(at.lowest);
}

}  // namespace

double ceiling(const UsageLimit& limit, const Standing& standing, double saturation) {
  switch (limit.kind) {
    case UsageLimit::Kind::kStatic:
      return limit.threshold;
    case UsageLimit::Kind::kHoldback:
      return limit.threshold - (limit.threshold - limit.least) * depth(standing, limit.domain);
    case UsageLimit::Kind::kReflective:
      return std::max(0.0, 1 - saturation * depth(standing, UsageLimit::Domain::kRank));
  }
  return 1;
}

}  // namespace baton::schedule
