#include "routing/sidecar/transaction.hpp"

#include <algorithm>

#include "base/core/assert.hpp"

namespace baton::sidecar {

namespace {

bool success(const Leg& leg) {
  return leg.kind == Leg::Kind::kAnswered && leg.status >= 200 && leg.status < 300;
}

// The request itself is at fault: another engine would say the same.
bool blames_client(const Leg& leg) {
  return leg.kind == Leg::Kind::kAnswered && leg.status >= 400 && leg.status < 500 &&
         leg.status != 404 && leg.status != 408 && leg.status != 429;
}

// The same host may do better in a moment (llm-d: 502, 503, 504, and no connection is a 502).
bool may_pass(const Leg& leg) {
  if (leg.kind == Leg::Kind::kRefused || leg.kind == Leg::Kind::kLost) return true;
  return leg.kind == Leg::Kind::kAnswered &&
         (leg.status == 502 || leg.status == 503 || leg.status == 504);
}

// A success that the decode engine cannot make use of.
bool without_kv(const Leg& leg) {
  return leg.kind == Leg::Kind::kUnusable || leg.kind == Leg::Kind::kCutOff;
}

// For all attempts together. Prefills that hang leave time to do without.
Nanos for_prefill(const Tactics& tactics, Nanos budget) {
  return tactics.policy == Policy::kFallback ? budget / 2 : budget;
}

// After a successful prefill the request is known to be good, so these may come from the KV.
bool blames_kv(const Leg& leg) {
  if (leg.kind == Leg::Kind::kLost) return true;
  return leg.kind == Leg::Kind::kAnswered &&
         (leg.status == 400 || leg.status == 500 || leg.status == 502 || leg.status == 504);
}

}  // namespace

std::optional<Policy> parse_policy(std::string_view name) {
  if (name == "relay") return Policy::kRelay;
  if (name == "fallback") return Policy::kFallback;
  if (name == "strict") return Policy::kStrict;
  return std::nullopt;
}

std::string_view name(Policy policy) {
  switch (policy) {
    case Policy::kRelay:
      return "relay";
    case Policy::kFallback:
      return "fallback";
    case Policy::kStrict:
      return "strict";
  }
  return "";
}

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kAggregated:
      return "aggregated";
    case Outcome::kDisaggregated:
      return "disaggregated";
    case Outcome::kFallback:
      return "fallback";
    case Outcome::kPrefillFailed:
      return "prefill_failed";
    case Outcome::kDecodeFailed:
      return "decode_failed";
    case Outcome::kClientGone:
      return "client_gone";
  }
  return "";
}

bool had_its_time(const Tactics& tactics, Nanos waited, Nanos budget) {
  Nanos usual = for_prefill(tactics, budget);
  if (tactics.prefill_timeout != Nanos()) usual = std::min(usual, tactics.prefill_timeout);
  return waited >= usual / 2;
}

void Transaction::open_prefill_phase(Mono now) {
  first_round_ = true;
  again_.clear();
  failure_.reset();
  prefill_deadline_ = {now + for_prefill(tactics_, deadline_.left(now))};
}

bool Transaction::time_for_prefill(Mono now) const { return !prefill_deadline_.passed(now); }

Deadline Transaction::leg_deadline(Mono now) const {
  if (state_ != State::kPrefilling) return deadline_;
  if (tactics_.prefill_timeout == Nanos()) return prefill_deadline_;
  return prefill_deadline_.earlier({now + tactics_.prefill_timeout});
}

Action Transaction::start_prefill(std::size_t candidate) {
  candidate_ = candidate;
  state_ = State::kPrefilling;
  return Action::kPrefill;
}

Action Transaction::begin(std::size_t candidates, Mono now) {
  BATON_ASSERT(state_ == State::kReading);
  candidates_ = candidates;
  if (candidates == 0) {
    state_ = State::kDecoding;
    return Action::kDecodeLocally;
  }
  open_prefill_phase(now);
  return start_prefill(0);
}

Action Transaction::begin_parallel() {
  BATON_ASSERT(state_ == State::kReading);
  state_ = State::kDecoding;
  prefilled_ = again_used_ = true;
  lease_ends_ = Mono::max();
  return Action::kDecode;
}

Action Transaction::fail(int status, bool prefill_hop) {
  state_ = State::kFailing;
  status_ = status;
  (prefill_hop ? prefill_failed_ : decode_failed_) = true;
  return Action::kFail;
}

Action Transaction::decode_locally() {
  state_ = State::kDecoding;
  fell_back_ = true;
  prefilled_ = false;
  return Action::kDecodeLocally;
}

Action Transaction::on_prefill(const Leg& leg, Mono now) {
  BATON_ASSERT(state_ == State::kPrefilling);
  if (leg.kind != Leg::Kind::kOpen) ++attempts_;
  if (success(leg)) {
    state_ = State::kDecoding;
    prefilled_ = true;
    lease_ = leg.leased;
    spent_ = false;
    lease_ends_ = leg.leased ? leg.granted + tactics_.lease : Mono::max();
    return Action::kDecode;
  }
  if (leg.kind == Leg::Kind::kOpen) {
    std::erase(again_, candidate_);
  } else {
    failure_ = leg;
    failed_ = candidate_;
    if (leg.kind == Leg::Kind::kUnusable || blames_client(leg)) return settle_prefill();
    std::erase(again_, candidate_);
    if (may_pass(leg)) again_.push_back(candidate_);
    if (!first_round_ && !may_pass(leg)) return settle_prefill();
  }
  return next_attempt(now);
}

// Another host, then the same ones again, then the policy.
Action Transaction::next_attempt(Mono now) {
  if (!time_for_prefill(now)) return settle_prefill();
  if (first_round_ && candidate_ + 1 < candidates_) return start_prefill(candidate_ + 1);
  first_round_ = false;
  bool room = retries_ < tactics_.retries && !again_.empty();
  if (!room || prefill_deadline_.left(now) <= tactics_.backoff) return settle_prefill();
  ++retries_;
  wait_until_ = now + tactics_.backoff;
  state_ = State::kWaiting;
  return Action::kWait;
}

Action Transaction::on_waited(Mono now) {
  BATON_ASSERT(state_ == State::kWaiting);
  if (!time_for_prefill(now)) return settle_prefill();
  return start_prefill(again_.front());  // a new failure moves it to the end
}

// No attempt is left: the policy decides.
Action Transaction::settle_prefill() {
  if (failure_ && without_kv(*failure_)) {
    return tactics_.policy == Policy::kStrict ? fail(502, true) : decode_locally();
  }
  if (tactics_.policy == Policy::kFallback && !(failure_ && blames_client(*failure_))) {
    return decode_locally();
  }
  if (!failure_) return fail(503, true);
  if (failure_->kind != Leg::Kind::kAnswered) {
    return fail(failure_->kind == Leg::Kind::kTimeout ? 504 : 502, true);
  }
  candidate_ = failed_;  // others may have been passed over since
  state_ = State::kRelaying;
  prefill_failed_ = true;
  return Action::kRelayPrefill;
}

// The handover must not be used (again). Once, another one is fetched; then one does without.
Action Transaction::prefill_again(Mono now) {
  prefilled_ = spent_ = false;
  if (!again_used_) {
    again_used_ = true;
    open_prefill_phase(now);
    if (time_for_prefill(now)) return start_prefill(candidate_);
  }
  return tactics_.policy == Policy::kStrict ? fail(502, true) : decode_locally();
}

Action Transaction::on_dispatch(Mono now) {
  BATON_ASSERT(state_ == State::kDecoding && prefilled_ && !spent_);
  if (deadline_.passed(now)) return fail(504, false);
  if (lease_ends_ - now < tactics_.lease_margin) return prefill_again(now);
  spent_ = true;
  return Action::kDecode;
}

Action Transaction::on_decode(const Leg& leg, Mono now) {
  BATON_ASSERT(state_ == State::kDecoding && prefilled_ == spent_);
  if (success(leg)) {
    if (leg.pulled) lease_ = false;
    state_ = State::kStreaming;
    return Action::kStream;
  }
  if (prefilled_) {
    // Perhaps it was only the connection; perhaps the engine has begun to pull.
    const bool lost = leg.kind == Leg::Kind::kLost && leg.kept;
    if ((lost || leg.again) && !again_used_ && !deadline_.passed(now)) {
      return prefill_again(now);
    }
    bool fallback = tactics_.policy == Policy::kFallback && !deadline_.passed(now);
    if (fallback && blames_kv(leg)) {
      spent_ = false;
      return decode_locally();
    }
  }
  switch (leg.kind) {
    case Leg::Kind::kRefused:
      return fail(503, false);
    case Leg::Kind::kTimeout:
      return fail(504, false);
    case Leg::Kind::kAnswered:
      break;
    default:
      return fail(502, false);
  }
  state_ = State::kStreaming;
  decode_failed_ = true;
  return Action::kStream;
}

Action Transaction::on_no_budget() {
  BATON_ASSERT(state_ == State::kDecoding && wants_budget());
  fell_back_ = false;
  return fail(503, true);
}

void Transaction::on_sent() { state_ = State::kDone; }

void Transaction::on_broken() {
  state_ = State::kDone;
  decode_failed_ = true;
}

void Transaction::on_client_gone() {
  state_ = State::kDone;
  gone_ = true;
}

Outcome Transaction::outcome() const {
  if (gone_) return Outcome::kClientGone;
  if (prefill_failed_) return Outcome::kPrefillFailed;
  if (decode_failed_) return Outcome::kDecodeFailed;
  if (fell_back_) return Outcome::kFallback;
  return prefilled_ ? Outcome::kDisaggregated : Outcome::kAggregated;
}

}  // namespace baton::sidecar
