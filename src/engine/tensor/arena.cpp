#include "engine/tensor/arena.hpp"

#include <sys/mman.h>

#include "base/core/assert.hpp"

namespace baton::tensor {

namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
}

Arena::Arena(std::size_t capacity)
    : capacity_((capacity + 2 * kHugePage - 1) / kHugePage * kHugePage) {
  void* memory = mmap(nullptr, capacity_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  BATON_ASSERT(memory != MAP_FAILED);
  memory_ = static_cast<std::byte*>(memory);
  madvise(memory_, capacity_, MADV_HUGEPAGE);  // advice: nothing lost when it is refused
}

Arena::~Arena() { munmap(memory_, capacity_); }

std::byte* Arena::take(std::size_t bytes) {
  BATON_ASSERT(bytes <= capacity_ - used_);
  std::byte* taken = memory_ + used_;
  used_ += (bytes + 63) / 64 * 64;
  return taken;
}

}  // namespace baton::tensor
