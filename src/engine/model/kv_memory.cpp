#include "engine/model/kv_memory.hpp"

#include "base/core/assert.hpp"

namespace baton::model {

KvMemory::KvMemory(KvShape shape, std::size_t blocks, std::size_t block_size, tensor::Pages pages)
    : shape_(shape),
      blocks_(blocks),
      block_size_(block_size),
      row_bytes_(shape.row_bytes()),
      pages_(std::move(pages)) {
  BATON_ASSERT(pages_.bytes() >= bytes(shape, blocks, block_size));
}

}  // namespace baton::model
