// checksum.inl for AVX2; this file alone is compiled with it.

#include "engine/runtime/checksum.inl"

namespace baton::runtime {

std::uint64_t detail::checksum_avx2(const iovec* parts, std::size_t count) {
  return sum_of(parts, count);
}

}  // namespace baton::runtime
