#pragma once
// Child processes: each in a process group of its own, killed with its starter.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::async {

// How a process ended. As shells and Kubernetes count: 128 + signal for a signal.
struct Exit {
  int code = 0;
  friend bool operator==(const Exit&, const Exit&) = default;
};

// Confined to its owner's thread, which must live as long as the process is wanted: the kernel
// kills the process when the thread that started it ends (PR_SET_PDEATHSIG).
class Process {
 public:
  struct Spec {
    std::vector<std::string> argv;  // argv[0] is a path, or a name looked up in the PATH of `env`
    std::vector<std::string> env;   // "NAME=value", the whole environment
    std::string directory;          // empty: the starter's
    int output = -1;                // standard output and error; -1: the starter's
    // Words of a program that is started in argv's place, with argv after them. It prepares what
    // the process sees, then calls launch() or fail_launch() below; argv[0] is looked up there.
    std::vector<std::string> launcher = {};
    // Whether standard error goes to `output` too, or stays the starter's.
    enum class Errors : bool { kToOutput, kStarters } errors = Errors::kToOutput;
  };
  // kNotFound: no such program. kDenied: not executable. What a launcher says it failed with.
  // Standard input is /dev/null.
  static Result<std::unique_ptr<Process>> start(const Spec& spec);
  // Kills the group (SIGKILL) and reaps.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Readable when the process has ended.
  int descriptor() const { return pidfd_; }
  // To every process of the group.
  void signal(int number);
  // How it ended, if it has; what is left of its group is killed then.
  std::optional<Exit> poll();
  // Waits for the end until the deadline.
  std::optional<Exit> wait(Deadline deadline, const Clock& clock);

 private:
  Process(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}

  pid_t pid_;
  int pidfd_;
  std::optional<Exit> exit_;
};

// For launchers only. The process becomes argv (same id, environment and working directory) and
// again dies with its starter, whom the process had as its parent when it began.
[[noreturn]] void launch(const std::vector<std::string>& argv, pid_t starter);
// Process::start() returns this error; the process ends.
[[noreturn]] void fail_launch(const Error& error);

// The executable file that `name` means with this PATH; a name with a slash means itself.
// kNotFound names where it was looked for.
Result<std::string> find_program(const std::string& name, const std::string& path);

}  // namespace baton::async
