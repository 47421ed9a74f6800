#pragma once
// Which endpoint slots hold which block hashes. One writer thread, lock-free readers.
//
//   BlockTable     hash -> Holders (the slots that hold it, and whether each used it again)
//   per slot       Recency, the queue that tells what to forget first (writer only): a block that
//                  was used again meanwhile goes to its end instead, once ("second chance")
//   Grace          frees replaced memory once no reader can still be inside it
//
// Recording a run costs one probe of the table a block, for all slots of the run, and eight bytes
// written in order for each slot.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/index/block_table.hpp"
#include "routing/index/grace.hpp"
#include "routing/index/holders.hpp"
#include "routing/index/prefix_matches.hpp"
#include "routing/index/recency.hpp"

namespace baton::index {

class PrefixIndex {
 public:
  struct Config {
    std::size_t slots = 256;           // endpoints, at most kMaxSlots
    std::size_t lru_capacity = 31250;  // blocks remembered per slot, unless set_capacity says
    std::uint32_t odd_weight = 1;      // blocks that a hash with its lowest bit set stands for
  };
  explicit PrefixIndex(Config config);

  // Any thread, wait-free. Cost: one table probe per block until nobody holds it.
  void match(std::span<const std::uint64_t> blocks, Matches& into) const;
  // The same by slot: matched[slot] = how many leading blocks the slot holds; all entries of
  // `matched` are written.
  void match(std::span<const std::uint64_t> blocks, std::span<std::uint32_t> matched) const;

  // Writer only. Each of the slots now holds these blocks (as many of the first as it has room
  // for).
  void record(std::span<const Slot> slots, std::span<const std::uint64_t> blocks);
  void record(Slot slot, std::span<const std::uint64_t> blocks) {
    record(std::span(&slot, 1), blocks);
  }
  // Writer only. The slot no longer holds these blocks, as far as it did.
  void remove(Slot slot, std::span<const std::uint64_t> blocks);
  // Writer only. From now on the slot remembers so many blocks, > 0, until forget(); what is over
  // leaves at once.
  void set_capacity(Slot slot, std::size_t blocks);
  // Writer only. Blocks.
  std::size_t capacity(Slot slot) const { return slots_[slot].capacity; }
  // Writer only. The endpoint left: its slot holds nothing and has the capacity of the others.
  void forget(Slot slot);
  // Writer only. Blocks.
  std::size_t held(Slot slot) const { return slots_[slot].held; }

 private:
  struct PerSlot {
    Recency recency;
    std::uint32_t held = 0;      // blocks
    std::uint32_t capacity = 0;  // blocks
  };

  void touch(BlockTable::Cell& cell, std::uint64_t hash, Slot slot);
  void put_mark(BlockTable::Cell& cell, Slot slot, Mark mark);
  void take(BlockTable::Cell* cell, std::uint64_t hash, BlockTable::Place place, Slot slot);
  void release(std::uint64_t hash, BlockTable::Place place, Slot slot);
  void drop(std::uint64_t hash, Slot slot);
  void evict(Slot slot);
  void compact(Slot slot);
  std::uint32_t weight(std::uint64_t hash) const { return (hash & 1) != 0 ? odd_weight_ : 1; }
  template <class F>
  void filter_queue(Slot slot, F&& keeps);

  std::uint32_t lru_capacity_;
  std::uint32_t odd_weight_;
  Grace grace_;
  BlockTable table_;
  std::vector<PerSlot> slots_;
  std::size_t used_slots_ = 0;  // the highest so far + 1
  struct Fresh {
    std::uint64_t hash;
    Slot slot;
  };
  std::vector<Fresh> fresh_;  // of the run being recorded: held now, queued after room was made
};

}  // namespace baton::index
