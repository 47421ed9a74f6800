#include "routing/index/prefix_index.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

constexpr std::size_t kAhead = 12;  // blocks between asking for a cell's memory and using it
constexpr std::size_t kBatch = 64;  // hashes taken from a queue at once
constexpr std::size_t kSlack = 8;   // places in a queue beyond once and a half what is held

// 0 marks an unused cell, so no hash may be 0.
std::uint64_t key_of(std::uint64_t hash) { return hash == 0 ? 1 : hash; }

}  // namespace

PrefixIndex::PrefixIndex(Config config)
    : lru_capacity_(static_cast<std::uint32_t>(config.lru_capacity)),
      odd_weight_(config.odd_weight),
      table_(grace_),
      slots_(config.slots) {
  BATON_ASSERT(config.slots > 0 && config.slots <= kMaxSlots && config.lru_capacity > 0 &&
               config.lru_capacity <= UINT32_MAX && config.odd_weight > 0);
  for (auto& slot : slots_) slot.capacity = lru_capacity_;
}

void PrefixIndex::match(std::span<const std::uint64_t> blocks, Matches& into) const {
  constexpr std::size_t kLook = 8;  // a power of two
  const Grace::Reader inside(grace_);
  std::array<BlockTable::Place, kLook> places;
  const auto look = [&](std::size_t at) {
    if (at < blocks.size()) places[at % kLook] = table_.locate(key_of(blocks[at]));
  };
  for (std::size_t at = 0; at < kLook; ++at) look(at);
  into.begin();
  for (std::size_t at = 0; at < blocks.size(); ++at) {
    const auto holders = BlockTable::find(key_of(blocks[at]), places[at % kLook]);
    if (!into.step(holders)) break;
    look(at + kLook);
  }
  into.end();
}

void PrefixIndex::match(std::span<const std::uint64_t> blocks,
                        std::span<std::uint32_t> matched) const {
  BATON_ASSERT(matched.size() <= slots_.size());
  thread_local Matches matches;
  match(blocks, matches);
  matches.expand(matched);
}

void PrefixIndex::record(std::span<const Slot> slots, std::span<const std::uint64_t> blocks) {
  std::size_t room = 0;
  for (const auto slot : slots) {
    BATON_ASSERT(slot < slots_.size());
    room = std::max<std::size_t>(room, slots_[slot].capacity);
    used_slots_ = std::max<std::size_t>(used_slots_, slot + 1);
  }
  blocks = blocks.first(std::min(blocks.size(), room));
  // From the end, so that the head of the chain is the last to be forgotten.
  std::array<BlockTable::Place, kAhead> places;
  const auto count = blocks.size();
  const auto key = [&](std::size_t i) { return key_of(blocks[count - 1 - i]); };
  const auto look = [&](std::size_t i) {
    if (i < count) places[i % kAhead] = table_.locate(key(i));
  };
  fresh_.clear();
  for (std::size_t i = 0; i < kAhead; ++i) look(i);
  for (std::size_t i = 0; i < count; ++i) {
    auto& cell = table_.add(key(i), places[i % kAhead]);
    for (const auto slot : slots) touch(cell, key(i), slot);
    look(i + kAhead);
  }
  for (const auto slot : slots) evict(slot);
  for (const auto& [hash, slot] : fresh_) slots_[slot].recency.push(hash);
  for (const auto slot : slots) {
    evict(slot);    // of a run that alone is too long
    compact(slot);  // when many were removed before
  }
  grace_.advance();
}

void PrefixIndex::touch(BlockTable::Cell& cell, std::uint64_t hash, Slot slot) {
  const Holders holders(cell.holders.load(std::memory_order_relaxed));
  const auto mark = holders.mark(slot);
  if ((mark & kUsed) != 0) return;
  put_mark(cell, slot, mark == 0 ? kHeld : mark | kUsed);
  if (mark != 0) return;
  slots_[slot].held += weight(hash);
  fresh_.push_back({hash, slot});
}

void PrefixIndex::put_mark(BlockTable::Cell& cell, Slot slot, Mark mark) {
  const Holders holders(cell.holders.load(std::memory_order_relaxed));
  cell.holders.store(holders.with(slot, mark, used_slots_, grace_).bits(),
                     std::memory_order_release);
}

void PrefixIndex::take(BlockTable::Cell* cell, std::uint64_t hash, BlockTable::Place place,
                       Slot slot) {
  slots_[slot].held -= weight(hash);
  const Holders holders(cell->holders.load(std::memory_order_relaxed));
  const auto left = holders.without(slot, grace_);
  if (left.none()) {
    BlockTable::erase(place, cell);
  } else {
    cell->holders.store(left.bits(), std::memory_order_release);
  }
}

// The block has come to the front of the slot's queue.
void PrefixIndex::release(std::uint64_t hash, BlockTable::Place place, Slot slot) {
  auto* cell = BlockTable::find_cell(hash, place);
  if (cell == nullptr) return;
  const auto mark = Holders(cell->holders.load(std::memory_order_relaxed)).mark(slot);
  if (mark == 0) return;  // removed before
  if ((mark & kUsed) == 0) return take(cell, hash, place, slot);
  put_mark(*cell, slot, kHeld);
  slots_[slot].recency.push(hash);
}

// Whatever places it has in the queue.
void PrefixIndex::drop(std::uint64_t hash, Slot slot) {
  const auto place = table_.locate(hash);
  auto* cell = BlockTable::find_cell(hash, place);
  if (cell == nullptr) return;
  if (Holders(cell->holders.load(std::memory_order_relaxed)).mark(slot) == 0) return;
  take(cell, hash, place, slot);
}

// What is over the capacity, as far as it is queued.
void PrefixIndex::evict(Slot slot) {
  auto& state = slots_[slot];
  std::array<std::uint64_t, kBatch> leaving;
  std::array<BlockTable::Place, kBatch> places;
  while (state.held > state.capacity && state.recency.size() > 0) {
    const auto count = std::min<std::size_t>(
        {kBatch, (state.held - state.capacity + odd_weight_ - 1) / odd_weight_,
         state.recency.size()});
    for (std::size_t i = 0; i < count; ++i) {
      leaving[i] = state.recency.pop();
      places[i] = table_.locate(leaving[i]);
    }
    for (std::size_t i = 0; i < count; ++i) release(leaving[i], places[i], slot);
  }
}

// Takes each hash out of the slot's queue, oldest first, and puts back those that `keeps` wants;
// it is called with the block's cell and the slot's mark there.
template <class F>
void PrefixIndex::filter_queue(Slot slot, F&& keeps) {
  auto& queue = slots_[slot].recency;
  std::array<std::uint64_t, kBatch> batch;
  std::array<BlockTable::Place, kBatch> places;
  for (auto left = queue.size(); left > 0;) {
    const auto count = std::min(kBatch, left);
    left -= count;
    for (std::size_t i = 0; i < count; ++i) {
      batch[i] = queue.pop();
      places[i] = table_.locate(batch[i]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      auto* cell = BlockTable::find_cell(batch[i], places[i]);
      if (cell == nullptr) continue;
      const auto mark = Holders(cell->holders.load(std::memory_order_relaxed)).mark(slot);
      if (mark != 0 && keeps(*cell, mark)) queue.push(batch[i]);
    }
  }
}

// Drops the places of blocks no longer held, and of those that have an earlier one, once they are
// a third of the queue: about six probes of the table for each that goes.
void PrefixIndex::compact(Slot slot) {
  const auto& state = slots_[slot];
  if (state.recency.size() <= state.held + state.held / 2 + kSlack) return;
  filter_queue(slot, [&](BlockTable::Cell& cell, Mark mark) {
    if ((mark & kCounted) != 0) return false;
    put_mark(cell, slot, mark | kCounted);
    return true;
  });
  filter_queue(slot, [&](BlockTable::Cell& cell, Mark mark) {
    put_mark(cell, slot, mark & ~kCounted);
    return true;
  });
}

void PrefixIndex::remove(Slot slot, std::span<const std::uint64_t> blocks) {
  BATON_ASSERT(slot < slots_.size());
  for (std::size_t at = 0; at < blocks.size(); ++at) {
    if (at + kAhead < blocks.size()) (void)table_.locate(key_of(blocks[at + kAhead]));
    drop(key_of(blocks[at]), slot);
  }
  compact(slot);
  grace_.advance();
}

void PrefixIndex::forget(Slot slot) {
  BATON_ASSERT(slot < slots_.size());
  auto& state = slots_[slot];
  while (state.recency.size() > 0) drop(state.recency.pop(), slot);
  state = {.recency = {}, .held = 0, .capacity = lru_capacity_};
  grace_.advance();
}

void PrefixIndex::set_capacity(Slot slot, std::size_t blocks) {
  BATON_ASSERT(slot < slots_.size() && blocks > 0 && blocks <= UINT32_MAX);
  slots_[slot].capacity = static_cast<std::uint32_t>(blocks);
  evict(slot);
  grace_.advance();
}

}  // namespace baton::index
