#pragma once
// Who may be routed, and when: the queues of flow control (schedule/flow) with requests of several
// loops waiting in them, and what they look like to dashboards.
//
//   enter() ──> enqueued ──> dispatched: a Pass; its holder picks an endpoint, so that its place is
//                  │         counted, and drops the pass: the next one may go
//                  └──> an outcome without a pass
//   run() ──> running until its holder drops it; where the configuration evicts, it may be told to
//             end before
//
// Without flow control only requests of priority below 0 are looked at, and never wait.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/async/asio.hpp"
#include "base/async/event.hpp"
#include "base/core/clock.hpp"
#include "routing/epp/flow_metrics.hpp"
#include "routing/epp/pool.hpp"
#include "routing/schedule/flow/flow_control.hpp"

namespace baton::epp {

inline constexpr Nanos kTurnPeriod = Millis(1);  // while requests wait
inline constexpr Nanos kSweepPeriod = std::chrono::seconds(1);

// Thread-safe.
class Gate {
  // A running request that may be told to end; of its loop.
  struct Evictable {
    asio::any_io_executor executor;
    std::function<void()> wake;
    std::optional<schedule::Demand> demand;
  };

 public:
  // `scrape_lag`: until what an engine tells of itself counts.
  Gate(SharedPool& pool, const Clock& clock, observe::Registry& registry,
       std::string_view pool_name, Nanos scrape_lag = Nanos(0));

  // Whether requests wait here: then enter() must be asked, else admits().
  bool queues() const { return flow_.has_value(); }
  bool admits(std::int32_t priority) const;

  // The right to pick an endpoint. Movable; ends when destroyed.
  class Pass {
   public:
    Pass() = default;
    Pass(Gate& gate, schedule::Ticket ticket) : gate_(&gate), ticket_(ticket) {}
    Pass(Pass&& other) noexcept { *this = std::move(other); }
    Pass& operator=(Pass&& other) noexcept {
      std::swap(gate_, other.gate_);
      std::swap(ticket_, other.ticket_);
      return *this;
    }
    ~Pass() {
      if (gate_ != nullptr) gate_->left(ticket_);
    }

    schedule::Ticket ticket() const { return ticket_; }

   private:
    Gate* gate_ = nullptr;
    schedule::Ticket ticket_ = 0;
  };
  struct Entered {
    schedule::Outcome outcome = schedule::Outcome::kDispatched;
    Pass pass;
  };
  // A request that has its endpoint, until destroyed: on the loop it was made on. Movable.
  class Running {
   public:
    Running() = default;
    Running(Running&& other) noexcept { *this = std::move(other); }
    Running& operator=(Running&& other) noexcept {
      std::swap(gate_, other.gate_);
      std::swap(ticket_, other.ticket_);
      std::swap(state_, other.state_);
      return *this;
    }
    ~Running();
    // For whom it has to end; nullopt: it need not.
    std::optional<schedule::Demand> evicted() const;

   private:
    friend class Gate;
    Gate* gate_ = nullptr;
    schedule::Ticket ticket_ = 0;
    std::shared_ptr<Evictable> state_;  // null: never told
  };
  // Waits on the caller's loop; a caller that is cancelled leaves the queue.
  // Contract: queues().
  Task<Entered> enter(schedule::FlowControl::Item item, RequestLabels labels);

  // Contract: the pass of this request is there still. `wake` is called on the caller's loop when
  // evicted() has something to say. Counts nothing where the configuration does not evict.
  Running run(const Pass& pass, std::int32_t priority, asio::any_io_executor executor,
              std::function<void()> wake);

  // Priorities that have an objective.
  void want(std::span<const std::int32_t> priorities);
  // What a request was served, for fairness by service.
  void served(std::int32_t priority, std::string_view fairness, std::uint64_t prompt_tokens,
              std::uint64_t completion_tokens);
  // Lets requests go as time passes, and keeps the gauges; until cancelled.
  Task<void> run();
  // Everybody who waits, and who comes, is turned away.
  void shut_down();

 private:
  struct Waiter {
    explicit Waiter(const asio::any_io_executor& e) : executor(e), event(e) {}
    asio::any_io_executor executor;
    async::Event event;
    std::optional<schedule::Outcome> outcome;  // of its loop
  };
  using Waiters = std::vector<std::pair<std::shared_ptr<Waiter>, schedule::Outcome>>;

  void left(schedule::Ticket ticket);
  void turn();
  void sweep();
  Waiters take(const std::vector<schedule::Finished>& finished);  // with the mutex held
  static void tell(const Waiters& waiters);
  using Evicted = std::vector<std::shared_ptr<Evictable>>;
  Evicted evict(const schedule::Demand& demand, Mono now);  // with the mutex held
  void watch_evictions(Mono now);                           // as well
  void ended(schedule::Ticket ticket);
  void wake_for(schedule::Ticket ticket);

  SharedPool& pool_;
  const Clock& clock_;
  FlowMetrics metrics_;
  mutable std::mutex mutex_;  // guards the rest; the pool's is taken inside it
  std::optional<schedule::FlowControl> flow_;
  std::unordered_map<schedule::Ticket, std::shared_ptr<Waiter>> waiters_;
  std::optional<schedule::Evictions> evictions_;  // nullopt: nobody is
  std::unordered_map<schedule::Ticket, std::shared_ptr<Evictable>> evictable_;
  schedule::Ticket leaving_ = 0;    // dispatched, and not placed yet; 0: nobody
  std::shared_ptr<Waiter> runner_;  // run(), while it runs
};

}  // namespace baton::epp
