#include "base/core/memory.hpp"

#include <malloc.h>

namespace baton {

void keep_freed_memory() {
  constexpr int kKept = 32 << 20;
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_MMAP_THRESHOLD, kKept);
  ::mallopt(M_TOP_PAD, 1 << 20);
}

void give_back_freed_memory() { ::malloc_trim(0); }

}  // namespace baton
