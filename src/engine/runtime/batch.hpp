#pragma once
// What the engine thread does: takes requests and finished pulls in, computes step after step, and
// says what happened. No threads of its own, so tests drive it directly.

#include <memory>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "engine/model/model.hpp"
#include "engine/runtime/block_pool.hpp"
#include "engine/runtime/cache_log.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/kv_puller.hpp"
#include "engine/runtime/lease_table.hpp"
#include "engine/runtime/scheduler.hpp"
#include "engine/runtime/step_budget.hpp"

namespace baton::runtime {

// Confined to the engine thread.
class Batch {
 public:
  struct Deps {
    model::Model& model;
    model::KvMemory& memory;
    LeaseTable* leases;  // null: no KV transfer
    KvPuller* puller;    // null: no KV transfer
    const Clock& clock;
    Random& random;
  };

  Batch(const EngineConfig& config, Deps deps);
  ~Batch();

  // Contract: valid for this engine, with an id that is not in flight.
  void add(GenerateRequest request, Mono arrived);
  void abort(std::string_view id);
  void abort_all();
  void pulled(const PullOutcome& outcome);

  // Reclaims leases, ends what is late, and plans one step: who is admitted, and what is announced.
  void plan();
  // Computes what was planned. True: there is more to compute now.
  bool compute();
  bool step() {
    plan();
    return compute();
  }
  // What happened since the last call.
  std::vector<Event> take_events() { return std::exchange(events_, {}); }

  bool idle() const { return scheduler_.idle(); }  // nothing in flight; leases may be
  // Something will happen by the passing of time alone.
  bool timed() const;
  Stats stats() const;

 private:
  void tell_cache_events();
  void reclaim_leases();
  void look_at_the_clock();
  void start_admitted();
  void start_pull(Sequence& sequence);
  void take_pulled(Sequence& sequence, std::size_t tokens);
  void forward();
  void count_step(Nanos took);
  void score_prompt(Sequence& sequence, std::span<const float> logits);
  void draw(Sequence& sequence, std::span<const float> logits);
  void report_prompt(Sequence& sequence, Event& event);
  void end(Sequence& sequence, Event event);
  void end_early(Sequence& sequence, Finish finish, Error error);
  kv::TransferParams lease(Sequence& sequence);
  bool wants_announcement(const Sequence& sequence) const;
  void announce(Sequence& sequence);
  void withdraw(Sequence& sequence);
  void tell_readers(const model::Stored& stored);
  kv::TransferParams params_of(const LeasedPrompt& prompt) const;
  void release_remote(const Sequence& sequence);

  const EngineConfig config_;
  const Deps deps_;
  std::optional<CacheLog> log_;  // with EngineConfig::kv_events
  BlockPool pool_;
  Scheduler scheduler_;
  StepBudget budget_;
  std::uint64_t next_serial_ = 1;
  Stats counters_;  // the counters of it
  std::vector<Event> events_;
  Plan plan_;                  // of the step
  std::vector<float> logits_;  // of it
};

}  // namespace baton::runtime
