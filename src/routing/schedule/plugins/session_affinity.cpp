// session-affinity-scorer and session-affinity-filter: a session's requests go where the first one
// went (picker reference 4.4). Either the client carries a token that names the endpoint, or the
// picker remembers the endpoint of each session id for a while.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/text/base64.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kStrategies[] = {"encoded_endpoint_header", "session_id"};
constexpr std::string_view kSessionAttribute = "SessionIDDataKey";  // as llm-d names its keys
constexpr std::string_view kAgentAttribute = "agent-identity";
constexpr std::size_t kMostSessions = std::size_t{1} << 20;  // some 100 MB

// Endpoints by Columns::identities.
class Sessions : public Memory {
 public:
  // That of the request's session; nullopt: it has none.
  virtual std::optional<std::uint64_t> bound(const Context& context) const = 0;
};

// The run whose endpoint counts: of the profile, or where the request goes.
const ProfileRun* run_of(const Decision& decision, std::string_view profile) {
  for (const auto& run : decision.runs) {
    if (!run.picked) continue;
    if (profile.empty() ? run.picked == decision.primary : run.profile == profile) return &run;
  }
  return nullptr;
}

class Token final : public Sessions {
 public:
  Token(std::string header, std::string profile)
      : header_(std::move(header)), profile_(std::move(profile)) {}

  std::optional<std::uint64_t> bound(const Context& context) const override {
    const auto token = context.request.header(header_);
    if (token.empty()) return std::nullopt;
    const auto id = text::parse_base64(token);
    return id ? std::optional(identity_of(*id)) : std::nullopt;
  }

  void routed(const Context& context, Decision& decision) const override {
    const auto* run = run_of(decision, profile_);
    if (run == nullptr) return;
    const auto& endpoint = (*context.snapshot.endpoints)[*run->picked];
    std::erase_if(decision.answer_headers, [&](const auto& each) { return each.first == header_; });
    decision.answer_headers.emplace_back(header_, text::base64(endpoint.qualified_id()));
  }

 private:
  std::string header_, profile_;
};

class Remembered final : public Sessions {
 public:
  Remembered(std::string profile, Nanos ttl) : profile_(std::move(profile)), ttl_(ttl) {}

  std::vector<SessionSource> sources;  // before the first request

  std::optional<std::uint64_t> bound(const Context& context) const override {
    const auto session = session_of(sources, context.request);
    if (session.empty()) return std::nullopt;
    const std::lock_guard lock(mutex_);
    const auto it = by_session_.find(std::hash<std::string_view>()(session));
    if (it == by_session_.end() || context.now - it->second->used > ttl_) return std::nullopt;
    return it->second->endpoint;
  }

  // A session stays with its endpoint while that is a candidate, also when another one is chosen.
  void routed(const Context& context, Decision& decision) const override {
    const auto session = session_of(sources, context.request);
    const auto* run = run_of(decision, profile_);
    if (session.empty() || run == nullptr) return;
    const auto& identities = context.snapshot.columns->identities;
    const auto key = std::hash<std::string_view>()(session);
    const std::lock_guard lock(mutex_);
    forget(context.now);
    const auto it = by_session_.find(key);
    if (it == by_session_.end()) {
      uses_.push_back({key, identities[*run->picked], context.now});
      by_session_.emplace(key, std::prev(uses_.end()));
      return;
    }
    auto& use = *it->second;
    const bool stays = std::ranges::any_of(run->candidates,
                                           [&](Index i) { return identities[i] == use.endpoint; });
    if (stays && identities[*run->picked] != use.endpoint) return;
    use.endpoint = identities[*run->picked];
    use.used = context.now;
    uses_.splice(uses_.end(), uses_, it->second);
  }

 private:
  // Sessions and endpoints by hash: two that share one share an endpoint, no more.
  struct Use {
    std::size_t session;
    std::uint64_t endpoint;
    Mono used;
  };

  void forget(Mono now) const {
    while (!uses_.empty() && (now - uses_.front().used > ttl_ || uses_.size() >= kMostSessions)) {
      by_session_.erase(uses_.front().session);
      uses_.pop_front();
    }
  }

  const std::string profile_;
  const Nanos ttl_;
  mutable std::mutex mutex_;
  mutable std::list<Use> uses_;  // least recent first
  mutable std::unordered_map<std::size_t, std::list<Use>::iterator> by_session_;
};

class AffinityScorer final : public Scorer {
 public:
  explicit AffinityScorer(std::unique_ptr<Sessions> sessions) : sessions_(std::move(sessions)) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto bound = sessions_->bound(context);
    if (!bound) return;
    const auto& identities = context.snapshot.columns->identities;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (identities[candidates[c]] == *bound) scores[c] = 1;
    }
  }

 private:
  std::unique_ptr<Sessions> sessions_;
};

class AffinityFilter final : public Filter {
 public:
  explicit AffinityFilter(std::unique_ptr<Sessions> sessions) : sessions_(std::move(sessions)) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto bound = sessions_->bound(context);
    if (!bound) return;
    const auto& identities = context.snapshot.columns->identities;
    const auto is_bound = [&](Index i) { return identities[i] == *bound; };
    if (std::ranges::any_of(candidates, is_bound)) {
      std::erase_if(candidates, [&](Index i) { return !is_bound(i); });
    }
  }

 private:
  std::unique_ptr<Sessions> sessions_;
};

// A header, or what another plugin publishes.
struct SourceSpec {
  std::string header = {}, attribute = {}, producer = {}, pointer = {};
};

std::vector<SourceSpec> read_sources(Fields& config) {
  std::vector<SourceSpec> out;
  const auto& items = config.array("sources");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(config.pointer() + "/sources", i),
                  config.settings());
    out.push_back({fields.header("header", ""), fields.text("attribute", ""),
                   fields.text("producer", ""), fields.pointer()});
    if (out.back().header.empty() == out.back().attribute.empty()) {
      fields.fail("header", "give header or attribute, one of them");
    }
    config.take_error(fields);
  }
  if (items.empty()) out.push_back({.header = "x-session-id"});
  return out;
}

Status resolve(const SourceSpec& spec, std::span<const NamedPlugin> plugins,
               std::vector<SessionSource>& into) {
  if (!spec.header.empty()) {
    into.push_back({SessionSource::Kind::kHeader, spec.header});
    return {};
  }
  const bool agent = spec.attribute == kAgentAttribute;
  if (!agent && spec.attribute != kSessionAttribute) {
    return invalid(fmt::format("{}/attribute: '{}' is none of {}, {}", spec.pointer, spec.attribute,
                               kSessionAttribute, kAgentAttribute));
  }
  for (const auto& [name, plugin] : plugins) {
    const bool makes = plugin->produces == (agent ? Data::kAgent : Data::kSession);
    if (!makes || (!agent && name != spec.producer)) continue;
    into.insert(into.end(), plugin->sessions.begin(), plugin->sessions.end());
    return {};
  }
  if (agent) return invalid(spec.pointer + "/attribute: list agent-identity under plugins");
  return invalid(fmt::format("{}/producer: no session-id-producer is named '{}'", spec.pointer,
                             spec.producer));
}

Nanos seconds(Fields& config, std::string_view key, double otherwise) {
  constexpr double kYear = 365 * 86400;
  const double given = config.number(key, otherwise, 0, kYear);
  return Nanos(static_cast<std::int64_t>((given == 0 ? otherwise : given) * 1e9));
}

std::unique_ptr<Sessions> make_sessions(Fields& parameters, Plugin& plugin) {
  const auto strategy = parameters.choice("strategy", kStrategies[0], kStrategies);
  const auto profile = parameters.text("profileName", "");
  plugin.reads_headers = true;
  if (strategy == kStrategies[0]) {
    parameters.unused("sessionIdConfig", "strategy is encoded_endpoint_header");
    auto config = parameters.object("encodedEndpointHeaderConfig");
    auto header = config.header("header", "x-session-token");
    if (header.empty()) header = "x-session-token";
    parameters.take_error(config);
    return std::make_unique<Token>(header, profile);
  }
  parameters.unused("encodedEndpointHeaderConfig", "strategy is session_id");
  auto config = parameters.object("sessionIdConfig");
  const auto specs = read_sources(config);
  auto made = std::make_unique<Remembered>(profile, seconds(config, "evictionTtlSeconds", 300));
  if (const auto* sweep = config.any("evictionSweepSeconds"); sweep != nullptr) {
    if (sweep->if_double().value_or(-1) < 0) config.fail("evictionSweepSeconds", "from 0 on");
    config.unused("evictionSweepSeconds", "sessions are forgotten as requests come");
  }
  parameters.take_error(config);
  plugin.bind = [specs, into = made.get()](std::span<const NamedPlugin> plugins) -> Status {
    for (const auto& spec : specs) {
      BATON_TRY(resolve(spec, plugins, into->sources));
    }
    return {};
  };
  return made;
}

}  // namespace

Plugin make_session_affinity_scorer(Fields& parameters) {
  Plugin plugin;
  auto sessions = make_sessions(parameters, plugin);
  plugin.memory = sessions.get();
  plugin.scorer = std::make_unique<AffinityScorer>(std::move(sessions));
  return plugin;
}

Plugin make_session_affinity_filter(Fields& parameters) {
  Plugin plugin;
  auto sessions = make_sessions(parameters, plugin);
  plugin.memory = sessions.get();
  plugin.filter = std::make_unique<AffinityFilter>(std::move(sessions));
  return plugin;
}

}  // namespace baton::schedule
