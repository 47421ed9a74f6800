#include "routing/schedule/scheduler.hpp"

#include <algorithm>
#include <numeric>

#include "base/core/assert.hpp"

namespace baton::schedule {

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

std::string_view Request::header(std::string_view name) const {
  for (const auto& header : headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

void Request::show(const PrefixView& view) {
  block_bytes = view.block_bytes;
  block_tokens = view.block_tokens;
  prompt_blocks = view.prompt_blocks;
  matched = view.matched;
  held = view.held;
}

Request Request::seen_in(std::size_t view) const {
  auto seen = *this;
  if (view > 0 && view <= others.size()) seen.show(others[view - 1]);
  return seen;
}

std::uint32_t Context::matched(Index endpoint) const {
  const auto slot = snapshot.columns->slots[endpoint];
  return slot < request.matched.size() ? request.matched[slot] : 0;
}

std::uint32_t Context::held(Index endpoint) const {
  if (request.held.empty()) return matched(endpoint);
  const auto slot = snapshot.columns->slots[endpoint];
  return slot < request.held.size() ? request.held[slot] : 0;
}

std::uint32_t Context::media_held(Index endpoint) const {
  const auto slot = snapshot.columns->slots[endpoint];
  return slot < request.media_held.size() ? request.media_held[slot] : 0;
}

std::size_t Context::uncached_bytes(Index endpoint) const {
  const auto bytes = request.prompt_bytes;
  const auto tokens = request.tokens();
  if (request.block_tokens > 0 && tokens > 0) {
    return static_cast<std::size_t>(static_cast<double>(bytes) *
                                    static_cast<double>(uncached_tokens(endpoint)) /
                                    static_cast<double>(tokens));
  }
  return bytes - std::min(bytes, held(endpoint) * request.block_bytes);
}

std::size_t Context::uncached_tokens(Index endpoint) const {
  const auto tokens = request.tokens();
  if (request.block_tokens > 0) {
    return tokens - std::min(tokens, held(endpoint) * request.block_tokens);
  }
  if (request.prompt_bytes == 0) return tokens;
  const double share =
      static_cast<double>(uncached_bytes(endpoint)) / static_cast<double>(request.prompt_bytes);
  return std::min(tokens, static_cast<std::size_t>(static_cast<double>(tokens) * share + 0.5));
}

// Runs the profiles of one request.
class Scheduler::Runner final : public ProfileRunner {
 public:
  Runner(const Scheduler& scheduler, Context context) : scheduler_(scheduler), context_(context) {
    const auto others = context.request.others.size();
    if (others == 0) return;
    requests_.reserve(others);
    for (std::size_t view = 1; view <= others; ++view) {
      const auto& seen = requests_.emplace_back(context.request.seen_in(view));
      contexts_.push_back({seen, context.snapshot, context.now, context.random});
    }
  }

  const Context& context() const override { return context(scheduler_.handler_view_); }

  bool asks(const Decider& decider, std::optional<Index> decode) const override {
    const auto at =
        std::ranges::find(scheduler_.deciders_, &decider, &Scheduler::ViewedDecider::decider);
    return decider.wants(context(at == scheduler_.deciders_.end() ? 0 : at->view), decode);
  }

  const ProfileRun* run(std::string_view wanted, Decision& decision,
                        std::optional<Index> peer) override {
    const auto profile = std::ranges::find_if(
        scheduler_.profiles_, [&](const Profile& p) { return wanted.empty() || p.name == wanted; });
    if (profile == scheduler_.profiles_.end()) return nullptr;
    lap(decision, scheduler_.handler_timed_);
    auto& result = fresh_run(decision);
    result.profile = profile->name;
    context_.peer = peer;
    for (auto& seen : contexts_) seen.peer = peer;
    filter(*profile, decision, result);
    if (peer && !result.candidates.empty()) pair(*peer, decision.explain, result);
    if (result.candidates.empty()) return nullptr;
    score(*profile, decision, result);
    profile->picker->pick(context_, result.candidates, result.totals, result.ranked);
    lap(decision, profile->picker_timed);
    result.picked = result.ranked.front();
    return &result;
  }

 private:
  // As who reads that view sees the request; what was recorded without it shows the first.
  const Context& context(std::size_t view) const {
    return view == 0 || view > contexts_.size() ? context_ : contexts_[view - 1];
  }

  static void lap(const Decision& decision, Timed plugin) {
    if (decision.laps != nullptr) decision.laps->lap(plugin);
  }

  // Keeps the memory of an earlier decision.
  static ProfileRun& fresh_run(Decision& decision) {
    if (decision.spare.empty()) return decision.runs.emplace_back();
    auto& run = decision.runs.emplace_back(std::move(decision.spare.back()));
    decision.spare.pop_back();
    run.candidates.clear();
    run.scorers.clear();
    run.ranked.clear();
    run.weights.clear();
    run.drops.clear();
    run.picked.reset();
    run.drained_by = {};
    run.saturated = false;
    return run;
  }

  void filter(const Profile& profile, const Decision& decision, ProfileRun& result) const {
    const bool explain = decision.explain;
    if (const auto* among = context_.request.among) {
      result.candidates = *among;
    } else {
      result.candidates.resize(context_.snapshot.size());
      std::iota(result.candidates.begin(), result.candidates.end(), Index{0});
    }
    if (const auto excluded = context_.request.excluded) std::erase(result.candidates, *excluded);
    for (const auto& each : profile.filters) {
      if (result.candidates.empty()) return;
      const auto before = explain ? result.candidates : std::vector<Index>();
      each.filter->keep(context(each.view), result.candidates);
      lap(decision, each.timed);
      if (explain) note_drops(each.name, before, result);
      if (!result.candidates.empty()) continue;
      result.drained_by = each.name;
      result.saturated = each.filter->sheds();
    }
  }

  // KV goes between endpoints of one revision only.
  void pair(Index peer, bool explain, ProfileRun& result) const {
    const auto& revisions = context_.snapshot.columns->revisions;
    if (revisions[peer] == 0) return;
    const auto before = explain ? result.candidates : std::vector<Index>();
    std::erase_if(result.candidates, [&](Index i) { return revisions[i] != revisions[peer]; });
    if (explain) note_drops(kRevisionLabel, before, result);
    if (result.candidates.empty()) result.drained_by = kRevisionLabel;
  }

  void note_drops(std::string_view plugin, const std::vector<Index>& before,
                  ProfileRun& result) const {
    if (before.size() == result.candidates.size()) return;
    std::vector<bool> kept(context_.snapshot.size());
    for (const Index i : result.candidates) kept[i] = true;
    Drop drop{.plugin = plugin, .endpoints = {}};
    for (const Index i : before) {
      if (!kept[i]) drop.endpoints.push_back(i);
    }
    result.drops.push_back(std::move(drop));
  }

  void score(const Profile& profile, const Decision& decision, ProfileRun& result) const {
    const auto n = result.candidates.size();
    result.totals.assign(n, 0);
    result.scores.assign(n * profile.scorers.size(), 0);
    for (std::size_t s = 0; s < profile.scorers.size(); ++s) {
      const auto& each = profile.scorers[s];
      const auto scores = std::span(result.scores).subspan(s * n, n);
      result.scorers.push_back(each.name);
      result.weights.push_back(each.weight);
      each.scorer->score(context(each.view), result.candidates, scores);
      for (std::size_t c = 0; c < n; ++c) {
        scores[c] = std::clamp(scores[c], 0.0F, 1.0F);
        result.totals[c] += each.weight * scores[c];
      }
      lap(decision, each.timed);
    }
  }

  const Scheduler& scheduler_;
  Context context_;
  std::vector<Request> requests_;  // as others see it: views 1, 2, …
  std::vector<Context> contexts_;  // of those
};

Result<Decision> Scheduler::schedule(const Request& request, const Snapshot& snapshot, Mono now,
                                     Random& random) const {
  Decision decision;
  BATON_TRY(schedule(request, snapshot, now, random, decision));
  return decision;
}

Status Scheduler::schedule(const Request& request, const Snapshot& snapshot, Mono now,
                           Random& random, Decision& into) const {
  BATON_ASSERT(snapshot.size() == 0 || snapshot.columns != nullptr);
  for (auto& run : into.runs) into.spare.push_back(std::move(run));
  into.runs.clear();
  into.decode_candidates.clear();
  into.prefill_candidates.clear();
  into.encode.clear();
  into.prefill.reset();
  into.primary_port.reset();
  into.answer_headers.clear();
  into.primary = 0;
  into.uncached_bytes = 0;
  into.no_prefill = NoPrefill::kNotRequested;
  into.stage_headers = stage_headers_;
  Runner runner(*this, Context{request, snapshot, now, random});
  if (into.laps == nullptr) return handler_->handler->decide(runner, into);
  into.laps->start();
  auto decided = handler_->handler->decide(runner, into);
  into.laps->lap(handler_timed_);
  return decided;
}

void Scheduler::routed(const Request& request, const Snapshot& snapshot, Mono now, Random& random,
                       Decision& decision) const {
  for (const auto& [memory, view] : memories_) {
    const auto seen = request.seen_in(view);
    memory->routed({seen, snapshot, now, random}, decision);
  }
}

}  // namespace baton::schedule
