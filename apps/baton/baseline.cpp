// Everything else is compiled for x86-64-v2. This file is not: it runs first and says so in a
// sentence where the processor is older, instead of an illegal instruction somewhere later.

#if defined(__x86_64__)

#include <cpuid.h>
#include <unistd.h>

namespace {

// SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT (x86-64 psABI, micro-architecture level 2).
constexpr unsigned kNeeded = 1U << 0 | 1U << 9 | 1U << 13 | 1U << 19 | 1U << 20 | 1U << 23;

__attribute__((constructor(101))) void check_baseline() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c & kNeeded) == kNeeded) return;
  constexpr char kSentence[] =
      "baton: this processor is older than x86-64-v2 (SSE4.2, about 2009), which this binary "
      "needs\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kSentence, sizeof kSentence - 1);
  _exit(9);
}

}  // namespace

#endif
