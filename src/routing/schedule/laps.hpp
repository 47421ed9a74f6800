#pragma once
// How long each plugin took within a decision. One in a while is timed (epp/plugin_times.hpp).

#include <span>
#include <string>
#include <vector>

#include "base/core/clock.hpp"

namespace baton::schedule {

// A plugin at one of the points where it is asked.
struct TimedPlugin {
  std::string point, type, name;  // "Filter", "Scorer", "Picker", "ProfilePicker"
  friend bool operator==(const TimedPlugin&, const TimedPlugin&) = default;
};

// Confined to one decision at a time.
class Laps {
 public:
  explicit Laps(const Clock& clock) : clock_(clock) {}

  struct Lap {
    std::size_t plugin;  // into Setup::timed
    Nanos took;
  };
  void start() {
    laps_.clear();
    last_ = clock_.now();
  }
  // What passed since the lap before was this plugin's.
  void lap(std::size_t plugin) {
    const auto now = clock_.now();
    laps_.push_back({plugin, now - last_});
    last_ = now;
  }
  std::span<const Lap> all() const { return laps_; }

 private:
  const Clock& clock_;
  Mono last_;
  std::vector<Lap> laps_;
};

}  // namespace baton::schedule
