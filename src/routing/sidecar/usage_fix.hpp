#pragma once
// On the decode engine every transferred token looks like a cache hit. The number of cached prompt
// tokens that clients read is the prefill engine's. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/sse.hpp"

namespace baton::sidecar {

// Sets the cached tokens where the API tells them: usage.prompt_tokens_details.cached_tokens; for
// Responses (usage.input_tokens, also within `response` of an event)
// usage.input_tokens_details.cached_tokens; for Anthropic (usage.cache_read_input_tokens, also
// within `message` of an event) that one, and input_tokens, which leaves cached tokens out, so that
// their sum stays. nullopt when there is no usage object, or no JSON object: it goes out as it is.
std::optional<std::string> with_cached_tokens(std::string_view body, std::int64_t cached);

// The same for a stream of events.
class StreamUsageFix {
 public:
  explicit StreamUsageFix(std::int64_t cached) : cached_(cached), lines_(kMaxLine) {}

  // What is to be sent on for a piece: whole lines. Valid until the next call, and while `piece`
  // is. nullopt: a line is too long.
  std::optional<std::string_view> feed(std::string_view piece);
  // What is left at the end of the stream.
  std::string_view finish();

 private:
  static constexpr std::size_t kMaxLine = 16 << 20;
  void take(std::string_view line);

  std::int64_t cached_;
  http::LineSplitter lines_;
  std::string out_;
};

}  // namespace baton::sidecar
