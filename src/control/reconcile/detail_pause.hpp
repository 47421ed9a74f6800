#pragma once
// When a status that tells only more of what it told (is_detail) is written: parts report one after
// the other, and each would be a write. Pure.

#include <algorithm>
#include <optional>

#include "base/core/clock.hpp"

namespace baton::reconcile {

struct DetailPause {
  Nanos after_write = Nanos(0);  // since the last write of a status
  Nanos for_reports = Nanos(0);  // since the first detail that waits, while a Deployment is silent
};

// Of one service's status.
struct StatusTimes {
  std::optional<Mono> written_at;
  std::optional<Mono> held_since;  // a new one waits
};

// Notes that a detail is there at `now`. How long it waits from then on; nullopt: not at all.
inline std::optional<Nanos> hold_detail(const DetailPause& pause, StatusTimes& times,
                                        bool all_reported, Mono now) {
  const Mono since = times.held_since.value_or(now);
  Mono until = times.written_at ? *times.written_at + pause.after_write : now;
  if (!all_reported) until = std::max(until, since + pause.for_reports);
  times.held_since = until > now ? std::optional(since) : std::nullopt;
  return until > now ? std::optional<Nanos>(until - now) : std::nullopt;
}

}  // namespace baton::reconcile
