#pragma once
// Tasks side by side that succeed or fail together.

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <exception>
#include <utility>
#include <vector>

#include "base/async/asio.hpp"

namespace baton::async {

enum class Went : int { kWrong, kWell };

namespace detail {

// When one went wrong, the others are asked to stop.
struct StopOthers {
  asio::cancellation_type_t operator()(const std::exception_ptr& failure, Went went) const {
    return failure || went == Went::kWrong ? asio::cancellation_type::all
                                           : asio::cancellation_type::none;
  }
};

}  // namespace detail

// Returns when every task has ended: kWell when all went well. The first that did not cancels the
// others, and its exception propagates if it threw one. Await on a single-threaded executor.
inline Task<Went> all_or_none(std::vector<Task<Went>> tasks) {
  if (tasks.empty()) co_return Went::kWell;
  auto executor = co_await asio::this_coro::executor;
  using Operation = decltype(asio::co_spawn(executor, std::move(tasks.front()), asio::deferred));
  std::vector<Operation> operations;
  operations.reserve(tasks.size());
  for (auto& task : tasks) {
    operations.push_back(asio::co_spawn(executor, std::move(task), asio::deferred));
  }
  auto group = asio::experimental::make_parallel_group(std::move(operations));
  auto [order, failures, went] =
      co_await group.async_wait(detail::StopOthers(), asio::use_awaitable);
  // What the others did later, they did because they were asked to stop.
  for (const std::size_t i : order) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    if (went[i] == Went::kWrong) co_return Went::kWrong;
  }
  co_return Went::kWell;
}

}  // namespace baton::async
