#pragma once
// "key=value,key=value" with percent encoding, as OTEL_RESOURCE_ATTRIBUTES and the variables of
// headers have it (W3C Baggage). Pure.

#include <string_view>

#include "base/core/result.hpp"
#include "net/otlp/settings.hpp"

namespace baton::otlp {

inline constexpr std::size_t kMaxPairs = 64;

// kInvalid: a member without '=', without a key, or with a broken escape.
Result<Attributes> parse_pairs(std::string_view text);

}  // namespace baton::otlp
