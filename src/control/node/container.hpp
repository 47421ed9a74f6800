#pragma once
// One container of a pod: its process, restarts, probes and status.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/async/process.hpp"
#include "control/node/probe.hpp"
#include "control/node/rewrites.hpp"

namespace baton::node {

// How to start it; made when the pod starts.
struct Start {
  Launch launch;
  std::string directory;
  std::string log_file;
  std::vector<std::string> launcher;  // async::Process::Spec::launcher
  // Done instead of a process when set (the storage initializer).
  std::function<Status()> in_process;
};

struct Probes {
  std::optional<ProbeSpec> startup, readiness, liveness;
};
// The three probes of the container's specification.
Result<Probes> probes_of(const kube::Object& spec, const std::string& address);

// Called with +pid when a process group begins and -pid when it has ended.
using TellGuard = std::function<void(pid_t)>;

// Confined to the pod's thread.
//
//   waiting --start--> running --exit 0, init--> completed
//      ^                  | exit, liveness failed
//      +-- back-off ------+
class Container {
 public:
  enum class Role : std::uint8_t { kInit, kSidecar, kMain };
  enum class Restart : std::uint8_t { kAlways, kOnFailure, kNever };
  struct Setup {
    kube::Object spec;
    Role role;
    Restart restart;
    Nanos grace;  // from SIGTERM to SIGKILL when a liveness probe failed
    Start start;
    Probes probes;
    TellGuard tell_guard;
  };
  Container(Setup setup, const Config& config, const Clock& clock);
  ~Container();

  // Starts when not running, not completed and the back-off is over.
  void run();
  // Notices the end of the process; runs the probes that are due (blocking, each at most its
  // timeout).
  void step();
  // When step() or run() has something to do next, apart from the end of the process.
  Mono due() const;

  Role role() const { return setup_.role; }
  const kube::Object& spec() const { return setup_.spec; }
  bool is_running() const { return process_ != nullptr; }
  // Running (or completed) with its startup probe passed: the next container may start.
  bool is_started() const;
  bool is_ready() const;
  // Will not run again; exit_code() is of its last run.
  bool is_completed() const { return completed_; }
  int exit_code() const { return exit_code_; }

  // Why the mounts that it was last to start with are not possible here; "" when they are.
  const std::string& mounts_refused() const { return mounts_refused_; }

  void signal(int number);
  // Keeps a container that ends from being started again.
  void retire() { retired_ = true; }
  // -1 when no process runs.
  int descriptor() const { return process_ ? process_->descriptor() : -1; }

  kube::Object status() const;  // an entry of containerStatuses

 private:
  void begin(Mono now);
  void end(int exit_code, Mono now);
  void back_off(std::string_view reason, std::string message, Mono now);
  void step_probes(Mono now);
  bool probe(std::optional<ProbeTracker>& tracker, std::string_view kind);
  Status exec_probe(const ProbeSpec& spec);
  void bound_log();

  const Setup setup_;
  const Config& config_;
  const Clock& clock_;
  std::unique_ptr<async::Process> process_;
  std::optional<ProbeTracker> startup_, readiness_, liveness_;

  std::string waiting_reason_ = "PodInitializing";
  std::string waiting_message_;
  std::string mounts_refused_;
  Mono start_at_{};  // not before this
  Mono started_mono_{};
  Wall started_wall_{};
  std::optional<Mono> kill_at_;
  int starts_ = 0;
  int crashes_ = 0;  // in a row
  bool completed_ = false;
  bool retired_ = false;
  int exit_code_ = 0;
  kube::Object last_state_;  // lastState.terminated of the status
};

}  // namespace baton::node
