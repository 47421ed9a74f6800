#include "engine/runtime/batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/core/assert.hpp"
#include "base/core/log.hpp"

namespace baton::runtime {
namespace {

constexpr Nanos kRenewEvery = std::chrono::seconds(5);
// An announced pull of a request without a deadline: half of what gateway and sidecar give one.
constexpr Nanos kUnstatedWait = std::chrono::minutes(5);
// Tokens to compute; shorter prompts are done before anybody could come for what there is.
constexpr std::size_t kAnnounceFrom = 256;

bool contains(const std::vector<TokenId>& list, TokenId token) {
  return std::ranges::find(list, token) != list.end();
}

// EOS and stop ids may not come before min_tokens.
std::vector<TokenId> banned_now(const Sequence& sequence, const model::Config& config) {
  const SamplingParams& p = sequence.request.sampling;
  if (sequence.drawn() >= p.min_tokens) return {};
  std::vector<TokenId> banned = p.stop_token_ids;
  if (!p.ignore_eos) banned.insert(banned.end(), config.eos.begin(), config.eos.end());
  return banned;
}

// The order of vllm-wire Appendix B, 6.
std::optional<Finish> finish_after(const Sequence& sequence, const model::Config& config,
                                   std::optional<TokenId>& stop_token) {
  const SamplingParams& p = sequence.request.sampling;
  const TokenId token = sequence.tokens.back();
  if (sequence.drawn() >= p.min_tokens) {
    if (!p.ignore_eos && contains(config.eos, token)) return Finish::kStop;
    if (contains(p.stop_token_ids, token)) {
      stop_token = token;
      return Finish::kStop;
    }
  }
  if (sequence.tokens.size() >= sequence.most) return Finish::kLength;
  return std::nullopt;
}

void tell(const Sequence& sequence, Phase phase) {
  Progress* const progress = sequence.request.progress.get();
  if (progress == nullptr) return;
  progress->phase.store(phase, std::memory_order_relaxed);
  const std::size_t ready = std::min(sequence.computed, sequence.prompt);
  progress->ready.store(static_cast<std::uint32_t>(ready), std::memory_order_relaxed);
}

// Without blocks.
LeasedPrompt leased_prompt(const Sequence& sequence) {
  return {.request_id = sequence.request.id,
          .prompt = kv::digest(std::span(sequence.tokens).first(sequence.prompt)),
          .tokens = sequence.prompt,
          .blocks = {}};
}

}  // namespace

Batch::Batch(const EngineConfig& config, Deps deps)
    : config_(config),
      deps_(deps),
      log_(config.kv_events ? std::optional<CacheLog>(config.kv_events->hash) : std::nullopt),
      pool_(config.blocks, config.block_size, deps.random.next(), log_ ? &*log_ : nullptr),
      scheduler_({.max_seqs = config.max_num_seqs,
                  .max_tokens = config.max_num_batched_tokens,
                  .prefix_caching = config.prefix_caching},
                 pool_, log_ ? &*log_ : nullptr),
      budget_(config.step_target) {
  deps_.model.on_stored([this](const model::Stored& stored) { tell_readers(stored); });
}

Batch::~Batch() { deps_.model.on_stored(nullptr); }

void Batch::add(GenerateRequest request, Mono arrived) {
  auto sequence = std::make_unique<Sequence>();
  Sequence& s = *sequence;
  s.serial = next_serial_++;
  s.seed = request.sampling.seed ? *request.sampling.seed : deps_.random.next();
  s.tokens = std::move(request.prompt);
  s.prompt = s.tokens.size();
  const bool prefill_leg = request.transfer.do_remote_decode;
  const std::size_t wanted = prefill_leg ? 1 : request.sampling.max_tokens;
  s.most = s.prompt + std::min(wanted, config_.max_model_len - s.prompt);
  s.arrived = s.renewed = arrived;
  s.request = std::move(request);
  s.wants_remote = s.request.transfer.do_remote_prefill && !s.scores_prompt();
  if (s.request.transfer.do_remote_prefill && !s.wants_remote) release_remote(s);
  scheduler_.add(std::move(sequence));
}

void Batch::abort(std::string_view id) {
  if (Sequence* sequence = scheduler_.find(id))
    end_early(*sequence, Finish::kAbort, cancelled("the request was aborted"));
}

void Batch::abort_all() {
  for (Sequence* sequence : scheduler_.all())
    if (!sequence->abandoned)
      end_early(*sequence, Finish::kAbort, cancelled("the engine is stopping"));
}

void Batch::pulled(const PullOutcome& outcome) {
  Sequence* sequence = scheduler_.find(outcome.serial);
  BATON_ASSERT(sequence != nullptr && sequence->state == Sequence::State::kPulling);
  const Mono now = deps_.clock.now();
  sequence->report.transfer = outcome.took;
  sequence->admitted = now;
  counters_.transfer_bytes += outcome.bytes;
  counters_.transfer_bytes_copied += outcome.copied;
  counters_.transfers_resumed += outcome.resumed;
  if (sequence->abandoned) {
    ++counters_.transfers_given_up;
    scheduler_.finish(*sequence);
    return;
  }
  ++(outcome.status ? counters_.transfers_ok : counters_.transfers_failed);
  sequence->report.remote = outcome.tokens;
  sequence->report.kv_bytes = outcome.bytes;
  if (outcome.status) {
    take_pulled(*sequence, outcome.tokens);
    return;
  }
  const std::string why = outcome.status.error().message();
  log::warn("KV transfer failed", {{"request", sequence->request.id}, {"why", why}});
  if (config_.transfer->on_failure == LoadFailure::kFail) {
    scheduler_.pulled(*sequence, 0);
    end_early(*sequence, Finish::kError, internal("KV transfer failed: " + why));
    return;
  }
  sequence->report.transfer_error = why;
  take_pulled(*sequence, outcome.tokens);
}

// The rest is computed here.
void Batch::take_pulled(Sequence& sequence, std::size_t tokens) {
  scheduler_.pulled(sequence, tokens);
  tell(sequence, Phase::kPrefill);
}

void Batch::plan() {
  reclaim_leases();
  look_at_the_clock();
  plan_ = scheduler_.plan(budget_.prompt_tokens());
  counters_.preemptions += plan_.preempt.size();
  for (Sequence* sequence : plan_.preempt) withdraw(*sequence);
  scheduler_.apply(plan_);
  for (const Sequence* sequence : plan_.preempt) tell(*sequence, Phase::kQueue);
  start_admitted();
}

bool Batch::compute() {
  if (!plan_.work.empty()) forward();
  tell_cache_events();
  const bool moved = !plan_.work.empty() || !plan_.admit.empty() || !plan_.preempt.empty();
  return scheduler_.running() > 0 || (moved && scheduler_.waiting() > 0);
}

void Batch::tell_cache_events() {
  if (!log_) return;
  auto events = log_->take();
  if (!events.empty()) config_.kv_events->sink->publish(std::move(events));
}

void Batch::reclaim_leases() {
  if (!deps_.leases) return;
  for (const LeaseTable::Reclaimed& lease : deps_.leases->reclaim()) {
    pool_.unpin(lease.blocks);
    ++(lease.end == LeaseTable::End::kExpired    ? counters_.leases_expired
       : lease.end == LeaseTable::End::kReleased ? counters_.leases_released
                                                 : counters_.leases_withdrawn);
  }
}

void Batch::look_at_the_clock() {
  const Mono now = deps_.clock.now();
  for (Sequence* sequence : scheduler_.all()) {
    if (sequence->abandoned) continue;
    if (sequence->request.deadline.passed(now)) {
      end_early(*sequence, Finish::kError, timed_out("the request's deadline passed"));
    } else if (sequence->wants_remote && sequence->state == Sequence::State::kWaiting &&
               now - sequence->renewed >= kRenewEvery) {
      sequence->renewed = now;
      deps_.puller->settle(Settle::kRenew, sequence->request.transfer);
    }
  }
}

void Batch::start_admitted() {
  const Mono now = deps_.clock.now();
  for (const Plan::Admission& admission : plan_.admit) {
    Sequence& sequence = *admission.sequence;
    sequence.admitted = now;
    tell(sequence, sequence.wants_remote ? Phase::kTransfer : Phase::kPrefill);
    if (sequence.reported) continue;  // preempted while decoding
    const bool first = sequence.report.prompt == 0;
    if (first) sequence.report.queue = now - sequence.arrived;
    sequence.report.prompt = sequence.prompt;
    sequence.report.cached = sequence.computed;
    sequence.report.remote = 0;
    counters_.prefix_query_tokens += sequence.prompt;
    counters_.prefix_hit_tokens += sequence.computed;
    if (sequence.wants_remote) start_pull(sequence);
    if (first && wants_announcement(sequence)) announce(sequence);
  }
}

bool Batch::wants_announcement(const Sequence& sequence) const {
  const kv::TransferParams& asked = sequence.request.transfer;
  return asked.do_remote_decode && asked.announce &&
         config_.transfer->announcements == Announcements::kOn &&
         sequence.prompt - sequence.computed >= kAnnounceFrom;
}

void Batch::start_pull(Sequence& sequence) {
  const std::size_t end = sequence.prompt - 1;  // the last token is computed: its logits are wanted
  if (sequence.computed >= end) {
    release_remote(sequence);
    take_pulled(sequence, 0);
    return;
  }
  counters_.prompt_tokens_asked += end - sequence.computed;
  sequence.cancel_pull = std::make_shared<std::atomic<bool>>(false);
  Nanos limit = config_.transfer->pull_timeout;
  // What waits for a prompt to be computed leaves time to compute it here.
  const Deadline given = sequence.request.deadline;
  if (sequence.request.transfer.announced)
    limit = std::max(limit,
                     given.at == Mono::max() ? kUnstatedWait : given.left(deps_.clock.now()) / 2);
  const Deadline budget = Deadline::in(deps_.clock, limit);
  deps_.puller->pull({.source = sequence.request.transfer,
                      .serial = sequence.serial,
                      .prompt = kv::digest(std::span(sequence.tokens)),
                      .begin = sequence.computed,
                      .end = end,
                      .blocks = sequence.blocks,
                      .deadline = budget.earlier(given),
                      .cancelled = sequence.cancel_pull,
                      .progress = sequence.request.progress});
}

void Batch::forward() {
  std::vector<model::Slice> slices;
  slices.reserve(plan_.work.size());
  for (const auto& [sequence, tokens] : plan_.work) {
    const bool last = sequence->computed + tokens == sequence->tokens.size();
    slices.push_back({.tokens = std::span(sequence->tokens).subspan(sequence->computed, tokens),
                      .position = sequence->computed,
                      .blocks = sequence->blocks,
                      .logits = sequence->scores_prompt() ? model::Slice::Logits::kAll
                                : last                    ? model::Slice::Logits::kLast
                                                          : model::Slice::Logits::kNone});
  }
  logits_.clear();
  const Mono start = deps_.clock.now();
  deps_.model.forward(slices, deps_.memory, logits_);
  count_step(deps_.clock.now() - start);

  const std::size_t vocab = deps_.model.config().vocab;
  std::span<const float> rest = logits_;
  for (const auto& [sequence, tokens] : plan_.work) {
    const bool last = sequence->computed + tokens == sequence->tokens.size();
    const std::size_t rows = sequence->scores_prompt() ? tokens : last ? 1 : 0;
    const auto rows_of_it = rest.first(rows * vocab);
    rest = rest.subspan(rows * vocab);
    if (sequence->scores_prompt()) score_prompt(*sequence, rows_of_it);
    scheduler_.computed(*sequence, tokens);
    tell(*sequence, last ? Phase::kDecode : Phase::kPrefill);
    if (sequence->announced)
      deps_.leases->advance(sequence->announced->generation,
                            kv::Extent::whole(static_cast<std::uint32_t>(sequence->computed)));
    if (last) draw(*sequence, rows_of_it.last(vocab));
  }
}

void Batch::count_step(Nanos took) {
  std::size_t tokens = 0, decoding = 0;
  for (const Plan::Work& work : plan_.work) {
    tokens += work.tokens;
    decoding += work.sequence->decoding() ? 1 : 0;
  }
  budget_.learn({.decoding = decoding, .prompt = tokens - decoding, .took = took});
  const auto* bound = std::ranges::lower_bound(kStepTokens, tokens);
  Stats::Steps& alike = counters_.steps_of[static_cast<std::size_t>(bound - kStepTokens.begin())];
  ++alike.count;
  alike.tokens += tokens;
  ++counters_.steps;
}

// Row i is of token `computed` + i and tells how likely the next one was.
void Batch::score_prompt(Sequence& sequence, std::span<const float> logits) {
  if (sequence.computed == 0) sequence.scores.clear();  // after a preemption
  for (std::size_t next = sequence.computed + 1; !logits.empty() && next < sequence.prompt;
       ++next) {
    const auto row = logits.first(deps_.model.config().vocab);
    logits = logits.subspan(row.size());
    sequence.scores.push_back(
        logprob_of(row, sequence.tokens[next], *sequence.request.sampling.prompt_logprobs));
  }
}

void Batch::draw(Sequence& sequence, std::span<const float> logits) {
  const model::Config& config = deps_.model.config();
  if (!std::ranges::all_of(logits, [](float logit) { return std::isfinite(logit); })) {
    end_early(sequence, Finish::kError,
              internal("the model computed a logit that is no number: its weights are damaged"));
    return;
  }
  Event event;
  event.id = sequence.request.id;
  if (!sequence.reported) report_prompt(sequence, event);
  const auto banned = banned_now(sequence, config);
  Sample drawn = sample({.logits = logits,
                         .tokens = sequence.tokens,
                         .prompt = sequence.prompt,
                         .banned = banned,
                         .seed = sequence.seed},
                        sequence.request.sampling);
  sequence.tokens.push_back(drawn.token);
  ++counters_.generation_tokens;
  event.tokens.push_back(drawn.token);
  if (drawn.logprob) event.logprobs.push_back(std::move(*drawn.logprob));
  event.finish = finish_after(sequence, config, event.stop_token);
  if (event.finish) {
    end(sequence, std::move(event));
  } else {
    events_.push_back(std::move(event));
  }
}

void Batch::report_prompt(Sequence& sequence, Event& event) {
  PromptReport& report = sequence.report;
  report.computed = report.prompt - report.cached - report.remote;
  report.compute = deps_.clock.now() - sequence.admitted;
  counters_.prompt_tokens_cached += report.cached;
  counters_.prompt_tokens_remote += report.remote;
  counters_.prompt_tokens_computed += report.computed;
  if (report.computed == 1 && report.prompt > 1) ++counters_.prompt_tokens_recomputed;
  event.prompt = report;
  event.prompt_logprobs = std::move(sequence.scores);
  sequence.reported = true;
}

void Batch::end(Sequence& sequence, Event event) {
  switch (*event.finish) {
    case Finish::kStop:
      ++counters_.finished_stop;
      break;
    case Finish::kLength:
      ++counters_.finished_length;
      break;
    case Finish::kAbort:
      ++counters_.finished_abort;
      break;
    case Finish::kError:
      ++counters_.finished_error;
      break;
  }
  const bool answered = event.finish == Finish::kStop || event.finish == Finish::kLength;
  if (answered && sequence.request.transfer.do_remote_decode) {
    event.transfer = lease(sequence);
  } else if (sequence.state == Sequence::State::kPulling) {
    // The pulling thread writes to its blocks until its outcome is here.
    sequence.abandoned = true;
    *sequence.cancel_pull = true;
    scheduler_.forget_id(sequence);
  } else {
    if (sequence.wants_remote) release_remote(sequence);
    withdraw(sequence);
    scheduler_.finish(sequence);
  }
  events_.push_back(std::move(event));
}

void Batch::end_early(Sequence& sequence, Finish finish, Error error) {
  Event event;
  event.id = sequence.request.id;
  event.finish = finish;
  event.error = std::move(error);
  end(sequence, std::move(event));
}

kv::TransferParams Batch::lease(Sequence& sequence) {
  if (sequence.announced) {  // its lease has references of its own
    kv::TransferParams out = *sequence.announced;
    scheduler_.finish(sequence);
    return out;
  }
  LeasedPrompt leased = leased_prompt(sequence);
  leased.blocks = scheduler_.finish_keeping(sequence, leased.tokens);
  pool_.pin(leased.blocks);
  kv::TransferParams out = params_of(leased);
  for (const BlockIndex block : leased.blocks)
    out.remote_block_ids.push_back(static_cast<std::uint64_t>(block));
  LeaseTable::Grant grant = deps_.leases->publish(std::move(leased));
  out.generation = grant.generation;
  out.lease_token = std::move(grant.token);
  ++counters_.leases_granted;
  return out;
}

// The engines of a pair can move what there is while the rest is computed.
void Batch::announce(Sequence& sequence) {
  LeasedPrompt leased = leased_prompt(sequence);
  leased.blocks = sequence.blocks;
  pool_.acquire(leased.blocks);
  pool_.pin(leased.blocks);
  kv::TransferParams out = params_of(leased);
  // One stands for all, as the announcement is a header and pulls do not look at them.
  out.remote_block_ids = {static_cast<std::uint64_t>(leased.blocks.front())};
  LeaseTable::Grant grant = deps_.leases->announce(std::move(leased), sequence.computed);
  out.generation = grant.generation;
  out.lease_token = std::move(grant.token);
  sequence.announced = out;
  ++counters_.leases_granted;
  out.announced = true;
  Event event;
  event.id = sequence.request.id;
  event.announced = std::move(out);
  event.prompt = sequence.report;
  event.prompt->computed = sequence.prompt - sequence.computed;
  events_.push_back(std::move(event));
}

void Batch::tell_readers(const model::Stored& stored) {
  const std::optional<kv::TransferParams>& lease = plan_.work[stored.slice].sequence->announced;
  if (!lease) return;
  deps_.leases->advance(lease->generation, {static_cast<std::uint32_t>(stored.begin),
                                            static_cast<std::uint32_t>(stored.end),
                                            static_cast<std::uint32_t>(stored.layers)});
}

// Ends the lease of a prompt that will not be computed to its end, or not into these blocks.
void Batch::withdraw(Sequence& sequence) {
  if (!sequence.announced) return;
  deps_.leases->withdraw(sequence.announced->generation);
  sequence.announced.reset();
}

// Without blocks, generation and token.
kv::TransferParams Batch::params_of(const LeasedPrompt& prompt) const {
  kv::TransferParams out;
  out.do_remote_prefill = true;
  out.remote_engine_id = deps_.leases->engine_id();
  out.remote_request_id = prompt.request_id;
  out.remote_host = config_.transfer->host;
  out.remote_port = config_.transfer->port;
  out.remote_num_tokens = prompt.tokens;
  return out;
}

void Batch::release_remote(const Sequence& sequence) {
  deps_.puller->settle(Settle::kRelease, sequence.request.transfer);
}

bool Batch::timed() const { return !idle() || (deps_.leases && deps_.leases->leases() > 0); }

Stats Batch::stats() const {
  Stats out = counters_;
  out.running = scheduler_.running();
  out.waiting_remote = scheduler_.pulling();
  out.waiting = scheduler_.waiting() + out.waiting_remote;
  out.blocks_total = pool_.size();
  out.blocks_used = pool_.used();
  out.blocks_pinned = pool_.pinned();
  out.evictions = pool_.evictions();
  if (deps_.leases) {
    out.blocks_leased = deps_.leases->blocks();
    out.leases = deps_.leases->leases();
  }
  return out;
}

}  // namespace baton::runtime
