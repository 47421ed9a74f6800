#include "engine/runtime/lease_table.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <utility>

namespace baton::runtime {
namespace {

constexpr kv::Digest kPrompt{1, 2};
constexpr Nanos kPatience = std::chrono::seconds(60);

class LeaseTableTest : public ::testing::Test {
 protected:
  kv::LeaseKey grant(const std::string& id = "r1") {
    const auto g = table.publish({id, kPrompt, 20, {BlockIndex{3}, BlockIndex{4}}});
    return {"engine", id, g.token, g.generation};
  }
  // Of which 16 tokens are there.
  kv::LeaseKey announce() {
    const auto g = table.announce({"r1", kPrompt, 20, {BlockIndex{3}, BlockIndex{4}}}, 16);
    return {"engine", "r1", g.token, g.generation};
  }

  // A reader that waits for more, and what it is told.
  struct Waiting {
    std::future<Result<LeaseTable::Progress>> told;
    std::jthread thread;
  };
  Waiting wait(const kv::LeaseKey& key, const kv::Extent& known) {
    std::packaged_task task([this, key, known] { return table.await(key, known, kPatience); });
    auto told = task.get_future();
    return {std::move(told), std::jthread(std::move(task))};
  }

  ManualClock clock;
  SeededRandom random{1};
  int releases = 0;
  LeaseTable table{"engine", std::chrono::seconds(30), clock, random, [this] { ++releases; }};
};

TEST_F(LeaseTableTest, ALeaseCanBeReadByWhoeverPresentsAllOfIt) {
  const kv::LeaseKey key = grant();

  EXPECT_TRUE(table.check(key, kPrompt, 20));
  auto read = table.begin_read(key);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->blocks.size(), 2U);
  EXPECT_TRUE(read->complete);
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

TEST_F(LeaseTableTest, APromptInTheMakingIsLeasedUntilItIsCompleteAndThenAsLongAsOthers) {
  const kv::LeaseKey key = announce();
  clock.advance(std::chrono::minutes(10));
  EXPECT_TRUE(table.reclaim().empty());
  EXPECT_FALSE(table.begin_read(key)->complete);
  table.end_read(key.generation);

  table.advance(key.generation, kv::Extent::whole(20));

  EXPECT_TRUE(table.begin_read(key)->complete);
  table.end_read(key.generation);
  clock.advance(std::chrono::seconds(29));
  EXPECT_TRUE(table.reclaim().empty());
  clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(table.reclaim().at(0).end, LeaseTable::End::kExpired);
}

TEST_F(LeaseTableTest, AReaderWaitsForMoreThanItKnows) {
  const kv::LeaseKey key = announce();
  const kv::Extent some{16, 20, 3};

  EXPECT_EQ(table.await(key, kv::Extent::whole(16), Nanos(0))->there, kv::Extent::whole(16));
  Waiting more = wait(key, kv::Extent::whole(16));
  table.advance(key.generation, some);

  EXPECT_EQ(more.told.get()->there, some);
  EXPECT_EQ(table.await(key, some, Nanos(0))->there, some);
  Waiting rest = wait(key, some);
  table.advance(key.generation, kv::Extent::whole(20));
  EXPECT_TRUE(rest.told.get()->complete);
}

TEST_F(LeaseTableTest, WhoWaitsIsToldWhenThePromptIsGivenUp) {
  const kv::LeaseKey key = announce();
  Waiting more = wait(key, kv::Extent::whole(16));

  table.withdraw(key.generation);

  EXPECT_EQ(more.told.get().error().code(), Code::kNotFound);
  EXPECT_FALSE(table.begin_read(key));
  EXPECT_EQ(table.reclaim().at(0).end, LeaseTable::End::kWithdrawn);
  EXPECT_EQ(table.blocks(), 0U);
}

TEST_F(LeaseTableTest, AReleaseBeforeTheEndIsFinalToo) {
  const kv::LeaseKey key = announce();

  ASSERT_TRUE(table.release(key));
  table.withdraw(key.generation);

  EXPECT_EQ(table.reclaim().at(0).end, LeaseTable::End::kReleased);
  table.advance(key.generation, kv::Extent::whole(20));
  EXPECT_FALSE(table.begin_read(key));
}

TEST_F(LeaseTableTest, GenerationsNeverRepeat) {
  const kv::LeaseKey first = grant(), second = grant();

  EXPECT_NE(first.generation, second.generation);
  EXPECT_NE(first.token, second.token);
}

}  // namespace
}  // namespace baton::runtime
