#pragma once
// Processor time of an event loop's thread.

#include "base/async/blocking.hpp"
#include "cpu_time.hpp"

namespace baton::bench {

// Seconds so far. Asks the loop, which must run, and waits for its answer.
inline double cpu_seconds(async::Loop& loop) {
  constexpr auto kAsk = []() -> Task<double> { co_return cpu_seconds(); };
  return async::blocking_run(loop, kAsk());
}

}  // namespace baton::bench
