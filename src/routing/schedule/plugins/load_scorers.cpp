// Scorers that read load (picker reference 4.4). An endpoint whose load is unknown or stale gets 0
// from those that read what engines tell.

#include <algorithm>
#include <limits>

#include "base/core/log.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::int64_t kMaxParameter = 1'000'000'000;

// (max x - x) / (max x - min x) over the candidates.
template <class F>
void spread(const Context& context, std::span<const Index> candidates, std::span<float> scores,
            F value) {
  float least = std::numeric_limits<float>::max(), most = 0;
  constexpr float kStale = -1;
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    scores[c] = context.fresh(candidates[c]) ? value(candidates[c]) : kStale;
    if (scores[c] < 0) continue;
    least = std::min(least, scores[c]);
    most = std::max(most, scores[c]);
  }
  const float scale = most > least ? 1 / (most - least) : 0;
  for (auto& score : scores) {
    if (score < 0) {
      score = 0;
    } else {
      score = scale > 0 ? (most - score) * scale : 1.0F;
    }
  }
}

class QueueScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    spread(context, candidates, scores, [&](Index i) { return context.snapshot.queue(i); });
  }
};

class RunningScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    spread(context, candidates, scores, [&](Index i) { return context.snapshot.loads[i].running; });
  }
};

class KvCacheScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (!context.fresh(candidates[c])) continue;
      scores[c] = 1.0F - context.snapshot.loads[candidates[c]].kv_usage;
    }
  }
};

// 0.5 without queue, falling to 0 at the threshold.
class LoadAwareScorer final : public Scorer {
 public:
  explicit LoadAwareScorer(float threshold) : threshold_(threshold) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const float slope = 0.5F / threshold_;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (!context.fresh(candidates[c])) continue;
      scores[c] = 0.5F - slope * std::min(context.snapshot.queue(candidates[c]), threshold_);
    }
  }

 private:
  float threshold_;
};

// Requests of ours on their way: at most `idle` count as none; the busiest gets 0.
class ActiveRequestScorer final : public Scorer {
 public:
  ActiveRequestScorer(std::int32_t idle, float max_busy) : idle_(idle), max_busy_(max_busy) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    float most = 0;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      scores[c] = static_cast<float>(context.snapshot.reserved(candidates[c]));
      most = std::max(most, scores[c]);
    }
    const float scale = most > 0 ? max_busy_ / most : 0;
    const auto idle = static_cast<float>(idle_);
    for (auto& score : scores) score = score <= idle ? 1.0F : (most - score) * scale;
  }

 private:
  std::int32_t idle_;
  float max_busy_;
};

// Prompt tokens that are still to be computed there, with those of this request.
class TokenLoadScorer final : public Scorer {
 public:
  explicit TokenLoadScorer(double threshold) : threshold_(threshold) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto i = candidates[c];
      const auto tokens = static_cast<double>(context.snapshot.tokens(i)) +
                          static_cast<double>(context.uncached_tokens(i));
      scores[c] = static_cast<float>(1 - std::clamp(tokens, 0.0, threshold_) / threshold_);
    }
  }

 private:
  double threshold_;
};

// Whether the engine has the adapter loaded, room for it, or only a place in its queue.
class LoraScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto* lora = context.snapshot.loads[candidates[c]].adapters.get();
      if (lora != nullptr) scores[c] = score_of(*lora, context.request.model);
    }
  }

 private:
  static float score_of(const Adapters& lora, std::string_view model) {
    const auto among = [&](const std::vector<std::string>& names) {
      return std::ranges::find(names, model) != names.end();
    };
    if (among(lora.active)) return 1;
    if (lora.active.size() + lora.waiting.size() < lora.most) return 0.8F;
    return among(lora.waiting) ? 0.6F : 0;
  }
};

Need in_flight(Fields& parameters) {
  return {.data = Data::kInFlight,
          .producer = parameters.text("inFlightLoadProducerName", ""),
          .pointer = parameters.pointer() + "/inFlightLoadProducerName"};
}

}  // namespace

Plugin make_queue_scorer(Fields&) { return {.scorer = std::make_unique<QueueScorer>()}; }

Plugin make_running_requests_scorer(Fields&) {
  return {.scorer = std::make_unique<RunningScorer>()};
}

Plugin make_kv_cache_utilization_scorer(Fields&) {
  return {.scorer = std::make_unique<KvCacheScorer>()};
}

Plugin make_load_aware_scorer(Fields& parameters) {
  constexpr std::int64_t kDefault = 128;
  auto threshold = parameters.integer("threshold", kDefault, -kMaxParameter, kMaxParameter);
  if (threshold <= 0) {
    log::warn("load-aware-scorer: a threshold of 0 or less means the default",
              {{"threshold", threshold}, {"default", kDefault}});
    threshold = kDefault;
  }
  return {.scorer = std::make_unique<LoadAwareScorer>(static_cast<float>(threshold))};
}

Plugin make_active_request_scorer(Fields& parameters) {
  parameters.unused("requestTimeout", "requests are counted until their answers end");
  const auto idle = parameters.integer("idleThreshold", 0, 0, kMaxParameter);
  auto busy = parameters.number("maxBusyScore", 1);
  if (!(busy >= 0 && busy <= 1)) {
    log::warn("active-request-scorer: a maxBusyScore outside 0..1 means the default",
              {{"maxBusyScore", busy}, {"default", 1}});
    busy = 1;
  }
  Plugin plugin{.scorer = std::make_unique<ActiveRequestScorer>(static_cast<std::int32_t>(idle),
                                                                static_cast<float>(busy))};
  plugin.needs.push_back({.data = Data::kInFlight, .producer = "", .pointer = ""});
  return plugin;
}

Plugin make_token_load_scorer(Fields& parameters) {
  constexpr std::int64_t kDefault = 4'194'304;
  const auto most = parameters.integer("queueThresholdTokens", kDefault, 1, std::int64_t{1} << 50);
  Plugin plugin{.scorer = std::make_unique<TokenLoadScorer>(static_cast<double>(most))};
  plugin.needs.push_back(in_flight(parameters));
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

Plugin make_lora_affinity_scorer(Fields&) { return {.scorer = std::make_unique<LoraScorer>()}; }

}  // namespace baton::schedule
