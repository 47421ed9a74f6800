#pragma once
// plugin_duration_seconds (picker reference 6.3) at nearly no cost: at most one decision in a
// millisecond is timed.

#include <array>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/schedule/laps.hpp"

namespace baton::epp {

inline constexpr Nanos kTimedEvery = Millis(1);  // by each loop

// The histograms. Thread-safe.
class PluginTimes {
 public:
  PluginTimes(observe::Registry& registry, const std::vector<schedule::TimedPlugin>& plugins);
  void took(const schedule::Laps& laps);

 private:
  std::vector<std::array<observe::Histogram*, 2>> histograms_;  // by plugin; the older name last
};

// Which decisions are timed. Confined to one loop.
class TimedDecisions {
 public:
  explicit TimedDecisions(const Clock& clock) : laps_(clock) {}
  // One is made now. Null: it is not timed.
  schedule::Laps* next(Mono now) {
    if (now < due_) return nullptr;
    due_ = now + kTimedEvery;
    laps_.start();
    return &laps_;
  }
  // The timed one is over.
  void over(PluginTimes& into) const { into.took(laps_); }

 private:
  schedule::Laps laps_;
  Mono due_ = Mono::min();
};

}  // namespace baton::epp
