// topology-extractor, topology-affinity-filter and topology-affinity-scorer: a stage runs close to
// the endpoint that is chosen already, with which it exchanges KV (picker reference 4.4, 4.5).

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// From the closest; the bandwidth between two endpoints falls in about these steps.
constexpr std::array<std::string_view, 4> kLevels = {"host", "rack", "zone", "region"};
constexpr std::array<float, 5> kScores = {1, 0.2F, 0.05F, 0.02F, 0};

// The labels are the extractor's, set when the plugin is bound to it.
using Labels = std::shared_ptr<Topology>;

// The first level at which both are in one place; kLevels.size() when there is none.
std::size_t level(const Topology& labels, const Endpoint& a, const Endpoint& b) {
  const auto same = [&](const std::string& label, std::string_view other_a = {},
                        std::string_view other_b = {}) {
    auto left = a.label(label), right = b.label(label);
    if (left.empty()) left = other_a;
    if (right.empty()) right = other_b;
    return !left.empty() && left == right;
  };
  if (same(labels.host, a.hostname, b.hostname)) return 0;
  if (same(labels.rack)) return 1;
  if (same(labels.zone)) return 2;
  return same(labels.region) ? 3 : kLevels.size();
}

class TopologyFilter final : public Filter {
 public:
  TopologyFilter(Labels labels, std::size_t least) : labels_(std::move(labels)), least_(least) {}
  // Nobody is near enough: all stay.
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    if (!context.peer) return;
    const auto& endpoints = *context.snapshot.endpoints;
    const auto near = [&](Index i) {
      return level(*labels_, endpoints[*context.peer], endpoints[i]) <= least_;
    };
    if (std::ranges::none_of(candidates, near)) return;
    std::erase_if(candidates, [&](Index i) { return !near(i); });
  }

 private:
  Labels labels_;
  std::size_t least_;
};

class TopologyScorer final : public Scorer {
 public:
  explicit TopologyScorer(Labels labels) : labels_(std::move(labels)) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    if (!context.peer) return;
    const auto& endpoints = *context.snapshot.endpoints;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      scores[c] = kScores.at(level(*labels_, endpoints[*context.peer], endpoints[candidates[c]]));
    }
  }

 private:
  Labels labels_;
};

Labels bound_labels(Fields& parameters, Plugin& plugin) {
  const auto producer = parameters.text("topologyProducerName", "");
  const auto pointer = text::json::pointer(parameters.pointer(), "topologyProducerName");
  auto labels = std::make_shared<Topology>();
  plugin.bind = [labels, producer, pointer](std::span<const NamedPlugin> plugins) -> Status {
    for (const auto& [name, other] : plugins) {
      const auto* topology = std::get_if<Topology>(&other->service);
      if (topology == nullptr || (!producer.empty() && name != producer)) continue;
      *labels = *topology;
      return {};
    }
    return invalid(producer.empty()
                       ? pointer + ": list topology-extractor under plugins"
                       : fmt::format("{}: no topology-extractor is named '{}'", pointer, producer));
  };
  return labels;
}

}  // namespace

// Labels of pods; a pod without a label for its host is where its spec.hostname says.
Plugin make_topology_extractor(Fields& parameters) {
  Topology topology;
  const auto label = [&](std::string_view key, std::string& into) {
    if (auto given = parameters.text(key, into); !given.empty()) into = std::move(given);
  };
  label("hostname", topology.host);
  label("rack", topology.rack);
  label("zone", topology.zone);
  label("region", topology.region);
  Plugin plugin;
  plugin.service = std::move(topology);
  return plugin;
}

Plugin make_topology_affinity_filter(Fields& parameters) {
  const auto least = parameters.choice("minAffinity", kLevels[0], kLevels);
  Plugin plugin;
  auto labels = bound_labels(parameters, plugin);
  const auto* found = std::ranges::find(kLevels, least);
  plugin.filter = std::make_unique<TopologyFilter>(
      std::move(labels), static_cast<std::size_t>(found - kLevels.begin()));
  return plugin;
}

Plugin make_topology_affinity_scorer(Fields& parameters) {
  Plugin plugin;
  plugin.scorer = std::make_unique<TopologyScorer>(bound_labels(parameters, plugin));
  return plugin;
}

}  // namespace baton::schedule
