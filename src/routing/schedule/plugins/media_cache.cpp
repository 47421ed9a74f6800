// mm-embeddings-cache-producer and -scorer: pictures, sound and video that an endpoint was sent
// before are in its encoder's cache (picker reference 4.4, 4.5).

#include <algorithm>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::int64_t kItemMegabytes = 2;  // of an encoded item
constexpr std::int64_t kDefaultMegabytes = 4096, kMostMegabytes = 1 << 20;

class MediaScorer final : public Scorer {
 public:
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto total = context.request.media;
    if (total == 0) return;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      scores[c] = static_cast<float>(context.media_held(candidates[c])) / static_cast<float>(total);
    }
  }
};

}  // namespace

Plugin make_media_cache_producer(Fields& parameters) {
  auto size =
      parameters.integer("cacheSizeInMBPerServer", kDefaultMegabytes, INT32_MIN, kMostMegabytes);
  if (size <= 0) size = kDefaultMegabytes;
  Plugin plugin{.produces = Data::kMedia};
  plugin.service =
      MediaCache{static_cast<std::size_t>(std::max<std::int64_t>(1, size / kItemMegabytes))};
  return plugin;
}

Plugin make_media_cache_scorer(Fields&) {
  Plugin plugin{.scorer = std::make_unique<MediaScorer>()};
  plugin.needs.push_back({.data = Data::kMedia, .producer = "", .pointer = ""});
  return plugin;
}

}  // namespace baton::schedule
