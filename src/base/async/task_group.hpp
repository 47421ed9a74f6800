#pragma once
// Owns child coroutines: none outlives the group.

#include <exception>
#include <list>

#include "base/async/asio.hpp"

namespace baton::async {

// Confined to its executor (single-threaded). The last member of the object it serves; stop() of
// that object cancels and joins. Destroying it with children still running is a contract breach,
// unless their loop will never run again.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // An exception that leaves the child is logged, except that of its own cancellation.
  void spawn(Task<void> task);
  // Asks every child to stop: its awaits throw.
  void cancel();
  // Returns when every child has finished, even if the caller is itself cancelled.
  Task<void> join();

  bool empty() const { return tasks_.empty(); }

 private:
  using Tasks = std::list<asio::cancellation_signal>;
  void forget(Tasks::iterator it);

  asio::any_io_executor executor_;
  Tasks tasks_;
  asio::steady_timer idle_;  // never fires; cancelled when the last child ends
};

// Whether an exception is the unwinding of a cancelled coroutine.
bool is_cancellation(const std::exception_ptr& failure);
// Logs a failure of a task at error, unless it is a cancellation.
void report_failure(const std::exception_ptr& failure);

}  // namespace baton::async
