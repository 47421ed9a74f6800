#pragma once
// Which endpoint slots hold which block hashes. One writer thread, lock-free readers.
//
//   table (open addressing, linear probing, power of two)
//     entry  [hash | slot mask word 0 | word 1 | ...]     hash 0 = never used; as many words as
//                                                         the highest slot so far needs
//   per slot: an intrusive LRU list over the hashes it holds (writer only)
//
// An entry whose mask is empty goes, and those behind it move up. A table that is 5/8 full is
// replaced; the old one is freed once no reader can still be inside it.
// A reader that meets an entry while it moves may miss it, or take the mask of another hash: a
// wrong guess for one request, never wrong memory.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace baton::index {

using Slot = std::uint32_t;

class PrefixIndex {
 public:
  struct Config {
    std::size_t slots = 256;           // endpoints, rounded up to 64
    std::size_t lru_capacity = 31250;  // hashes remembered per slot
  };
  explicit PrefixIndex(Config config);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // Any thread, wait-free. matched[slot] = how many leading blocks the slot holds; all entries of
  // `matched` are written. Cost: one table probe per block until nobody holds it.
  void match(std::span<const std::uint64_t> blocks, std::span<std::uint32_t> matched) const;

  // Writer only. The slot now holds these blocks (the first lru_capacity of them).
  void record(Slot slot, std::span<const std::uint64_t> blocks);
  // Writer only. The endpoint left: its slot holds nothing.
  void forget(Slot slot);
  // Writer only.
  std::size_t held(Slot slot) const;

 private:
  class Table;
  class Lru;

  void set(std::uint64_t hash, Slot slot);
  void clear(std::uint64_t hash, Slot slot);
  void evict(Lru& lru, Slot slot);
  void rebuild(std::size_t words);

  std::size_t lru_capacity_;
  std::atomic<const Table*> table_;
  mutable std::atomic<std::uint32_t> readers_ = 0;
  // Writer's side.
  std::unique_ptr<Table> current_;
  std::vector<std::unique_ptr<Table>> retired_;
  std::vector<std::unique_ptr<Lru>> lrus_;  // by slot
  std::vector<std::uint64_t> leaving_;      // of evict()
};

}  // namespace baton::index
