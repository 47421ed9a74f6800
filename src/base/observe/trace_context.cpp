#include "base/observe/trace_context.hpp"

#include <algorithm>
#include <array>

#include "base/core/assert.hpp"
#include "base/core/trim.hpp"

namespace baton::observe {

namespace {

constexpr std::size_t kLength = 55;  // of version 00: 2-32-16-2 digits
constexpr std::string_view kDigits = "0123456789abcdef";

// Lower case only (3.2.2).
std::optional<std::uint64_t> hex(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) {
    const auto digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

void write_hex(char* at, std::uint64_t value, std::size_t digits) {
  for (std::size_t i = digits; i-- > 0; value >>= 4) at[i] = kDigits[value & 0xF];
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  text = trim(text);
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  const auto version = hex(text.substr(0, 2));
  const auto high = hex(text.substr(3, 16));
  const auto low = hex(text.substr(19, 16));
  const auto span = hex(text.substr(36, 16));
  const auto flags = hex(text.substr(53, 2));
  if (!version || !high || !low || !span || !flags || *version == 0xFF) return std::nullopt;
  const bool more = text.size() > kLength;
  if (more && (*version == 0 || text[kLength] != '-')) return std::nullopt;
  const TraceContext out{*high, *low, *span, (*flags & 1) != 0};
  return out.valid() ? std::optional(out) : std::nullopt;
}

std::string to_traceparent(const TraceContext& context) {
  BATON_ASSERT(context.valid());
  std::string out = "00--";
  out.resize(kLength, '-');
  write_hex(&out[3], context.trace_high, 16);
  write_hex(&out[19], context.trace_low, 16);
  write_hex(&out[36], context.span, 16);
  write_hex(&out[53], context.sampled ? 1 : 0, 2);
  return out;
}

bool is_tracestate(std::string_view text) {
  if (text.size() > kMaxTracestate) return false;
  const auto printable = [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; };
  if (!std::ranges::all_of(text, printable)) return false;
  std::size_t states = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    const auto state = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (state.empty()) continue;
    const auto equals = state.find('=');
    if (equals == 0 || equals >= state.size() - 1 || ++states > kMaxStates) return false;
  }
  return states > 0;
}

}  // namespace baton::observe
