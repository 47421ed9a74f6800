#include "routing/index/prefix_matches.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace baton::index {
namespace {

bool has(std::span<const std::uint64_t> words, Slot slot) {
  return slot / 64 < words.size() && (words[slot / 64] >> (slot % 64) & 1) != 0;
}

template <class F>
void each_bit(std::span<const std::uint64_t> words, F&& visit) {
  for (std::size_t w = 0; w < words.size(); ++w) {
    for (auto bits = words[w]; bits != 0; bits &= bits - 1) {
      visit(static_cast<Slot>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits))));
    }
  }
}

// Every slot of holders that are no large set.
template <class F>
void each_listed(Holders holders, F&& visit) {
  if (holders.few()) {
    visit(holders.first());
    if (holders.second() != holders.first()) visit(holders.second());
    return;
  }
  const auto& set = holders.set();
  for (std::size_t at = 0, end = std::min(set.size(), set.room()); at < end; ++at) {
    visit(set.listed(at));
  }
}

bool large(Holders holders) { return !holders.few() && holders.set().many(); }

}  // namespace

std::uint32_t Matches::blocks(Slot slot) const {
  for (const auto& match : matches_) {
    if (match.slot == slot) return match.blocks;
  }
  std::uint32_t found = 0;
  for (const auto& level : levels_) {
    if (has(words(level), slot)) found = level.blocks;
  }
  return found;
}

void Matches::expand(std::span<std::uint32_t> matched) const {
  std::ranges::fill(matched, 0U);
  const auto put = [&](Slot slot, std::uint32_t blocks) {
    if (slot < matched.size()) matched[slot] = blocks;
  };
  for (const auto& level : levels_) {
    each_bit(words(level), [&](Slot slot) { put(slot, level.blocks); });
  }
  for (const auto& match : matches_) put(match.slot, match.blocks);
}

void Matches::begin() {
  matches_.clear();
  levels_.clear();
  words_.clear();
  listed_.clear();
  depth_ = 0;
  many_ = false;
  last_ = Holders();
}

bool Matches::change(Holders holders) {
  if (holders.none()) return false;
  if (depth_ == 0) {
    first(holders);
  } else if (many_) {
    keep_many(holders);
  } else {
    keep_listed(holders);
  }
  const bool alive = many_ || !listed_.empty();
  last_ = holders;
  if (alive) ++depth_;
  return alive;
}

void Matches::end() {
  if (many_) push_level();
  for (const auto slot : listed_) drop(slot);
}

void Matches::push_level() {
  levels_.push_back({depth_, words_.size(), alive_.size()});
  words_.insert(words_.end(), alive_.begin(), alive_.end());
}

void Matches::first(Holders holders) {
  many_ = large(holders);
  if (!many_) {
    each_listed(holders, [&](Slot slot) { listed_.push_back(slot); });
    return;
  }
  const auto& set = holders.set();
  alive_.resize(set.words());
  for (std::size_t w = 0; w < alive_.size(); ++w) alive_[w] = set.word(w);
}

// Those of a list that also hold this block.
void Matches::keep_listed(Holders holders) {
  const auto keep = [&](auto&& holds) {
    std::erase_if(listed_, [&](Slot slot) {
      const bool gone = !holds(slot);
      if (gone) drop(slot);
      return gone;
    });
  };
  if (holders.few()) {
    const auto a = holders.first(), b = holders.second();
    keep([&](Slot slot) { return slot == a || slot == b; });
  } else if (holders.set().many()) {
    const auto& set = holders.set();
    keep([&](Slot slot) {
      return slot / 64 < set.words() && (set.word(slot / 64) >> (slot % 64) & 1) != 0;
    });
  } else {
    // Marked first, so that two long lists do not cost the product of their lengths.
    const auto mark = [&](Slot slot) {
      if (slot / 64 >= marks_.size()) marks_.resize(slot / 64 + 1);
      marks_[slot / 64] |= std::uint64_t{1} << (slot % 64);
    };
    each_listed(holders, mark);
    keep([&](Slot slot) { return has(marks_, slot); });
    std::ranges::fill(marks_, 0U);
  }
}

void Matches::keep_many(Holders holders) {
  if (large(holders)) {
    const auto& set = holders.set();
    bool changed = false, any = false;
    for (std::size_t w = 0; w < alive_.size(); ++w) {
      const auto next = alive_[w] & (w < set.words() ? set.word(w) : 0);
      changed |= next != alive_[w];
      any |= next != 0;
    }
    if (!changed) return;
    push_level();
    for (std::size_t w = 0; w < alive_.size(); ++w) {
      alive_[w] &= w < set.words() ? set.word(w) : 0;
    }
    many_ = any;
    return;
  }
  push_level();
  many_ = false;
  each_listed(holders, [&](Slot slot) {
    if (has(alive_, slot)) listed_.push_back(slot);
  });
}

}  // namespace baton::index
