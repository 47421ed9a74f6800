#pragma once
// A time limit around any awaitable. `co_await (op || timer)` is not one: it waits for the first
// success, so that a failure of `op` would come back late and as a timeout.

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"

namespace baton::async {

namespace detail {
// Asio wants default constructible results.
template <class T>
Task<std::optional<T>> boxed(Task<T> op) {
  std::optional<T> value(co_await std::move(op));
  co_return value;
}
}  // namespace detail

// Runs `op`; if it is still running at `when`, cancels it, waits for it to unwind and returns
// nullopt. An exception from `op` propagates at once. Await on a single-threaded executor.
template <class T>
Task<std::optional<T>> finish_by(Mono when, Task<T> op) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  auto race = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, detail::boxed(std::move(op)), asio::deferred),
      timer.async_wait(asio::deferred));
  auto [order, failure, value, ec] =
      co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && !ec) co_return std::nullopt;  // ec is set when our caller was cancelled
  if (failure) std::rethrow_exception(failure);
  co_return std::move(value);
}

// Whether `op` finished in time.
inline Task<bool> finish_by(Mono when, Task<void> op) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  auto race = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(op), asio::deferred), timer.async_wait(asio::deferred));
  auto [order, failure, ec] =
      co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && !ec) co_return false;
  if (failure) std::rethrow_exception(failure);
  co_return true;
}

inline Task<void> sleep_until(Mono when) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  co_await timer.async_wait(asio::use_awaitable);
}

}  // namespace baton::async
