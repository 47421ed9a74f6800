#include "base/core/assert.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>

namespace baton::detail {

void assertion_failed(const char* condition, const char* file, int line) {
  fmt::print(stderr, "baton: contract broken at {}:{}: {}\n", file, line, condition);
  std::abort();
}

}  // namespace baton::detail
