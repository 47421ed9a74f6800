#pragma once
// Requests that wait for room in the pool: bands by priority, flows by fairness id within a band,
// items within a flow (picker reference 4.9). Pure: the owner tells the time and how full the pool
// is, holds what waits by ticket, and does what comes out. Confined to its owner.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "routing/schedule/flow/eviction.hpp"
#include "routing/schedule/flow/saturation.hpp"
#include "routing/schedule/setup.hpp"

namespace baton::schedule {

enum class Outcome : std::uint8_t {
  kDispatched,
  kRejectedCapacity,     // the queue is full
  kRejectedNoEndpoints,  // the queue is full and the pool is empty
  kExpired,              // waited too long for room
  kExpiredNoEndpoints,   // waited too long for an endpoint
  kCancelled,            // the client left
  kShuttingDown,
};
struct Answer {
  int status = 200;         // HTTP
  std::string_view reason;  // label of metrics and headers; "" when dispatched
  std::string_view message;
};
Answer answer(Outcome outcome);

struct Finished {
  Ticket ticket = 0;
  Outcome outcome = Outcome::kDispatched;
  friend bool operator==(const Finished&, const Finished&) = default;
};

// A flow in whose queue nothing was for so long is forgotten.
inline constexpr Nanos kFlowIdle = std::chrono::minutes(5);

class FlowControl {
 public:
  explicit FlowControl(FlowConfig config) : FlowControl(std::move(config), Mono()) {}
  FlowControl(FlowConfig config, Mono now);

  struct Item {
    std::string fairness_id;
    std::int32_t priority = 0;
    std::int64_t bytes = 0;              // kept in memory while it waits
    std::optional<Nanos> slo_ttft = {};  // of x-llm-d-slo-ttft-ms, when it is usable
  };
  // A ticket, or why not.
  struct Entry {
    Ticket ticket = 0;
    std::optional<Outcome> rejected;
  };
  Entry enqueue(const Item& item, const Saturation& pool, Mono now);

  // Lets at most one item go, of the highest band whose ceiling the pool has not reached and that
  // none above holds back; its room in the pool must be counted before the next call. Items that
  // have expired by now are finished on the way.
  bool dispatch(const Saturation& pool, Mono now, std::vector<Finished>& out);
  // Once a second or so: finishes what waited too long, drops what is idle.
  void sweep(const Saturation& pool, Mono now, std::vector<Finished>& out);
  // Who waits for room, after a dispatch() that let nobody go. nullopt: nobody, or an empty pool.
  std::optional<Demand> blocked(const Saturation& pool) const;
  // False: it is not waiting (any more).
  bool cancel(Ticket ticket);
  // Everything that waits is finished, and everything that comes.
  void shut_down(std::vector<Finished>& out);

  // Bands beside those of the configuration: the priorities of the objectives there are. Others are
  // served in band 0.
  void want(std::span<const std::int32_t> priorities, Mono now);
  // Tokens that a program was served; for program-aware fairness.
  void served(std::int32_t priority, std::string_view fairness_id, std::int64_t prompt_tokens,
              std::int64_t completion_tokens, Mono now);

  const FlowConfig& config() const { return config_; }
  std::size_t queued() const { return items_.size(); }
  struct BandState {
    std::int32_t priority;
    std::int64_t requests, bytes, max_requests, max_bytes;
    std::size_t flows;
  };
  std::vector<BandState> bands() const;  // by falling priority
  // Of program-aware fairness: what each program was served, over all bands.
  struct Program {
    double service = 0;  // tokens, decayed
    Nanos waited = {};   // in queues, all its dispatched requests together
    std::uint64_t requests = 0;
  };
  std::map<std::string, Program> programs(Mono now);

 private:
  struct Flow {
    std::set<std::pair<std::int64_t, Ticket>> queue;  // best first
    Mono used;
    double service = 0;  // tokens, decayed
    Mono decayed;
    Nanos waited = {};             // of those dispatched, all together
    std::uint64_t dispatched = 0;  // requests
  };
  struct QueueBand {
    Band config;
    bool fixed = false, wanted = false;
    std::int64_t bytes = 0, requests = 0;
    std::map<std::string, Flow, std::less<>> flows;
    std::string last_served;
    Mono used;
  };
  struct Waiting {
    std::int32_t priority;
    std::string flow;
    std::int64_t key, bytes;
    Mono since;
  };
  using Bands = std::map<std::int32_t, QueueBand, std::greater<>>;
  using Flows = std::map<std::string, Flow, std::less<>>;

  QueueBand& band_of(std::int32_t priority);
  std::int64_t key_of(const Item& item, Ordering ordering, Ticket ticket, Mono now) const;
  bool full(const QueueBand& band, std::int64_t bytes) const;
  Flows::iterator choose(QueueBand& band, Mono now);
  Flows::iterator least_served(QueueBand& band, Mono now);
  void remove(Ticket ticket);
  double ceiling_of(std::int32_t priority, std::size_t rank, double saturation) const;
  std::optional<Outcome> expired(const Waiting& waiting, Mono now) const;
  void note_pool(const Saturation& pool, Mono now);
  static void decay(Flow& flow, const Fairness& fairness, Mono now);

  FlowConfig config_;
  Bands bands_;
  std::unordered_map<Ticket, Waiting> items_;
  std::int64_t bytes_ = 0;
  Ticket last_ticket_ = 0;
  bool empty_pool_ = false;
  Mono flipped_;  // when the pool became empty, or stopped being so
  bool down_ = false;
};

}  // namespace baton::schedule
