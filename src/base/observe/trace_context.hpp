#pragma once
// Which trace a request belongs to, as it travels in headers: W3C Trace Context
// (www.w3.org/TR/trace-context). Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace baton::observe {

inline constexpr std::string_view kTraceparent = "traceparent";
inline constexpr std::string_view kTracestate = "tracestate";
inline constexpr std::size_t kMaxTracestate = 512;  // bytes that 3.3.1.5 wants carried
inline constexpr std::size_t kMaxStates = 32;       // members, 3.3.1.1

struct TraceContext {
  std::uint64_t trace_high = 0, trace_low = 0;  // 16 bytes, most significant first on the wire
  std::uint64_t span = 0;
  bool sampled = false;

  // Neither id is all zeroes.
  bool valid() const { return (trace_high | trace_low) != 0 && span != 0; }
  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

// nullopt: not valid (3.2). Versions above 00 are read as far as 00 goes (4.3).
std::optional<TraceContext> parse_traceparent(std::string_view text);
// "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01". Contract: valid.
std::string to_traceparent(const TraceContext& context);
// Whether it is a list of key=value that may be sent on (3.3), within the bounds above.
bool is_tracestate(std::string_view text);

}  // namespace baton::observe
