#pragma once
// Block hash -> Holders. One writer, lock-free readers.
//
//   64 shards by the hash's low bits, each a table of its own that grows by itself
//     cell  [hash | holders]   open addressing, linear probing; hash 0 = unused
//     home  = the hash's high bits, scaled to the capacity, which need not be a power of two
//
// A shard that is 7/10 full is replaced by one an eighth larger; shards start at different sizes,
// so that they grow one after the other: the writer never stops for long, and the memory per cell
// is the same at any time. An unused cell is made by moving up those that probed past it; a reader
// that meets a cell while it moves may miss it, or take the holders of another hash: a wrong guess
// for one request, never wrong memory.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/core/assert.hpp"
#include "routing/index/grace.hpp"
#include "routing/index/holders.hpp"

namespace baton::index {

class BlockTable {
 public:
  struct Cell {
    std::atomic<std::uint64_t> hash = 0;
    std::atomic<std::uint64_t> holders = 0;
  };

  struct Shard {
    explicit Shard(std::size_t n);
    const std::size_t capacity;
    const std::size_t limit;  // of `used`
    std::size_t used = 0;     // the writer's
    std::unique_ptr<Cell[]> cells;
  };

  explicit BlockTable(Grace& grace);
  ~BlockTable();
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  // Where a hash is or would be. The writer's is good until the next add, which itself takes one of
  // before; a reader's while it is inside a Grace::Reader.
  struct Place {
    Shard* shard;
    std::size_t at;
  };
  // Asks for that memory. Any thread inside a Grace::Reader; and the writer. Contract: hash != 0.
  Place locate(std::uint64_t hash) const {
    Shard* shard = shards_[shard_of(hash)].load(std::memory_order_acquire);
    const Place place{shard, home(hash, shard->capacity)};
    __builtin_prefetch(shard->cells.get() + place.at);
    return place;
  }
  static Holders find(std::uint64_t hash, Place place) {
    const Cell* cell = find_cell(hash, place);
    return Holders(cell == nullptr ? 0 : cell->holders.load(std::memory_order_acquire));
  }

  // Writer only. The cell of `hash`, made when absent; the caller gives it a holder. Valid until
  // the next add or erase.
  Cell& add(std::uint64_t hash, Place place);
  // Null when absent.
  static Cell* find_cell(std::uint64_t hash, Place place) {
    Cell* const cells = place.shard->cells.get();
    while (true) {  // ends: three in ten cells are unused
      Cell& cell = cells[place.at];
      const auto found = cell.hash.load(std::memory_order_acquire);
      if (found == hash) return &cell;
      if (found == 0) return nullptr;
      if (++place.at == place.shard->capacity) place.at = 0;
    }
  }
  // Contract: nobody holds the cell's hash, whose current place this is.
  static void erase(Place place, Cell* cell);

 private:
  static constexpr std::size_t kShards = 64;

  // Hashes come from several functions, not all of them with good high bits.
  static std::uint64_t mixed(std::uint64_t hash) { return hash * 0x9E3779B97F4A7C15ULL; }
  static std::size_t shard_of(std::uint64_t hash) { return hash % kShards; }
  static std::size_t home(std::uint64_t hash, std::size_t capacity) {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(mixed(hash)) * capacity) >> 64);
  }
  static Cell& insert(std::uint64_t hash, Place place);
  Shard& grow(std::size_t which);

  Grace& grace_;
  std::array<std::atomic<Shard*>, kShards> shards_;
};

}  // namespace baton::index
