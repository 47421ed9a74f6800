#pragma once
// How many prompts the decode engine may compute in place of failed prefills, at once: a share of
// what it can run. Beyond it, one failure would become two.

#include <algorithm>
#include <cstddef>

namespace baton::sidecar {

// Confined to its loop.
class FallbackBudget {
 public:
  // `share` of `capacity` (requests that the decode engine runs at once); at least one unless the
  // share is 0.
  FallbackBudget(double share, std::size_t capacity)
      : limit_(share <= 0 ? 0
                          : std::max<std::size_t>(1, static_cast<std::size_t>(
                                                         share * static_cast<double>(capacity)))) {}

  bool take() {
    if (used_ == limit_) return false;
    ++used_;
    return true;
  }
  void give() { --used_; }

  std::size_t limit() const { return limit_; }
  std::size_t used() const { return used_; }

 private:
  std::size_t limit_;
  std::size_t used_ = 0;
};

}  // namespace baton::sidecar
