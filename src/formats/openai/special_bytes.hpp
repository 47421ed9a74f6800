#pragma once
// Where a JSON string has bytes that need a look: the quote, an escape, a control byte, non-ASCII.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace baton::openai {

inline bool is_special(char c) {
  return static_cast<signed char>(c) < ' ' || c == '"' || c == '\\';
}

// Looks at 64 bytes at once, and only once at each however many special ones there are. The text
// must outlive it.
class SpecialBytes {
 public:
  explicit SpecialBytes(std::string_view text) : text_(text) {}

  // The first one at or behind `from`; the text's end when there is none.
  std::size_t next(std::size_t from) {
    while (from < text_.size()) {
      if (from / kBlock != block_) look(from / kBlock);
      const std::uint64_t ahead = bits_ >> (from % kBlock);
      if (ahead != 0) return from + static_cast<std::size_t>(std::countr_zero(ahead));
      from = (block_ + 1) * kBlock;
    }
    return text_.size();
  }

 private:
  static constexpr std::size_t kBlock = 64;
  using Block = signed char __attribute__((ext_vector_type(64)));
  using Bits = bool __attribute__((ext_vector_type(64)));

  void look(std::size_t block) {
    const std::string_view rest = text_.substr(block * kBlock);
    std::array<char, kBlock> end{};
    const char* bytes = rest.data();
    if (rest.size() < kBlock) {
      end.fill('.');  // not special
      std::memcpy(end.data(), rest.data(), rest.size());
      bytes = end.data();
    }
    block_ = block;
    bits_ = special(bytes);
  }

  // A bit for each of 64 bytes, the first one's lowest.
  static std::uint64_t special(const char* bytes) {
    static_assert(std::endian::native == std::endian::little);
    Block block;
    std::memcpy(&block, bytes, sizeof block);
    // As signed numbers, control and non-ASCII bytes are those below the space.
    const auto found = (block < ' ') | (block == '"') | (block == '\\');
    return std::bit_cast<std::uint64_t>(__builtin_convertvector(found, Bits));
  }

  std::string_view text_;
  std::size_t block_ = SIZE_MAX;  // that bits_ is of
  std::uint64_t bits_ = 0;
};

}  // namespace baton::openai
