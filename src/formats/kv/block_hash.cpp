#include "formats/kv/block_hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace baton::kv {
namespace {

Digest of(XXH128_hash_t h) { return {h.high64, h.low64}; }

}  // namespace

std::string hex(const Digest& digest) {
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

Digest digest(std::string_view bytes, std::uint64_t seed) {
  return of(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

Digest digest(std::span<const std::uint32_t> tokens, std::uint64_t seed) {
  return of(XXH3_128bits_withSeed(tokens.data(), tokens.size_bytes(), seed));
}

Digest chain(const Digest& parent, std::span<const std::uint32_t> block, std::uint64_t seed) {
  // The parent enters through the seed and the result, so that it counts in full.
  const Digest own = digest(block, seed ^ parent.low);
  const std::uint64_t parts[] = {parent.high, parent.low, own.high, own.low};
  return of(XXH3_128bits_withSeed(parts, sizeof parts, seed));
}

}  // namespace baton::kv
