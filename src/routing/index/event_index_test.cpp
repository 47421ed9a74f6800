#include "routing/index/event_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace baton::index {
namespace {

using kv::AllBlocksCleared;
using kv::BlockRemoved;
using kv::BlockStored;
using ::testing::ElementsAre;

std::vector<std::uint32_t> tokens(std::size_t count, std::uint32_t first = 1) {
  std::vector<std::uint32_t> out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

// Blocks `first`, `first` + 1 … of a prompt of ascending tokens.
BlockStored stored(std::uint64_t first, std::size_t blocks, std::uint32_t block_size = 4) {
  BlockStored out;
  for (std::size_t i = 0; i < blocks; ++i) out.hashes.push_back(100 + first + i);
  if (first > 0) out.parent = 100 + first - 1;
  out.tokens = tokens(blocks * block_size, 1 + static_cast<std::uint32_t>(first) * block_size);
  out.block_size = block_size;
  out.medium = "gpu";
  return out;
}

BlockStored moved(std::vector<kv::EngineHash> hashes, std::string medium) {
  BlockStored out;
  out.hashes = std::move(hashes);
  out.medium = std::move(medium);
  return out;
}

BlockRemoved removed(std::vector<kv::EngineHash> hashes, std::string medium = "gpu",
                     std::uint32_t group = 0) {
  return {.hashes = std::move(hashes), .medium = std::move(medium), .group = group};
}

struct Rig {
  EventIndex index;

  explicit Rig(std::size_t block_tokens = 4, kv::KeyHash hash = kv::KeyHash::kCborFnv)
      : index({.hash = hash, .seed = "", .block_tokens = block_tokens, .slots = 4}) {}

  void apply(Slot slot, kv::KvEvent event) {
    index.apply(slot, {.ts = 0, .events = {std::move(event)}, .rank = {}});
  }
  std::vector<std::uint32_t> held(std::size_t count, std::string_view model = "m",
                                  std::string_view salt = "") const {
    std::vector<std::uint32_t> out(4), weighted(4);
    index.match(index.keys_of(model, tokens(count), salt), out, weighted);
    return out;
  }
  std::vector<std::uint32_t> weighted(std::size_t count) const {
    std::vector<std::uint32_t> out(4), by_weight(4);
    index.match(index.keys_of("m", tokens(count)), out, by_weight);
    return by_weight;
  }
};

TEST(EventIndex, LongestPrefixOfEveryPod) {  // epp:K019 epp:K013
  Rig rig;
  rig.apply(0, stored(0, 3));
  rig.apply(1, stored(0, 1));
  rig.apply(1, stored(1, 2));
  rig.apply(1, removed({101}));  // a hole ends the run, though what is behind it is there

  EXPECT_THAT(rig.held(15), ElementsAre(3, 1, 0, 0));
  EXPECT_THAT(rig.held(7), ElementsAre(1, 1, 0, 0));  // a partial block does not count
}

TEST(EventIndex, ModelsSaltsAndHashesAreKeptApart) {  // epp:K013
  for (const auto hash : {kv::KeyHash::kCborFnv, kv::KeyHash::kXxh64}) {
    Rig rig(4, hash);
    rig.apply(0, stored(0, 2));
    auto adapter = stored(0, 2);
    adapter.lora_name = "lora", adapter.extra_keys = {{"lora"}, {"lora"}};
    rig.apply(1, adapter);
    auto salted = stored(0, 2);
    salted.extra_keys = {{"pepper"}, {}};
    rig.apply(2, salted);
    auto pictured = stored(0, 2);
    pictured.extra_keys = {{}, {"picture"}};  // of the second block alone
    rig.apply(3, pictured);

    EXPECT_THAT(rig.held(8), ElementsAre(2, 0, 0, 1));
    EXPECT_THAT(rig.held(8, "lora"), ElementsAre(0, 2, 0, 0));
    EXPECT_THAT(rig.held(8, "m", "pepper"), ElementsAre(0, 0, 2, 0));
    EXPECT_THAT(rig.held(8, "another name of the base model"), ElementsAre(2, 0, 0, 1));
  }
}

TEST(EventIndex, AKnownParentIsExtendedAndAnUnknownOneDropsTheEvent) {  // epp:K016
  Rig rig;
  rig.apply(0, stored(1, 2));
  EXPECT_THAT(rig.held(16), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(rig.index.counts().orphans, 2U);

  rig.apply(0, stored(0, 1));
  rig.apply(0, stored(1, 2));
  EXPECT_THAT(rig.held(16), ElementsAre(3, 0, 0, 0));
}

TEST(EventIndex, EngineBlocksMayBeSmallerOrLargerThanKeys) {  // epp:K016
  Rig many_to_one(8);
  many_to_one.apply(0, stored(0, 3));  // of 4 tokens
  EXPECT_THAT(many_to_one.held(16), ElementsAre(1, 0, 0, 0));
  many_to_one.apply(0, stored(3, 1));
  EXPECT_THAT(many_to_one.held(16), ElementsAre(2, 0, 0, 0));
  many_to_one.apply(0, removed({103}));
  EXPECT_THAT(many_to_one.held(16), ElementsAre(1, 0, 0, 0));

  Rig one_to_many(2);
  one_to_many.apply(0, stored(0, 2));
  EXPECT_THAT(one_to_many.held(8), ElementsAre(4, 0, 0, 0));
  one_to_many.apply(0, removed({101}));
  EXPECT_THAT(one_to_many.held(8), ElementsAre(2, 0, 0, 0));
}

TEST(EventIndex, AnOffloadedBlockWeighsWhatItsTierDoes) {  // epp:K016 epp:K019
  Rig rig;
  rig.apply(0, stored(0, 10));
  rig.apply(0, moved({100, 101, 102, 103, 104}, "cpu"));
  EXPECT_THAT(rig.weighted(40), ElementsAre(10, 0, 0, 0));  // the best tier counts
  rig.apply(0, removed({100, 101, 102, 103, 104}));
  EXPECT_THAT(rig.held(40), ElementsAre(10, 0, 0, 0));
  EXPECT_THAT(rig.weighted(40), ElementsAre(9, 0, 0, 0));  // 5 + 5 * 0.8
  rig.apply(0, removed({100}, "cpu"));
  EXPECT_THAT(rig.held(40), ElementsAre(0, 0, 0, 0));
  rig.apply(0, moved({100}, "gpu"));  // known still
  EXPECT_THAT(rig.weighted(40), ElementsAre(9, 0, 0, 0));
}

TEST(EventIndex, ClearedMeansOnePodOnly) {  // epp:K016
  Rig rig;
  rig.apply(0, stored(0, 2));
  rig.apply(0, moved({100}, "cpu"));
  rig.apply(1, stored(0, 2));
  rig.apply(0, AllBlocksCleared{});
  EXPECT_THAT(rig.held(8), ElementsAre(0, 2, 0, 0));
  EXPECT_EQ(rig.index.held(0), 0U);
}

TEST(EventIndex, ABlockAnnouncedTwiceOutlivesItsFirstRemoval) {  // epp:K017
  Rig rig;
  rig.apply(0, stored(0, 1));
  rig.apply(0, stored(0, 1));
  rig.apply(0, removed({100}));
  EXPECT_THAT(rig.held(4), ElementsAre(1, 0, 0, 0));
  EXPECT_EQ(rig.index.counts().suppressed, 1U);
  rig.apply(0, removed({100}));
  EXPECT_THAT(rig.held(4), ElementsAre(0, 0, 0, 0));
  rig.apply(0, removed({100, 7}));  // what is not known changes nothing
}

TEST(EventIndex, TiersGroupsAndPodsCountApart) {  // epp:K017
  Rig rig;
  auto other_group = stored(0, 1);
  other_group.group = 1;
  rig.apply(0, stored(0, 1));
  rig.apply(0, other_group);
  rig.apply(1, stored(0, 1));
  rig.apply(0, removed({100}));
  EXPECT_THAT(rig.held(4), ElementsAre(1, 1, 0, 0));
  rig.apply(0, removed({100}, "gpu", 1));
  EXPECT_THAT(rig.held(4), ElementsAre(0, 1, 0, 0));

  rig.apply(0, stored(0, 1));
  rig.apply(0, stored(0, 1));
  rig.index.clear(0);
  rig.apply(0, stored(0, 1));
  rig.apply(0, removed({100}));  // the count began anew
  EXPECT_THAT(rig.held(4), ElementsAre(0, 1, 0, 0));

  rig.apply(2, stored(0, 1));
  rig.apply(2, moved({100}, "cpu"));
  rig.apply(2, moved({100}, "cpu"));
  rig.apply(2, removed({100}));  // once there, twice on the other tier
  EXPECT_EQ(rig.index.counts().suppressed, 0U);
  rig.apply(2, removed({100}, "cpu"));
  EXPECT_THAT(rig.held(4), ElementsAre(0, 1, 1, 0));
  EXPECT_EQ(rig.index.counts().suppressed, 1U);
  rig.apply(2, removed({100}, "cpu"));
  EXPECT_THAT(rig.held(4), ElementsAre(0, 1, 0, 0));
}

TEST(EventIndex, GroupsThatHoldNoWholePrefixAreLeftOut) {  // epp:K014
  Rig rig;
  auto window = stored(0, 2);
  window.group = 1, window.spec_kind = "sliding_window";
  rig.apply(0, window);
  auto full = stored(0, 2);
  full.spec_kind = "full_attention";
  rig.apply(0, full);
  rig.apply(0, removed({100}, "gpu", 1));
  EXPECT_THAT(rig.held(8), ElementsAre(2, 0, 0, 0));
  EXPECT_EQ(rig.index.counts().skipped, 3U);
}

TEST(EventIndex, WhatIsExpectedCountsUntilItsTimeAndDisplacesNothing) {  // epp:K020
  Rig rig;
  const Mono start{};
  rig.apply(0, stored(0, 1));
  const auto keys = rig.index.keys_of("m", tokens(8));
  rig.index.speculate(0, keys, start + Millis(10));
  rig.index.speculate(1, keys, start + Millis(10));
  EXPECT_THAT(rig.held(8), ElementsAre(2, 2, 0, 0));

  rig.apply(1, stored(0, 1));  // confirmed in the meantime
  rig.index.expire(start + Millis(9));
  EXPECT_THAT(rig.held(8), ElementsAre(2, 2, 0, 0));
  rig.index.expire(start + Millis(10));
  EXPECT_THAT(rig.held(8), ElementsAre(1, 1, 0, 0));
}

TEST(EventIndex, MemoryIsBoundedByTheBlocksOfASlot) {  // epp:K019
  EventIndex index({.seed = "", .block_tokens = 4, .slots = 1, .blocks_per_slot = 8});
  for (std::uint64_t first = 0; first < 64; first += 4) {
    index.apply(0, {.ts = 0, .events = {stored(first, 4)}, .rank = {}});
    EXPECT_LE(index.held(0), 8U);
  }
}

}  // namespace
}  // namespace baton::index
