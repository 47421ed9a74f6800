#include "control/plan/md5.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace baton::plan {
namespace {

using State = std::array<std::uint32_t, 4>;

// RFC 1321: floor(2^32 * abs(sin(i + 1))).
const std::array<std::uint32_t, 64>& sines() {
  static const auto kTable = [] {
    std::array<std::uint32_t, 64> table{};
    for (std::size_t i = 0; i < 64; ++i) {
      table[i] = static_cast<std::uint32_t>(
          std::floor(std::fabs(std::sin(static_cast<double>(i + 1))) * 4294967296.0));
    }
    return table;
  }();
  return kTable;
}

constexpr int kRotations[4][4] = {
    {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

void mix(State& state, std::string_view block) {
  std::array<std::uint32_t, 16> word{};
  for (std::size_t i = 0; i < 64; ++i) {
    word[i / 4] |= std::uint32_t{static_cast<unsigned char>(block[i])} << (8 * (i % 4));
  }
  auto [a, b, c, d] = state;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t round = i / 16;
    std::uint32_t f = 0;
    std::size_t pick = i;
    if (round == 0) f = (b & c) | (~b & d);
    if (round == 1) f = (d & b) | (~d & c), pick = 5 * i + 1;
    if (round == 2) f = b ^ c ^ d, pick = 3 * i + 5;
    if (round == 3) f = c ^ (b | ~d), pick = 7 * i;
    f += a + sines()[i] + word[pick % 16];
    a = d;
    d = c;
    c = b;
    b += std::rotl(f, kRotations[round][i % 4]);
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

}  // namespace

std::string md5_hex(std::string_view text) {
  std::string padded(text);
  padded += '\x80';
  while (padded.size() % 64 != 56) padded += '\0';
  const std::uint64_t bits = std::uint64_t{text.size()} * 8;
  for (int i = 0; i < 8; ++i) padded += static_cast<char>((bits >> (8 * i)) & 0xff);

  State state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  for (std::size_t at = 0; at < padded.size(); at += 64) {
    mix(state, std::string_view(padded).substr(at, 64));
  }
  std::string out;
  for (const std::uint32_t word : state) {
    fmt::format_to(std::back_inserter(out), "{:08x}", std::byteswap(word));
  }
  return out;
}

}  // namespace baton::plan
