#pragma once
// What a prompt's chain matched: how many leading blocks each slot holds. Kept as sets, so that a
// block that all of thousands of endpoints hold costs no more than one bit each.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/index/holders.hpp"

namespace baton::index {

// Reused from match to match by one thread, so that it allocates nothing once it has grown.
class Matches {
 public:
  struct Match {
    Slot slot;
    std::uint32_t blocks;  // leading blocks held, > 0
  };
  // Slots of a large set that hold at least so many leading blocks.
  struct Level {
    std::uint32_t blocks;
    std::size_t begin, size;  // in words
  };

  // Slots with a match of their own; each once. They override the levels.
  std::span<const Match> matches() const { return matches_; }
  // By ascending blocks; a slot that has no match of its own has the last level that contains it.
  std::span<const Level> levels() const { return levels_; }
  std::span<const std::uint64_t> words(const Level& level) const {
    return std::span(words_).subspan(level.begin, level.size);
  }

  // O(levels).
  std::uint32_t blocks(Slot slot) const;
  // matched[slot] = blocks(slot), for every slot of `matched`.
  void expand(std::span<std::uint32_t> matched) const;

  // For PrefixIndex: feeds the holders of block 0, 1, … False: nobody is left, stop.
  void begin();
  bool step(Holders holders) {
    // Often the same one or two slots as before: then nobody is dropped.
    if (holders.few() && holders.same_slots(last_)) {
      ++depth_;
      return true;
    }
    return change(holders);
  }
  void end();

 private:
  bool change(Holders holders);
  void first(Holders holders);
  void keep_listed(Holders holders);
  void keep_many(Holders holders);
  void drop(Slot slot) { matches_.push_back({slot, depth_}); }
  void push_level();

  std::vector<Match> matches_;
  std::vector<Level> levels_;
  std::vector<std::uint64_t> words_;
  // While matching: who holds all blocks so far, in one of two forms.
  std::uint32_t depth_ = 0;
  bool many_ = false;
  Holders last_;  // of the block before, when all of `few` are alive
  std::vector<Slot> listed_;
  std::vector<std::uint64_t> alive_;
  std::vector<std::uint64_t> marks_;  // scratch; all 0 between uses
};

}  // namespace baton::index
