#pragma once
// Ctrl-C and SIGTERM as something to wait for.

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <optional>

#include "base/core/clock.hpp"

namespace baton::cli {

// Construct before any thread starts: every thread then has the signals blocked, and only wait()
// takes them. Writing to a closed connection is an error, not a signal.
class StopSignal {
 public:
  StopSignal() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    descriptor_ = ::signalfd(-1, &set_, SFD_CLOEXEC);
  }
  ~StopSignal() { ::close(descriptor_); }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Waits at most that long, or until `also` is readable.
  std::optional<int> wait_for(Nanos timeout, int also) const {
    pollfd entries[] = {{descriptor_, POLLIN, 0}, {also, POLLIN, 0}};
    const auto left = std::chrono::ceil<Millis>(timeout);
    ::poll(entries, 2, static_cast<int>(left.count()));
    const timespec at_once{};
    const int signal = sigtimedwait(&set_, nullptr, &at_once);
    return signal > 0 ? std::optional(signal) : std::nullopt;
  }

  // From now on one more of them ends the process at once.
  void arm() const {
    const auto end = [](int number) { _exit(128 + number); };
    std::signal(SIGINT, end);
    std::signal(SIGTERM, end);
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
  }

  // Blocks until one arrives; its number.
  int wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }

 private:
  sigset_t set_;
  int descriptor_;
};

}  // namespace baton::cli
