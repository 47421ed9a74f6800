#pragma once
// An engine's answer on its way to the client. Internal to the folder.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "net/http/client.hpp"
#include "net/http/server.hpp"

namespace baton::sidecar {

inline constexpr std::size_t kMaxAnswer = 64 << 20;  // of an answer that is read whole
// llm-d's words (sidecar reference 21).
inline constexpr std::string_view kNotReady =
    "The decode node is not ready. Please check that the vLLM service is running and the port "
    "configuration is correct.";

// As it is stated; nullopt when it is not.
std::optional<std::uint64_t> content_length(const http::Headers& headers);

enum class Relayed : std::uint8_t {
  kWhole,
  kEngineBroke,
  kReplaced,  // the engine broke before anything was sent: the client got an error of ours, 5xx
  kClientGone,
};

// Sees each piece of a body before the client gets it.
using Passing = std::function<void(std::string_view piece)>;

// Sends the answer on as it arrives, head first. Short answers of known length go out in one
// write. An engine that breaks off breaks the client's connection too, without a clean end.
// `passing` (null: nobody looks) must live until then.
Task<Relayed> relay(http::Exchange& exchange, http::ResponseHead head, http::Response& answer,
                    Deadline deadline, const Passing* passing = nullptr);
// The same with the number of cached prompt tokens put right.
Task<Relayed> relay_with_usage(http::Exchange& exchange, http::ResponseHead head,
                               http::Response& answer, Deadline deadline,
                               std::int64_t cached_tokens, const Passing* passing = nullptr);

// The same when `begun` of the body was read already; the rest is sent as it arrives.
Task<Relayed> relay_after(http::Exchange& exchange, http::ResponseHead head, std::string_view begun,
                          http::Response& answer, Deadline deadline);

// An error of the sidecar's own. `hop`: prefill, decode or sidecar.
Task<void> respond_error(http::Exchange& exchange, int status, std::string_view message,
                         std::string_view hop);

}  // namespace baton::sidecar
