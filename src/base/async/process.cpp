#include "base/async/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace baton::async {

namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

std::string path_of(const std::vector<std::string>& env) {
  for (const auto& entry : env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  return kDefaultPath;
}

// Where a launcher finds the write end of the error pipe.
constexpr int kLauncherReport = 3;

// What comes through the error pipe when the program is not started: the errno of execve and the
// like, or (from a launcher) an error's code, its message behind it.
struct Failure {
  int number = 0;
  Code code = Code::kInternal;
};

struct Prepared {
  const char* program;
  char* const* argv;
  char* const* env;
  const char* directory;
  int output;
  Process::Spec::Errors errors;
  int report;  // the write end of the error pipe
  bool keep_report;
  pid_t parent;
};

// Runs in the child of a threaded process: async-signal-safe calls only.
[[noreturn]] void become(const Prepared& p) {
  const auto fail = [&] {
    const Failure failure{errno, Code::kInternal};
    [[maybe_unused]] const auto written = ::write(p.report, &failure, sizeof failure);
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
  if (p.output >= 0 && ::dup2(p.output, STDOUT_FILENO) < 0) fail();
  if (p.output >= 0 && p.errors == Process::Spec::Errors::kToOutput &&
      ::dup2(p.output, STDERR_FILENO) < 0) {
    fail();
  }
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);  // no socket of the starter lives on in the child
  if (p.keep_report && (p.report == kLauncherReport ? ::fcntl(p.report, F_SETFD, 0)
                                                    : ::dup2(p.report, kLauncherReport)) < 0) {
    fail();
  }
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

// What the child says until it has become the program; nullopt: it has.
std::optional<Error> read_failure(int pipe, const std::string& program,
                                  const std::string& directory) {
  Failure failure;
  std::string text(1024, '\0');
  const std::array parts{iovec{&failure, sizeof failure}, iovec{text.data(), text.size()}};
  ssize_t got = -1;
  do {
    got = ::readv(pipe, parts.data(), static_cast<int>(parts.size()));
  } while (got < 0 && errno == EINTR);
  if (got < static_cast<ssize_t>(sizeof failure)) return std::nullopt;
  if (failure.number != 0) return exec_error(failure.number, program, directory);
  text.resize(static_cast<std::size_t>(got) - sizeof failure);
  return Error(failure.code, std::move(text));
}

}  // namespace

void fail_launch(const Error& error) {
  const Failure failure{0, error.code()};
  std::string text = error.message();
  const std::array parts{iovec{const_cast<Failure*>(&failure), sizeof failure},
                         iovec{text.data(), std::min<std::size_t>(text.size(), 1024)}};
  [[maybe_unused]] const auto written =
      ::writev(kLauncherReport, parts.data(), static_cast<int>(parts.size()));  // atomic
  ::_exit(127);
}

void launch(const std::vector<std::string>& argv, pid_t starter) {
  const char* path = std::getenv("PATH");
  const auto program = find_program(argv[0], path == nullptr ? kDefaultPath : path);
  if (!program) fail_launch(program.error());
  ::fcntl(kLauncherReport, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // lost with a change of credentials
  if (::getppid() != starter) ::_exit(127);
  ::execv(program->c_str(), pointers(argv).data());
  fail_launch(exec_error(errno, *program, ""));
}

Result<std::string> find_program(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return not_found(fmt::format("program {}: {}", name, std::strerror(errno)));
  }
  std::size_t start = 0;
  while (start <= path.size()) {
    const auto end = std::min(path.find(':', start), path.size());
    std::string candidate = path.substr(start, end - start) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return not_found(fmt::format("program '{}' is not in PATH {}", name, path));
}

Result<std::unique_ptr<Process>> Process::start(const Spec& spec) {
  auto words = spec.launcher;
  words.insert(words.end(), spec.argv.begin(), spec.argv.end());
  if (words.empty()) return invalid("starting a process: no program given");
  BATON_TRY_ASSIGN(const std::string program, find_program(words[0], path_of(spec.env)));
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) {
    return unavailable(fmt::format("starting {}: pipe: {}", program, std::strerror(errno)));
  }
  const auto argv = pointers(words);
  const auto env = pointers(spec.env);
  const Prepared prepared{
      program.c_str(), argv.data(),
      env.data(),      spec.directory.empty() ? nullptr : spec.directory.c_str(),
      spec.output,     spec.errors,
      report[1],       !spec.launcher.empty(),
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
  auto failure = read_failure(report[0], program, spec.directory);
  ::close(report[0]);
  if (failure) return *std::move(failure);
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
