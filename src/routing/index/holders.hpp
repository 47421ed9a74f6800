#pragma once
// Which slots hold one block, in 64 bits: up to two slots by themselves, more behind a pointer.
//
//   0                                                  nobody
//   [slot 16 | count 14] [slot 16 | count 14] 0 0 0 1   one or two; of one the second half is its
//   slot, count 0 pointer to a HolderSet (aligned to 16)             three or more
//
// `count` is how often the block stands in the slot's recency list; the writer's business alone.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "routing/index/grace.hpp"

namespace baton::index {

using Slot = std::uint32_t;

inline constexpr std::size_t kMaxSlots = std::size_t{1} << 16;
inline constexpr std::uint32_t kMaxCount = (1U << 14) - 1;

// Three holders or more. Few: a list. Many: a bit and a count per slot. One writer; readers may
// see a slot missing that moves within the list at that moment.
class alignas(16) HolderSet {
 public:
  // `many`: with room for slots below `room`; else a list of `room` slots.
  HolderSet(bool many, std::size_t room);

  bool many() const { return words_ != nullptr; }
  std::size_t size() const { return size_.load(std::memory_order_acquire); }
  // Of a list: < size().
  Slot listed(std::size_t at) const { return list_[at].load(std::memory_order_relaxed) >> 16; }
  // Of many: whether slots 64 * word + i hold the block.
  std::size_t words() const { return room_ / 64; }
  std::uint64_t word(std::size_t at) const { return words_[at].load(std::memory_order_relaxed); }

  // Writer only.
  std::size_t room() const { return room_; }
  bool takes(Slot slot) const { return many() ? slot < room_ : size() < room_; }
  std::uint32_t count(Slot slot) const;
  void put(Slot slot, std::uint32_t count);  // contract: it is in, or takes(slot)
  void remove(Slot slot);                    // contract: it is in
  template <class F>
  void for_each(F&& visit) const {  // (slot, count)
    if (!many()) {
      for (std::size_t at = 0; at < size(); ++at) visit(listed(at), list_[at].load() & 0xffff);
      return;
    }
    for (Slot slot = 0; slot < room_; ++slot) {
      if (counts_[slot] != 0) visit(slot, counts_[slot]);
    }
  }

 private:
  std::size_t find(Slot slot) const;  // in the list; size() when it is not there

  std::size_t room_;
  std::atomic<std::uint32_t> size_ = 0;
  std::unique_ptr<std::atomic<std::uint32_t>[]> list_;   // slot << 16 | count
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;  // a bit per slot
  std::unique_ptr<std::uint16_t[]> counts_;              // by slot
};

// The 64 bits. A value; what it points to belongs to the table that stores it.
class Holders {
 public:
  explicit Holders(std::uint64_t bits = 0) : bits_(bits) {}
  std::uint64_t bits() const { return bits_; }

  bool none() const { return bits_ == 0; }
  bool few() const { return (bits_ & 1) != 0; }
  // Of few: the two slots, or the one twice.
  Slot first() const { return static_cast<Slot>(bits_ >> 48); }
  Slot second() const { return static_cast<Slot>(bits_ >> 18) & 0xffff; }
  // Of few: whether `other` is also few, and of the same slots in the same order.
  bool same_slots(Holders other) const { return ((bits_ ^ other.bits_) & ~kCounts) == 0; }
  // Neither none() nor few().
  const HolderSet& set() const { return *own(); }

  // Writer only; each gives the bits to store. `grace` takes a set that is replaced.
  std::uint32_t count(Slot slot) const;  // 0: does not hold it
  // count(slot) + 1 and count(slot) - 1, for the usual cases; anything else leaves `known` false.
  struct Counted {
    std::uint64_t bits;
    bool known;
    bool changed;  // the slot came or went
  };
  Counted one_more(Slot slot) const {
    if (none()) return {few(slot, 1, slot, 0).bits_, true, true};
    if (!few()) return {bits_, false, false};
    if (first() == slot) return {bits_ + kFirstOne, first_count() < kMaxCount, false};
    if (second_count() == 0) return {few(first(), first_count(), slot, 1).bits_, true, true};
    return {bits_ + kSecondOne, second() == slot && second_count() < kMaxCount, false};
  }
  Counted one_less(Slot slot) const {
    if (!few()) return {bits_, false, false};
    if (first() == slot) {
      if (first_count() > 1) return {bits_ - kFirstOne, true, false};
      if (second_count() == 0) return {0, true, true};
      return {few(second(), second_count(), second(), 0).bits_, true, true};
    }
    if (second() != slot) return {bits_, false, false};
    if (second_count() > 1) return {bits_ - kSecondOne, true, false};
    return {few(first(), first_count(), first(), 0).bits_, true, true};
  }
  // Contract: 0 < count <= kMaxCount. `slots`: slots below this are in use.
  Holders with(Slot slot, std::uint32_t count, std::size_t slots, Grace& grace) const;
  Holders without(Slot slot, Grace& grace) const;  // contract: it holds it
  void destroy() const;                            // contract: no readers

 private:
  static constexpr std::uint64_t kFirstOne = std::uint64_t{1} << 34;
  static constexpr std::uint64_t kSecondOne = std::uint64_t{1} << 4;
  static constexpr std::uint64_t kCounts = std::uint64_t{kMaxCount} << 34 | std::uint64_t{kMaxCount}
                                                                                << 4;

  static Holders few(Slot a, std::uint32_t a_count, Slot b, std::uint32_t b_count) {
    return Holders(std::uint64_t{a} << 48 | std::uint64_t{a_count} << 34 | std::uint64_t{b} << 18 |
                   std::uint64_t{b_count} << 4 | 1);
  }
  std::uint32_t first_count() const { return static_cast<std::uint32_t>(bits_ >> 34) & kMaxCount; }
  std::uint32_t second_count() const { return static_cast<std::uint32_t>(bits_ >> 4) & kMaxCount; }
  HolderSet* own() const {
    // The point of the encoding. NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<HolderSet*>(bits_);
  }

  std::uint64_t bits_;
};

}  // namespace baton::index
