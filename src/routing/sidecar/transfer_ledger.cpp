#include "routing/sidecar/transfer_ledger.hpp"

#include <algorithm>
#include <charconv>

namespace baton::sidecar {

namespace {

constexpr std::string_view kExternal = "vllm:external_prefix_cache_hits_total";
constexpr std::string_view kLocal = "vllm:prefix_cache_hits_total";

// A sample's value when the line is one of that name, with labels or without.
std::optional<double> value_of(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return std::nullopt;
  line.remove_prefix(name.size());
  if (line.starts_with('{')) {
    const std::size_t close = line.rfind('}');
    if (close == std::string_view::npos) return std::nullopt;
    line.remove_prefix(close + 1);
  }
  if (!line.starts_with(' ')) return std::nullopt;
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  double value = 0;
  auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), value);
  const bool good = failed == std::errc() && value >= 0 && value < 1e18;
  return good ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<CachedTokens> cached_tokens_in(std::string_view exposition) {
  CachedTokens out;
  bool found = false;
  while (!exposition.empty()) {
    const std::size_t end = std::min(exposition.find('\n'), exposition.size());
    const std::string_view line = exposition.substr(0, end);
    exposition.remove_prefix(std::min(end + 1, exposition.size()));
    if (auto external = value_of(line, kExternal)) {
      out.external += static_cast<std::uint64_t>(*external);
      found = true;
    } else if (auto local = value_of(line, kLocal)) {
      out.local += static_cast<std::uint64_t>(*local);
    }
  }
  return found ? std::optional(out) : std::nullopt;
}

void TransferLedger::begin(std::optional<CachedTokens> now) {
  if (running_ == 0) {
    start_ = now;
    only_.reset();
    mixed_ = settled_ = false;
    entered_ = requests_ = expected_ = 0;
  }
  ++running_;
  ++entered_;
}

void TransferLedger::hands_over(const http::Endpoint& prefiller, std::uint64_t tokens) {
  mixed_ = mixed_ || (only_ && *only_ != prefiller);
  only_ = prefiller;
  ++requests_;
  expected_ += tokens;
}

void TransferLedger::settle(const CachedTokens& now) {
  settled_ = true;
  last_ = Settled{*only_, expected_, now.external - start_->external};
  auto found = pairs_.find(*only_);
  if (found == pairs_.end()) {
    if (pairs_.size() >= kMaxPairs) return;
    found = pairs_.emplace(*only_, PairProof()).first;
  }
  PairProof& pair = found->second;
  pair.requests += requests_;
  pair.expected_tokens += expected_;
  pair.pulled_tokens += last_->pulled;
  // What the engine held itself it does not pull.
  const bool good = 2 * (last_->pulled + now.local - start_->local) >= expected_;
  pair.failures = good ? 0 : pair.failures + 1;
}

std::optional<std::uint64_t> TransferLedger::answered(std::optional<CachedTokens> now) {
  if (!alone()) return std::nullopt;
  // Smaller than before: the engine has been started again.
  if (!now || now->external < start_->external || now->local < start_->local) return std::nullopt;
  settle(*now);
  return now->external - start_->external;
}

void TransferLedger::end(std::optional<CachedTokens> now) {
  const bool good =
      now && settles() && now->external >= start_->external && now->local >= start_->local;
  if (good) settle(*now);
  --running_;
}

bool TransferLedger::failed(const http::Endpoint& prefiller) const {
  auto found = pairs_.find(prefiller);
  return found != pairs_.end() && found->second.failures >= kFailures;
}

std::optional<PairProof> TransferLedger::pair(const http::Endpoint& prefiller) const {
  auto found = pairs_.find(prefiller);
  return found == pairs_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace baton::sidecar
