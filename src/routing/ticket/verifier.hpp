#pragma once
// What a sidecar accepts. Time is an argument.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>

#include "routing/ticket/ticket.hpp"

namespace baton::ticket {

enum class Verdict : std::uint8_t {
  kGood,
  kMissing,
  kMalformed,
  kForged,    // the signature is not of this key over these claims: another endpoint, request, key
  kExpired,   // or from too far ahead
  kReplayed,  // used before
  kFull,      // the memory of used tickets is full: refused, since a replay could not be told
};
std::string_view name(Verdict verdict);  // for metrics and answers

// Confined to its owner.
class Verifier {
 public:
  static constexpr std::size_t kMaxUsed = 1 << 17;
  explicit Verifier(std::size_t max_used = kMaxUsed) : max_used_(max_used) {}

  // kGood uses the ticket up. `text` "": there was none.
  Verdict verify(std::string_view key, std::string_view text, const Claims& claims, Wall now);
  // The request that came with this good ticket failed on our side: a proxy may try it again.
  void give_back(std::string_view text);
  std::size_t remembered() const { return used_.size(); }

 private:
  void forget(std::int64_t now_ms);

  std::size_t max_used_;
  std::unordered_set<std::string> used_;                // nonces
  std::multimap<std::int64_t, std::string> by_expiry_;  // the same
};

}  // namespace baton::ticket
