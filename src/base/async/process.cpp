#include "base/async/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace baton::async {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

std::string path_of(const std::vector<std::string>& env) {
  for (const auto& entry : env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  return "/usr/local/bin:/usr/bin:/bin";
}

struct Prepared {
  const char* program;
  char* const* argv;
  char* const* env;
  const char* directory;
  int output;
  int report;  // the write end of the error pipe
  pid_t parent;
};

// Runs in the child of a threaded process: async-signal-safe calls only.
[[noreturn]] void become(const Prepared& p) {
  const auto fail = [&] {
    const int error = errno;
    [[maybe_unused]] const auto written = ::write(p.report, &error, sizeof error);
    ::_exit(127);
  };
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != p.parent) ::_exit(127);  // the starter died before the line above
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int input = ::open("/dev/null", O_RDONLY);
  if (input < 0 || ::dup2(input, STDIN_FILENO) < 0) fail();
  if (p.output >= 0 &&
      (::dup2(p.output, STDOUT_FILENO) < 0 || ::dup2(p.output, STDERR_FILENO) < 0)) {
    fail();
  }
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);  // no socket of the starter lives on in the child
  if (p.directory != nullptr && ::chdir(p.directory) != 0) fail();
  ::execve(p.program, p.argv, p.env);
  fail();
  __builtin_unreachable();
}

Error exec_error(int error, const std::string& program, const std::string& directory) {
  const auto text = fmt::format("starting {}{}: {}", program,
                                directory.empty() ? "" : " in " + directory, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return not_found(text);
  if (error == EACCES || error == EPERM || error == ENOEXEC) return denied(text);
  return unavailable(text);
}

}  // namespace

Result<std::string> find_program(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return not_found(fmt::format("program {}: {}", name, std::strerror(errno)));
  }
  std::size_t start = 0;
  while (start <= path.size()) {
    const auto end = std::min(path.find(':', start), path.size());
    const std::string candidate = path.substr(start, end - start) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return not_found(fmt::format("program '{}' is not in PATH {}", name, path));
}

Result<std::unique_ptr<Process>> Process::start(const Spec& spec) {
  if (spec.argv.empty()) return invalid("starting a process: no program given");
  BATON_TRY_ASSIGN(const std::string program, find_program(spec.argv[0], path_of(spec.env)));
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    return unavailable(fmt::format("starting {}: pipe: {}", program, std::strerror(errno)));
  }
  const auto argv = pointers(spec.argv);
  const auto env = pointers(spec.env);
  const Prepared prepared{
      program.c_str(), argv.data(),
      env.data(),      spec.directory.empty() ? nullptr : spec.directory.c_str(),
      spec.output,     report[1],
      ::getpid()};
  const pid_t pid = ::fork();
  if (pid == 0) become(prepared);
  const int fork_error = errno;
  ::close(report[1]);
  if (pid < 0) {
    ::close(report[0]);
    return unavailable(fmt::format("starting {}: {}", program, std::strerror(fork_error)));
  }
  ::setpgid(pid, pid);
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  std::unique_ptr<Process> process(new Process(pid, pidfd));
  int error = 0;
  const auto got = ::read(report[0], &error, sizeof error);
  ::close(report[0]);
  if (got > 0) return exec_error(error, program, spec.directory);
  return process;
}

Process::~Process() {
  if (!exit_) {
    signal(SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  }
  if (pidfd_ >= 0) ::close(pidfd_);
}

void Process::signal(int number) {
  if (!exit_) ::kill(-pid_, number);
}

std::optional<Exit> Process::poll() {
  if (exit_) return exit_;
  siginfo_t info{};
  // Not reaped yet: its number stays taken while the rest of the group is killed.
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  ::kill(-pid_, SIGKILL);
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  exit_ = Exit{info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status};
  return exit_;
}

std::optional<Exit> Process::wait(Deadline deadline, const Clock& clock) {
  while (true) {
    if (auto ended = poll()) return ended;
    const Mono now = clock.now();
    if (deadline.passed(now)) return std::nullopt;
    constexpr Nanos kLongest = std::chrono::seconds(1);
    const auto left = std::chrono::ceil<Millis>(std::min(deadline.left(now), kLongest));
    pollfd entry{pidfd_, POLLIN, 0};
    ::poll(&entry, 1, static_cast<int>(left.count()));
  }
}

}  // namespace baton::async
