#include "routing/watch/pool.hpp"

#include <gtest/gtest.h>

namespace baton::watch {
namespace {

using schedule::Endpoint;

const Mono kNow = ManualClock().now();

Endpoint endpoint(std::string name, std::string host = "127.77.0.1") {
  Endpoint e;
  e.ns = "llm";
  e.name = std::move(name);
  e.host = std::move(host);
  e.port = 8000;
  return e;
}

TEST(Pool, KeepsSlotLoadAndReservationsOfThoseThatStay) {
  Pool pool;
  pool.update({endpoint("a"), endpoint("b")});
  pool.loaded(1, {.waiting = 4, .running = {}, .kv_usage = {}, .block_size = {}, .blocks = {}},
              kNow);
  const auto change = pool.update({endpoint("b"), endpoint("c")});

  ASSERT_EQ(change.added.size(), 1);
  EXPECT_EQ(change.added[0].name, "c");
  EXPECT_EQ(change.added[0].slot, 2);  // slot 0 was held until now
  ASSERT_EQ(change.removed.size(), 1);
  EXPECT_EQ(change.removed[0].name, "a");
  const auto& snapshot = pool.snapshot();
  EXPECT_EQ((*snapshot.endpoints)[0].slot, 1);
  EXPECT_EQ(snapshot.loads[0].waiting, 4);
  EXPECT_TRUE(snapshot.loads[0].fresh(kNow));
  EXPECT_FALSE(snapshot.loads[1].fresh(kNow));
}

TEST(Pool, APodUnderANewAddressIsANewEndpoint) {
  Pool pool;
  pool.update({endpoint("a", "127.77.0.1")});
  const auto change = pool.update({endpoint("a", "127.77.0.2")});

  EXPECT_EQ(change.added.size(), 1);
  EXPECT_EQ(change.removed.size(), 1);
}

TEST(Pool, TakesNoMoreThanItsBound) {
  Pool pool;
  std::vector<Endpoint> many;
  for (std::size_t i = 0; i < schedule::kMaxEndpoints + 3; ++i) {
    many.push_back(endpoint("p" + std::to_string(i)));
  }
  EXPECT_EQ(pool.update(many).over_limit, 3);
  EXPECT_EQ(pool.snapshot().size(), schedule::kMaxEndpoints);
}

TEST(Pool, AFailedOrLateScrapeChangesNothing) {
  Pool pool;
  pool.update({endpoint("a")});
  pool.loaded(0, {}, kNow);
  pool.loaded(7, {.waiting = 1, .running = {}, .kv_usage = {}, .block_size = {}, .blocks = {}},
              kNow);

  EXPECT_EQ(pool.snapshot().loads[0].updated, Mono::min());
}

}  // namespace
}  // namespace baton::watch
