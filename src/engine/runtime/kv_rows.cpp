#define XXH_STATIC_LINKING_ONLY  // for a hash state on the stack
#include "engine/runtime/kv_rows.hpp"

#include <xxhash.h>

#include <algorithm>

namespace baton::runtime {
namespace {

constexpr std::size_t kFrameBytes = std::size_t{256} << 10;

}  // namespace

std::size_t rows_per_frame(const model::KvShape& shape) {
  return std::max<std::size_t>(1, kFrameBytes / shape.row_bytes());
}

kv::RowShape wire_shape(const model::KvShape& shape) {
  return {static_cast<std::uint32_t>(shape.layers), static_cast<std::uint32_t>(shape.kv_heads),
          static_cast<std::uint32_t>(shape.head_dim),
          static_cast<std::uint32_t>(model::bytes_per_element(shape.type))};
}

std::vector<iovec> rows_of(const model::KvMemory& memory, std::size_t layer,
                           std::span<const model::BlockIndex> blocks, std::size_t first,
                           std::size_t count) {
  const std::size_t size = memory.block_size();
  const std::size_t row_bytes = memory.shape().row_bytes();
  std::vector<iovec> out;
  for (std::size_t token = first; token < first + count;) {
    const std::size_t slot = token % size;
    const std::size_t rows = std::min(size - slot, first + count - token);
    auto* start = const_cast<std::byte*>(memory.row(layer, blocks[token / size], slot));
    if (!out.empty() && static_cast<std::byte*>(out.back().iov_base) + out.back().iov_len == start)
      out.back().iov_len += rows * row_bytes;
    else
      out.push_back({start, rows * row_bytes});
    token += rows;
  }
  return out;
}

std::uint64_t checksum(std::span<const iovec> parts) {
  if (parts.size() == 1) return XXH3_64bits(parts[0].iov_base, parts[0].iov_len);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const iovec& part : parts) XXH3_64bits_update(&state, part.iov_base, part.iov_len);
  return XXH3_64bits_digest(&state);
}

}  // namespace baton::runtime
