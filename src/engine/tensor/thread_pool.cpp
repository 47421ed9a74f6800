#include "engine/tensor/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "base/core/assert.hpp"

namespace baton::tensor {

namespace {

constexpr std::uint32_t kHelper = 1;
constexpr std::uint32_t kHelpers = 0xff;
constexpr std::uint32_t kGeneration = 0x100;
constexpr int kSpins = 2000;  // some 20 to 40 us

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// The calling thread.
void bind(int cpu) {
  if (cpu == kAnyCpu) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

bool open(std::uint32_t state) { return (state & kGeneration) != 0; }

}  // namespace

ThreadGroups unbound(std::size_t threads, std::size_t groups) {
  ThreadGroups out(groups);
  for (std::size_t i = 0; i < threads; ++i) out[i * groups / threads].push_back(kAnyCpu);
  return out;
}

ThreadPool::ThreadPool(const ThreadGroups& groups) : shards_(groups.size()) {
  std::vector<int> cpus;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    group_of_.insert(group_of_.end(), groups[group].size(), group);
    cpus.insert(cpus.end(), groups[group].begin(), groups[group].end());
  }
  BATON_ASSERT(!cpus.empty());
  owner_cpu_ = cpus[0];
  const std::size_t threads = std::min<std::size_t>(cpus.size(), kHelpers);
  helpers_.reserve(threads - 1);
  for (std::size_t i = 1; i < threads; ++i)
    helpers_.emplace_back([this, i, cpu = cpus[i]] { help(i, cpu); });
}

void ThreadPool::bind_owner() const { bind(owner_cpu_); }

ThreadPool::~ThreadPool() {
  stopping_ = true;
  state_.fetch_add(2 * kGeneration);  // stays closed; whoever sleeps sees a change
  state_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run_loop(const Loop& loop) {
  if (helpers_.empty() || loop.items < 2) {
    for (std::size_t item = 0; item < loop.items; ++item) loop.call(loop.context, item, 0);
    return;
  }
  loop_ = loop;
  for (Shard& shard : shards_) shard.next.store(0, std::memory_order_relaxed);
  state_.fetch_add(kGeneration, std::memory_order_release);
  state_.notify_all();
  take_items(loop, 0);
  std::uint32_t state = state_.fetch_add(kGeneration, std::memory_order_acq_rel) + kGeneration;
  while ((state & kHelpers) != 0) {
    pause_while(state);
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::take_items(const Loop& loop, std::size_t worker) {
  const std::size_t groups = shards_.size();
  for (std::size_t turn = 0; turn < groups; ++turn) {
    const std::size_t group = (group_of_[worker] + turn) % groups;
    const std::size_t begin = loop.items * group / groups;
    const std::size_t end = loop.items * (group + 1) / groups;
    for (;;) {
      const std::size_t item = begin + shards_[group].next.fetch_add(1, std::memory_order_relaxed);
      if (item >= end) break;
      loop.call(loop.context, item, worker);
    }
  }
}

void ThreadPool::help(std::size_t worker, int cpu) {
  bind(cpu);
  std::uint32_t last = 0;  // the generation joined last
  while (!stopping_.load(std::memory_order_relaxed)) {
    std::uint32_t state = state_.load(std::memory_order_acquire);
    if (!open(state) || (state & ~kHelpers) == last) {
      pause_while(state);
      continue;
    }
    if (!state_.compare_exchange_weak(state, state + kHelper, std::memory_order_acq_rel)) continue;
    last = state & ~kHelpers;
    take_items(loop_, worker);
    state_.fetch_sub(kHelper, std::memory_order_release);
    state_.notify_all();
  }
}

void ThreadPool::pause_while(std::uint32_t state) {
  for (int i = 0; i < kSpins; ++i) {
    if (state_.load(std::memory_order_relaxed) != state) return;
    relax();
  }
  state_.wait(state, std::memory_order_acquire);
}

}  // namespace baton::tensor
