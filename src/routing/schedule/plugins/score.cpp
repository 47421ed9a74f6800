// Scorers (picker reference 4.4). An endpoint whose load is unknown or stale gets 0 from those that
// read load.

#include <algorithm>
#include <limits>

#include "base/core/log.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::int64_t kMaxParameter = 1'000'000'000;

bool fresh(const Context& context, Index endpoint) {
  return context.snapshot.loads[endpoint].fresh(context.now);
}

// (max q - q) / (max q - min q) over the candidates.
class QueueScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    float least = std::numeric_limits<float>::max(), most = 0;
    for (const Index i : candidates) {
      if (!fresh(context, i)) continue;
      least = std::min(least, context.snapshot.queue(i));
      most = std::max(most, context.snapshot.queue(i));
    }
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (!fresh(context, candidates[c])) continue;
      const float queue = context.snapshot.queue(candidates[c]);
      scores[c] = most > least ? (most - queue) / (most - least) : 1.0F;
    }
  }
};

class KvCacheScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (!fresh(context, candidates[c])) continue;
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
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (!fresh(context, candidates[c])) continue;
      const float queue = std::min(context.snapshot.queue(candidates[c]), threshold_);
      scores[c] = 0.5F * (1.0F - queue / threshold_);
    }
  }

 private:
  float threshold_;
};

// Matched blocks / blocks of the prompt.
class PrefixCacheScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    if (context.request.prompt_blocks == 0) return;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      scores[c] = static_cast<float>(context.matched(candidates[c])) /
                  static_cast<float>(context.request.prompt_blocks);
    }
  }
};

}  // namespace

Plugin make_queue_scorer(Fields&) { return {.part = std::make_unique<QueueScorer>()}; }

Plugin make_kv_cache_utilization_scorer(Fields&) {
  return {.part = std::make_unique<KvCacheScorer>()};
}

Plugin make_load_aware_scorer(Fields& parameters) {
  constexpr std::int64_t kDefault = 128;
  auto threshold = parameters.integer("threshold", kDefault, -kMaxParameter, kMaxParameter);
  if (threshold <= 0) {
    log::warn("load-aware-scorer: a threshold of 0 or less means the default",
              {{"threshold", threshold}, {"default", kDefault}});
    threshold = kDefault;
  }
  return {.part = std::make_unique<LoadAwareScorer>(static_cast<float>(threshold))};
}

Plugin make_prefix_cache_scorer(Fields& parameters) {
  PrefixParameters prefix;
  const auto size = [&](std::string_view key, std::size_t otherwise, std::int64_t most) {
    return static_cast<std::size_t>(
        parameters.integer(key, static_cast<std::int64_t>(otherwise), 1, most));
  };
  prefix.block_bytes = size("hashBlockSize", prefix.block_bytes, kMaxHashBlockBytes);
  prefix.max_blocks = size("maxPrefixBlocksToMatch", prefix.max_blocks, 1 << 20);
  prefix.lru_capacity = size("lruCapacityPerServer", prefix.lru_capacity, 1 << 24);
  for (const std::string_view key :
       {"prefixMatchInfoProducerName", "matchLengthWeight", "matchLengthScaleTokens", "autoTune",
        "blockSize", "blockSizeTokens", "maxPrefixTokensToMatch"}) {
    parameters.later(
        key,
        "belongs to the token-based generation of the prefix cache, which is not "
        "offered yet; use hashBlockSize, maxPrefixBlocksToMatch, lruCapacityPerServer");
  }
  Plugin plugin{.part = std::make_unique<PrefixCacheScorer>()};
  plugin.prefix = prefix;
  return plugin;
}

}  // namespace baton::schedule
