#include "routing/index/holders.hpp"

#include <algorithm>
#include <bit>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

// A list costs four bytes a holder, the other form two and an eighth a slot.
constexpr std::size_t kSlotsPerHolder = 16;  // with more holders than 1 in so many: not a list
constexpr std::size_t kFirstRoom = 4;

std::size_t list_limit(std::size_t slots) {
  return std::max<std::size_t>(8, slots / kSlotsPerHolder);
}

std::unique_ptr<HolderSet> copy(const HolderSet& from, bool many, std::size_t room) {
  auto to = std::make_unique<HolderSet>(many, room);
  from.for_each([&](Slot slot, std::uint32_t count) { to->put(slot, count); });
  return to;
}

Holders holders(std::unique_ptr<HolderSet> set) {
  return Holders(reinterpret_cast<std::uint64_t>(set.release()));
}

}  // namespace

HolderSet::HolderSet(bool many, std::size_t room) : room_(many ? (room + 63) / 64 * 64 : room) {
  if (many) {
    words_ = std::make_unique<std::atomic<std::uint64_t>[]>(room_ / 64);
    counts_ = std::make_unique<std::uint16_t[]>(room_);
  } else {
    list_ = std::make_unique<std::atomic<std::uint32_t>[]>(room_);
  }
}

std::size_t HolderSet::find(Slot slot) const {
  std::size_t at = 0;
  for (const auto end = size(); at < end && listed(at) != slot;) ++at;
  return at;
}

std::uint32_t HolderSet::count(Slot slot) const {
  if (many()) return slot < room_ ? counts_[slot] : 0;
  const auto at = find(slot);
  return at == size() ? 0 : list_[at].load(std::memory_order_relaxed) & 0xffff;
}

void HolderSet::put(Slot slot, std::uint32_t count) {
  const auto size = size_.load(std::memory_order_relaxed);
  if (many()) {
    if (counts_[slot] == 0) {
      auto& word = words_[slot / 64];
      word.store(word.load(std::memory_order_relaxed) | std::uint64_t{1} << (slot % 64),
                 std::memory_order_relaxed);
      size_.store(size + 1, std::memory_order_relaxed);
    }
    counts_[slot] = static_cast<std::uint16_t>(count);
    return;
  }
  const auto at = find(slot);
  list_[at].store(slot << 16 | count, std::memory_order_relaxed);
  if (at == size) size_.store(size + 1, std::memory_order_release);
}

void HolderSet::remove(Slot slot) {
  const auto size = size_.load(std::memory_order_relaxed);
  if (many()) {
    auto& word = words_[slot / 64];
    word.store(word.load(std::memory_order_relaxed) & ~(std::uint64_t{1} << (slot % 64)),
               std::memory_order_relaxed);
    counts_[slot] = 0;
  } else {
    list_[find(slot)].store(list_[size - 1].load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
  }
  size_.store(size - 1, std::memory_order_release);
}

std::uint32_t Holders::count(Slot slot) const {
  if (none()) return 0;
  if (!few()) return set().count(slot);
  if (first() == slot) return first_count();
  return second() == slot ? second_count() : 0;
}

Holders Holders::with(Slot slot, std::uint32_t count, std::size_t slots, Grace& grace) const {
  if (none()) return few(slot, count, slot, 0);
  if (few()) {
    if (first() == slot) return few(slot, count, second(), second_count());
    if (second() == slot || second_count() == 0) {
      return few(first(), first_count(), slot, count);
    }
    auto made = std::make_unique<HolderSet>(false, kFirstRoom);
    made->put(first(), first_count());
    made->put(second(), second_count());
    made->put(slot, count);
    return holders(std::move(made));
  }
  auto* const set = own();
  if (set->takes(slot) || set->count(slot) != 0) {
    set->put(slot, count);
    return *this;
  }
  const bool many = set->many() || set->size() >= list_limit(slots);
  auto larger = copy(*set, many,
                     many ? std::max<std::size_t>(slots, slot + 1)
                          : std::min(set->room() * 3 / 2, list_limit(slots)));
  larger->put(slot, count);
  grace.retire(std::unique_ptr<HolderSet>(set));
  return holders(std::move(larger));
}

Holders Holders::without(Slot slot, Grace& grace) const {
  if (few()) {
    if (first() != slot) return few(first(), first_count(), first(), 0);
    return second_count() == 0 ? Holders() : few(second(), second_count(), second(), 0);
  }
  auto* const set = own();
  set->remove(slot);
  const auto size = set->size();
  Holders result = *this;
  if (size == 2) {
    Holders two;
    set->for_each([&](Slot s, std::uint32_t count) { two = two.with(s, count, 0, grace); });
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
