#include "routing/epp/gate.hpp"

#include <algorithm>
#include <utility>

#include "base/async/finish_by.hpp"
#include "base/core/log.hpp"

namespace baton::epp {

using schedule::Outcome;
using schedule::Ticket;

Gate::Gate(SharedPool& pool, const Clock& clock, observe::Registry& registry,
           std::string_view pool_name, Nanos scrape_lag)
    : pool_(pool), clock_(clock), metrics_(registry, pool_name) {
  if (pool_.broken()) return;
  const auto& setup = pool_.setup();
  if (setup.flow) flow_.emplace(*setup.flow, clock_.now());
  if (!setup.flow || !setup.flow->evicts) return;
  const bool scraped = setup.detector.mode == schedule::Detector::Mode::kUtilization;
  evictions_.emplace(scraped ? scrape_lag + schedule::kFreesWithin : schedule::kCountedWithin);
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

Gate::Running Gate::run(const Pass& pass, std::int32_t priority, asio::any_io_executor executor,
                        std::function<void()> wake) {
  Running running;
  if (!evictions_) return running;
  running.gate_ = this;
  running.ticket_ = pass.ticket();
  if (priority < 0) {
    running.state_ = std::make_shared<Evictable>(std::move(executor), std::move(wake));
  }
  const std::lock_guard lock(mutex_);
  evictions_->started(running.ticket_, priority);
  if (running.state_) evictable_.emplace(running.ticket_, running.state_);
  return running;
}

Gate::Running::~Running() {
  if (gate_ == nullptr) return;
  if (state_) state_->wake = nullptr;
  gate_->ended(ticket_);
}

std::optional<schedule::Demand> Gate::Running::evicted() const {
  return state_ ? state_->demand : std::nullopt;
}

void Gate::ended(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  evictable_.erase(ticket);
  if (const auto took = evictions_->ended(ticket, clock_.now())) metrics_.eviction_ended(*took);
}

// Forgets what has shown by now, and does not wait for ever.
void Gate::watch_evictions(Mono now) {
  std::vector<Ticket> given_up;
  evictions_->pass(now, given_up);
  for (const auto ticket : given_up) {
    evictable_.erase(ticket);
    metrics_.eviction_given_up();
    log::warn(
        "a request was told to end for a better one and its stream is still open: the proxy "
        "does not read what the picker sends",
        {{"seconds", seconds(schedule::kEndsWithin)}});
  }
  metrics_.reclaiming(evictions_->pending());
}

Gate::Evicted Gate::evict(const schedule::Demand& demand, Mono now) {
  watch_evictions(now);
  std::vector<Ticket> chosen;
  evictions_->choose(demand, now, chosen);
  Evicted out;
  if (chosen.empty()) return out;
  for (const auto ticket : chosen) out.push_back(evictable_.at(ticket));
  metrics_.evicted(demand, chosen.size());
  metrics_.reclaiming(evictions_->pending());
  return out;
}

void Gate::turn() {
  std::vector<schedule::Finished> finished;
  Waiters waiters;
  std::optional<schedule::Demand> demand;
  Evicted evicted;
  {
    const std::lock_guard lock(mutex_);
    if (!flow_ || leaving_ != 0 || flow_->queued() == 0) return;
    const auto now = clock_.now();
    const auto saturation = pool_.saturation(now);
    const bool went = flow_->dispatch(saturation, now, finished);
    waiters = take(finished);
    if (evictions_ && !went) demand = flow_->blocked(saturation);
    if (demand) evicted = evict(*demand, now);
    metrics_.turned(clock_.now() - now);
    metrics_.saturation(saturation);
  }
  tell(waiters);
  for (const auto& one : evicted) {
    asio::post(one->executor, [one, for_whom = *demand] {
      one->demand = for_whom;
      if (one->wake) one->wake();
    });
  }
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
    metrics_.programs(flow_->programs(now));
    metrics_.end_idle(now);
    if (evictions_) watch_evictions(now);
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
