#pragma once
// How full a pool is, and whether a request may enter without a queue (picker reference 4.9).

#include <cstddef>
#include <span>

#include "base/core/random.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

// 0: idle; 1: full; may exceed 1. An endpoint without fresh metrics counts as full.
struct Saturation {
  double prefill = 0, decode = 0;  // of the stages; 0 for a stage that nobody serves
  double effective = 1;            // the larger one; 1 without endpoints
  std::size_t endpoints = 0;       // that serve either stage
  std::size_t stale = 0;           // of them, without fresh metrics
};
// Unlabelled pods decode; pods that only encode do not count.
Saturation measure(const Detector& detector, const Snapshot& snapshot, Mono now);

// Without flow control: priority below 0 is refused (429) once the pool is full.
bool admits(std::int32_t priority, const Saturation& saturation);

// Whether the admitter lets the request through; draws from `random` only for priority below 0.
bool admits(const ProbabilisticAdmitter& admitter, std::int32_t priority, const Snapshot& snapshot,
            Mono now, Random& random);

}  // namespace baton::schedule
