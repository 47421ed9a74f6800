#include "engine/runtime/lease_table.hpp"

#include <gtest/gtest.h>

namespace baton::runtime {
namespace {

constexpr kv::Digest kPrompt{1, 2};

class LeaseTableTest : public ::testing::Test {
 protected:
  kv::LeaseKey grant(const std::string& id = "r1") {
    const auto g = table.publish({id, kPrompt, 20, {BlockIndex{3}, BlockIndex{4}}});
    return {"engine", id, g.token, g.generation};
  }

  ManualClock clock;
  SeededRandom random{1};
  int releases = 0;
  LeaseTable table{"engine", std::chrono::seconds(30), clock, random, [this] { ++releases; }};
};

TEST_F(LeaseTableTest, ALeaseCanBeReadByWhoeverPresentsAllOfIt) {
  const kv::LeaseKey key = grant();

  EXPECT_TRUE(table.check(key, kPrompt, 20));
  auto blocks = table.begin_read(key);
  ASSERT_TRUE(blocks);
  EXPECT_EQ(blocks->size(), 2U);
  table.end_read(key.generation);
  EXPECT_EQ(table.blocks(), 2U);
  EXPECT_EQ(key.token.size(), 32U);
}

TEST_F(LeaseTableTest, AnythingWrongInTheKeyIsOneAnswer) {
  const kv::LeaseKey good = grant();
  const auto wrong = [&](auto change) {
    kv::LeaseKey key = good;
    change(key);
    return table.begin_read(key).error();
  };

  const Error unknown = wrong([](auto& k) { k.generation += 1; });
  EXPECT_EQ(unknown.code(), Code::kNotFound);
  EXPECT_EQ(wrong([](auto& k) { k.token[31] ^= 1; }), unknown);
  EXPECT_EQ(wrong([](auto& k) { k.token.clear(); }), unknown);
  EXPECT_EQ(wrong([](auto& k) { k.engine_id = "other"; }), unknown);
  EXPECT_EQ(wrong([](auto& k) { k.request_id = "r2"; }), unknown);
}

TEST_F(LeaseTableTest, AnotherPromptIsAConflict) {
  const kv::LeaseKey key = grant();

  EXPECT_EQ(table.check(key, {9, 9}, 20).error().code(), Code::kConflict);
  EXPECT_EQ(table.check(key, kPrompt, 19).error().code(), Code::kConflict);
}

TEST_F(LeaseTableTest, ExpiresAndSaysSo) {
  const kv::LeaseKey key = grant();
  EXPECT_TRUE(table.reclaim().empty());

  clock.advance(std::chrono::seconds(30));

  EXPECT_FALSE(table.begin_read(key));
  const auto gone = table.reclaim();
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].end, LeaseTable::End::kExpired);
  EXPECT_EQ(table.blocks(), 0U);
}

TEST_F(LeaseTableTest, AReadProlongsAndHoldsTheBlocks) {
  const kv::LeaseKey key = grant();
  clock.advance(std::chrono::seconds(29));
  ASSERT_TRUE(table.begin_read(key));
  clock.advance(std::chrono::seconds(21));  // past what the read prolonged

  EXPECT_TRUE(table.reclaim().empty());
  table.end_read(key.generation);
  EXPECT_EQ(table.reclaim().size(), 1U);
}

TEST_F(LeaseTableTest, RenewalsAddTwoThirdsOfALease) {
  const kv::LeaseKey key = grant();
  for (int i = 0; i < 10; ++i) {
    clock.advance(std::chrono::seconds(19));
    ASSERT_TRUE(table.renew(key));
  }
  clock.advance(std::chrono::seconds(20));
  EXPECT_FALSE(table.renew(key));
}

TEST_F(LeaseTableTest, AReleaseIsFinalAndWakesTheOwner) {
  const kv::LeaseKey key = grant();

  ASSERT_TRUE(table.release(key));

  EXPECT_EQ(releases, 1);
  EXPECT_FALSE(table.release(key));
  EXPECT_FALSE(table.begin_read(key));
  EXPECT_EQ(table.reclaim().at(0).end, LeaseTable::End::kReleased);
}

TEST_F(LeaseTableTest, TheApiReleasesByRequestAndToken) {
  const kv::LeaseKey key = grant();

  EXPECT_FALSE(table.release("r1", "guess"));
  EXPECT_FALSE(table.release("r2", key.token));
  EXPECT_TRUE(table.release("r1", key.token));
}

TEST_F(LeaseTableTest, GenerationsNeverRepeat) {
  const kv::LeaseKey first = grant(), second = grant();

  EXPECT_NE(first.generation, second.generation);
  EXPECT_NE(first.token, second.token);
}

}  // namespace
}  // namespace baton::runtime
