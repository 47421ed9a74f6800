#pragma once
// When a status that tells only more of what it told (is_detail) is written: parts report one after
// the other, and each would be a write. Pure.

#include <algorithm>
#include <optional>

#include "base/core/clock.hpp"

namespace baton::reconcile {

// The Deployment controller writes 20 times a second for all Deployments of a cluster: after a
// burst those of one service report minutes apart, and as long as there are reports of any service
// the silent ones are still waiting for their turn.
struct DetailPause {
  Nanos after_write = Nanos(0);  // since the last write of a status
  // While a Deployment of the service is silent:
  Nanos for_reports = Nanos(0);  // since the first detail that waits, or a later report of any
  Nanos at_most = Nanos::max();  // since the first detail that waits
};

// The controller's. Three thousand services' Deployments, seven of them a second (each costs their
// controller three writes), have all reported within half an hour.
inline constexpr DetailPause kDetailPause{.after_write = std::chrono::seconds(3),
                                          .for_reports = std::chrono::seconds(60),
                                          .at_most = std::chrono::minutes(30)};

// Of one service's status.
struct StatusTimes {
  std::optional<Mono> written_at;
  std::optional<Mono> held_since;  // a new one waits
};

struct Reports {
  bool complete = true;     // every Deployment of the service has reported
  Mono last = Mono::min();  // when one of any service did for the first time, the last one
};

// Notes that a detail is there at `now`. How long it waits from then on; nullopt: not at all.
inline std::optional<Nanos> hold_detail(const DetailPause& pause, StatusTimes& times,
                                        const Reports& reports, Mono now) {
  const Mono since = times.held_since.value_or(now);
  Mono until = times.written_at ? *times.written_at + pause.after_write : now;
  if (!reports.complete) {
    const Nanos so_far = std::max(since, reports.last) - since;
    until = std::max(until, since + std::min(so_far + pause.for_reports, pause.at_most));
  }
  times.held_since = until > now ? std::optional(since) : std::nullopt;
  return until > now ? std::optional<Nanos>(until - now) : std::nullopt;
}

}  // namespace baton::reconcile
