#pragma once
// What an engine of ours says of the requests that it holds (GET /baton/v1/requests), for people
// who look on: the page at /ui asks.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::openai {

inline constexpr std::string_view kLiveRequestsPath = "/baton/v1/requests";
inline constexpr std::size_t kMostLiveRequests = 256;  // told at once: the oldest

// Of one that moves, in this order: kTransfer with KV of another engine only.
enum class Phase : std::uint8_t {
  kQueue,
  kTransfer,  // its KV comes from another engine, or will when that has computed it
  kPrefill,   // its prompt, or what is missing of it, is computed here
  kDecode,    // it has its first token
};
std::string_view name(Phase phase);  // "queue", "transfer", "prefill", "decode"

struct LiveRequest {
  std::string id;  // its x-request-id, as `legible` makes it
  Phase phase = Phase::kQueue;
  std::uint64_t prompt = 0;  // tokens
  std::uint64_t ready = 0;   // of these: whose KV is here
  std::uint64_t answer = 0;  // tokens so far
  friend bool operator==(const LiveRequest&, const LiveRequest&) = default;
};

// What a client or an engine named, as a page may show it: the first 128 bytes, in ASCII. Another
// byte is a '?': cut or unfinished characters would make JSON that nobody reads.
std::string legible(std::string_view text);

// JSON text; of more than kMostLiveRequests the first.
std::string live_requests_json(std::span<const LiveRequest> requests);
// kInvalid: no such text. Of more than kMostLiveRequests the first.
Result<std::vector<LiveRequest>> read_live_requests(std::string_view text);

}  // namespace baton::openai
