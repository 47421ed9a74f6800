// Pickers (picker reference 4.3).

#include <algorithm>
#include <cmath>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// Finds the best, then the best of the rest, as often as asked: the lists are short.
// `better(a, b)`: whether candidate a goes before b; `level(a, b)`: neither.
struct Key {
  double score;
  std::int64_t reserved;
  bool beats(const Key& other) const {
    return score > other.score || (score == other.score && reserved < other.reserved);
  }
  bool equals(const Key& other) const { return score == other.score && reserved == other.reserved; }
};

template <class F>
void rank(Random& random, std::span<const Index> candidates, std::size_t most, F key,
          std::vector<Index>& ranked) {
  const auto first = ranked.size();
  const auto taken = [&](Index i) {
    return std::find(ranked.begin() + static_cast<std::ptrdiff_t>(first), ranked.end(), i) !=
           ranked.end();
  };
  for (std::size_t n = std::min(most, candidates.size()); n > 0; --n) {
    std::optional<Key> best;
    Index chosen = 0;
    std::uint64_t ties = 1;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (ranked.size() > first && taken(candidates[c])) continue;
      const Key one = key(c);
      if (best && best->beats(one)) continue;
      if (!best || one.beats(*best)) {
        ties = 1;
      } else if (++ties; random.below(ties) != 0) {
        continue;  // one of n equals stays with probability 1/n
      }
      best = one;
      chosen = candidates[c];
    }
    ranked.push_back(chosen);
  }
}

// The highest total. Among equals the one with the fewest requests of ours on their way, so that
// simultaneous picks spread even where every scorer saturates; among those one at random.
class MaxScorePicker final : public Picker {
 public:
  explicit MaxScorePicker(std::size_t most) : most_(most) {}
  void pick(const Context& context, std::span<const Index> candidates,
            std::span<const float> totals, std::vector<Index>& ranked) const override {
    if (most_ == 1) return ranked.push_back(candidates[best(context, candidates, totals)]);
    rank(
        context.random, candidates, most_,
        [&](std::size_t c) { return Key{totals[c], context.snapshot.reserved(candidates[c])}; },
        ranked);
  }

 private:
  // As rank() with one: reservations are looked at among equals only.
  static std::size_t best(const Context& context, std::span<const Index> candidates,
                          std::span<const float> totals) {
    const float highest = *std::ranges::max_element(totals);
    std::size_t best = totals.size();
    std::int32_t fewest = 0;
    std::uint64_t ties = 1;
    for (std::size_t c = 0; c < totals.size(); ++c) {
      if (totals[c] != highest) continue;
      const auto reserved = context.snapshot.reserved(candidates[c]);
      if (best == totals.size() || reserved < fewest) {
        ties = 1;
      } else if (reserved > fewest) {
        continue;
      } else if (++ties; context.random.below(ties) != 0) {
        continue;
      }
      best = c;
      fewest = reserved;
    }
    return best < totals.size() ? best : 0;  // 0: totals that are no numbers
  }

  std::size_t most_;
};

class RandomPicker final : public Picker {
 public:
  explicit RandomPicker(std::size_t most) : most_(most) {}
  void pick(const Context& context, std::span<const Index> candidates, std::span<const float>,
            std::vector<Index>& ranked) const override {
    if (most_ == 1) return ranked.push_back(candidates[context.random.below(candidates.size())]);
    rank(context.random, candidates, most_, [](std::size_t) { return Key{0, 0}; }, ranked);
  }

 private:
  std::size_t most_;
};

// Chance proportional to the score (Efraimidis and Spirakis, A-Res: the largest U^(1/score), here
// as log(U)/score). Zero only when nobody has more.
class WeightedRandomPicker final : public Picker {
 public:
  explicit WeightedRandomPicker(std::size_t most) : most_(most) {}
  void pick(const Context& context, std::span<const Index> candidates,
            std::span<const float> totals, std::vector<Index>& ranked) const override {
    constexpr double kLast = -1e300;
    std::vector<double> keys(candidates.size());
    for (std::size_t c = 0; c < keys.size(); ++c) {
      const double unit = std::max(context.random.unit(), 0x1.0p-54);
      keys[c] = totals[c] > 0 ? std::log(unit) / static_cast<double>(totals[c]) : kLast;
    }
    rank(context.random, candidates, most_, [&](std::size_t c) { return Key{keys[c], 0}; }, ranked);
  }

 private:
  std::size_t most_;
};

// 0 or less means one. The candidates after the first are for whoever retries.
std::size_t read_count(Fields& parameters) {
  const auto count = parameters.integer("maxNumOfEndpoints", 1, INT64_MIN, INT64_MAX);
  return static_cast<std::size_t>(std::clamp<std::int64_t>(count, 1, kMaxEndpoints));
}

template <class P>
Plugin made(Fields& parameters) {
  const auto count = read_count(parameters);
  Plugin plugin{.picker = std::make_unique<P>(count)};
  plugin.ranks = count;
  return plugin;
}

}  // namespace

Plugin make_max_score_picker(Fields& parameters) { return made<MaxScorePicker>(parameters); }

Plugin make_random_picker(Fields& parameters) { return made<RandomPicker>(parameters); }

Plugin make_weighted_random_picker(Fields& parameters) {
  return made<WeightedRandomPicker>(parameters);
}

}  // namespace baton::schedule
