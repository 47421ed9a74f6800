#pragma once
// Kills the process groups of this run when this process ends in any way, SIGKILL included.

#include <sys/types.h>

#include <memory>

#include "base/core/result.hpp"

namespace baton::node {

// A small process that reads group ids from a pipe and, when the pipe closes, kills those that are
// still there. (PR_SET_PDEATHSIG alone reaches only the first process of a container.)
class GroupGuard {
 public:
  static Result<std::unique_ptr<GroupGuard>> start();
  ~GroupGuard();  // what is still in the guard's book is killed

  // Thread-safe. pid > 0: the group begins; -pid: it has ended.
  void tell(pid_t pid);

 private:
  GroupGuard(pid_t guard, int pipe) : guard_(guard), pipe_(pipe) {}

  pid_t guard_;
  int pipe_;
};

}  // namespace baton::node
