#include "routing/epp/gate.hpp"

#include <algorithm>
#include <utility>

#include "base/async/finish_by.hpp"

namespace baton::epp {

using schedule::Outcome;
using schedule::Ticket;

Gate::Gate(SharedPool& pool, const Clock& clock, observe::Registry& registry,
           std::string_view pool_name)
    : pool_(pool), clock_(clock), metrics_(registry, pool_name) {
  if (pool_.broken()) return;
  if (const auto& flow = pool_.setup().flow) flow_.emplace(*flow, clock_.now());
}

bool Gate::admits(std::int32_t priority) const {
  return priority >= 0 || schedule::admits(priority, pool_.saturation(clock_.now()));
}

Task<Gate::Entered> Gate::enter(schedule::FlowControl::Item item, RequestLabels labels) {
  const auto came = clock_.now();
  const auto executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<Waiter>(executor);
  schedule::FlowControl::Entry entry;
  {
    const std::lock_guard lock(mutex_);
    entry = flow_->enqueue(item, pool_.saturation(came), came);
    if (!entry.rejected) waiters_.emplace(entry.ticket, waiter);
  }
  Entered out;
  if (entry.rejected) {
    out.outcome = *entry.rejected;
    metrics_.finished(labels, item.priority, out.outcome, Nanos(0), clock_.now() - came);
    co_return out;
  }
  out.pass = Pass(*this, entry.ticket);  // also leaves the queue
  FlowMetrics::Waiting waiting(metrics_, labels, item.priority, item.bytes);
  const auto to_enter = clock_.now() - came;
  turn();
  wake_for(entry.ticket);
  while (!waiter->outcome) co_await waiter->event.wait();
  out.outcome = *waiter->outcome;
  waiting.finished(out.outcome, clock_.now() - came, to_enter);
  co_return out;
}

// Placed, or gone without having been placed.
void Gate::left(Ticket ticket) {
  {
    const std::lock_guard lock(mutex_);
    if (waiters_.erase(ticket) > 0) flow_->cancel(ticket);
    if (leaving_ != ticket) return;
    leaving_ = 0;
  }
  turn();
}

Gate::Waiters Gate::take(const std::vector<schedule::Finished>& finished) {
  Waiters out;
  for (const auto& [ticket, outcome] : finished) {
    const auto it = waiters_.find(ticket);
    if (it == waiters_.end()) continue;
    out.emplace_back(std::move(it->second), outcome);
    waiters_.erase(it);
    if (outcome == Outcome::kDispatched) leaving_ = ticket;
  }
  return out;
}

void Gate::tell(const Waiters& waiters) {
  for (const auto& [waiter, outcome] : waiters) {
    asio::post(waiter->executor, [waiter, outcome] {
      waiter->outcome = outcome;
      waiter->event.notify();
    });
  }
}

void Gate::turn() {
  std::vector<schedule::Finished> finished;
  Waiters waiters;
  {
    const std::lock_guard lock(mutex_);
    if (!flow_ || leaving_ != 0 || flow_->queued() == 0) return;
    const auto now = clock_.now();
    const auto saturation = pool_.saturation(now);
    flow_->dispatch(saturation, now, finished);
    waiters = take(finished);
    metrics_.turned(clock_.now() - now);
    metrics_.saturation(saturation);
  }
  tell(waiters);
}

void Gate::sweep() {
  const auto now = clock_.now();
  const auto saturation = pool_.saturation(now);
  std::vector<schedule::Finished> finished;
  Waiters waiters;
  {
    const std::lock_guard lock(mutex_);
    metrics_.saturation(saturation);
    if (!flow_) return;
    flow_->sweep(saturation, now, finished);
    waiters = take(finished);
    metrics_.bands(flow_->bands(), flow_->config());
  }
  tell(waiters);
}

// run() looks again soon, if the request could not go at once.
void Gate::wake_for(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (runner_ == nullptr || !waiters_.contains(ticket)) return;
  asio::post(runner_->executor, [runner = runner_] { runner->event.notify(); });
}

Task<void> Gate::run() {
  const auto executor = co_await asio::this_coro::executor;
  const auto runner = std::make_shared<Waiter>(executor);
  {
    const std::lock_guard lock(mutex_);
    runner_ = runner;
  }
  auto next_sweep = clock_.now();
  for (;;) {
    const auto now = clock_.now();
    if (now >= next_sweep) {
      sweep();
      next_sweep = now + kSweepPeriod;
    }
    bool waits = false;
    {
      const std::lock_guard lock(mutex_);
      waits = flow_ && flow_->queued() > 0;
    }
    const auto until = waits ? std::min(next_sweep, now + kTurnPeriod) : next_sweep;
    (void)co_await async::finish_by(until, runner->event.wait());
    turn();
  }
}

void Gate::shut_down() {
  std::vector<schedule::Finished> finished;
  Waiters waiters;
  {
    const std::lock_guard lock(mutex_);
    if (!flow_) return;
    flow_->shut_down(finished);
    waiters = take(finished);
  }
  tell(waiters);
}

void Gate::want(std::span<const std::int32_t> priorities) {
  const std::lock_guard lock(mutex_);
  if (flow_) flow_->want(priorities, clock_.now());
}

void Gate::served(std::int32_t priority, std::string_view fairness, std::uint64_t prompt_tokens,
                  std::uint64_t completion_tokens) {
  const std::lock_guard lock(mutex_);
  if (!flow_) return;
  flow_->served(priority, fairness, static_cast<std::int64_t>(prompt_tokens),
                static_cast<std::int64_t>(completion_tokens), clock_.now());
}

}  // namespace baton::epp
