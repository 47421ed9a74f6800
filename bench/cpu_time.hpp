#pragma once
// Processor time spent so far, by the clock that has it.

#include <time.h>

namespace baton::bench {

// Seconds: of the calling thread, or what CLOCK_PROCESS_CPUTIME_ID and its like stand for.
inline double cpu_seconds(clockid_t clock = CLOCK_THREAD_CPUTIME_ID) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace baton::bench
