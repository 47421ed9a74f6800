// no-hit-lru-scorer: requests that nobody has cached go round, so that caches of new conversations
// do not pile up on one pod (picker reference 4.4).

#include <algorithm>
#include <list>
#include <map>
#include <mutex>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class NoHitLruScorer final : public Scorer, public Memory {
 public:
  explicit NoHitLruScorer(std::size_t most) : most_(most) {}

  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto n = candidates.size();
    if (n < 2 || !cold(context, candidates)) {
      std::ranges::fill(scores, cold(context, candidates) ? 1.0F : 0.5F);
      return;
    }
    // Never used first, in their order; then the least recently used.
    std::vector<std::pair<std::uint64_t, std::size_t>> order(n);
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t c = 0; c < n; ++c) order[c] = {last(context, candidates[c]), c};
    }
    std::ranges::sort(order);
    for (std::size_t rank = 0; rank < n; ++rank) {
      scores[order[rank].second] = 1.0F - static_cast<float>(rank) / static_cast<float>(n - 1);
    }
  }

  void routed(const Context& context, Decision& decision) const override {
    const ProfileRun* primary = nullptr;
    for (const auto& run : decision.runs) {
      if (run.picked == decision.primary) primary = &run;
    }
    if (primary == nullptr || !cold(context, primary->candidates)) return;
    const std::lock_guard lock(mutex_);
    touch(context, decision.primary);
    if (decision.prefill) touch(context, *decision.prefill);
  }

 private:
  struct Use {
    std::string key;
    std::uint64_t at;
  };

  static bool cold(const Context& context, std::span<const Index> candidates) {
    return std::ranges::none_of(candidates, [&](Index i) { return context.matched(i) > 0; });
  }
  static std::string key(const Context& context, Index i) {
    const auto& e = (*context.snapshot.endpoints)[i];
    return e.ns + '/' + e.name + '/' + std::to_string(e.port);
  }
  std::uint64_t last(const Context& context, Index i) const {
    const auto it = uses_.find(key(context, i));
    return it == uses_.end() ? 0 : it->second->at;
  }
  void touch(const Context& context, Index i) const {
    auto name = key(context, i);
    if (const auto it = uses_.find(name); it != uses_.end()) {
      order_.erase(it->second);
      uses_.erase(it);
    }
    order_.push_back({name, ++count_});
    uses_.emplace(std::move(name), std::prev(order_.end()));
    if (order_.size() <= most_) return;
    uses_.erase(order_.front().key);
    order_.pop_front();
  }

  std::size_t most_;
  mutable std::mutex mutex_;
  mutable std::list<Use> order_;  // least recent first
  mutable std::map<std::string, std::list<Use>::iterator> uses_;
  mutable std::uint64_t count_ = 0;
};

}  // namespace

Plugin make_no_hit_lru_scorer(Fields& parameters) {
  constexpr std::int64_t kDefault = 1024, kMost = 1 << 20;
  const auto most = parameters.integer("lruSize", kDefault, 1, kMost);
  for (const std::string_view key : {"prefixPluginType", "prefixPluginName"}) {
    parameters.unused(key, "prefixMatchInfoProducerName says whose matches count");
  }
  auto scorer = std::make_unique<NoHitLruScorer>(static_cast<std::size_t>(most));
  Plugin plugin{.memory = scorer.get()};
  plugin.scorer = std::move(scorer);
  plugin.needs.push_back({.data = Data::kPrefixMatch,
                          .producer = parameters.text("prefixMatchInfoProducerName", ""),
                          .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"});
  return plugin;
}

}  // namespace baton::schedule
