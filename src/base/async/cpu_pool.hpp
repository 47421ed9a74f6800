#pragma once
// A bounded pool of threads for work too long for an event loop (over 0.2 ms).

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/async/asio.hpp"
#include "base/async/finish_by.hpp"
#include "base/core/result.hpp"

namespace baton::async {

namespace detail {
// Asio takes a cancellation to another thread as a pointer into the frame of the caller, who may be
// gone when that thread looks at it. So none is taken there: functions cannot be stopped anyway.
inline auto uncancelled() {
  return asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable);
}
}  // namespace detail

// Thread-safe. Outlives the coroutines that wait for it; the destructor joins.
class CpuPool {
 public:
  struct Config {
    std::size_t threads = 1;
    std::size_t queue = 1024;  // calls waiting or running
  };
  explicit CpuPool(const Config& config) : limit_(config.queue), pool_(config.threads) {}
  ~CpuPool() { pool_.join(); }

  // Calls `function` on the pool and returns its result on the caller's executor; what it throws
  // is thrown there. kExhausted when the queue is full. A cancelled caller still waits for its
  // call, but one that has not begun is not made: kCancelled.
  template <class F, class R = std::invoke_result_t<F&>>
  Task<Result<R>> run(F function) {
    if (pending_.fetch_add(1) >= limit_) {
      --pending_;
      co_return exhausted("the CPU pool's queue is full");
    }
    Slot slot(pending_);
    auto unwanted = std::make_shared<std::atomic<bool>>(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (auto told = state.slot(); told.is_connected())
      told.assign([unwanted](asio::cancellation_type) { *unwanted = true; });
    auto value = co_await asio::co_spawn(
        pool_, detail::boxed(call(std::move(function), std::move(unwanted))),
        detail::uncancelled());
    co_return *std::move(value);
  }

  std::size_t pending() const { return pending_; }

 private:
  class Slot {
   public:
    explicit Slot(std::atomic<std::size_t>& count) : count_(count) {}
    ~Slot() { --count_; }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

   private:
    std::atomic<std::size_t>& count_;
  };

  // `unwanted` is shared with the cancellation of the caller.
  template <class F, class R = std::invoke_result_t<F&>>
  static Task<Result<R>> call(F function, std::shared_ptr<std::atomic<bool>> unwanted) {
    if (*unwanted) co_return cancelled("nobody waits for it any more");
    if constexpr (std::is_void_v<R>) {
      function();
      co_return Result<void>();
    } else {
      co_return function();
    }
  }

  std::size_t limit_;
  std::atomic<std::size_t> pending_ = 0;
  asio::thread_pool pool_;
};

}  // namespace baton::async
