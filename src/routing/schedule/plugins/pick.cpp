// Pickers (picker reference 4.3).

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// The highest total. Among equals the one with the fewest requests of ours on their way, so that
// simultaneous picks spread even where every scorer saturates; among those one at random.
class MaxScorePicker final : public Picker {
 public:
  std::size_t pick(const Context& context, std::span<const Index> candidates,
                   std::span<const float> totals) const override {
    std::size_t best = 0;
    std::uint64_t ties = 1;
    auto best_reserved = context.snapshot.reserved(candidates[0]);
    for (std::size_t c = 1; c < candidates.size(); ++c) {
      if (totals[c] < totals[best]) continue;
      const auto reserved = context.snapshot.reserved(candidates[c]);
      const bool better = totals[c] > totals[best] || reserved < best_reserved;
      if (better) {
        ties = 1;
      } else if (reserved > best_reserved) {
        continue;
      } else if (++ties; context.random.below(ties) != 0) {
        continue;  // one of n equals stays with probability 1/n
      }
      best = c;
      best_reserved = reserved;
    }
    return best;
  }
};

class RandomPicker final : public Picker {
 public:
  std::size_t pick(const Context& context, std::span<const Index> candidates,
                   std::span<const float>) const override {
    return context.random.below(candidates.size());
  }
};

void read_count(Fields& parameters) {
  if (parameters.integer("maxNumOfEndpoints", 1, INT64_MIN, INT64_MAX) > 1) {
    parameters.fail("maxNumOfEndpoints",
                    "more than one endpoint per pick is not offered yet; the gateway picks again "
                    "when an endpoint refuses the connection");
  }
}

}  // namespace

Plugin make_max_score_picker(Fields& parameters) {
  read_count(parameters);
  return {.part = std::make_unique<MaxScorePicker>()};
}

Plugin make_random_picker(Fields& parameters) {
  read_count(parameters);
  return {.part = std::make_unique<RandomPicker>()};
}

}  // namespace baton::schedule
