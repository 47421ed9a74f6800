#include "engine/model/kv_memory.hpp"

namespace baton::model {

KvMemory::KvMemory(KvShape shape, std::size_t blocks, std::size_t block_size)
    : shape_(shape),
      blocks_(blocks),
      block_size_(block_size),
      row_bytes_(shape.row_bytes()),
      memory_(std::make_unique_for_overwrite<std::byte[]>(shape.layers * blocks * block_size *
                                                          row_bytes_)) {}

}  // namespace baton::model
