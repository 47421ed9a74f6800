// Whether a request gets a prefill or an encode stage of its own (picker reference 4.5). In tokens.

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class PrefixDecider final : public Decider {
 public:
  PrefixDecider(std::size_t uncached, std::size_t prompt) : uncached_(uncached), prompt_(prompt) {}
  bool wants(const Context& context, std::optional<Index> decode) const override {
    const auto tokens = context.request.tokens();
    if (uncached_ == 0 || !decode || tokens < prompt_ || tokens < uncached_) return false;
    if (context.request.matched.empty()) return false;  // nobody knows what is cached
    return context.uncached_tokens(*decode) >= uncached_;
  }

 private:
  std::size_t uncached_, prompt_;
};

class AlwaysDecider final : public Decider {
 public:
  bool wants(const Context&, std::optional<Index>) const override { return true; }
};

class MultimodalDecider final : public Decider {
 public:
  bool wants(const Context& context, std::optional<Index>) const override {
    return context.request.multimodal;
  }
};

}  // namespace

Plugin make_prefix_based_pd_decider(Fields& parameters) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  const auto uncached = parameters.integer("nonCachedTokens", 0, 0, kMost);
  const auto prompt = parameters.integer("promptTokens", 0, 0, kMost);
  Plugin plugin{.decider = std::make_unique<PrefixDecider>(static_cast<std::size_t>(uncached),
                                                           static_cast<std::size_t>(prompt))};
  plugin.needs.push_back({.data = Data::kPrefixMatch,
                          .producer = parameters.text("prefixMatchInfoProducerName", ""),
                          .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"});
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

Plugin make_always_disagg_pd_decider(Fields&) {
  return {.decider = std::make_unique<AlwaysDecider>()};
}

Plugin make_always_disagg_multimodal_decider(Fields&) {
  return {.decider = std::make_unique<MultimodalDecider>()};
}

}  // namespace baton::schedule
