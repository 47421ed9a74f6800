#include "control/node/group_guard.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace baton::node {

namespace {

constexpr std::size_t kMaxGroups = 4096;

// The guard's whole life. In the child of a threaded process: async-signal-safe calls only.
[[noreturn]] void keep_guard(int pipe) {
  static std::array<pid_t, kMaxGroups> groups{};
  ::setsid();
  ::prctl(PR_SET_NAME, "baton-guard");
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(number, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Keeps no file of the starter open, so that sockets and pipes end with it.
  if (pipe > 0) ::close_range(0, static_cast<unsigned>(pipe) - 1, 0);
  ::close_range(static_cast<unsigned>(pipe) + 1, ~0U, 0);
  pid_t told = 0;
  while (true) {
    const auto got = ::read(pipe, &told, sizeof told);
    if (got < 0 && errno == EINTR) continue;
    if (got != sizeof told) break;
    const pid_t wanted = told > 0 ? 0 : -told;
    for (auto& slot : groups) {
      if (slot != wanted) continue;
      slot = told > 0 ? told : 0;
      break;
    }
  }
  for (const pid_t group : groups) {
    if (group != 0) ::kill(-group, SIGKILL);
  }
  ::_exit(0);
}

}  // namespace

Result<std::unique_ptr<GroupGuard>> GroupGuard::start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return unavailable(fmt::format("starting the process guard: {}", std::strerror(errno)));
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[1]);
    keep_guard(ends[0]);
  }
  const int error = errno;
  ::close(ends[0]);
  if (pid < 0) {
    ::close(ends[1]);
    return unavailable(fmt::format("starting the process guard: {}", std::strerror(error)));
  }
  return std::unique_ptr<GroupGuard>(new GroupGuard(pid, ends[1]));
}

GroupGuard::~GroupGuard() {
  ::close(pipe_);
  ::waitpid(guard_, nullptr, 0);
}

void GroupGuard::tell(pid_t pid) {
  [[maybe_unused]] const auto written = ::write(pipe_, &pid, sizeof pid);  // atomic: under PIPE_BUF
}

}  // namespace baton::node
