#pragma once
// What `remote_blocks_expiry_time` of a prefill answer tells. It counts seconds on a clock of
// another host, which cannot be compared with ours. But two values of one engine can be compared
// with each other: where the expiry of one answer lies less far behind its arrival than that of
// another, its lease had begun that much earlier. So the value can only shorten the lease that is
// configured, never lengthen it. Pure.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"

namespace baton::sidecar {

// Confined to its loop. Bounded: the engine heard of longest ago is forgotten.
class LeaseClock {
 public:
  static constexpr std::size_t kMaxEngines = 1024;
  // Clocks drift: after this long the engine is measured anew.
  static constexpr Nanos kMeasuredFor = std::chrono::minutes(10);

  // How much earlier than that of the freshest answer seen from this engine this lease began.
  // `expiry`: seconds of the engine's clock. `arrived`: when the answer began to arrive.
  Nanos age(std::string_view engine_id, double expiry, Mono arrived);
  std::size_t size() const { return engines_.size(); }

 private:
  struct Measured {
    Nanos best{};  // the largest distance between the two clocks' times
    Mono since{};
  };
  std::map<std::string, Measured, std::less<>> engines_;
};

}  // namespace baton::sidecar
