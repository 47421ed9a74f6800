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
    : lru_capacity_(config.lru_capacity),
      odd_weight_(config.odd_weight),
      table_(grace_),
      slots_(config.slots) {
  BATON_ASSERT(config.slots > 0 && config.slots <= kMaxSlots && config.lru_capacity > 0 &&
               config.odd_weight > 0);
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
  for (const auto slot : slots) {
    BATON_ASSERT(slot < slots_.size());
    used_slots_ = std::max<std::size_t>(used_slots_, slot + 1);
  }
  blocks = blocks.first(std::min(blocks.size(), lru_capacity_));
  // From the end, so that the head of the chain is the last to be forgotten.
  std::array<BlockTable::Place, kAhead> places;
  const auto count = blocks.size();
  const auto key = [&](std::size_t i) { return key_of(blocks[count - 1 - i]); };
  const auto look = [&](std::size_t i) {
    if (i < count) places[i % kAhead] = table_.locate(key(i));
  };
  for (std::size_t i = 0; i < kAhead; ++i) look(i);
  for (std::size_t i = 0; i < count; ++i) {
    auto& cell = table_.add(key(i), places[i % kAhead]);
    for (const auto slot : slots) touch(cell, key(i), slot);
    look(i + kAhead);
  }
  for (const auto slot : slots) {
    evict(slot);
    if (crowded(slots_[slot])) compact(slot);
  }
  grace_.advance();
}

void PrefixIndex::touch(BlockTable::Cell& cell, std::uint64_t hash, Slot slot) {
  const Holders holders(cell.holders.load(std::memory_order_relaxed));
  auto next = holders.one_more(slot);
  if (!next.known) {
    const auto count = holders.count(slot);
    // As often queued as can be counted: its place stays as it is until the queue is compacted.
    if (count == kMaxCount) return;
    next = {holders.with(slot, count + 1, used_slots_, grace_).bits(), true, count == 0};
  }
  cell.holders.store(next.bits, std::memory_order_release);
  auto& state = slots_[slot];
  state.recency.push(hash);
  if (next.changed) state.held += weight(hash);
}

// One of the block's places in the slot's queue is gone.
void PrefixIndex::release(std::uint64_t hash, BlockTable::Place place, Slot slot) {
  auto* cell = BlockTable::find_cell(hash, place);
  if (cell == nullptr) return;
  const Holders holders(cell->holders.load(std::memory_order_relaxed));
  auto next = holders.one_less(slot);
  if (!next.known) {
    const auto count = holders.count(slot);
    if (count == 0) return;  // removed before
    const auto left = count == 1 ? holders.without(slot, grace_)
                                 : holders.with(slot, count - 1, used_slots_, grace_);
    next = {left.bits(), true, count == 1};
  }
  if (next.changed) slots_[slot].held -= weight(hash);
  if (next.bits == 0) {
    BlockTable::erase(place, cell);
  } else {
    cell->holders.store(next.bits, std::memory_order_release);
  }
}

// All of the block's places are gone, or no longer mean anything.
void PrefixIndex::drop(std::uint64_t hash, Slot slot) {
  const auto place = table_.locate(hash);
  auto* cell = BlockTable::find_cell(hash, place);
  if (cell == nullptr) return;
  const Holders holders(cell->holders.load(std::memory_order_relaxed));
  if (holders.count(slot) == 0) return;
  slots_[slot].held -= weight(hash);
  const auto left = holders.without(slot, grace_);
  if (left.none()) {
    BlockTable::erase(place, cell);
  } else {
    cell->holders.store(left.bits(), std::memory_order_release);
  }
}

// What is over the capacity.
void PrefixIndex::evict(Slot slot) {
  auto& state = slots_[slot];
  std::array<std::uint64_t, kBatch> leaving;
  std::array<BlockTable::Place, kBatch> places;
  while (state.held > lru_capacity_) {
    const auto count =
        std::min<std::size_t>({kBatch, (state.held - lru_capacity_ + odd_weight_ - 1) / odd_weight_,
                               state.recency.size()});
    for (std::size_t i = 0; i < count; ++i) {
      leaving[i] = state.recency.pop();
      places[i] = table_.locate(leaving[i]);
    }
    for (std::size_t i = 0; i < count; ++i) release(leaving[i], places[i], slot);
  }
}

// Compacting costs about three probes of the table for each place that it drops.
bool PrefixIndex::crowded(const PerSlot& state) {
  return state.recency.size() > state.held + state.held / 2 + kSlack;
}

// Takes each hash out of the slot's queue, oldest first; visit(hash, how often it is counted).
// What was put back meanwhile comes after all these.
template <class F>
void PrefixIndex::each_queued(Slot slot, F&& visit) {
  auto& queue = slots_[slot].recency;
  std::array<std::uint64_t, kBatch> batch;
  for (auto left = queue.size(); left > 0;) {
    const auto count = std::min(kBatch, left);
    left -= count;
    for (std::size_t i = 0; i < count; ++i) {
      batch[i] = queue.pop();
      (void)table_.locate(batch[i]);
    }
    for (std::size_t i = 0; i < count; ++i)
      visit(batch[i], BlockTable::find(batch[i], table_.locate(batch[i])).count(slot));
  }
}

// Drops the places of blocks that have a later one, and of those no longer held.
void PrefixIndex::compact(Slot slot) {
  auto& queue = slots_[slot].recency;
  std::uint32_t last = 1;  // how often a block is counted at its last place
  if (std::exchange(slots_[slot].removed, false)) {
    recount(slot);
    last = 2;
  }
  each_queued(slot, [&](std::uint64_t hash, std::uint32_t count) {
    if (count > last) release(hash, table_.locate(hash), slot);
    if (count != last) return;
    set_count(hash, slot, 1);
    queue.push(hash);
  });
}

// Makes every count one more than the block's places in the queue, up to kMaxCount.
void PrefixIndex::recount(Slot slot) {
  auto& queue = slots_[slot].recency;
  each_queued(slot, [&](std::uint64_t hash, std::uint32_t count) {
    if (count == 0) return;
    set_count(hash, slot, 1);
    queue.push(hash);
  });
  each_queued(slot, [&](std::uint64_t hash, std::uint32_t count) {
    set_count(hash, slot, std::min(count + 1, kMaxCount));
    queue.push(hash);
  });
}

void PrefixIndex::set_count(std::uint64_t hash, Slot slot, std::uint32_t count) {
  auto* cell = BlockTable::find_cell(hash, table_.locate(hash));
  const Holders holders(cell->holders.load(std::memory_order_relaxed));
  cell->holders.store(holders.with(slot, count, used_slots_, grace_).bits(),
                      std::memory_order_release);
}

void PrefixIndex::remove(Slot slot, std::span<const std::uint64_t> blocks) {
  BATON_ASSERT(slot < slots_.size());
  for (std::size_t at = 0; at < blocks.size(); ++at) {
    if (at + kAhead < blocks.size()) (void)table_.locate(key_of(blocks[at + kAhead]));
    drop(key_of(blocks[at]), slot);
  }
  auto& state = slots_[slot];
  state.removed = true;
  if (crowded(state)) compact(slot);
  grace_.advance();
}

void PrefixIndex::forget(Slot slot) {
  BATON_ASSERT(slot < slots_.size());
  auto& state = slots_[slot];
  while (state.recency.size() > 0) drop(state.recency.pop(), slot);
  state = {};
  grace_.advance();
}

}  // namespace baton::index
