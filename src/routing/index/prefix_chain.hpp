#pragma once
// The hash chain of a prompt: h[i] stands for the bytes of blocks 0..i of one model's prompt.
// Picker reference 4.6: h0 = XXH64(model), h[i] = XXH64(LE64(XXH64(block i)) . LE64(h[i-1])).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace baton::index {

inline constexpr std::size_t kMaxBlockBytes = 4096;

// A value; fed in pieces of any size. Bytes after `max_blocks` blocks are counted, not hashed.
class PrefixChain {
 public:
  // 0 < block_bytes <= kMaxBlockBytes.
  PrefixChain(std::string_view model, std::size_t block_bytes, std::size_t max_blocks);

  void append(std::string_view bytes);

  // One per whole block, in order.
  std::span<const std::uint64_t> blocks() const { return blocks_; }
  std::size_t block_bytes() const { return block_bytes_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void add_block(const char* block);

  std::size_t block_bytes_;
  std::size_t max_blocks_;
  std::size_t bytes_ = 0;
  std::uint64_t last_;
  std::vector<std::uint64_t> blocks_;
  std::vector<char> partial_;  // the bytes since the last whole block
};

}  // namespace baton::index
