#include "engine/runtime/step_budget.hpp"

#include <algorithm>
#include <limits>

namespace baton::runtime {
namespace {

// Costs rise along a prompt: the last steps say most.
constexpr double kWeight = 0.5;

void move_towards(double& known, double seen) { known += kWeight * (seen - known); }

}  // namespace

void StepBudget::learn(const Step& step) {
  const double took = seconds(step.took);
  if (step.prompt == 0) return move_towards(decode_, took);
  const double rest = std::max(0.0, took - (step.decoding > 0 ? decode_ : 0));
  const double each = rest / static_cast<double>(step.prompt);
  if (per_token_ < 0) per_token_ = each;
  move_towards(per_token_, each);
}

std::size_t StepBudget::prompt_tokens() const {
  if (!target_) return std::numeric_limits<std::size_t>::max();
  if (per_token_ < 0) return kLeast;
  if (per_token_ == 0) return std::numeric_limits<std::size_t>::max();
  const double fits = (seconds(*target_) - decode_) / per_token_;
  return static_cast<std::size_t>(std::clamp(fits, double{kLeast}, 1e9));
}

}  // namespace baton::runtime
