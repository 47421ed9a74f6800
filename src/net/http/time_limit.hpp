#pragma once
// How long a request may take, as the peers before us say. Durations cross the network, not points
// in time: clocks differ.

#include <optional>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::http {

// What a client allows (llm-d).
inline constexpr std::string_view kClientLimit = "x-request-timeout-ms";
// What a proxy gives every request on its way, and what is left of that (Envoy sets it too, from
// the timeout of the route). A proxy that routes sets it anew: it is not a client's to set.
inline constexpr std::string_view kRouteLimit = "x-envoy-expected-rq-timeout-ms";

// At most `longest`; nullopt: the header is absent. kInvalid: not a positive number of
// milliseconds.
Result<std::optional<Nanos>> time_limit(const Headers& headers, std::string_view name,
                                        Nanos longest);
// Whole milliseconds, at least one.
void set_time_limit(Headers& headers, std::string_view name, Nanos left);

}  // namespace baton::http
