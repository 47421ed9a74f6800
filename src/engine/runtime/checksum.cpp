#include "engine/runtime/checksum.hpp"

#include "engine/runtime/checksum.inl"

namespace baton::runtime {

std::uint64_t detail::checksum_portable(const iovec* parts, std::size_t count) {
  return sum_of(parts, count);
}

namespace {

using Sum = std::uint64_t (*)(const iovec*, std::size_t);

Sum widest_sum() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") != 0) return &detail::checksum_avx512;
  if (__builtin_cpu_supports("avx2") != 0) return &detail::checksum_avx2;
#endif
  return &detail::checksum_portable;
}

}  // namespace

std::uint64_t checksum(std::span<const iovec> parts) {
  static const Sum sum = widest_sum();
  return sum(parts.data(), parts.size());
}

}  // namespace baton::runtime
