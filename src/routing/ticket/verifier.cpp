#include "routing/ticket/verifier.hpp"

#include <algorithm>

namespace baton::ticket {

namespace {

std::int64_t ms(Nanos time) { return std::chrono::duration_cast<Millis>(time).count(); }

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "good";
    case Verdict::kMissing:
      return "missing";
    case Verdict::kMalformed:
      return "malformed";
    case Verdict::kForged:
      return "forged";
    case Verdict::kExpired:
      return "expired";
    case Verdict::kReplayed:
      return "replayed";
    case Verdict::kFull:
      return "full";
  }
  return "";
}

void Verifier::forget(std::int64_t now_ms) {
  while (!by_expiry_.empty() && by_expiry_.begin()->first + ms(kSkew) < now_ms) {
    used_.erase(by_expiry_.begin()->second);
    by_expiry_.erase(by_expiry_.begin());
  }
}

Verdict Verifier::verify(std::string_view key, std::string_view text, const Claims& claims,
                         Wall now) {
  if (text.empty()) return Verdict::kMissing;
  auto ticket = parse(text);
  if (!ticket) return Verdict::kMalformed;
  if (!tls::equal_in_constant_time(sign(key, claims, *ticket), ticket->mac)) {
    return Verdict::kForged;
  }
  const std::int64_t now_ms = ms(now.time_since_epoch());
  if (ticket->expires_ms + ms(kSkew) < now_ms ||
      ticket->expires_ms > now_ms + ms(kLifetime) + ms(kSkew)) {
    return Verdict::kExpired;
  }
  forget(now_ms);
  if (used_.contains(ticket->nonce)) return Verdict::kReplayed;
  if (used_.size() >= max_used_) return Verdict::kFull;
  by_expiry_.emplace(ticket->expires_ms, ticket->nonce);
  used_.insert(ticket->nonce);
  return Verdict::kGood;
}

void Verifier::give_back(std::string_view text) {
  const auto ticket = parse(text);
  if (!ticket || used_.erase(ticket->nonce) == 0) return;
  const auto [begin, end] = by_expiry_.equal_range(ticket->expires_ms);
  by_expiry_.erase(std::ranges::find(
      begin, end, ticket->nonce, [](const auto& entry) -> const auto& { return entry.second; }));
}

}  // namespace baton::ticket
