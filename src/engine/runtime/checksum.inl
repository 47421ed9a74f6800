// XXH3 over pieces, for the instruction set of the file that includes this: checksum.cpp and one file a
// set, each compiled with its own flags. xxHash is inlined, so that nothing of it is shared among them.

#include <xxhash.h>

#include "engine/runtime/checksum.hpp"

namespace baton::runtime {
namespace {

std::uint64_t sum_of(const iovec* parts, std::size_t count) {
  if (count == 1) return XXH3_64bits(parts[0].iov_base, parts[0].iov_len);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (std::size_t i = 0; i < count; ++i)
    XXH3_64bits_update(&state, parts[i].iov_base, parts[i].iov_len);
  return XXH3_64bits_digest(&state);
}

}  // namespace
}  // namespace baton::runtime
