// checksum.inl for AVX-512; this file alone is compiled with it.

#include "engine/runtime/checksum.inl"

namespace baton::runtime {

std::uint64_t detail::checksum_avx512(const iovec* parts, std::size_t count) {
  return sum_of(parts, count);
}

}  // namespace baton::runtime
