#include "routing/sidecar/lease_clock.hpp"

#include <algorithm>
#include <cmath>

namespace baton::sidecar {

Nanos LeaseClock::age(std::string_view engine_id, double expiry, Mono arrived) {
  constexpr double kMost = 4e9;  // seconds; nanoseconds of it fit
  if (!std::isfinite(expiry) || std::abs(expiry) > kMost) return {};
  const Nanos distance =
      Nanos(static_cast<std::int64_t>(expiry * 1e9)) - arrived.time_since_epoch();
  auto found = engines_.find(engine_id);
  if (found == engines_.end()) {
    if (engines_.size() >= kMaxEngines) {
      engines_.erase(std::ranges::min_element(engines_, {},
                                              [](const auto& each) { return each.second.since; }));
    }
    engines_.emplace(engine_id, Measured{distance, arrived});
    return {};
  }
  Measured& known = found->second;
  const bool old = arrived - known.since > kMeasuredFor;
  if (old || distance > known.best) known = {distance, old ? arrived : known.since};
  return known.best - distance;
}

}  // namespace baton::sidecar
