#pragma once
// Token rows of paged KV as memory areas for the socket calls.

#include <sys/uio.h>

#include <cstddef>
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

// Whether what is written stays near the cores, or goes past the caches: that spares reading what
// is overwritten, and a quarter of the time, where there is more than the caches hold.
enum class Caches : std::uint8_t { kThrough, kPast };

// From the one to the other. Contract: of equal size in all.
void copy_areas(std::span<const iovec> from, std::span<const iovec> into, Caches caches);

namespace detail {
void stream_avx2(std::byte* to, const std::byte* from, std::size_t bytes);
}  // namespace detail

}  // namespace baton::runtime
