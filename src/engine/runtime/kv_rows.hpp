#pragma once
// Token rows of paged KV as memory areas for the socket calls.

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/kv_memory.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {

// How many rows of one layer move at once: small enough to stay in the cache between socket and
// checksum.
std::size_t rows_per_frame(const model::KvShape& shape);

kv::RowShape wire_shape(const model::KvShape& shape);

// Tokens [first, first + count) of a sequence whose block table is `blocks`; areas of neighbouring
// blocks are joined. The areas may be written only by the owner of the blocks.
std::vector<iovec> rows_of(const model::KvMemory& memory, std::size_t layer,
                           std::span<const model::BlockIndex> blocks, std::size_t first,
                           std::size_t count);

// From the one to the other. Contract: of equal size in all.
void copy(std::span<const iovec> from, std::span<const iovec> into);

}  // namespace baton::runtime
