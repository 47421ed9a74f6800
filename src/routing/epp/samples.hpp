#pragma once
// What answers took, until the training server is told.

#include <cstddef>
#include <utility>
#include <vector>

#include "base/core/random.hpp"
#include "routing/schedule/latency.hpp"

namespace baton::epp {

// Keeps at most as many as are told at once: when more come, a fair sample of them. Confined to its
// owner.
class Samples {
 public:
  Samples(std::size_t most, std::uint64_t seed) : most_(most), random_(seed) {}

  void add(schedule::LatencySample sample) {
    ++seen_;
    if (kept_.size() < most_) return kept_.push_back(std::move(sample));
    if (const auto at = random_.below(seen_); at < most_) kept_[at] = std::move(sample);
  }
  struct Taken {
    std::vector<schedule::LatencySample> kept;
    std::size_t passed_over = 0;
  };
  Taken take() {
    Taken out{.kept = std::exchange(kept_, {}), .passed_over = 0};
    out.passed_over = std::exchange(seen_, 0) - out.kept.size();
    return out;
  }

 private:
  const std::size_t most_;
  SeededRandom random_;
  std::size_t seen_ = 0;  // since the last take
  std::vector<schedule::LatencySample> kept_;
};

}  // namespace baton::epp
