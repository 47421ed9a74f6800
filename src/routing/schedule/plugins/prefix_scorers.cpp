// Scorers that read what endpoints hold of the prompt (picker reference 4.4).

#include <algorithm>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// Matched share, mixed with the matched length: weight * min(1, tokens / scale)^2.
class PrefixCacheScorer final : public Scorer {
 public:
  PrefixCacheScorer(float weight, float scale) : weight_(weight), scale_(scale) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto& request = context.request;
    if (request.prompt_blocks == 0 || request.matched.empty()) return;
    const float share = (1 - weight_) / static_cast<float>(request.prompt_blocks);
    const float block = request.block_tokens > 0 ? static_cast<float>(request.block_tokens)
                                                 : static_cast<float>(request.block_bytes) / 4;
    const float tokens = block / scale_;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto matched = static_cast<float>(context.matched(candidates[c]));
      const float length = std::min(1.0F, matched * tokens);
      scores[c] = share * matched + weight_ * length * length;
    }
  }

 private:
  float weight_, scale_;
};

Need prefix_match(Fields& parameters) {
  return {.data = Data::kPrefixMatch,
          .producer = parameters.text("prefixMatchInfoProducerName", ""),
          .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"};
}

}  // namespace

std::unique_ptr<Scorer> make_match_scorer() {
  return std::make_unique<PrefixCacheScorer>(0.0F, 1.0F);
}

// The October 2025 generation gives the blocks here, in bytes; later ones leave them to the
// approx-prefix-cache-producer.
Plugin make_prefix_cache_scorer(Fields& parameters) {
  PrefixParameters prefix;
  const auto size = [&](std::string_view key, std::size_t otherwise, std::int64_t most) {
    return static_cast<std::size_t>(
        parameters.integer(key, static_cast<std::int64_t>(otherwise), 1, most));
  };
  const bool october = parameters.has("hashBlockSize") ||
                       parameters.has("maxPrefixBlocksToMatch") ||
                       parameters.has("lruCapacityPerServer");
  if (october) {
    prefix.block_bytes = size("hashBlockSize", prefix.block_bytes, kMaxHashBlockBytes);
    prefix.max_blocks = size("maxPrefixBlocksToMatch", prefix.max_blocks, 1 << 20);
    prefix.lru_capacity = size("lruCapacityPerServer", prefix.lru_capacity, 1 << 24);
    prefix.engine_capacity = !parameters.has("lruCapacityPerServer");
  }
  for (const std::string_view key :
       {"autoTune", "blockSize", "blockSizeTokens", "maxPrefixTokensToMatch"}) {
    parameters.later(key,
                     "it belongs to approx-prefix-cache-producer; give it there, or use "
                     "hashBlockSize, maxPrefixBlocksToMatch, lruCapacityPerServer here");
  }
  constexpr double kMost = 1e9;
  const double weight = parameters.number("matchLengthWeight", 0, 0, 1);
  const double scale = parameters.number("matchLengthScaleTokens", 8192, -kMost, kMost);
  if (weight > 0 && scale <= 0) {
    parameters.fail("matchLengthScaleTokens", "it must be above 0 when matchLengthWeight is");
  }
  auto need = prefix_match(parameters);
  if (october && !need.producer.empty()) {
    parameters.fail("prefixMatchInfoProducerName",
                    "a producer and blocks of its own exclude each other");
  }
  Plugin plugin{.scorer = std::make_unique<PrefixCacheScorer>(
                    static_cast<float>(weight), static_cast<float>(std::max(scale, 1.0)))};
  if (october) plugin.prefix = prefix;
  if (!october) plugin.needs.push_back(std::move(need));
  return plugin;
}

}  // namespace baton::schedule
