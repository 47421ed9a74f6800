#include "routing/pick/service_pool.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "base/core/log.hpp"
#include "routing/index/landmarks.hpp"

namespace baton::pick {
namespace {

// What the configuration asks beside picking, and nobody here does.
Status check_offered(const schedule::Setup& setup, ServicePool::Owner owner) {
  using schedule::Parser;
  const auto refuse = [](bool given, std::string_view what) -> Status {
    if (!given) return {};
    return unsupported(std::string(what));
  };
  const auto parses = [&](Parser parser) {
    return std::ranges::find(setup.parsers, parser) != setup.parsers.end();
  };
  if (owner == ServicePool::Owner::kPicker) return {};
  BATON_TRY(refuse(!setup.scrapes, "/dataLayer/injectDefaults: engines' metrics are always read"));
  BATON_TRY(refuse(setup.metrics != schedule::MetricsSource{},
                   "/plugins: only baton epp gives metrics-data-source parameters"));
  BATON_TRY(
      refuse(!setup.extractor.engine_configs.is_null() || setup.extractor.default_engine != "vllm",
             "/plugins: only baton epp reads the metrics of other engines than vllm"));
  BATON_TRY(
      refuse(setup.precise.has_value(), "/plugins: only baton epp follows engines' KV events"));
  BATON_TRY(refuse(setup.flow.has_value(),
                   "/featureGates: only baton epp has flow control; remove the gate"));
  BATON_TRY(refuse(setup.detector != schedule::Detector{},
                   "/flowControl/saturationDetector: only baton epp holds requests back by "
                   "saturation; remove it or leave its parameters at their defaults"));
  BATON_TRY(refuse(!setup.admitters.empty() || setup.slo_admitter,
                   "/plugins: only baton epp has admitters"));
  BATON_TRY(refuse(setup.latency.has_value(), "/plugins: only baton epp predicts latency"));
  BATON_TRY(
      refuse(parses(Parser::kSglangHttp) || parses(Parser::kVllmGrpc) || parses(Parser::kVertexAi),
             "/requestHandler/parsers: only OpenAI, Anthropic, vllmhttp and passthrough "
             "parsers are offered here, baton epp has the others"));
  BATON_TRY(refuse(setup.encodes, "/plugins: only baton epp has encode stages"));
  BATON_TRY(refuse(setup.output.has_value(), "/plugins: only baton epp counts tokens to come"));
  BATON_TRY(refuse(setup.media.has_value(),
                   "/plugins: only baton epp compares pictures, sound and video"));
  BATON_TRY(refuse(setup.models.has_value(),
                   "/dataLayer/sources: only baton epp asks engines for their models"));
  BATON_TRY(refuse(!setup.reports.empty() || setup.verifies_served,
                   "/plugins: only baton epp reports of answers, to the proxy before it"));
  BATON_TRY(refuse(setup.data_parallel,
                   "/plugins: only baton epp has data-parallel ports behind one pod"));
  return refuse(
      setup.candidates > 1,
      "/plugins: only baton epp lists more than one endpoint per pick; here another pick is made "
      "when an endpoint refuses the connection");
}

Result<schedule::Scheduler> make_scheduler(const watch::Service& service,
                                           ServicePool::Owner owner) {
  if (!service.picker_problem.empty()) {
    return unsupported(service.picker_source + ": " + service.picker_problem);
  }
  if (!service.picker) return schedule::Scheduler::make(schedule::default_picker_config());
  const auto& source = service.picker_source;
  BATON_TRY_ASSIGN(const auto config, schedule::load_picker_config(*service.picker, source));
  BATON_TRY_ASSIGN(auto made, schedule::Scheduler::make(config).with(source));
  if (auto offered = check_offered(made.setup(), owner); !offered) {
    return std::move(offered).error().with(source);
  }
  return made;
}

// Longest matches whose blocks behind the last landmark are looked at.
constexpr std::size_t kRefined = 8;

constexpr std::size_t kBytesPerToken = 4;  // of the estimate

// Blocks of `block_bytes` of prompt that a KV cache holds, at four bytes a token as everywhere
// where text stands for tokens. 0: the engine does not tell its cache's size.
std::size_t remembered_of(const watch::Scraped& scraped, std::size_t block_bytes) {
  const std::uint64_t tokens =
      std::uint64_t{scraped.blocks.value_or(0)} * scraped.block_size.value_or(0);
  if (tokens == 0) return 0;
  const auto most = kMostRemembered * block_bytes / kBytesPerToken;  // tokens
  return std::max<std::size_t>(
      1, std::min<std::uint64_t>(tokens, most) * kBytesPerToken / block_bytes);
}

schedule::Endpoint without_labels(const schedule::Endpoint& from) {
  schedule::Endpoint out;
  out.ns = from.ns;
  out.name = from.name;
  out.host = from.host;
  out.port = from.port;
  out.slot = from.slot;
  return out;
}

bool same(const schedule::Endpoint& a, const schedule::Endpoint& b) {
  return a.slot == b.slot && a.name == b.name && a.host == b.host && a.port == b.port;
}

// Nothing learnt of a pod yet is not nothing held, and what all others hold it computes but once:
// it is compared as the one of its role that holds least, from two on (what only one holds is a
// conversation of its own). False: nobody gains by it.
bool presume(const index::PrefixIndex& index, const schedule::Snapshot& snapshot,
             std::span<const std::uint32_t> matched, std::vector<std::uint32_t>& presumed) {
  if (snapshot.size() == 0) return false;
  struct Role {
    std::uint32_t known = 0, unknown = 0;
    std::uint32_t least = UINT32_MAX;  // blocks, of those known
    bool gains() const { return unknown > 0 && known > 1 && least > 0; }
  };
  std::array<Role, 16> roles{};  // by schedule::Stages, which are four bits
  const auto& columns = *snapshot.columns;
  for (std::size_t i = 0; i < columns.slots.size(); ++i) {
    const auto slot = columns.slots[i];
    auto& role = roles[columns.stages[i]];
    const bool known = index.held(slot) > 0;
    ++(known ? role.known : role.unknown);
    if (known) role.least = std::min(role.least, matched[slot]);
  }
  if (std::ranges::none_of(roles, &Role::gains)) return false;
  presumed.assign(matched.begin(), matched.end());
  for (std::size_t i = 0; i < columns.slots.size(); ++i) {
    const auto slot = columns.slots[i];
    const auto& role = roles[columns.stages[i]];
    if (role.gains() && index.held(slot) == 0) presumed[slot] = role.least;
  }
  return true;
}

}  // namespace

ServicePool::Known::Known(const schedule::PrefixParameters& parameters)
    : index({.slots = schedule::kMaxEndpoints,
             .lru_capacity = parameters.lru_capacity,
             .odd_weight = index::kStride}),
      max_blocks(parameters.max_blocks),
      engine_capacity(parameters.engine_capacity),
      matched(schedule::kMaxEndpoints) {}

ServicePool::ServicePool(const watch::Service& service, Owner owner) : service_(service) {
  service_.endpoints.clear();
  auto made = make_scheduler(service, owner);
  if (!made) {
    broken_ = std::move(made).error().with("picker configuration");
    log::error("the service cannot be served",
               {{"service", service.ns + "/" + service.name}, {"why", broken_->message()}});
    return;
  }
  scheduler_ = *std::move(made);
  for (const auto& parameters : setup().indexes) known_.emplace_back(parameters);
  if (const auto& media = scheduler_->setup().media) {
    media_.emplace(
        index::PrefixIndex::Config{.slots = schedule::kMaxEndpoints, .lru_capacity = media->items});
    media_held_.resize(schedule::kMaxEndpoints);
  }
}

void ServicePool::follow(PrecisePrefix& precise) {
  precise_ = &precise;
  held_.resize(schedule::kMaxEndpoints);
  weighted_.resize(schedule::kMaxEndpoints);
  precise_->update(endpoints());
}

watch::Pool::Change ServicePool::update(const watch::Service& service) {
  service_.routing_key = service.routing_key;
  auto change = pool_.update(service.endpoints);
  for (const auto& gone : change.removed) {
    for (auto& known : known_) known.index.forget(gone.slot);
    if (media_) media_->forget(gone.slot);
    const auto lives = [&](const schedule::Endpoint& e) {
      return e.name == gone.name && e.port == gone.port;
    };
    if (std::ranges::none_of(endpoints(), lives)) tallies_.erase({gone.name, gone.port});
  }
  if (precise_ != nullptr) precise_->update(endpoints());
  if (change.over_limit > 0) {
    log::warn("more ready endpoints than a pool can have, the rest gets no requests",
              {{"service", service.ns + "/" + service.name},
               {"limit", schedule::kMaxEndpoints},
               {"left_out", change.over_limit}});
  }
  return change;
}

std::optional<index::PrefixChain> ServicePool::chain(std::string_view model,
                                                     std::string_view salt) const {
  if (known_.empty()) return std::nullopt;
  const auto most = std::ranges::max_element(known_, {}, &Known::max_blocks)->max_blocks;
  std::string seed(model);
  if (!salt.empty()) seed.append(1, '\0').append(salt);
  return index::PrefixChain(seed, setup().indexes.front().block_bytes, most);
}

// Leading blocks that each slot holds: landmarks first, then what stands behind the last of them.
void ServicePool::match(Known& known, std::span<const std::uint64_t> chain) {
  hashes_.clear();
  index::append_landmarks(chain, 0, hashes_);
  known.index.match(hashes_, known.matched);
  if (chain.size() <= index::kFine) return;
  ends_.clear();
  for (const auto& endpoint : endpoints()) {
    auto& blocks = known.matched[endpoint.slot];
    if (blocks < index::kFine) continue;
    blocks = static_cast<std::uint32_t>(index::covered_by(blocks));
    if (std::ranges::find(ends_, blocks) == ends_.end()) ends_.push_back(blocks);
  }
  std::ranges::sort(ends_, std::greater<>());
  if (ends_.size() > kRefined) ends_.resize(kRefined);
  for (const auto end : ends_) {
    hashes_.clear();
    for (auto i = end; i < std::min<std::size_t>(chain.size(), end + index::kStride - 1); ++i) {
      hashes_.push_back(index::single(chain[i]));
    }
    known.index.match(hashes_, matches_);
    for (const auto& endpoint : endpoints()) {
      auto& blocks = known.matched[endpoint.slot];
      if (blocks == end) blocks += matches_.blocks(endpoint.slot);
    }
  }
}

schedule::PrefixView ServicePool::look_up(Known& known, const index::PrefixChain& chain) {
  const auto blocks = chain.blocks().first(std::min(chain.blocks().size(), known.max_blocks));
  match(known, blocks);
  schedule::PrefixView view{.block_bytes = chain.block_bytes(),
                            .prompt_blocks = static_cast<std::uint32_t>(blocks.size()),
                            .matched = known.matched};
  if (presume(known.index, pool_.snapshot(), known.matched, known.presumed)) {
    view.held = known.matched;
    view.matched = known.presumed;
  }
  return view;
}

// What every producer of matches knows of the prompt.
void ServicePool::show_matches(const Ask& ask, schedule::Request& request) {
  looked_up_.assign(known_.size(), {});
  for (std::size_t i = 0; i < known_.size() && ask.chain != nullptr; ++i) {
    looked_up_[i] = look_up(known_[i], *ask.chain);
  }
  const auto* keyed = precise_ != nullptr ? ask.keyed : nullptr;
  if (keyed != nullptr) request.prompt_tokens = keyed->tokens;
  views_.clear();
  for (const auto& view : setup().views) {
    views_.push_back(looked_up_[view.index]);
    if (view.precise && keyed != nullptr) {
      match_precisely(*keyed, ask.prompt_bytes, views_.back());
    }
  }
  if (views_.empty()) return;
  request.show(views_.front());
  request.others = std::span(views_).subspan(1);
}

// As the pool knows it now; spans are of scratch memory.
schedule::Request ServicePool::request_of(const Ask& ask) {
  schedule::Request request{.prompt_bytes = ask.prompt_bytes,
                            .among = ask.among,
                            .prompt_tokens = ask.prompt_tokens,
                            .model = ask.model,
                            .headers = ask.headers,
                            .priority = ask.priority,
                            .multimodal = ask.multimodal};
  show_matches(ask, request);
  if (media_ && !ask.media.empty()) {
    match_media(ask.media);
    request.media = static_cast<std::uint32_t>(ask.media.size());
    request.media_held = media_held_;
  }
  if (ask.predictions != nullptr && ask.predictions->endpoints != nullptr) {
    take_predictions(*ask.predictions);
    request.predictions = predictions_;
  }
  return request;
}

// Endpoints may have changed since they were made.
void ServicePool::take_predictions(const Predictions& predictions) {
  predictions_.assign(schedule::kMaxEndpoints, {});
  for (std::size_t i = 0; i < predictions.each.size(); ++i) {
    const auto& endpoint = (*predictions.endpoints)[i];
    const bool stays = predictions.endpoints == pool_.snapshot().endpoints || holds(endpoint);
    if (stays) predictions_[endpoint.slot] = predictions.each[i];
  }
}

ServicePool::Survey ServicePool::survey(const Ask& ask) {
  const auto& snapshot = pool_.snapshot();
  return {.endpoints = snapshot.endpoints,
          .rows = schedule::latency_rows(request_of(ask).seen_in(setup().latency_view), snapshot,
                                         *setup().latency)};
}

bool ServicePool::admits(const Ask& ask, const schedule::Slo& slo) {
  return schedule::admits(slo, request_of(ask), pool_.snapshot());
}

Result<ServicePool::Picked> ServicePool::pick(const Ask& ask, Mono now, Random& random) {
  if (broken_) return unavailable(broken_->message());
  const auto& snapshot = pool_.snapshot();
  auto request = request_of(ask);
  const auto* keyed = precise_ != nullptr ? ask.keyed : nullptr;
  for (schedule::Index i = 0; ask.refused && i < snapshot.size(); ++i) {
    if (same((*snapshot.endpoints)[i], *ask.refused)) request.excluded = i;
  }
  auto& decision = ask.decision != nullptr ? *ask.decision : decision_;
  decision.explain = ask.record != nullptr;
  BATON_TRY(scheduler_->schedule(request, snapshot, now, random, decision));
  if (ask.record != nullptr) schedule::record(request, snapshot, now, decision, *ask.record);
  if (log::enabled(log::Level::kDebug)) {
    log::debug("picked", {{"decision", text::json::dump(explain(decision, snapshot))}});
  }
  scheduler_->routed(request, snapshot, now, random, decision);
  std::vector<bool> media_held;
  if (request.media > 0) media_held = remember_media(ask.media, decision);
  // The prompt is computed by the prefill endpoint where there is one.
  const schedule::Context context{request, snapshot, now, random};
  const auto by_load = request.seen_in(setup().load_view);
  const schedule::Context loaded{by_load, snapshot, now, random};
  const auto tokens = [&](schedule::Index i) {
    return static_cast<std::int64_t>(loaded.uncached_tokens(i));
  };
  const auto& output = setup().output;
  const auto later = output ? expected_output(*output, request.tokens(), ask.most_tokens) : 0;
  Picked picked;
  picked.route.decode = without_labels((*snapshot.endpoints)[decision.primary]);
  picked.route.no_prefill = decision.no_prefill;
  picked.decode = {snapshot.reservations, picked.route.decode.slot,
                   decision.prefill ? 0 : tokens(decision.primary), later};
  picked.decode_tally = tally(picked.route.decode);
  if (decision.prefill) {
    picked.route.prefill = without_labels((*snapshot.endpoints)[*decision.prefill]);
    picked.prefill = {snapshot.reservations, picked.route.prefill->slot, tokens(*decision.prefill)};
    picked.prefill_tally = tally(*picked.route.prefill);
  }
  picked.media_held = std::move(media_held);
  picked.answer_headers = std::move(decision.answer_headers);
  picked.endpoints = snapshot.endpoints;
  picked.matched = context.held(decision.primary);
  for (std::size_t view = 1; view <= request.others.size(); ++view) {
    const auto seen = request.seen_in(view);
    const schedule::Context other{seen, snapshot, now, random};
    picked.matched_elsewhere.push_back(other.held(decision.primary));
  }
  if (keyed != nullptr) routed_precisely(*keyed, picked);
  return picked;
}

// How many of the items each slot was sent before.
void ServicePool::match_media(std::span<const std::uint64_t> items) {
  for (const auto& endpoint : endpoints()) media_held_[endpoint.slot] = 0;
  for (const auto& item : items) {
    media_->match(std::span(&item, 1), matches_);
    for (const auto& endpoint : endpoints()) {
      media_held_[endpoint.slot] += matches_.blocks(endpoint.slot);
    }
  }
}

// Who encodes them will have them: the encode stage, or the endpoint itself. Which of them the
// first of those was sent before.
std::vector<bool> ServicePool::remember_media(std::span<const std::uint64_t> items,
                                              const schedule::Decision& decision) {
  std::vector<index::Slot> slots;
  for (const auto i : decision.encode) slots.push_back(endpoints()[i].slot);
  if (slots.empty()) slots.push_back(endpoints()[decision.primary].slot);
  std::vector<bool> held;
  for (const auto& item : items) {
    media_->match(std::span(&item, 1), matches_);
    held.push_back(matches_.blocks(slots.front()) > 0);
    media_->record(slots, std::span(&item, 1));
  }
  return held;
}

// Blocks of tokens: as an engine tells, or what its bytes come to in those.
void ServicePool::match_precisely(const KeyedPrompt& prompt, std::size_t prompt_bytes,
                                  schedule::PrefixView& view) {
  const auto by_bytes = view.held.empty() ? view.matched : view.held;
  const auto block = precise_->block_tokens();
  precise_->match(prompt, held_, weighted_);
  const double share =
      prompt_bytes == 0 ? 0
                        : static_cast<double>(view.block_bytes) / static_cast<double>(prompt_bytes);
  for (const auto& endpoint : endpoints()) {
    const auto slot = endpoint.slot;
    if (precise_->in_sync(slot)) continue;
    const double bytes = by_bytes.empty() ? 0 : by_bytes[slot] * share;
    const auto tokens = std::min(1.0, bytes) * static_cast<double>(prompt.tokens);
    held_[slot] = weighted_[slot] = static_cast<std::uint32_t>(tokens / static_cast<double>(block));
  }
  view.block_tokens = block;
  view.prompt_blocks = static_cast<std::uint32_t>(prompt.keys.size());
  view.matched = weighted_;
  view.held = held_;
}

void ServicePool::routed_precisely(const KeyedPrompt& prompt, Picked& picked) {
  const auto slot = picked.route.decode.slot;
  if (precise_->in_sync(slot) && !picked.route.prefill && prompt.tokens > 0) {
    // An engine computes the last token in any case.
    const auto block = precise_->block_tokens();
    picked.predicted = std::min<std::size_t>(held_[slot], (prompt.tokens - 1) / block) * block;
  }
  precise_->routed(slot, prompt);
  if (picked.route.prefill) precise_->routed(picked.route.prefill->slot, prompt);
}

bool ServicePool::serves(Mono now, Random& random) const {
  return scheduler_ && scheduler_->schedule({}, pool_.snapshot(), now, random).has_value();
}

bool ServicePool::holds(const schedule::Endpoint& endpoint) const {
  return std::ranges::any_of(endpoints(), [&](const auto& e) { return same(e, endpoint); });
}

void ServicePool::remember(const schedule::Endpoint& endpoint, std::span<const std::uint64_t> chain,
                           std::size_t first, const schedule::Endpoint* other) {
  if (known_.empty()) return;
  std::array<index::Slot, 2> slots{};
  std::size_t count = 0;
  if (holds(endpoint)) slots[count++] = endpoint.slot;
  if (other != nullptr && holds(*other) && (count == 0 || other->slot != slots[0])) {
    slots[count++] = other->slot;
  }
  if (count == 0) return;
  for (auto& known : known_) {
    const auto blocks = chain.first(std::min(chain.size(), known.max_blocks));
    hashes_.clear();
    index::append_landmarks(blocks, first, hashes_);
    index::append_tail(blocks, first, hashes_);
    known.index.record(std::span(slots).first(count), hashes_);
  }
}

void ServicePool::loaded(const schedule::Endpoint& endpoint, const watch::Scraped& scraped,
                         Mono now) {
  if (!holds(endpoint)) return;
  pool_.loaded(endpoint.slot, scraped, now);
  size_index(endpoint.slot, scraped);
}

void ServicePool::serves(const schedule::Endpoint& endpoint, std::vector<std::string> models) {
  if (holds(endpoint)) pool_.serves(endpoint.slot, std::move(models));
}

void ServicePool::size_index(schedule::Slot slot, const watch::Scraped& scraped) {
  if (known_.empty()) return;
  const auto blocks = remembered_of(scraped, setup().indexes.front().block_bytes);
  for (auto& known : known_) {
    if (!known.engine_capacity || blocks == 0) continue;
    if (blocks != known.index.capacity(slot)) known.index.set_capacity(slot, blocks);
  }
}

std::vector<std::size_t> ServicePool::remembered() const {
  std::vector<std::size_t> out;
  if (broken_) return out;
  for (const auto& view : setup().views) {
    auto& blocks = out.emplace_back(0);
    for (const auto& endpoint : endpoints()) blocks += known_[view.index].index.held(endpoint.slot);
  }
  return out;
}

std::shared_ptr<PodTally> ServicePool::tally(const schedule::Endpoint& endpoint) {
  auto& tally = tallies_[{endpoint.name, endpoint.port}];
  if (tally == nullptr) tally = std::make_shared<PodTally>();
  return tally;
}

}  // namespace baton::pick
