#include "engine/tensor/thread_pool.hpp"

#include <algorithm>

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

bool open(std::uint32_t state) { return (state & kGeneration) != 0; }

}  // namespace

ThreadPool::ThreadPool(std::size_t threads) {
  const std::size_t helpers = std::clamp<std::size_t>(threads, 1, kHelpers) - 1;
  helpers_.reserve(helpers);
  for (std::size_t i = 0; i < helpers; ++i) helpers_.emplace_back([this, i] { help(i + 1); });
}

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
  next_.store(0, std::memory_order_relaxed);
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
  for (;;) {
    const std::size_t item = next_.fetch_add(1, std::memory_order_relaxed);
    if (item >= loop.items) return;
    loop.call(loop.context, item, worker);
  }
}

void ThreadPool::help(std::size_t worker) {
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
