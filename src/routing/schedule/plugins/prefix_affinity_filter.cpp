// prefix-cache-affinity-filter: only pods that hold most of the prompt, unless they are so busy
// that another one would answer much earlier.

#include <algorithm>
#include <array>
#include <limits>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

class PrefixAffinityFilter final : public Filter {
 public:
  struct Parameters {
    double threshold, exploration, max_penalty_ms, tokens_per_second;
    bool predicted = false;  // the first token's time is, else it follows from what is in flight
  };
  explicit PrefixAffinityFilter(Parameters parameters) : p_(parameters) {}

  void keep(const Context& context, std::vector<Index>& candidates) const override {
    if (candidates.size() <= 1 || p_.threshold <= 0) return;
    if (p_.exploration > 0 && context.random.unit() < p_.exploration) return;
    const auto sticky = [&](Index i) {
      const auto total = context.request.prompt_blocks;
      return total > 0 && static_cast<double>(context.matched(i)) >= p_.threshold * total;
    };
    double held = kNever, other = kNever;
    for (const Index i : candidates) {
      auto& best = sticky(i) ? held : other;
      best = std::min(best, wait_ms(context, i));
    }
    if (std::ranges::none_of(candidates, sticky)) return;
    if (p_.max_penalty_ms > 0 && held - other > p_.max_penalty_ms) return;
    std::erase_if(candidates, [&](Index i) { return !sticky(i); });
  }

 private:
  // Until the first token; without a prediction, until the prompts on their way are computed.
  double wait_ms(const Context& context, Index i) const {
    if (p_.predicted) {
      const auto* prediction = context.prediction(i);
      return prediction == nullptr ? kNever : prediction->ttft_ms;
    }
    return static_cast<double>(context.snapshot.tokens(i)) / p_.tokens_per_second * 1000;
  }
  Parameters p_;
};

}  // namespace

Plugin make_prefix_affinity_filter(Fields& parameters) {
  constexpr double kMost = 1e12;
  PrefixAffinityFilter::Parameters p{
      .threshold = parameters.number("affinityThreshold", 0.8, 0, 1),
      .exploration = parameters.number("explorationProbability", 0, 0, 1),
      .max_penalty_ms = parameters.number("maxTTFTPenaltyMs", 18000, 0, kMost),
      .tokens_per_second = parameters.number("peakPrefillThroughput", 15928, 0, kMost),
  };
  if (p.tokens_per_second <= 0) parameters.fail("peakPrefillThroughput", "it must be above 0");
  constexpr std::array<std::string_view, 2> kSources = {"prefillThroughput", "latencyPredictor"};
  p.predicted =
      parameters.choice("ttftSource", "prefillThroughput", kSources) == "latencyPredictor";
  Plugin plugin{.filter = std::make_unique<PrefixAffinityFilter>(p)};
  plugin.needs.push_back({.data = Data::kPrefixMatch,
                          .producer = parameters.text("prefixMatchInfoProducerName", ""),
                          .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"});
  auto latency = latency_need(parameters);
  if (p.predicted) {
    plugin.needs.push_back(std::move(latency));
  } else {
    plugin.needs.push_back({.data = Data::kInFlight, .producer = "", .pointer = ""});
  }
  return plugin;
}

}  // namespace baton::schedule
