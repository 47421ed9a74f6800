#pragma once
// A routing ticket: proof that a router of ours named these endpoints for this request. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "net/tls/hmac.hpp"

namespace baton::ticket {

inline constexpr std::string_view kHeader = "x-baton-ticket";
inline constexpr std::size_t kMinKey = 16;      // bytes
inline constexpr std::size_t kMaxTicket = 256;  // bytes of its text
inline constexpr Nanos kLifetime = std::chrono::seconds(60);
inline constexpr Nanos kSkew = std::chrono::seconds(5);  // between the clocks of two hosts

// What is signed beside expiry and nonce.
struct Claims {
  std::string_view request_id;
  std::string_view endpoints;  // the routing headers' text
};

// The values of the routing headers as they are sent; several fields of one name joined by commas.
struct Routed {
  std::string_view prefillers;  // x-prefiller-host-port
  std::string_view older = {};  // x-prefiller-url
  std::string_view encoders = {};
  std::string_view kv_source = {};
};
std::string endpoints_text(const Routed& routed);  // for Claims

// What a sidecar signs instead of endpoints on a prefill leg: so that a prefill pod with a sidecar
// of its own takes the leg's transfer parameters. No endpoints_text() is this.
inline constexpr std::string_view kPrefillLeg = "prefill-leg";

struct Ticket {
  std::int64_t expires_ms = 0;  // Unix time
  std::string nonce;            // 32 hex digits
  tls::Mac mac{};
};

// The header's value.
std::string issue(std::string_view key, const Claims& claims, Wall now, Random& random);
// kInvalid: not of that form.
Result<Ticket> parse(std::string_view text);
tls::Mac sign(std::string_view key, const Claims& claims, const Ticket& ticket);

}  // namespace baton::ticket
