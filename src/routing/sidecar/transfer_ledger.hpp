#pragma once
// Proof of transfer with engines that report no single request (vLLM): what the decode engine's
// counters of cached prompt tokens grew by, against what the handovers promised. Pure.
//
// A window opens when a request goes to an idle decode engine and closes when the engine is idle
// again. A request that has it to itself until its answer begins has pulled exactly what the
// external counter grew by. A window of several requests of one prefill engine tells of that pair
// as a whole; one of several pairs tells nothing.

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "net/http/message.hpp"

namespace baton::sidecar {

// Prompt tokens that the decode engine did not compute, since it started.
struct CachedTokens {
  std::uint64_t external = 0;  // vllm:external_prefix_cache_hits_total
  std::uint64_t local = 0;     // vllm:prefix_cache_hits_total
};
// From a metrics text, summed over label sets. nullopt: the external counter is not in it.
std::optional<CachedTokens> cached_tokens_in(std::string_view exposition);

// Of one prefill engine and this decode engine.
struct PairProof {
  std::uint64_t requests = 0;  // in windows that told of this pair
  std::uint64_t expected_tokens = 0, pulled_tokens = 0;
  int failures = 0;  // windows in a row in which less than half of the tokens came from anywhere
};

// What one window told.
struct Settled {
  http::Endpoint prefiller;
  std::uint64_t expected = 0, pulled = 0;
};

// Confined to its loop. Bounded: beyond kMaxPairs new pairs are not proved.
class TransferLedger {
 public:
  static constexpr std::size_t kMaxPairs = 1024;
  static constexpr int kFailures = 3;

  // Whether begin() needs the counters: it opens a window.
  bool opens() const { return running_ == 0; }
  void begin(std::optional<CachedTokens> now);
  // The request that began hands over the KV of so many tokens.
  void hands_over(const http::Endpoint& prefiller, std::uint64_t tokens);

  // Whether answered() could tell, and end() could: only then the counters are worth reading.
  bool alone() const { return start_ && only_ && running_ == 1 && entered_ == 1; }
  bool settles() const { return start_ && only_ && !mixed_ && !settled_ && running_ == 1; }
  // The tokens that the request pulled, when it had the window to itself.
  std::optional<std::uint64_t> answered(std::optional<CachedTokens> now);
  void end(std::optional<CachedTokens> now);

  // What the last answered() or end() told, once.
  std::optional<Settled> take_settled() { return std::exchange(last_, std::nullopt); }

  // The pair's transfers do not happen: kFailures windows said so.
  bool failed(const http::Endpoint& prefiller) const;
  std::optional<PairProof> pair(const http::Endpoint& prefiller) const;
  void forget(const http::Endpoint& prefiller) { pairs_.erase(prefiller); }

 private:
  void settle(const CachedTokens& now);

  std::map<http::Endpoint, PairProof> pairs_;
  int running_ = 0;
  std::uint64_t entered_ = 0;  // into this window
  std::optional<CachedTokens> start_;
  std::optional<http::Endpoint> only_;  // the window's pair
  bool mixed_ = false;
  bool settled_ = false;
  std::uint64_t requests_ = 0, expected_ = 0;  // of that pair, in this window
  std::optional<Settled> last_;
};

}  // namespace baton::sidecar
