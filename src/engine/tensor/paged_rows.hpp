#pragma once
// Rows of one layer by position, through a block table.

#include <cstddef>
#include <cstdint>
#include <span>

namespace baton::tensor {

enum class BlockIndex : std::uint32_t {};

struct PagedRows {
  const std::byte* layer = nullptr;  // slot 0 of block 0
  std::size_t row_bytes = 0;
  std::size_t block_size = 0;
  std::span<const BlockIndex> blocks;

  const std::byte* at(std::size_t position) const {
    const auto block = static_cast<std::size_t>(blocks[position / block_size]);
    return layer + (block * block_size + position % block_size) * row_bytes;
  }
};

}  // namespace baton::tensor
