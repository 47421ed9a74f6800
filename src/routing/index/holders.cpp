#include "routing/index/holders.hpp"

#include <algorithm>
#include <bit>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

// A list costs four bytes a holder, the other form one and an eighth a slot.
constexpr std::size_t kSlotsPerHolder = 16;  // with more holders than 1 in so many: not a list
constexpr std::size_t kFirstRoom = 4;

std::size_t list_limit(std::size_t slots) {
  return std::max<std::size_t>(8, slots / kSlotsPerHolder);
}

std::unique_ptr<HolderSet> copy(const HolderSet& from, bool many, std::size_t room) {
  auto to = std::make_unique<HolderSet>(many, room);
  from.for_each([&](Slot slot, Mark mark) { to->put(slot, mark); });
  return to;
}

Holders holders(std::unique_ptr<HolderSet> set) {
  return Holders(reinterpret_cast<std::uint64_t>(set.release()));
}

}  // namespace

HolderSet::HolderSet(bool many, std::size_t room) : room_(many ? (room + 63) / 64 * 64 : room) {
  if (many) {
    words_ = std::make_unique<std::atomic<std::uint64_t>[]>(room_ / 64);
    marks_ = std::make_unique<std::uint8_t[]>(room_);
  } else {
    list_ = std::make_unique<std::atomic<std::uint32_t>[]>(room_);
  }
}

std::size_t HolderSet::find(Slot slot) const {
  std::size_t at = 0;
  for (const auto end = size(); at < end && listed(at) != slot;) ++at;
  return at;
}

Mark HolderSet::mark(Slot slot) const {
  if (many()) return slot < room_ ? marks_[slot] : 0;
  const auto at = find(slot);
  return at == size() ? 0 : list_[at].load(std::memory_order_relaxed) & 0xffff;
}

void HolderSet::put(Slot slot, Mark mark) {
  const auto size = size_.load(std::memory_order_relaxed);
  if (many()) {
    if (marks_[slot] == 0) {
      auto& word = words_[slot / 64];
      word.store(word.load(std::memory_order_relaxed) | std::uint64_t{1} << (slot % 64),
                 std::memory_order_relaxed);
      size_.store(size + 1, std::memory_order_relaxed);
    }
    marks_[slot] = static_cast<std::uint8_t>(mark);
    return;
  }
  const auto at = find(slot);
  list_[at].store(slot << 16 | mark, std::memory_order_relaxed);
  if (at == size) size_.store(size + 1, std::memory_order_release);
}

void HolderSet::remove(Slot slot) {
  const auto size = size_.load(std::memory_order_relaxed);
  if (many()) {
    auto& word = words_[slot / 64];
    word.store(word.load(std::memory_order_relaxed) & ~(std::uint64_t{1} << (slot % 64)),
               std::memory_order_relaxed);
    marks_[slot] = 0;
  } else {
    list_[find(slot)].store(list_[size - 1].load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
  }
  size_.store(size - 1, std::memory_order_release);
}

Holders Holders::with(Slot slot, Mark mark, std::size_t slots, Grace& grace) const {
  if (none()) return few(slot, mark, slot, 0);
  if (few()) {
    if (first() == slot) return few(slot, mark, second(), second_mark());
    if (second() == slot || second_mark() == 0) {
      return few(first(), first_mark(), slot, mark);
    }
    auto made = std::make_unique<HolderSet>(false, kFirstRoom);
    made->put(first(), first_mark());
    made->put(second(), second_mark());
    made->put(slot, mark);
    return holders(std::move(made));
  }
  auto* const set = own();
  if (set->takes(slot) || set->mark(slot) != 0) {
    set->put(slot, mark);
    return *this;
  }
  const bool many = set->many() || set->size() >= list_limit(slots);
  auto larger = copy(*set, many,
                     many ? std::max<std::size_t>(slots, slot + 1)
                          : std::min(set->room() * 3 / 2, list_limit(slots)));
  larger->put(slot, mark);
  grace.retire(std::unique_ptr<HolderSet>(set));
  return holders(std::move(larger));
}

Holders Holders::without(Slot slot, Grace& grace) const {
  if (few()) {
    if (first() != slot) return few(first(), first_mark(), first(), 0);
    return second_mark() == 0 ? Holders() : few(second(), second_mark(), second(), 0);
  }
  auto* const set = own();
  set->remove(slot);
  const auto size = set->size();
  Holders result = *this;
  if (size == 2) {
    Holders two;
    set->for_each([&](Slot s, Mark mark) { two = two.with(s, mark, 0, grace); });
    result = two;
  } else if (set->many() && size * 2 * kSlotsPerHolder < set->room()) {
    result = holders(copy(*set, false, size + 2));
  } else {
    return *this;
  }
  grace.retire(std::unique_ptr<HolderSet>(set));
  return result;
}

void Holders::destroy() const {
  if (!none() && !few()) delete own();
}

}  // namespace baton::index
