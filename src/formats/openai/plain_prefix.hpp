#pragma once
// How far a JSON string goes on without a byte that needs a look.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace baton::openai {

// The quote, an escape, a control byte, a non-ASCII byte.
inline bool is_special(char c) {
  auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

// Of eight bytes, those before the first special one.
inline std::size_t plain_of_eight(const char* bytes) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = 0x80 * kOnes;
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  // The lowest flag is exact: a borrow only sets flags above a true one.
  auto below = [](std::uint64_t value, std::uint64_t bound) {
    return (value - bound * kOnes) & ~value;
  };
  std::uint64_t flags = (word | below(word, 0x20) | below(word ^ ('"' * kOnes), 1) |
                         below(word ^ ('\\' * kOnes), 1)) &
                        kHighs;
  return static_cast<std::size_t>(std::countr_zero(flags)) / 8;
}

// Bytes before the first special one; all when there is none.
inline std::size_t plain_prefix(std::string_view text) {
  constexpr std::size_t kBlock = 32;
  std::size_t at = 0;
  while (at + kBlock <= text.size()) {  // without a branch inside, so that it becomes vector code
    const char* block = text.data() + at;
    unsigned special = 0;
    for (std::size_t i = 0; i < kBlock; ++i) special |= is_special(block[i]) ? 1U : 0U;
    if (special != 0) break;
    at += kBlock;
  }
  while (at + 8 <= text.size()) {
    std::size_t plain = plain_of_eight(text.data() + at);
    at += plain;
    if (plain < 8) return at;
  }
  while (at < text.size() && !is_special(text[at])) ++at;
  return at;
}

}  // namespace baton::openai
