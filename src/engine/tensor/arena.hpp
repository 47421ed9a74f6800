#pragma once
// One stretch of memory that weights are laid out in: reserved at once, paid for when written, in
// huge pages where the kernel grants them.

#include <cstddef>

namespace baton::tensor {

// Confined to its owner.
class Arena {
 public:
  explicit Arena(std::size_t capacity);  // bytes, an upper bound
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // 64-byte aligned, zeroed. Contract: within the capacity.
  std::byte* take(std::size_t bytes);
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t capacity_;
  std::size_t used_ = 0;
};

}  // namespace baton::tensor
