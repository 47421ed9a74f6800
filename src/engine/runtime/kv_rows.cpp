#include "engine/runtime/kv_rows.hpp"

#include <algorithm>
#include <cstring>

namespace baton::runtime {
namespace {

constexpr std::size_t kFrameBytes = std::size_t{128} << 10;

using Move = void (*)(std::byte*, const std::byte*, std::size_t);

void through_caches(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

Move past_caches() {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") != 0;
  if (avx2) return &detail::stream_avx2;
#endif
  return &through_caches;
}

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

void copy_areas(std::span<const iovec> from, std::span<const iovec> into, Caches caches) {
  const Move move = caches == Caches::kPast ? past_caches() : &through_caches;
  std::size_t taken = 0;  // of from.front()
  for (const iovec& part : into) {
    for (std::size_t done = 0; done < part.iov_len;) {
      const iovec& source = from.front();
      const std::size_t n = std::min(part.iov_len - done, source.iov_len - taken);
      move(static_cast<std::byte*>(part.iov_base) + done,
           static_cast<const std::byte*>(source.iov_base) + taken, n);
      done += n;
      taken += n;
      if (taken < source.iov_len) continue;
      from = from.subspan(1);
      taken = 0;
    }
  }
}

}  // namespace baton::runtime
