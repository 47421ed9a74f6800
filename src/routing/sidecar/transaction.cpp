#include "routing/sidecar/transaction.hpp"

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

Action Transaction::begin(bool prefill) {
  BATON_ASSERT(state_ == State::kReading);
  state_ = prefill ? State::kPrefilling : State::kDecoding;
  return prefill ? Action::kPrefill : Action::kDecodeLocally;
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

Action Transaction::on_prefill(const Leg& leg) {
  BATON_ASSERT(state_ == State::kPrefilling);
  if (success(leg)) {
    state_ = State::kDecoding;
    prefilled_ = lease_ = true;
    return Action::kDecode;
  }
  bool fallback = policy_ == Policy::kFallback;
  if (leg.kind == Leg::Kind::kUnusable && policy_ != Policy::kStrict) return decode_locally();
  if (fallback && !blames_client(leg)) return decode_locally();
  if (leg.kind != Leg::Kind::kAnswered) {
    return fail(leg.kind == Leg::Kind::kTimeout ? 504 : 502, true);
  }
  state_ = State::kRelaying;
  prefill_failed_ = true;
  return Action::kRelayPrefill;
}

Action Transaction::on_decode(const Leg& leg) {
  BATON_ASSERT(state_ == State::kDecoding);
  if (success(leg)) {
    if (leg.pulled) lease_ = false;
    state_ = State::kStreaming;
    return Action::kStream;
  }
  if (prefilled_ && policy_ == Policy::kFallback && blames_kv(leg)) return decode_locally();
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

void Transaction::on_sent() { state_ = State::kDone; }

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
