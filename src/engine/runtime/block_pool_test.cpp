#include "engine/runtime/block_pool.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/core/random.hpp"

namespace baton::runtime {
namespace {

using Blocks = std::vector<BlockIndex>;
using Tokens = std::vector<TokenId>;

// A sequence that computed `tokens` and published its full blocks.
Blocks hold(BlockPool& pool, const Tokens& tokens, std::string_view salt = {}) {
  std::vector<kv::Digest> names;
  pool.extend_names(pool.root(salt), tokens, names);
  Blocks blocks = pool.match(tokens, names, names.size());
  pool.acquire(blocks);
  while (blocks.size() * pool.block_size() < tokens.size()) blocks.push_back(pool.allocate());
  for (std::size_t i = 0; i < names.size(); ++i)
    pool.publish(blocks[i], names[i],
                 std::span(tokens).subspan(i * pool.block_size(), pool.block_size()));
  return blocks;
}

std::size_t hit(const BlockPool& pool, const Tokens& tokens, std::string_view salt = {}) {
  std::vector<kv::Digest> names;
  pool.extend_names(pool.root(salt), tokens, names);
  return pool.match(tokens, names, names.size()).size();
}

TEST(BlockPool, FindsAPrefixWhileInUseAndAfterRelease) {
  BlockPool pool(8, 2, 1);
  const Blocks blocks = hold(pool, {1, 2, 3, 4, 5});

  EXPECT_EQ(hit(pool, {1, 2, 3, 4, 9}), 2U);
  pool.release(blocks);
  EXPECT_EQ(hit(pool, {1, 2, 3, 4}), 2U);
  EXPECT_EQ(hit(pool, {1, 2, 9, 9}), 1U);
  EXPECT_EQ(hit(pool, {3, 4}), 0U);
  EXPECT_EQ(pool.free(), 8U);
}

TEST(BlockPool, FindsAPrefixUnderItsOwnSaltOnly) {
  BlockPool pool(8, 2, 1);
  pool.release(hold(pool, {1, 2, 3, 4}, "mine"));

  EXPECT_EQ(hit(pool, {1, 2, 3, 4}, "mine"), 2U);
  EXPECT_EQ(hit(pool, {1, 2, 3, 4}, "yours"), 0U);
  EXPECT_EQ(hit(pool, {1, 2, 3, 4}), 0U);
}

TEST(BlockPool, HonoursTheCapOnAHit) {
  BlockPool pool(8, 2, 1);
  const Tokens tokens{1, 2, 3, 4};
  pool.release(hold(pool, tokens));
  std::vector<kv::Digest> names;
  pool.extend_names({}, tokens, names);

  EXPECT_EQ(pool.match(tokens, names, 1).size(), 1U);
}

// vllm-wire §10.
TEST(BlockPool, EvictsUnusedBlocksFirstThenTailsBeforeHeadsThenByAge) {
  BlockPool pool(6, 1, 1);
  pool.release(hold(pool, {1, 2, 3}));
  pool.release(hold(pool, {7, 8}));

  pool.allocate();  // the block that never held anything
  EXPECT_EQ(hit(pool, {1, 2, 3}), 3U);
  pool.allocate();
  EXPECT_EQ(hit(pool, {1, 2, 3}), 2U);
  pool.allocate();
  pool.allocate();
  EXPECT_EQ(hit(pool, {1, 2, 3}), 0U);
  EXPECT_EQ(hit(pool, {7, 8}), 2U);
  EXPECT_EQ(pool.evictions(), 3U);
}

TEST(BlockPool, AUseMakesAPrefixYoung) {
  BlockPool pool(4, 1, 1);
  pool.release(hold(pool, {1, 2}));
  pool.release(hold(pool, {7, 8}));
  pool.release(hold(pool, {1, 2}));

  pool.allocate();
  pool.allocate();

  EXPECT_EQ(hit(pool, {1, 2}), 2U);
  EXPECT_EQ(hit(pool, {7}), 0U);
}

TEST(BlockPool, KeepsPinnedBlocksFromReuse) {
  BlockPool pool(2, 1, 1);
  const Blocks blocks = hold(pool, {1, 2});
  pool.pin(blocks);

  EXPECT_EQ(pool.free(), 0U);
  EXPECT_EQ(pool.pinned(), 2U);
  pool.unpin(blocks);
  EXPECT_EQ(pool.free(), 2U);
  EXPECT_EQ(pool.pinned(), 0U);
}

// Random holders against a plain model of what must hold.
TEST(BlockPool, NeverSharesABlockBetweenDifferentPrefixesAndLosesNone) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    BlockPool pool(24, 2, seed);
    std::vector<std::pair<Tokens, Blocks>> held;
    for (int step = 0; step < 300; ++step) {
      Tokens tokens(1 + random.below(9));
      for (TokenId& t : tokens) t = static_cast<TokenId>(random.below(3));
      if (pool.free() >= 5 && random.below(2) == 0) {
        Blocks blocks = hold(pool, tokens);
        held.emplace_back(std::move(tokens), std::move(blocks));
      } else if (!held.empty()) {
        const std::size_t i = random.below(held.size());
        pool.release(held[i].second);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
      }
      std::map<BlockIndex, Tokens> owner;  // of each block: the prefix up to its end
      std::map<BlockIndex, std::size_t> refs;
      for (const auto& [prefix, blocks] : held)
        for (std::size_t b = 0; b < blocks.size(); ++b) {
          const auto end = std::min(prefix.size(), (b + 1) * 2);
          const Tokens up_to(prefix.begin(), prefix.begin() + static_cast<std::ptrdiff_t>(end));
          ASSERT_EQ(owner.try_emplace(blocks[b], up_to).first->second, up_to);
          ++refs[blocks[b]];
        }
      for (const auto& [block, count] : refs) ASSERT_EQ(pool.refs(block), count);
      ASSERT_EQ(pool.used(), refs.size());
    }
    for (const auto& [tokens, blocks] : held) pool.release(blocks);
    EXPECT_EQ(pool.free(), pool.size());
  }
}

}  // namespace
}  // namespace baton::runtime
