#pragma once
// Ctrl-C and SIGTERM as something to wait for.

#include <csignal>

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
  }

  // Blocks until one arrives; its number.
  int wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }

 private:
  sigset_t set_;
};

}  // namespace baton::cli
