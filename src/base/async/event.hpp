#pragma once
// Wakes coroutines that wait for a condition of their own loop.

#include <utility>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"

namespace baton::async {

// Confined to its executor. Has no memory: re-check the condition around wait().
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : timer_(std::move(executor), Mono::max()) {}

  // Returns after the next notify(); also when the caller is cancelled (its next await throws).
  Task<void> wait() { co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable)); }
  void notify() { timer_.cancel(); }

 private:
  asio::steady_timer timer_;  // never fires
};

}  // namespace baton::async
