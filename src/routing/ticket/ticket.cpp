#include "routing/ticket/ticket.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace baton::ticket {

namespace {

constexpr std::size_t kNonceDigits = 32;

std::optional<int> digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return digit(c).has_value(); });
}

std::string_view take(std::string_view& rest) {
  const std::size_t dot = std::min(rest.find('.'), rest.size());
  const std::string_view part = rest.substr(0, dot);
  rest.remove_prefix(std::min(dot + 1, rest.size()));
  return part;
}

}  // namespace

std::string endpoints_text(const Routed& routed) {
  return fmt::format("{}\n{}\n{}\n{}", routed.prefillers, routed.older, routed.encoders,
                     routed.kv_source);
}

tls::Mac sign(std::string_view key, const Claims& claims, const Ticket& ticket) {
  return tls::hmac_sha256(key, fmt::format("baton-ticket-v1\n{}\n{}\n{}\n{}", ticket.expires_ms,
                                           ticket.nonce, claims.request_id, claims.endpoints));
}

std::string issue(std::string_view key, const Claims& claims, Wall now, Random& random) {
  Ticket ticket;
  ticket.expires_ms =
      std::chrono::duration_cast<Millis>((now + kLifetime).time_since_epoch()).count();
  ticket.nonce = fmt::format("{:016x}{:016x}", random.next(), random.next());
  std::string out = fmt::format("v1.{}.{}.", ticket.expires_ms, ticket.nonce);
  for (const std::uint8_t byte : sign(key, claims, ticket)) out += fmt::format("{:02x}", byte);
  return out;
}

Result<Ticket> parse(std::string_view text) {
  if (text.size() > kMaxTicket) return invalid("a ticket that is too long");
  std::string_view rest = text;
  if (take(rest) != "v1") return invalid("a ticket of another version");
  Ticket out;
  const std::string_view expiry = take(rest);
  auto [end, failed] =
      std::from_chars(expiry.data(), expiry.data() + expiry.size(), out.expires_ms);
  // One spelling only: what is signed is the number.
  const bool number =
      failed == std::errc() && out.expires_ms > 0 && fmt::to_string(out.expires_ms) == expiry;
  out.nonce = take(rest);
  const std::string_view mac = rest;
  const bool whole = number && out.nonce.size() == kNonceDigits && is_hex(out.nonce) &&
                     mac.size() == 2 * out.mac.size() && is_hex(mac);
  if (!whole) return invalid("not v1.<expiry>.<nonce>.<signature>");
  for (std::size_t i = 0; i < out.mac.size(); ++i) {
    out.mac[i] = static_cast<std::uint8_t>(*digit(mac[2 * i]) * 16 + *digit(mac[2 * i + 1]));
  }
  return out;
}

}  // namespace baton::ticket
