// Scheduler::make: whose matches each plugin reads. A producer of matches has an index of its own,
// so that a small cache and a large one behind it can be told apart; two with equal parameters are
// one. A prompt is hashed once, so that all of them have blocks of one size.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "routing/schedule/scheduler.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kDefaultMatches = "approx-prefix-cache-producer";
constexpr std::size_t kNoView = SIZE_MAX;

// Whose matches the plugin reads, as far as it says; "" for whoever is first.
std::string_view named_matches(const Plugin& plugin) {
  const auto need = std::ranges::find(plugin.needs, Data::kPrefixMatch, &Need::data);
  return need == plugin.needs.end() ? std::string_view() : std::string_view(need->producer);
}

}  // namespace

Status Scheduler::add_index(const PrefixParameters& wanted, std::string_view pointer,
                            std::size_t& index) {
  auto& indexes = setup_.indexes;
  const auto same = std::ranges::find(indexes, wanted);
  index = static_cast<std::size_t>(same - indexes.begin());
  if (same != indexes.end()) return {};
  if (!indexes.empty() && indexes.front().block_bytes != wanted.block_bytes) {
    return unsupported(
        fmt::format("{}: prefix caches with blocks of different sizes are not offered side by side "
                    "({} bytes here, {} elsewhere): the prompt is hashed once; give them the same",
                    pointer, wanted.block_bytes, indexes.front().block_bytes));
  }
  indexes.push_back(wanted);
  return {};
}

// Views by producer, the default one's first; `views_` of those that are none stay open.
Status Scheduler::make_indexes(const PickerConfig& config) {
  const auto pointer = [&](std::size_t i) -> std::string_view {
    return i < config.plugins.size() ? std::string_view(config.plugins[i].pointer) : "/plugins";
  };
  const auto name = [&](std::size_t i) -> std::string_view {
    return i < config.plugins.size() ? config.plugins[i].name : created_[i - config.plugins.size()];
  };
  std::vector<std::size_t> owners;
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    if (plugins_[i].prefix) owners.push_back(i);
  }
  const auto first = std::ranges::find(owners, kDefaultMatches, name);
  if (first != owners.end()) std::rotate(owners.begin(), first, first + 1);
  std::vector<std::size_t> index(plugins_.size(), 0);
  for (const auto i : owners) {  // what stands in for engines takes what there is
    if (!plugins_[i].any_blocks) {
      BATON_TRY(add_index(*plugins_[i].prefix, pointer(i), index[i]));
    }
  }
  views_.assign(plugins_.size(), kNoView);
  auto& views = setup_.views;
  for (const auto i : owners) {
    if (setup_.indexes.empty()) setup_.indexes.push_back(*plugins_[i].prefix);
    const MatchView wanted{.index = index[i], .precise = plugins_[i].any_blocks};
    const auto same = std::ranges::find(views, wanted);
    views_[i] = static_cast<std::size_t>(same - views.begin());
    if (same == views.end()) views.push_back(wanted);
    if (views.size() > kMaxPrefixViews) {
      return unsupported(fmt::format("{}: more than {} different prefix caches side by side",
                                     pointer(i), kMaxPrefixViews));
    }
  }
  return {};
}

Status Scheduler::join_prefix(const PickerConfig& config) {
  BATON_TRY(make_indexes(config));
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    if (views_[i] != kNoView) continue;
    const auto named = named_matches(plugins_[i]);
    const auto listed = std::ranges::find(config.plugins, named, &PluginSpec::name);
    const auto created = std::ranges::find(created_, named);
    auto producer = plugins_.size();
    if (listed != config.plugins.end()) {
      producer = static_cast<std::size_t>(listed - config.plugins.begin());
    } else if (created != created_.end()) {
      producer = config.plugins.size() + static_cast<std::size_t>(created - created_.begin());
    }
    const bool known = producer < plugins_.size() && plugins_[producer].prefix.has_value();
    views_[i] = known ? views_[producer] : 0;
  }
  return check_counted(config);
}

// The blocks that a handler counts itself are those of the scorer that it names.
Status Scheduler::check_counted(const PickerConfig& config) {
  constexpr std::array<std::string_view, 2> kScorers = {"prefix-cache-scorer",
                                                        "precise-prefix-cache-scorer"};
  if (!handler_->prefix_from.empty()) {
    const auto from = std::ranges::find_if(config.plugins, [&](const PluginSpec& spec) {
      return spec.name == handler_->prefix_from &&
             std::ranges::find(kScorers, spec.type) != kScorers.end();
    });
    if (from == config.plugins.end()) {
      return invalid(fmt::format("pd-profile-handler: no prefix-cache-scorer is named '{}'",
                                 handler_->prefix_from));
    }
    handler_view_ = views_[static_cast<std::size_t>(from - config.plugins.begin())];
  }
  const auto counted = handler_->counted_block;
  if (setup_.indexes.empty() || counted == 0) return {};
  const auto hashed = setup_.indexes.front().block_bytes;
  if (counted == hashed) return {};
  return invalid(fmt::format(
      "hashBlockSize is {} in pd-profile-handler and {} in prefix-cache-scorer: give both the same",
      counted, hashed));
}

void Scheduler::name_views() {
  const auto view = [&](const auto& is) {
    const auto at = std::ranges::find_if(plugins_, is) - plugins_.begin();
    return views_[static_cast<std::size_t>(at)];
  };
  for (auto& profile : profiles_) {
    for (auto& one : profile.filters) {
      one.view = view([&](const Plugin& p) { return p.filter.get() == one.filter; });
    }
    for (auto& one : profile.scorers) {
      one.view = view([&](const Plugin& p) { return p.scorer.get() == one.scorer; });
    }
  }
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    const auto& plugin = plugins_[i];
    if (plugin.decider != nullptr) deciders_.push_back({plugin.decider.get(), views_[i]});
    if (plugin.produces == Data::kInFlight) setup_.load_view = views_[i];
    const auto* latency = std::get_if<LatencyParameters>(&plugin.service);
    if (latency != nullptr) setup_.latency_view = views_[i];
  }
}

}  // namespace baton::schedule
