#include "routing/index/prefix_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

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

TEST(PrefixIndex, CountsLeadingBlocksPerSlot) {
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

TEST(PrefixIndex, ForgetsBlocksWhenAPodLeaves) {
  PrefixIndex index({});
  const auto all = chain(std::string(640, 'a'));
  index.record(0, all.blocks());
  index.record(1, all.blocks());
  index.forget(0);

  EXPECT_EQ(match(index, all.blocks())[0], 0);
  EXPECT_EQ(match(index, all.blocks())[1], 10);
  EXPECT_EQ(index.held(0), 0);
}

TEST(PrefixIndex, ForgetsTheEndOfTheOldestChainFirst) {
  PrefixIndex index({.slots = 8, .lru_capacity = 5});
  const auto old = chain(std::string(64 * 4, 'o'));
  const auto fresh = chain(std::string(64 * 3, 'f'));
  index.record(0, old.blocks());
  index.record(0, fresh.blocks());

  EXPECT_EQ(match(index, fresh.blocks())[0], 3);
  EXPECT_EQ(match(index, old.blocks())[0], 2);
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

TEST(PrefixIndex, ReadersRunBesideTheWriter) {
  PrefixIndex index({.slots = 64, .lru_capacity = 2000});
  const auto stable = chain(std::string(64 * 100, 's'));
  index.record(63, stable.blocks());
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> wrong = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&] {
      while (!stop) {
        if (match(index, stable.blocks(), 64)[63] != 100) ++wrong;
      }
    });
  }

  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    const std::vector<std::uint64_t> one = {i * 0x9E3779B97F4A7C15ULL};
    index.record(static_cast<Slot>(i % 8), one);
  }
  stop = true;
  for (auto& reader : readers) reader.join();

  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace baton::index
