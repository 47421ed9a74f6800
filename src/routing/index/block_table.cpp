#include "routing/index/block_table.hpp"

#include <utility>

namespace baton::index {
namespace {

constexpr std::size_t kFirstCapacity = 16;

}  // namespace

BlockTable::Shard::Shard(std::size_t n)
    : capacity(n), limit(n * 7 / 10), cells(std::make_unique<Cell[]>(n)) {}

BlockTable::BlockTable(Grace& grace) : grace_(grace) {
  // Spread over one step of growth.
  for (std::size_t i = 0; i < kShards; ++i) {
    const auto capacity = kFirstCapacity + kFirstCapacity * i / (kShards * 8);
    shards_[i].store(std::make_unique<Shard>(capacity).release());
  }
}

BlockTable::~BlockTable() {
  for (auto& each : shards_) {
    const std::unique_ptr<Shard> shard(each.load());
    for (std::size_t at = 0; at < shard->capacity; ++at) {
      Holders(shard->cells[at].holders).destroy();
    }
  }
}

BlockTable::Cell& BlockTable::insert(std::uint64_t hash, Place place) {
  Cell* const cells = place.shard->cells.get();
  while (true) {
    Cell& cell = cells[place.at];
    const auto found = cell.hash.load(std::memory_order_relaxed);
    if (found == hash) return cell;
    if (found == 0) {
      cell.hash.store(hash, std::memory_order_release);
      ++place.shard->used;
      return cell;
    }
    if (++place.at == place.shard->capacity) place.at = 0;
  }
}

BlockTable::Cell& BlockTable::add(std::uint64_t hash, Place place) {
  const auto which = shard_of(hash);
  auto* shard = shards_[which].load(std::memory_order_relaxed);
  if (shard->used >= shard->limit) shard = &grow(which);
  if (place.shard != shard) place = {shard, home(hash, shard->capacity)};
  return insert(hash, place);
}

void BlockTable::erase(Place place, Cell* cell) {
  auto& shard = *place.shard;
  Cell* const cells = shard.cells.get();
  const auto capacity = shard.capacity;
  auto hole = static_cast<std::size_t>(cell - cells);
  const auto after = [&](std::size_t at, std::size_t from) {
    return at >= from ? at - from : at + capacity - from;
  };
  // Cells that probed past the hole move up, so that every hash is still found from its home.
  for (auto at = hole;;) {
    if (++at == capacity) at = 0;
    const auto key = cells[at].hash.load(std::memory_order_relaxed);
    if (key == 0) break;
    if (after(at, home(key, capacity)) < after(at, hole)) continue;
    cells[hole].holders.store(cells[at].holders.load(std::memory_order_relaxed),
                              std::memory_order_release);
    cells[hole].hash.store(key, std::memory_order_release);
    hole = at;
  }
  cells[hole].hash.store(0, std::memory_order_release);
  cells[hole].holders.store(0, std::memory_order_relaxed);
  --shard.used;
}

BlockTable::Shard& BlockTable::grow(std::size_t which) {
  std::unique_ptr<Shard> old(shards_[which].load());
  auto fresh = std::make_unique<Shard>(old->capacity + old->capacity / 8);
  for (std::size_t at = 0; at < old->capacity; ++at) {
    const auto key = old->cells[at].hash.load(std::memory_order_relaxed);
    if (key == 0) continue;
    insert(key, {fresh.get(), home(key, fresh->capacity)})
        .holders.store(old->cells[at].holders.load(std::memory_order_relaxed),
                       std::memory_order_relaxed);
  }
  auto& grown = *fresh;
  shards_[which].store(fresh.release());
  grace_.retire(std::move(old));
  return grown;
}

}  // namespace baton::index
