#include "engine/tensor/arena.hpp"

#include "base/core/assert.hpp"

namespace baton::tensor {

std::byte* Arena::take(std::size_t bytes) {
  BATON_ASSERT(bytes <= pages_.bytes() - used_);
  std::byte* taken = pages_.data() + used_;
  used_ += (bytes + 63) / 64 * 64;
  return taken;
}

}  // namespace baton::tensor
