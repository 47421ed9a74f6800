// Plugins that go by predicted latency (picker reference 4.4, 4.5). Predictions come with the
// request: who asks for them is not here.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr double kMostFactor = 1e12;

bool any_prediction(const Context& context, std::span<const Index> candidates) {
  return std::ranges::any_of(candidates, [&](Index i) { return context.prediction(i) != nullptr; });
}

class SloHeadroomFilter final : public Filter {
 public:
  explicit SloHeadroomFilter(double explore) : explore_(explore) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    if (candidates.size() <= 1 || !any_prediction(context, candidates)) return;
    const auto meets = [&](Index i) {
      const auto* prediction = context.prediction(i);
      return prediction != nullptr && prediction->ttft_headroom >= 0 &&
             prediction->tpot_headroom >= 0;
    };
    const auto good = std::ranges::count_if(candidates, meets);
    if (good == 0 || static_cast<std::size_t>(good) == candidates.size()) return;
    // So that who is too slow now is tried again.
    const bool explores = context.random.unit() < explore_;
    std::erase_if(candidates, [&](Index i) { return meets(i) == explores; });
  }

 private:
  double explore_;
};

// The best class of candidates shares the scores, by headroom; the others get 0.
class LatencyScorer final : public Scorer {
 public:
  struct Parameters {
    double ttft, tpot;         // weights
    bool most;                 // prefer the largest headroom
    double kv, queue, prefix;  // weights without predictions
  };
  explicit LatencyScorer(Parameters parameters) : p_(parameters) {}

  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    if (!any_prediction(context, candidates)) return composite(context, candidates, scores);
    auto best = Class::kNone;
    for (const Index i : candidates) best = std::min(best, class_of(context.prediction(i)));
    // Whoever misses what is asked for and is idle goes before all others that miss it.
    spread(context, candidates, best, scores);
  }

 private:
  // From the best.
  enum class Class : std::uint8_t { kMeets, kIdle, kSlowTokens, kSlowStart, kSlow, kNone };
  static Class class_of(const Prediction* p) {
    if (p == nullptr || (p->ttft_headroom >= 0 && p->tpot_headroom >= 0)) return Class::kMeets;
    if (p->idle) return Class::kIdle;
    if (p->ttft_headroom >= 0) return Class::kSlowTokens;
    return p->tpot_headroom >= 0 ? Class::kSlowStart : Class::kSlow;
  }

  struct Range {
    double least = std::numeric_limits<double>::max(), most = 0;
    void add(double value) {
      least = std::min(least, value);
      most = std::max(most, value);
    }
    bool flat() const { return most - least <= 1e-9; }
    double share(double value) const { return flat() ? 0.5 : (value - least) / (most - least); }
  };

  void spread(const Context& context, std::span<const Index> candidates, Class best,
              std::span<float> scores) const {
    const auto headrooms = [&](Index i) {
      const auto* p = context.prediction(i);
      return p == nullptr ? std::pair(0.0, 0.0)
                          : std::pair(std::abs(p->ttft_headroom), std::abs(p->tpot_headroom));
    };
    Range ttft, tpot;
    for (const Index i : candidates) {
      if (class_of(context.prediction(i)) != best) continue;
      const auto [start, token] = headrooms(i);
      ttft.add(start);
      tpot.add(token);
    }
    const double sum = p_.ttft + p_.tpot;
    double weight = sum <= 0 ? 1 : p_.ttft / sum;  // of the start
    if (ttft.flat() != tpot.flat()) weight = ttft.flat() ? 0 : 1;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (class_of(context.prediction(candidates[c])) != best) continue;
      const auto [start, token] = headrooms(candidates[c]);
      const double share = weight * ttft.share(start) + (1 - weight) * tpot.share(token);
      const bool most = p_.most && best == Class::kMeets;
      const double steps = std::floor((most ? share : 1 - share) * 100) + 1;  // from 1
      scores[c] = static_cast<float>(steps / 100);
    }
  }

  void composite(const Context& context, std::span<const Index> candidates,
                 std::span<float> scores) const {
    float longest = 0;
    for (const Index i : candidates) longest = std::max(longest, context.snapshot.loads[i].waiting);
    const double sum = p_.kv + p_.queue + p_.prefix;
    const auto [kv, queue, prefix] = sum > 0
                                         ? std::array{p_.kv / sum, p_.queue / sum, p_.prefix / sum}
                                         : std::array{1.0, 0.0, 0.0};
    const auto blocks = context.request.prompt_blocks;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto& load = context.snapshot.loads[candidates[c]];
      const double room = longest > 0 ? (longest - load.waiting) / longest : 1;
      const double held =
          blocks > 0 ? static_cast<double>(context.matched(candidates[c])) / blocks : 0;
      const double score = kv * (1 - load.kv_usage) + queue * room + prefix * held;
      scores[c] = static_cast<float>(std::round(score * 100) / 100);
    }
  }

  Parameters p_;
};

}  // namespace

Need latency_need(Fields& parameters) {
  return {.data = Data::kLatency,
          .producer = parameters.text("latencyPredictionInfoProducerName", ""),
          .pointer = parameters.pointer() + "/latencyPredictionInfoProducerName"};
}

Plugin make_slo_headroom_tier_filter(Fields& parameters) {
  const double explore = parameters.number("epsilonExploreNeg", 0.01, 0, 1);
  Plugin plugin{.filter = std::make_unique<SloHeadroomFilter>(explore)};
  plugin.needs.push_back(latency_need(parameters));
  return plugin;
}

Plugin make_latency_scorer(Fields& parameters) {
  constexpr std::array<std::string_view, 2> kStrategies = {"least", "most"};
  const LatencyScorer::Parameters p{
      .ttft = parameters.number("ttftWeight", 0.8, -kMostFactor, kMostFactor),
      .tpot = parameters.number("tpotWeight", 0.2, -kMostFactor, kMostFactor),
      .most = parameters.choice("headroomSelectionStrategy", "least", kStrategies) == "most",
      .kv = parameters.number("compositeKVWeight", 1, -kMostFactor, kMostFactor),
      .queue = parameters.number("compositeQueueWeight", 1, -kMostFactor, kMostFactor),
      .prefix = parameters.number("compositePrefixWeight", 1, -kMostFactor, kMostFactor),
  };
  Plugin plugin{.scorer = std::make_unique<LatencyScorer>(p)};
  plugin.needs.push_back(latency_need(parameters));
  plugin.needs.push_back({.data = Data::kPrefixMatch,
                          .producer = parameters.text("prefixMatchInfoProducerName", ""),
                          .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"});
  return plugin;
}

Plugin make_latency_slo_admitter(Fields& parameters) {
  Plugin plugin;
  plugin.service = LatencySloAdmitter{};
  plugin.needs.push_back(latency_need(parameters));
  return plugin;
}

Plugin make_predicted_latency_producer(Fields& parameters) {
  LatencyParameters p;
  p.slo_buffer = parameters.number("sloBufferFactor", 1, -kMostFactor, kMostFactor);
  if (p.slo_buffer <= 0) parameters.fail("sloBufferFactor", "it must be above 0");
  p.streaming = parameters.boolean("streamingMode", false);
  p.role_label = parameters.text("endpointRoleLabel", "");
  p.predicts = parameters.boolean("predictInProduce", true);
  if (parameters.boolean("useEncoderCacheFeatures", false)) {
    parameters.later("useEncoderCacheFeatures",
                     "sizes of images are not told to the predictor; "
                     "remove it: they then count as 0");
  }
  for (const std::string_view key : {"samplingMean", "maxDecodeTokenSamplesForPrediction"}) {
    parameters.unused(key, "nothing is predicted in the middle of an answer");
  }
  parameters.unused("contextTTL", "what is known of a request ends with its stream");
  parameters.unused("encoderCacheMatchInfoProducerName", "sizes of images are not told");
  Plugin plugin;
  plugin.service = p;
  plugin.produces = Data::kLatency;
  for (const auto& [data, key] : {std::pair(Data::kPrefixMatch, "prefixMatchInfoProducerName"),
                                  std::pair(Data::kInFlight, "inFlightLoadProducerName")}) {
    plugin.needs.push_back({.data = data,
                            .producer = parameters.text(key, ""),
                            .pointer = parameters.pointer() + "/" + key});
  }
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

}  // namespace baton::schedule
