// checksum.cpp for AVX-512; this file alone is compiled with it.

#include "engine/runtime/checksum.hpp"

#include <xxhash.h>

namespace baton::runtime {

std::uint64_t detail::checksum_avx512(const iovec* parts, std::size_t count) {
  if (count == 1) return XXH3_64bits(parts[0].iov_base, parts[0].iov_len);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (std::size_t i = 0; i < count; ++i)
    XXH3_64bits_update(&state, parts[i].iov_base, parts[i].iov_len);
  return XXH3_64bits_digest(&state);
}

}  // namespace baton::runtime
