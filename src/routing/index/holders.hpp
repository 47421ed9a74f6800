#pragma once
// Which slots hold one block, in 64 bits: up to two slots by themselves, more behind a pointer.
//
//   0                                                  nobody
//   [slot 16 | mark 14] [slot 16 | mark 14] 0 0 0 1     one or two; of one the second half is its
//                                                      slot, mark 0
//   pointer to a HolderSet (aligned to 16)             three or more
//
// `mark` is the writer's business alone: 0, or kHeld with what it knows of the block's place in the
// slot's queue.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "routing/index/grace.hpp"

namespace baton::index {

using Slot = std::uint32_t;

inline constexpr std::size_t kMaxSlots = std::size_t{1} << 16;
using Mark = std::uint32_t;
inline constexpr Mark kHeld = 1;
inline constexpr Mark kUsed = 2;     // again, since it was queued
inline constexpr Mark kCounted = 4;  // during a compaction of the queue

// Three holders or more. Few: a list. Many: a bit and a mark per slot. One writer; readers may
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
  Mark mark(Slot slot) const;
  void put(Slot slot, Mark mark);  // contract: it is in, or takes(slot)
  void remove(Slot slot);          // contract: it is in
  template <class F>
  void for_each(F&& visit) const {  // (slot, mark)
    if (!many()) {
      for (std::size_t at = 0; at < size(); ++at) visit(listed(at), list_[at].load() & 0xffff);
      return;
    }
    for (Slot slot = 0; slot < room_; ++slot) {
      if (marks_[slot] != 0) visit(slot, Mark{marks_[slot]});
    }
  }

 private:
  std::size_t find(Slot slot) const;  // in the list; size() when it is not there

  std::size_t room_;
  std::atomic<std::uint32_t> size_ = 0;
  std::unique_ptr<std::atomic<std::uint32_t>[]> list_;   // slot << 16 | mark
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;  // a bit per slot
  std::unique_ptr<std::uint8_t[]> marks_;                // by slot
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
  bool same_slots(Holders other) const { return ((bits_ ^ other.bits_) & ~kMarks) == 0; }
  // Neither none() nor few().
  const HolderSet& set() const { return *own(); }

  // Writer only. 0: the slot does not hold it.
  Mark mark(Slot slot) const {
    if (none()) return 0;
    if (!few()) return set().mark(slot);
    if (first() == slot) return first_mark();
    return second() == slot ? second_mark() : 0;
  }
  // Writer only; each gives the bits to store. `grace` takes a set that is replaced.
  // Contract: mark != 0. `slots`: slots below this are in use.
  Holders with(Slot slot, Mark mark, std::size_t slots, Grace& grace) const;
  Holders without(Slot slot, Grace& grace) const;  // contract: it holds it
  void destroy() const;                            // contract: no readers

 private:
  static constexpr unsigned kFirstMark = 34, kSecondMark = 4;  // where they stand
  static constexpr std::uint64_t kMarkBits = (1U << 14) - 1;
  static constexpr std::uint64_t kMarks = kMarkBits << kFirstMark | kMarkBits << kSecondMark;

  static Holders few(Slot a, Mark a_mark, Slot b, Mark b_mark) {
    return Holders(std::uint64_t{a} << 48 | std::uint64_t{a_mark} << kFirstMark |
                   std::uint64_t{b} << 18 | std::uint64_t{b_mark} << kSecondMark | 1);
  }
  Mark first_mark() const { return static_cast<Mark>(bits_ >> kFirstMark & kMarkBits); }
  Mark second_mark() const { return static_cast<Mark>(bits_ >> kSecondMark & kMarkBits); }
  HolderSet* own() const {
    // The point of the encoding. NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<HolderSet*>(bits_);
  }

  std::uint64_t bits_;
};

}  // namespace baton::index
