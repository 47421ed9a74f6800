#pragma once
// Values of flags as Go programs write them.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/core/clock.hpp"

namespace baton::cli {

// "true", "1", "f": as strconv.ParseBool.
std::optional<bool> to_bool(std::string_view word);
// "600s", "1m30s", "200ms" as Go writes durations; at most a year.
std::optional<Nanos> to_duration(std::string_view text);
// A Kubernetes quantity of bytes, with an optional B behind it.
std::optional<std::int64_t> to_bytes(std::string_view text);

}  // namespace baton::cli
