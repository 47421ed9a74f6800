#pragma once
// Memory straight from the kernel: zeroed, paid for when written, in huge pages where there are
// any.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/core/result.hpp"

namespace baton::tensor {

// What backs it: pages that were reserved for this (hugetlbfs), huge ones that the kernel forms as
// memory is written (transparent huge pages), or ordinary ones.
enum class PageKind : std::uint8_t { kReserved, kTransparent, kSmall };
std::string_view name(PageKind kind);  // "reserved huge pages", …

// Owns the mapping.
class Pages {
 public:
  Pages() = default;
  // Of this process alone.
  static Pages of_own(std::size_t bytes);
  // Others who are given descriptor() can map it too, but not write, shrink or grow it.
  static Pages to_share(std::size_t bytes);
  // What another process shares, to read. kInvalid: it is smaller than `bytes`, or its owner could
  // cut it short under our eyes.
  static Result<Pages> of_another(int descriptor, std::size_t bytes);
  ~Pages();
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept;

  std::byte* data() const { return memory_; }
  std::size_t bytes() const { return bytes_; }
  PageKind kind() const { return kind_; }
  int descriptor() const { return descriptor_; }  // -1: not shared

 private:
  std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;  // mapped
  PageKind kind_ = PageKind::kSmall;
  int descriptor_ = -1;  // owned
};

}  // namespace baton::tensor
