#pragma once
// Ctrl-C as a descriptor: for a program that goes on after it.

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace baton::cli {

// Construct before any thread starts: SIGINT is blocked from then on.
class InterruptKey {
 public:
  InterruptKey() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~InterruptKey() { ::close(descriptor_); }
  InterruptKey(const InterruptKey&) = delete;
  InterruptKey& operator=(const InterruptKey&) = delete;

  int descriptor() const { return descriptor_; }  // readable once it was pressed
  // Those that came too late, or were more than one, are not meant for what comes next.
  void forget() const {
    signalfd_siginfo one{};
    while (::read(descriptor_, &one, sizeof one) > 0) {
    }
  }

 private:
  int descriptor_;
};

}  // namespace baton::cli
