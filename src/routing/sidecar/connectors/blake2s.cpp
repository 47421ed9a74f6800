#include "routing/sidecar/connectors/blake2s.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace baton::sidecar {

namespace {

constexpr std::size_t kBlock = 64;
// RFC 7693 2.6: the first 32 bits of the fractions of the square roots of the first primes.
constexpr std::array<std::uint32_t, 8> kStart = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
// RFC 7693 2.7: which word of the message each step takes, by round.
constexpr std::array<std::array<std::uint8_t, 16>, 10> kOrder = {{
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}};

using Words = std::array<std::uint32_t, 16>;

struct Lanes {
  std::size_t a, b, c, d;
};

void mix(Words& v, const Lanes& at, std::uint32_t x, std::uint32_t y) {
  const auto [a, b, c, d] = at;
  v[a] += v[b] + x;
  v[d] = std::rotr(v[d] ^ v[a], 16);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 12);
  v[a] += v[b] + y;
  v[d] = std::rotr(v[d] ^ v[a], 8);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 7);
}

// `block` holds the last bytes of the message when `last`, padded with zeros.
void compress(std::array<std::uint32_t, 8>& h, const std::array<std::uint8_t, kBlock>& block,
              std::uint64_t bytes_so_far, std::uint32_t last) {
  static constexpr std::array<Lanes, 8> kLanes = {{{0, 4, 8, 12},
                                                   {1, 5, 9, 13},
                                                   {2, 6, 10, 14},
                                                   {3, 7, 11, 15},
                                                   {0, 5, 10, 15},
                                                   {1, 6, 11, 12},
                                                   {2, 7, 8, 13},
                                                   {3, 4, 9, 14}}};
  Words m{};
  for (std::size_t i = 0; i < m.size(); ++i) {
    for (std::size_t byte = 4; byte-- > 0;) m[i] = m[i] << 8 | block[4 * i + byte];
  }
  Words v{};
  std::ranges::copy(h, v.begin());
  std::ranges::copy(kStart, v.begin() + 8);
  v[12] ^= static_cast<std::uint32_t>(bytes_so_far);
  v[13] ^= static_cast<std::uint32_t>(bytes_so_far >> 32);
  v[14] ^= last;
  for (const auto& order : kOrder) {
    for (std::size_t i = 0; i < kLanes.size(); ++i) {
      mix(v, kLanes[i], m[order[2 * i]], m[order[2 * i + 1]]);
    }
  }
  for (std::size_t i = 0; i < h.size(); ++i) h[i] ^= v[i] ^ v[i + 8];
}

}  // namespace

std::array<std::uint8_t, 32> blake2s(std::string_view text) {
  std::array<std::uint32_t, 8> h = kStart;
  h[0] ^= 0x01010020;  // parameters: 32 bytes out, no key, no tree
  std::uint64_t done = 0;
  do {
    std::array<std::uint8_t, kBlock> block{};
    std::string_view piece = text.substr(done, kBlock);
    std::ranges::copy(piece, block.begin());
    done += piece.size();
    compress(h, block, done, done == text.size() ? ~std::uint32_t{0} : 0);
  } while (done < text.size());
  std::array<std::uint8_t, 32> out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::uint8_t>(h[i / 4] >> (8 * (i % 4)));
  }
  return out;
}

}  // namespace baton::sidecar
