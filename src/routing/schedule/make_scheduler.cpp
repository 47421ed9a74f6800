// Scheduler::make: defaults (picker reference 3.3) and what spans plugins (3.4).

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "base/core/nearest.hpp"
#include "routing/schedule/scheduler.hpp"

namespace baton::schedule {
namespace {

// Room for what is created, so that addresses stay.
constexpr std::size_t kMaxCreated = 8;

std::string_view default_producer(Data data) {
  switch (data) {
    case Data::kPrefixMatch:
      return "approx-prefix-cache-producer";
    case Data::kTokens:
      return "token-producer";
    case Data::kInFlight:
      return "inflight-load-producer";
    case Data::kLatency:
      return "predicted-latency-producer";
    case Data::kMedia:
      return "mm-embeddings-cache-producer";
    case Data::kSession:  // nobody needs them without naming who makes them
    case Data::kAgent:
      return "";
  }
  return "";
}

bool belongs_into_profile(const Plugin& plugin) {
  return plugin.filter != nullptr || plugin.scorer != nullptr || plugin.picker != nullptr;
}

}  // namespace

Result<Scheduler> Scheduler::make(const PickerConfig& config) {
  Scheduler made;
  BATON_TRY(made.make_plugins(config));
  const auto parameters = std::move(made.setup_.effective);
  BATON_TRY_ASSIGN(made.setup_, make_setup(config, made.plugins_));
  auto& effective = made.setup_.effective;
  effective.insert(effective.end(), parameters.begin(), parameters.end());
  BATON_TRY(made.make_profiles(config));
  BATON_TRY(made.default_pickers());
  BATON_TRY(made.default_handler());
  BATON_TRY(made.bind_plugins(config));
  BATON_TRY(made.bind_handler(config));
  BATON_TRY(made.make_producers(config));
  BATON_TRY(made.join_prefix(config));
  BATON_TRY(made.join_latency(config));
  BATON_TRY(made.check_header(config));
  made.name_views();
  made.name_timed(config);
  const auto& handler = made.setup_.timed[made.handler_timed_];
  made.setup_.handler_name = handler.name;
  made.setup_.handler_type = handler.type;
  made.setup_.encodes = made.handler_->encodes;
  made.setup_.data_parallel = made.handler_->data_parallel;
  for (std::size_t i = 0; i < made.plugins_.size(); ++i) {
    const auto& plugin = made.plugins_[i];
    if (auto producer = made.producer(config, i)) made.setup_.producers.push_back(*producer);
    made.setup_.candidates = std::max(made.setup_.candidates, plugin.ranks);
    if (plugin.memory != nullptr) made.memories_.push_back({plugin.memory, made.views_[i]});
    made.setup_.reads_headers = made.setup_.reads_headers || plugin.reads_headers;
    if (const auto* media = std::get_if<MediaCache>(&plugin.service)) {
      if (made.setup_.media && *made.setup_.media != *media) {
        return unsupported(
            "/plugins: one mm-embeddings-cache-producer is enough, all see the same");
      }
      made.setup_.media = *media;
    }
    if (plugin.produces == Data::kAgent) made.setup_.agents = plugin.sessions;
  }
  return made;
}

// Who is asked in a decision, and where: the same plugin in two profiles is one.
void Scheduler::name_timed(const PickerConfig& config) {
  const auto timed = [&](std::string_view point, const auto& is) -> Timed {
    const auto at = static_cast<std::size_t>(std::ranges::find_if(plugins_, is) - plugins_.begin());
    const bool listed = at < config.plugins.size();
    const auto& type = listed ? config.plugins[at].type : created_[at - config.plugins.size()];
    TimedPlugin made{
        .point = std::string(point), .type = type, .name = listed ? config.plugins[at].name : type};
    const auto known = std::ranges::find(setup_.timed, made);
    if (known != setup_.timed.end()) return static_cast<Timed>(known - setup_.timed.begin());
    setup_.timed.push_back(std::move(made));
    return setup_.timed.size() - 1;
  };
  handler_timed_ = timed("ProfilePicker", [&](const Plugin& p) { return &p == handler_; });
  for (auto& profile : profiles_) {
    for (auto& one : profile.filters) {
      one.timed = timed("Filter", [&](const Plugin& p) { return p.filter.get() == one.filter; });
    }
    for (auto& one : profile.scorers) {
      one.timed = timed("Scorer", [&](const Plugin& p) { return p.scorer.get() == one.scorer; });
    }
    profile.picker_timed =
        timed("Picker", [&](const Plugin& p) { return p.picker.get() == profile.picker; });
  }
}

std::optional<Producer> Scheduler::producer(const PickerConfig& config, std::size_t i) const {
  auto data = plugins_[i].produces;
  if (plugins_[i].prefix) data = Data::kPrefixMatch;
  if (!data) return std::nullopt;
  if (i < config.plugins.size())
    return Producer{*data, config.plugins[i].name, config.plugins[i].type, views_[i]};
  const auto& type = created_[i - config.plugins.size()];
  return Producer{*data, type, type, views_[i]};
}

Plugin& Scheduler::add_default(std::string_view type, std::string_view why) {
  const text::json::Value none;
  Fields parameters(none, "");
  setup_.effective.push_back({.pointer = "/plugins/-",
                              .value = type,
                              .origin = fmt::format("created: {}", why),
                              .unused = ""});
  created_.emplace_back(type);
  return plugins_.emplace_back(*make_plugin(type, parameters));
}

Status Scheduler::make_plugins(const PickerConfig& config) {
  plugins_.reserve(config.plugins.size() + kMaxCreated);
  for (const auto& spec : config.plugins) {
    Fields parameters(spec.parameters, spec.pointer, &setup_.effective);
    auto plugin = make_plugin(spec.type, parameters);
    if (!plugin) return std::move(plugin).error().with("plugin '" + spec.name + "'");
    plugins_.push_back(*std::move(plugin));
  }
  return {};
}

// Without profiles: one of every filter, scorer and picker there is.
Status Scheduler::make_profiles(const PickerConfig& config) {
  for (const auto& spec : config.profiles) {
    BATON_TRY(build_profile(config, spec));
  }
  if (!config.profiles.empty()) return {};
  ProfileSpec all{.name = "default", .plugins = {}};
  for (std::size_t i = 0; i < config.plugins.size(); ++i) {
    if (!belongs_into_profile(plugins_[i])) continue;
    all.plugins.push_back({.plugin = config.plugins[i].name, .weight = 1, .pointer = ""});
  }
  setup_.effective.push_back({.pointer = "/schedulingProfiles/-",
                              .value = all.name,
                              .origin = "created: no profiles are listed",
                              .unused = ""});
  return build_profile(config, all);
}

Status Scheduler::build_profile(const PickerConfig& config, const ProfileSpec& spec) {
  Profile profile{.name = spec.name, .filters = {}, .scorers = {}};
  for (const auto& ref : spec.plugins) {
    const auto at = std::ranges::find(config.plugins, ref.plugin, &PluginSpec::name);
    const auto& plugin = plugins_[static_cast<std::size_t>(at - config.plugins.begin())];
    if (!belongs_into_profile(plugin)) {
      return invalid(
          fmt::format("{}: '{}' is no filter, scorer or picker and does not belong into a profile",
                      ref.pointer, ref.plugin));
    }
    if (plugin.filter) profile.filters.push_back({ref.plugin, plugin.filter.get()});
    if (plugin.scorer) {
      profile.scorers.push_back({ref.plugin, plugin.scorer.get(), static_cast<float>(ref.weight)});
    }
    if (plugin.picker && profile.picker != nullptr) {
      return invalid(fmt::format("{}: profile '{}' has a picker already", ref.pointer, spec.name));
    }
    if (plugin.picker) profile.picker = plugin.picker.get();
  }
  profiles_.push_back(std::move(profile));
  return {};
}

Status Scheduler::default_pickers() {
  const Picker* shared = nullptr;
  for (const auto& plugin : plugins_) {
    if (shared == nullptr) shared = plugin.picker.get();
  }
  for (auto& profile : profiles_) {
    if (profile.picker != nullptr) continue;
    if (shared == nullptr) {
      shared = add_default("max-score-picker", "a profile has no picker").picker.get();
    }
    profile.picker = shared;
  }
  return {};
}

Status Scheduler::default_handler() {
  for (const auto& plugin : plugins_) {
    if (plugin.handler == nullptr) continue;
    if (handler_ != nullptr) return invalid("/plugins: there is more than one profile handler");
    handler_ = &plugin;
  }
  if (handler_ != nullptr) return {};
  if (profiles_.size() > 1) {
    return invalid("/plugins: several profiles need a profile handler, such as pd-profile-handler");
  }
  handler_ = &add_default("single-profile-handler", "there is no profile handler");
  return {};
}

Status Scheduler::bind_plugins(const PickerConfig& config) {
  std::vector<NamedPlugin> named;
  for (std::size_t i = 0; i < config.plugins.size(); ++i) {
    named.push_back({config.plugins[i].name, &plugins_[i]});
  }
  for (const auto& [name, plugin] : named) {
    if (!plugin->bind) continue;
    auto bound = plugin->bind(named);
    if (!bound) return std::move(bound).error().with(fmt::format("plugin '{}'", name));
  }
  return {};
}

Status Scheduler::bind_handler(const PickerConfig& config) {
  std::vector<NamedDecider> deciders;
  for (std::size_t i = 0; i < config.plugins.size(); ++i) {
    if (plugins_[i].decider == nullptr) continue;
    deciders.push_back({config.plugins[i].name, plugins_[i].decider.get()});
  }
  BATON_TRY(handler_->handler->bind(deciders));
  std::vector<std::string_view> names;
  for (const auto& profile : profiles_) names.push_back(profile.name);
  return handler_->handler->check(names);
}

// Blocks of 16 tokens, the engines' own (the floor is for those who configure); beside other
// producers theirs, since all have blocks of one size.
PrefixParameters Scheduler::default_blocks() const {
  PrefixParameters made;
  for (const auto& plugin : plugins_) {
    if (plugin.prefix && !plugin.any_blocks) made.block_bytes = plugin.prefix->block_bytes;
  }
  return made;
}

// Creates, once each, the producers that are needed and not there; those may need others.
Status Scheduler::make_producers(const PickerConfig& config) {
  std::vector<std::string_view> names;
  for (const auto& spec : config.plugins) names.push_back(spec.name);
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    for (const auto& need : std::vector(plugins_[i].needs)) {
      const auto standard = default_producer(need.data);
      const auto at = std::ranges::find(names, need.producer);
      const bool named = !need.producer.empty() && at != names.end();
      if (need.producer.find('/') != std::string::npos) {
        return invalid(
            fmt::format("{}: give the producer's name alone, without '/'", need.pointer));
      }
      if (named && plugins_[static_cast<std::size_t>(at - names.begin())].produces != need.data) {
        return invalid(fmt::format("{}: '{}' does not produce that", need.pointer, need.producer));
      }
      if (!named && !need.producer.empty() && need.producer != standard) {
        return invalid(fmt::format("{}: no producer is named '{}'{}", need.pointer, need.producer,
                                   did_you_mean(need.producer, names)));
      }
      const auto produces = [&](const Plugin& p) {
        return p.produces == need.data || (need.data == Data::kPrefixMatch && p.prefix.has_value());
      };
      // Who names the default producer of matches means an index of its own.
      const bool own = need.data == Data::kPrefixMatch && !need.producer.empty() &&
                       std::ranges::find(created_, standard) == created_.end();
      if (named || (!own && std::ranges::any_of(plugins_, produces))) continue;
      const auto blocks = default_blocks();
      auto& created = add_default(
          standard, fmt::format("needed by {}", i < names.size() ? names[i] : "another"));
      if (need.data == Data::kPrefixMatch) created.prefix = blocks;
    }
  }
  return {};
}

// Created or listed, and asked once for a request.
Status Scheduler::join_latency(const PickerConfig& config) {
  for (std::size_t i = 0; i < plugins_.size(); ++i) {
    const auto* latency = std::get_if<LatencyParameters>(&plugins_[i].service);
    if (latency == nullptr) continue;
    if (setup_.latency) {
      return Error(Code::kUnsupported,
                   "/plugins: latency is predicted once: more than one plugin asks for it");
    }
    setup_.latency = *latency;
    if (i < config.plugins.size()) setup_.latency->name = config.plugins[i].name;
  }
  return {};
}

Status Scheduler::check_header(const PickerConfig& config) {
  const StageHeaders* header = nullptr;
  for (const auto& plugin : plugins_) {
    if (header == nullptr && plugin.headers) header = &*plugin.headers;
  }
  stage_headers_ = handler_->tells_stages || (handler_->prefills && header != nullptr);
  if (handler_->prefills && !stage_headers_) {
    return invalid("/plugins: pd-profile-handler has no effect without prefill-header-handler");
  }
  if (header == nullptr || handler_->tells_stages) return {};
  if (!handler_->prefills) {
    setup_.warnings.emplace_back(
        "prefill-header-handler has no effect: no profile handler picks a prefill pod");
    log::warn(setup_.warnings.back());
    return {};
  }
  for (const auto& profile : config.profiles) {
    if (profile.name == header->prefill_profile) return {};
  }
  return invalid(
      fmt::format("prefill-header-handler: there is no profile '{}'", header->prefill_profile));
}

}  // namespace baton::schedule
