#pragma once
// Contract checks. BATON_ASSERT: the caller broke the contract, stop at once (all builds).

namespace baton::detail {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

#define BATON_ASSERT(cond) \
  ((cond) ? void() : ::baton::detail::assertion_failed(#cond, __FILE__, __LINE__))
