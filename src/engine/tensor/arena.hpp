#pragma once
// One stretch of memory that weights are laid out in.

#include <cstddef>

#include "engine/tensor/pages.hpp"

namespace baton::tensor {

// Confined to its owner.
class Arena {
 public:
  explicit Arena(std::size_t capacity)
      : pages_(Pages::of_own(capacity)) {}  // bytes, an upper bound

  // 64-byte aligned, zeroed. Contract: within the capacity.
  std::byte* take(std::size_t bytes);
  std::size_t used() const { return used_; }
  PageKind kind() const { return pages_.kind(); }

 private:
  Pages pages_;
  std::size_t used_ = 0;
};

}  // namespace baton::tensor
