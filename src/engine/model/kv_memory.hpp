#pragma once
// The memory that paged KV lives in.
//
//   [layer][block][slot] rows of [2 (K, V)][kv_head][head_dim] elements
//
// A row is one token of one layer, K already rotated. A row does not depend on the block size, so
// two engines with different block sizes exchange rows. K and V are stored in `dtype`; the last
// token of a sequence may fill a block partly.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/tensor/paged_rows.hpp"
#include "engine/tensor/pages.hpp"

namespace baton::model {

enum class KvType : std::uint8_t { kBf16, kF32 };
inline std::size_t bytes_per_element(KvType t) { return t == KvType::kBf16 ? 2 : 4; }

struct KvShape {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  KvType type = KvType::kBf16;

  std::size_t row_elements() const { return 2 * kv_heads * head_dim; }
  std::size_t row_bytes() const { return row_elements() * bytes_per_element(type); }
  friend bool operator==(const KvShape&, const KvShape&) = default;
};

using tensor::BlockIndex;

// Owns the memory. Writers are the model's forward pass and the KV transfer, both driven by the
// engine thread's decisions about who owns which block.
class KvMemory {
 public:
  static std::size_t bytes(const KvShape& shape, std::size_t blocks, std::size_t block_size) {
    return shape.layers * blocks * block_size * shape.row_bytes();
  }
  KvMemory(KvShape shape, std::size_t blocks, std::size_t block_size)
      : KvMemory(shape, blocks, block_size,
                 tensor::Pages::of_own(bytes(shape, blocks, block_size))) {}
  // Contract: `pages` hold that many bytes.
  KvMemory(KvShape shape, std::size_t blocks, std::size_t block_size, tensor::Pages pages);

  std::byte* row(std::size_t layer, BlockIndex block, std::size_t slot) {
    return pages_.data() +
           ((layer * blocks_ + static_cast<std::size_t>(block)) * block_size_ + slot) * row_bytes_;
  }
  const std::byte* row(std::size_t layer, BlockIndex block, std::size_t slot) const {
    return const_cast<KvMemory*>(this)->row(layer, block, slot);
  }
  const KvShape& shape() const { return shape_; }
  std::size_t blocks() const { return blocks_; }
  std::size_t block_size() const { return block_size_; }  // tokens
  const tensor::Pages& pages() const { return pages_; }

 private:
  KvShape shape_;
  std::size_t blocks_;
  std::size_t block_size_;
  std::size_t row_bytes_;
  tensor::Pages pages_;
};

}  // namespace baton::model
