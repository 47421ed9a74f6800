#pragma once
// Hashes over token ids: the chain that names a prefix block, and the digest that names a prompt.
// XXH3-128: fast, not cryptographic. Users that must never confuse two prefixes compare the token
// ids as well, and seed the chain with a secret.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace baton::kv {

struct Digest {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

std::string hex(const Digest& digest);

// Of any bytes.
Digest digest(std::string_view bytes, std::uint64_t seed = 0);
// Of a token sequence; the same on every engine.
Digest digest(std::span<const std::uint32_t> tokens, std::uint64_t seed = 0);
// The name of a block that follows the prefix named `parent` (default: none).
Digest chain(const Digest& parent, std::span<const std::uint32_t> block, std::uint64_t seed);

}  // namespace baton::kv

template <>
struct std::hash<baton::kv::Digest> {
  std::size_t operator()(const baton::kv::Digest& d) const noexcept { return d.low; }
};
