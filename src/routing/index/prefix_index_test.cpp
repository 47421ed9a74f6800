#include "routing/index/prefix_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/core/random.hpp"
#include "routing/index/landmarks.hpp"
#include "routing/index/prefix_chain.hpp"

namespace baton::index {
namespace {

PrefixChain chain(std::string_view text, std::string_view model = "m") {
  PrefixChain c(model, 64, 256);
  c.append(text);
  return c;
}

std::vector<std::uint32_t> match(const PrefixIndex& index, std::span<const std::uint64_t> blocks,
                                 std::size_t slots = 8) {
  std::vector<std::uint32_t> matched(slots, 99);
  index.match(blocks, matched);
  return matched;
}

TEST(PrefixChain, IsTheSameHoweverItIsFed) {
  const std::string text(1000, 'x');
  for (std::size_t piece : {1UL, 7UL, 63UL, 64UL, 65UL, 400UL}) {
    PrefixChain c("m", 64, 256);
    for (std::size_t at = 0; at < text.size(); at += piece) c.append(text.substr(at, piece));
    EXPECT_TRUE(std::ranges::equal(c.blocks(), chain(text).blocks())) << piece;
    EXPECT_EQ(c.bytes(), 1000);
  }
}

TEST(PrefixChain, HashesWholeBlocksOnlyAndStopsAtItsBound) {
  EXPECT_EQ(chain(std::string(63, 'a')).blocks().size(), 0);
  EXPECT_EQ(chain(std::string(64, 'a')).blocks().size(), 1);
  EXPECT_EQ(chain(std::string(100'000, 'a')).blocks().size(), 256);
}

TEST(PrefixChain, DiffersByModelAndByWhatStandsBefore) {
  const std::string a(64, 'a'), b(64, 'b');
  EXPECT_NE(chain(a, "m").blocks()[0], chain(a, "n").blocks()[0]);
  EXPECT_NE(chain(a + a).blocks()[1], chain(b + a).blocks()[1]);
  EXPECT_NE(chain(a + a).blocks()[0], chain(a + a).blocks()[1]);
}

TEST(PrefixIndex, CountsLeadingBlocksPerSlot) {  // epp:K002
  PrefixIndex index({});
  const auto text = std::string(64, 'a') + std::string(64, 'b') + std::string(64, 'c');
  const auto all = chain(text);
  index.record(0, all.blocks());
  index.record(3, all.blocks().first(1));

  EXPECT_EQ(match(index, all.blocks()), (std::vector<std::uint32_t>{3, 0, 0, 1, 0, 0, 0, 0}));
}

TEST(PrefixIndex, AHoleInTheMiddleEndsTheMatch) {
  PrefixIndex index({});
  const auto all = chain(std::string(64 * 4, 'a'));
  const std::vector<std::uint64_t> holed = {all.blocks()[0], all.blocks()[2], all.blocks()[3]};
  index.record(1, holed);

  EXPECT_EQ(match(index, all.blocks())[1], 1);
}

TEST(PrefixIndex, ForgetsBlocksWhenAPodLeaves) {  // epp:K003
  PrefixIndex index({});
  const auto all = chain(std::string(640, 'a'));
  index.record(0, all.blocks());
  index.record(1, all.blocks());
  index.forget(0);

  EXPECT_EQ(match(index, all.blocks())[0], 0);
  EXPECT_EQ(match(index, all.blocks())[1], 10);
  EXPECT_EQ(index.held(0), 0);
}

TEST(PrefixIndex, ForgetsTheEndOfTheOldestChainFirst) {  // epp:K003
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  const auto old = chain(std::string(64 * 4, 'o'));
  const auto fresh = chain(std::string(64 * 3, 'f'));
  index.record(0, old.blocks());
  index.record(0, fresh.blocks());

  EXPECT_EQ(match(index, fresh.blocks())[0], 3);
  EXPECT_EQ(match(index, old.blocks())[0], 2);
  EXPECT_EQ(index.held(0), 5);
}

TEST(PrefixIndex, ASlotWithMoreRoomKeepsMore) {  // epp:K003
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  index.set_capacity(1, 9);
  index.set_capacity(2, 3);
  const auto all = chain(std::string(64 * 12, 'o'));
  const std::vector<Slot> slots = {0, 1, 2};
  index.record(slots, all.blocks());

  EXPECT_EQ(match(index, all.blocks()), (std::vector<std::uint32_t>{5, 9, 3, 0, 0, 0, 0, 0}));
  EXPECT_EQ(index.held(1), 9);
  EXPECT_EQ(index.held(2), 3);
}

TEST(PrefixIndex, ASlotThatLosesRoomForgetsTheOldestAtOnce) {
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  const auto old = chain(std::string(64 * 4, 'o'));
  const auto fresh = chain(std::string(64 * 3, 'f'));
  index.set_capacity(0, 7);
  index.record(0, old.blocks());
  index.record(0, fresh.blocks());
  EXPECT_EQ(index.held(0), 7);

  index.set_capacity(0, 4);

  EXPECT_EQ(index.held(0), 4);
  EXPECT_EQ(match(index, fresh.blocks())[0], 3);
  EXPECT_EQ(match(index, old.blocks())[0], 1);
}

TEST(PrefixIndex, TheNextPodInASlotHasTheRoomOfTheOthers) {
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  index.set_capacity(0, 9);
  index.forget(0);
  const auto all = chain(std::string(64 * 12, 'o'));
  index.record(0, all.blocks());

  EXPECT_EQ(index.held(0), 5);
}

TEST(PrefixIndex, AChainLongerThanTheLruLeavesNothingStale) {
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  const auto lengthy = chain(std::string(64 * 9, 'o'));
  index.record(0, lengthy.blocks());

  EXPECT_EQ(match(index, lengthy.blocks())[0], 5);
}

TEST(PrefixIndex, KeepsTheLiveOnesThroughManyReplacements) {
  PrefixIndex index({.slots = 128, .lru_capacity = 300});
  for (std::uint64_t i = 1; i <= 50'000; ++i) {
    const std::vector<std::uint64_t> one = {i * 0x9E3779B97F4A7C15ULL};
    index.record(static_cast<Slot>(i % 100), one);
  }
  std::size_t found = 0;
  for (std::uint64_t i = 1; i <= 50'000; ++i) {
    const std::vector<std::uint64_t> one = {i * 0x9E3779B97F4A7C15ULL};
    found += match(index, one, 128)[i % 100];
  }
  EXPECT_EQ(found, 100 * 300);
}

// What PrefixIndex promises, written down as simply as possible.
class Plain {
 public:
  explicit Plain(std::size_t capacity) : capacity_(capacity) {}
  void record(Slot slot, std::span<const std::uint64_t> blocks) {
    auto& queue = queues_[slot];
    blocks = blocks.first(std::min(blocks.size(), capacity_));
    std::vector<Place> fresh;
    for (auto at = blocks.size(); at-- > 0;) {
      const auto held = std::ranges::find(queue, blocks[at], &Place::block);
      if (held == queue.end()) {
        fresh.push_back({blocks[at]});
      } else {
        held->used_again = true;
      }
    }
    while (queue.size() + fresh.size() > capacity_) {
      const auto oldest = queue.front();
      queue.pop_front();
      if (oldest.used_again) queue.push_back({oldest.block});
    }
    queue.insert(queue.end(), fresh.begin(), fresh.end());
  }
  void remove(Slot slot, std::span<const std::uint64_t> blocks) {
    for (const auto block : blocks) {
      std::erase_if(queues_[slot], [&](const Place& place) { return place.block == block; });
    }
  }
  void forget(Slot slot) { queues_.erase(slot); }
  std::size_t held(Slot slot) { return queues_[slot].size(); }
  std::uint32_t matched(Slot slot, std::span<const std::uint64_t> blocks) {
    const auto& queue = queues_[slot];
    const auto end = std::ranges::find_if(blocks, [&](std::uint64_t b) {
      return std::ranges::find(queue, b, &Place::block) == queue.end();
    });
    return static_cast<std::uint32_t>(end - blocks.begin());
  }

 private:
  struct Place {
    std::uint64_t block;
    bool used_again = false;
  };
  std::size_t capacity_;
  std::map<Slot, std::deque<Place>> queues_;
};

// A chain of 1 to 12 blocks out of a tree of `kinds` prompts that share their beginnings.
std::vector<std::uint64_t> some_chain(Random& random, std::uint64_t kinds) {
  const auto kind = random.next() % kinds;
  std::vector<std::uint64_t> blocks;
  for (std::uint64_t at = 0, end = 1 + random.next() % 12; at < end; ++at) {
    blocks.push_back((at + 1) * 1000 + (kind >> (12 - at)));
  }
  return blocks;
}

void expect_like_plain(std::size_t slots, std::size_t capacity, bool removals) {
  PrefixIndex index({.slots = slots, .lru_capacity = capacity});
  Plain plain(capacity);
  SeededRandom random(slots + capacity);
  for (int step = 0; step < 4000; ++step) {
    const auto blocks = some_chain(random, 64);
    const auto slot = static_cast<Slot>(random.next() % slots);
    const auto what = random.next() % 100;
    if (what == 0) {
      index.forget(slot);
      plain.forget(slot);
    } else if (what < 20 && removals) {
      const auto some = std::span(blocks).subspan(random.next() % blocks.size());
      index.remove(slot, some);
      plain.remove(slot, some);
    } else {
      const std::vector<Slot> both = {slot, static_cast<Slot>((slot + 1) % slots)};
      const auto count = slots > 1 ? 1 + random.next() % 2 : 1;
      index.record(std::span(both).first(count), blocks);
      for (const auto each : std::span(both).first(count)) plain.record(each, blocks);
    }
    const auto asked = some_chain(random, 64);
    const auto got = match(index, asked, slots);
    Matches sparse;
    index.match(asked, sparse);
    for (Slot each = 0; each < slots; ++each) {
      ASSERT_EQ(got[each], plain.matched(each, asked)) << "slot " << each << " step " << step;
      ASSERT_EQ(sparse.blocks(each), got[each]) << "slot " << each << " step " << step;
    }
    ASSERT_EQ(index.held(slot), plain.held(slot)) << step;
  }
}

TEST(PrefixIndex, MatchesWhatAPlainListOfEachSlotWould) {
  expect_like_plain(1, 50, false);
  expect_like_plain(2, 20, false);
  expect_like_plain(5, 30, false);    // short lists of holders
  expect_like_plain(40, 60, false);   // and large sets
  expect_like_plain(300, 60, false);  // of several words
}

// Nothing is evicted here: a block removed and recorded again keeps its old place in the queue
// until the queue is compacted.
TEST(PrefixIndex, ForgetsTheBlocksThatAnEngineSaysItRemoved) {
  expect_like_plain(3, 10'000, true);
  expect_like_plain(100, 10'000, true);
}

TEST(PrefixIndex, KeepsTheOrderOfBlocksRemovedAndRecordedAgain) {
  PrefixIndex index({.slots = 1, .lru_capacity = 100});
  const auto early = chain(std::string(640, 'e')), late = chain(std::string(640, 'l'));
  index.record(0, early.blocks());
  for (int i = 0; i < 100; ++i) {  // more than a queue may hold without being compacted
    index.record(0, late.blocks());
    index.remove(0, late.blocks());
  }
  index.record(0, late.blocks());
  index.record(0, early.blocks());
  std::vector<std::uint64_t> fresh;
  for (std::uint64_t i = 1; i <= 85; ++i) fresh.push_back(i);
  index.record(0, fresh);  // five too many: the end of `late`

  EXPECT_EQ(match(index, early.blocks(), 1)[0], 10);
  EXPECT_EQ(match(index, late.blocks(), 1)[0], 5);
  EXPECT_EQ(index.held(0), 100);
}

TEST(PrefixIndex, BlocksThatAreUsedAgainOutliveThoseThatAreNot) {  // epp:K003
  PrefixIndex index({.slots = 1, .lru_capacity = 100});
  const auto popular = chain(std::string(640, 'p'));
  index.record(0, popular.blocks());
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    index.record(0, std::vector<std::uint64_t>{i});
    if (i % 50 == 0) index.record(0, popular.blocks());
  }
  EXPECT_EQ(match(index, popular.blocks(), 1)[0], 10);
  for (std::uint64_t i = 1001; i <= 1200; ++i) index.record(0, std::vector<std::uint64_t>{i});
  EXPECT_EQ(match(index, popular.blocks(), 1)[0], 0);
  EXPECT_EQ(index.held(0), 100);
}

// A reader that meets a cell while it moves may miss it (block_table.hpp): seldom, and not for
// good.
TEST(PrefixIndex, ReadersRunBesideTheWriter) {  // epp:K003
  PrefixIndex index({.slots = 64, .lru_capacity = 2000});
  const auto stable = chain(std::string(64 * 100, 's'));
  index.record(63, stable.blocks());
  const std::vector<std::uint64_t> busy = {7, 77, 777};
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> wrong = 0, reads = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop) {
        if (match(index, stable.blocks(), 64)[63] != 100) ++wrong;
        ++reads;
        (void)match(index, busy, 64);
      }
    });
  }

  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    const std::vector<std::uint64_t> one = {i * 0x9E3779B97F4A7C15ULL};
    index.record(static_cast<Slot>(i % 8), one);
    // A set of holders that comes, grows and goes.
    index.record(static_cast<Slot>(i % 32), busy);
    if (i % 3 == 0) index.remove(static_cast<Slot>(i / 3 % 32), busy);
    if (i % 500 == 0) index.forget(static_cast<Slot>(i / 500 % 32));
  }
  stop = true;
  for (auto& reader : readers) reader.join();

  EXPECT_LE(wrong * 100, reads);
  EXPECT_EQ(match(index, stable.blocks(), 64)[63], 100);
}

TEST(Landmarks, CoverAChainWithoutGapsWhateverPieceIsAdded) {
  std::vector<std::uint64_t> chain(1000);
  for (std::size_t i = 0; i < chain.size(); ++i) chain[i] = (i + 1) * 0x9E3779B97F4A7C15ULL;
  for (const std::size_t length : {1UL, 255UL, 256UL, 257UL, 263UL, 264UL, 265UL, 999UL}) {
    const auto whole = std::span(chain).first(length);
    std::vector<std::uint64_t> at_once;
    append_landmarks(whole, 0, at_once);
    ASSERT_EQ(at_once.size(), landmarks_in(length));
    EXPECT_LE(covered_by(at_once.size()), length);
    EXPECT_GT(covered_by(at_once.size() + 1), length);
    for (const std::size_t first : {0UL, 3UL, 250UL, 256UL, 260UL, 264UL, 900UL}) {
      if (first > length) continue;
      std::vector<std::uint64_t> pieces;
      append_landmarks(whole.first(first), 0, pieces);
      append_landmarks(whole, first, pieces);
      EXPECT_EQ(pieces, at_once) << length << " from " << first;
      std::vector<std::uint64_t> tail;
      append_tail(whole, first, tail);
      EXPECT_EQ(tail.size(), length - std::max(first, covered_by(landmarks_in(length))));
    }
  }
}

TEST(PrefixIndex, AHashCanStandForSeveralBlocks) {
  PrefixIndex index({.slots = 2, .lru_capacity = 20, .odd_weight = 8});
  const std::vector<std::uint64_t> first = {2, 4, 7, 9};  // 18 blocks
  index.record(0, first);
  EXPECT_EQ(index.held(0), 18);
  index.record(0, first);
  EXPECT_EQ(index.held(0), 18);
  const std::vector<std::uint64_t> second = {12, 14, 16};
  index.record(0, second);
  EXPECT_EQ(index.held(0), 13);  // 9, the end of the first run, made room
  Matches matches;
  index.match(first, matches);
  EXPECT_EQ(matches.blocks(0), 3);
  index.forget(0);
  EXPECT_EQ(index.held(0), 0);
}

}  // namespace
}  // namespace baton::index
