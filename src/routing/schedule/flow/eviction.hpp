#pragma once
// Running requests of priority below 0 that are ended so that better ones may go (picker reference
// 4.9). Pure: the owner ends them, and tells the time. Confined to its owner.
//
//   running ──chosen──> ending ──its stream ended──> settling ──grace──> forgotten
//                         └─not within kEndsWithin: given up─^
//
// Nobody is chosen while anybody is ending or settling: the pool does not show yet what that frees.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "routing/schedule/flow/ticket.hpp"

namespace baton::schedule {

inline constexpr std::size_t kMostEvicted = 2;  // at a time
inline constexpr Nanos kEndsWithin = std::chrono::seconds(10);
// Until an engine has freed what an ended request held.
inline constexpr Nanos kFreesWithin = Millis(250);
// Until a count of what is in flight shows that a request ended.
inline constexpr Nanos kCountedWithin = Millis(10);

// The best request that waits and may not go: its priority, the pool's saturation and the limit of
// it, both in the detector's unit.
struct Demand {
  std::int32_t priority = 0;
  double saturation = 0, ceiling = 1;
};

class Evictions {
 public:
  // `grace`: until the pool's saturation shows that a request has ended.
  explicit Evictions(Nanos grace) : grace_(grace) {}

  // It has its endpoint. Its stream has ended: once each, per ticket.
  void started(Ticket ticket, std::int32_t priority);
  // How long an evicted one took; nullopt for one that was not, or was given up.
  std::optional<Nanos> ended(Ticket ticket, Mono now);

  // Appends who has to end: of the lowest priority, newest first, strictly below the demand's; as
  // many as free what is missing if all hold the same, at most kMostEvicted.
  void choose(const Demand& demand, Mono now, std::vector<Ticket>& chosen);
  // Time passes: appends those that were to end and did not.
  void pass(Mono now, std::vector<Ticket>& given_up);

  // Saturation that is being freed and may not show yet.
  double pending() const;

 private:
  enum class State : std::uint8_t { kRunning, kEnding, kGivenUp };
  struct Sheddable {
    State state = State::kRunning;
    std::int32_t priority = 0;
    std::int64_t order = 0;  // falls with each start
    double credit = 0;       // what its end is worth
    Mono told;
  };
  void settle(double credit, Mono now);

  const Nanos grace_;
  std::int64_t last_order_ = 0;
  std::size_t running_ = 0;  // of any priority
  std::unordered_map<Ticket, Sheddable> sheddable_;
  std::set<std::pair<std::pair<std::int32_t, std::int64_t>, Ticket>> victims_;  // best first
  std::vector<Ticket> ending_;
  std::vector<std::pair<double, Mono>> settling_;  // credit, until
};

}  // namespace baton::schedule
