#include "base/async/task_group.hpp"

#include <boost/system/system_error.hpp>
#include <utility>

#include "base/core/assert.hpp"
#include "base/core/clock.hpp"
#include "base/core/log.hpp"

namespace baton::async {

bool is_cancellation(const std::exception_ptr& failure) {
  if (!failure) return false;
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

void report_failure(const std::exception_ptr& failure) {
  if (!failure || is_cancellation(failure)) return;
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    log::error("task failed", {{"reason", e.what()}});
  } catch (...) {
    log::error("task failed", {{"reason", "unknown exception"}});
  }
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), idle_(executor_, Mono::max()) {}

TaskGroup::~TaskGroup() { BATON_ASSERT(tasks_.empty()); }

void TaskGroup::spawn(Task<void> task) {
  auto it = tasks_.emplace(tasks_.end());
  auto done = [this, it](const std::exception_ptr& failure) {
    report_failure(failure);
    asio::post(executor_, [this, it] { forget(it); });  // a signal must not die while it emits
  };
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(it->slot(), std::move(done)));
}

void TaskGroup::cancel() {
  for (auto& signal : tasks_) signal.emit(asio::cancellation_type::terminal);
}

void TaskGroup::forget(Tasks::iterator it) {
  tasks_.erase(it);
  if (tasks_.empty()) idle_.cancel();
}

Task<void> TaskGroup::join() {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  while (!tasks_.empty()) {
    co_await idle_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

}  // namespace baton::async
