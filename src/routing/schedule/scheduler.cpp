#include "routing/schedule/scheduler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/core/log.hpp"

namespace baton::schedule {
namespace {

template <class T>
const T* part(const Plugin& plugin) {
  const auto* held = std::get_if<std::unique_ptr<T>>(&plugin.part);
  return held == nullptr ? nullptr : held->get();
}

Plugin make_default(std::string_view type) {
  const text::json::Value none;
  Fields parameters(none, "");
  return *make_plugin(type, parameters);
}

}  // namespace

std::string_view name(NoPrefill reason) {
  switch (reason) {
    case NoPrefill::kNone:
      return "";
    case NoPrefill::kNotRequested:
      return "not-requested";
    case NoPrefill::kBelowThreshold:
      return "below-threshold";
    case NoPrefill::kNoPrefillPods:
      return "no-prefill-pods";
  }
  return "";
}

std::uint32_t Context::matched(Index endpoint) const {
  const auto slot = (*snapshot.endpoints)[endpoint].slot;
  return slot < request.matched.size() ? request.matched[slot] : 0;
}

std::size_t Context::uncached_bytes(Index endpoint) const {
  return request.prompt_bytes -
         std::min(request.prompt_bytes, matched(endpoint) * request.block_bytes);
}

// Runs the profiles of one request.
class Scheduler::Runner final : public ProfileRunner {
 public:
  Runner(const Scheduler& scheduler, Context context) : scheduler_(scheduler), context_(context) {}

  const Context& context() const override { return context_; }

  std::optional<Index> run(std::string_view wanted, Decision& decision) override {
    const auto profile = std::ranges::find_if(
        scheduler_.profiles_, [&](const Profile& p) { return wanted.empty() || p.name == wanted; });
    if (profile == scheduler_.profiles_.end()) return std::nullopt;
    auto& result = decision.runs.emplace_back();
    result.profile = profile->name;
    filter(*profile, result);
    if (result.candidates.empty()) return std::nullopt;
    score(*profile, result);
    result.picked =
        result.candidates[profile->picker->pick(context_, result.candidates, result.totals)];
    return result.picked;
  }

 private:
  void filter(const Profile& profile, ProfileRun& result) const {
    if (const auto* among = context_.request.among) {
      result.candidates = *among;
    } else {
      result.candidates.resize(context_.snapshot.size());
      std::iota(result.candidates.begin(), result.candidates.end(), Index{0});
    }
    if (const auto excluded = context_.request.excluded) std::erase(result.candidates, *excluded);
    for (const auto* each : profile.filters) {
      if (result.candidates.empty()) return;
      each->keep(context_, result.candidates);
    }
  }

  void score(const Profile& profile, ProfileRun& result) const {
    const auto n = result.candidates.size();
    result.totals.assign(n, 0);
    result.scores.assign(n * profile.scorers.size(), 0);
    for (std::size_t s = 0; s < profile.scorers.size(); ++s) {
      const auto& each = profile.scorers[s];
      const auto scores = std::span(result.scores).subspan(s * n, n);
      result.scorers.push_back(each.name);
      each.scorer->score(context_, result.candidates, scores);
      for (std::size_t c = 0; c < n; ++c) {
        scores[c] = std::clamp(scores[c], 0.0F, 1.0F);
        result.totals[c] += each.weight * scores[c];
      }
    }
  }

  const Scheduler& scheduler_;
  Context context_;
};

Result<Decision> Scheduler::schedule(const Request& request, const Snapshot& snapshot, Mono now,
                                     Random& random) const {
  Decision decision;
  Runner runner(*this, Context{request, snapshot, now, random});
  BATON_TRY(part<Handler>(*handler_)->decide(runner, decision));
  return decision;
}

Result<Scheduler> Scheduler::make(const PickerConfig& config) {
  Scheduler made;
  // Addresses must not move: one spare place each for a default picker and handler.
  made.plugins_.reserve(config.plugins.size() + 2);
  for (const auto& spec : config.plugins) {
    Fields parameters(spec.parameters, spec.pointer);
    auto plugin = make_plugin(spec.type, parameters);
    if (!plugin) return std::move(plugin).error().with("plugin '" + spec.name + "'");
    made.plugins_.push_back(*std::move(plugin));
  }
  if (config.profiles.empty()) {
    ProfileSpec all{.name = "default", .plugins = {}};
    for (std::size_t i = 0; i < config.plugins.size(); ++i) {
      const auto& plugin = made.plugins_[i];
      if (part<Filter>(plugin) || part<Scorer>(plugin) || part<Picker>(plugin)) {
        all.plugins.push_back({.plugin = config.plugins[i].name, .weight = 1, .pointer = ""});
      }
    }
    BATON_TRY(made.build_profile(config, all));
  }
  for (const auto& spec : config.profiles) {
    BATON_TRY(made.build_profile(config, spec));
  }
  BATON_TRY(made.default_pickers());
  BATON_TRY(made.default_handler());
  BATON_TRY(made.join_prefix(config));
  BATON_TRY(made.check_header(config));
  return made;
}

Status Scheduler::build_profile(const PickerConfig& config, const ProfileSpec& spec) {
  Profile profile{.name = spec.name, .filters = {}, .scorers = {}};
  for (const auto& ref : spec.plugins) {
    const auto at = std::ranges::find(config.plugins, ref.plugin, &PluginSpec::name);
    const auto& plugin = plugins_[static_cast<std::size_t>(at - config.plugins.begin())];
    if (const auto* filter = part<Filter>(plugin)) {
      profile.filters.push_back(filter);
    } else if (const auto* scorer = part<Scorer>(plugin)) {
      profile.scorers.push_back({ref.plugin, scorer, static_cast<float>(ref.weight)});
    } else if (const auto* picker = part<Picker>(plugin)) {
      if (profile.picker != nullptr) {
        return invalid(
            fmt::format("{}: profile '{}' has a picker already", ref.pointer, spec.name));
      }
      profile.picker = picker;
    } else {
      return invalid(
          fmt::format("{}: '{}' is no filter, scorer or picker and does not belong into a profile",
                      ref.pointer, ref.plugin));
    }
  }
  profiles_.push_back(std::move(profile));
  return {};
}

Status Scheduler::default_pickers() {
  const Picker* shared = nullptr;
  for (const auto& plugin : plugins_) {
    if (shared == nullptr) shared = part<Picker>(plugin);
  }
  for (auto& profile : profiles_) {
    if (profile.picker != nullptr) continue;
    if (shared == nullptr) {
      shared = part<Picker>(plugins_.emplace_back(make_default("max-score-picker")));
    }
    profile.picker = shared;
  }
  return {};
}

Status Scheduler::default_handler() {
  for (const auto& plugin : plugins_) {
    if (part<Handler>(plugin) == nullptr) continue;
    if (handler_ != nullptr) return invalid("/plugins: there is more than one profile handler");
    handler_ = &plugin;
  }
  if (handler_ == nullptr) {
    if (profiles_.size() > 1) {
      return invalid(
          "/plugins: several profiles need a profile handler, such as pd-profile-handler");
    }
    handler_ = &plugins_.emplace_back(make_default("single-profile-handler"));
  }
  std::vector<std::string_view> names;
  for (const auto& profile : profiles_) names.push_back(profile.name);
  return part<Handler>(*handler_)->check(names);
}

// All prefix scorers and the handler must count the same blocks: the prompt is hashed once.
Status Scheduler::join_prefix(const PickerConfig& config) {
  bool named = handler_->prefix_from.empty();
  for (std::size_t i = 0; i < config.plugins.size(); ++i) {
    const auto& own = plugins_[i].prefix;
    if (!own) continue;
    named = named || config.plugins[i].name == handler_->prefix_from;
    if (prefix_ && *prefix_ != *own) {
      return Error(Code::kUnsupported,
                   fmt::format("{}: prefix-cache-scorers with different block sizes or capacities "
                               "are not offered yet",
                               config.plugins[i].pointer));
    }
    prefix_ = own;
  }
  if (!named) {
    return invalid(fmt::format("pd-profile-handler: no prefix-cache-scorer is named '{}'",
                               handler_->prefix_from));
  }
  const auto counted = handler_->counted_block;
  if (prefix_ && counted != 0 && counted != prefix_->block_bytes) {
    return invalid(fmt::format(
        "hashBlockSize is {} in pd-profile-handler and {} in prefix-cache-scorer: give both the "
        "same",
        counted, prefix_->block_bytes));
  }
  return {};
}

Status Scheduler::check_header(const PickerConfig& config) const {
  const PrefillHeader* header = nullptr;
  for (const auto& plugin : plugins_) {
    if (header == nullptr) header = std::get_if<PrefillHeader>(&plugin.part);
  }
  if (handler_->prefills && header == nullptr) {
    return invalid("/plugins: pd-profile-handler has no effect without prefill-header-handler");
  }
  if (header == nullptr) return {};
  if (!handler_->prefills) {
    log::warn("prefill-header-handler has no effect: no profile handler picks a prefill pod");
    return {};
  }
  for (const auto& profile : config.profiles) {
    if (profile.name == header->prefill_profile) return {};
  }
  return invalid(
      fmt::format("prefill-header-handler: there is no profile '{}'", header->prefill_profile));
}

text::json::Value explain(const Decision& decision, const Snapshot& snapshot) {
  using text::json::Value;
  const auto pod = [&](Index i) { return (*snapshot.endpoints)[i].name; };
  Value out;
  out["primary"] = pod(decision.primary);
  out["prefill"] = decision.prefill ? Value(pod(*decision.prefill)) : Value();
  if (!decision.prefill) out["reason"] = name(decision.no_prefill);
  out["uncachedBytes"] = decision.uncached_bytes;
  for (const auto& run : decision.runs) {
    Value one;
    one["profile"] = run.profile;
    const auto n = run.candidates.size();
    for (std::size_t c = 0; c < n; ++c) {
      Value candidate;
      candidate["pod"] = pod(run.candidates[c]);
      candidate["total"] = static_cast<double>(run.totals[c]);
      for (std::size_t s = 0; s < run.scorers.size(); ++s) {
        candidate["scores"][run.scorers[s]] = static_cast<double>(run.scores[s * n + c]);
      }
      one["candidates"].push_back(std::move(candidate));
    }
    one["picked"] = run.picked ? Value(pod(*run.picked)) : Value();
    out["profiles"].push_back(std::move(one));
  }
  return out;
}

}  // namespace baton::schedule
