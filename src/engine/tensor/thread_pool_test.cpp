#include "engine/tensor/thread_pool.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <mutex>
#include <set>

#include "base/core/clock.hpp"

namespace baton::tensor {
namespace {

const SystemClock kClock;

Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(60)); }

std::vector<int> cpus_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> out;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) out.push_back(cpu);
  return out;
}

TEST(ThreadGroups, AreAsEvenAsTheyGo) {
  const ThreadGroups groups = unbound(7, 3);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].size() + groups[1].size() + groups[2].size(), 7U);
  for (const auto& group : groups) EXPECT_GE(group.size(), 2U);
}

TEST(ThreadPool, EveryItemIsDoneOnceWhateverTheGroups) {
  for (const std::size_t groups : {1, 2, 3, 4}) {
    ThreadPool pool(unbound(4, groups));
    for (const std::size_t items : {0, 1, 2, 3, 5, 100}) {
      std::vector<std::atomic<int>> done(items);
      pool.run(items, [&](std::size_t item, std::size_t worker) {
        EXPECT_LT(worker, pool.threads());
        ++done[item];
      });
      for (const auto& times : done) EXPECT_EQ(times, 1) << items << " items, " << groups;
    }
  }
}

// Two items that wait for each other, so that each group has one.
TEST(ThreadPool, AGroupBeginsWithItsOwnShard) {
  ThreadPool pool(unbound(2, 2));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> inside = 0;
    pool.run(2, [&](std::size_t item, std::size_t worker) {
      ++inside;
      for (const Deadline limit = soon(); inside < 2 && !limit.passed(kClock.now());)
        std::this_thread::yield();
      EXPECT_EQ(item, worker);
    });
    EXPECT_EQ(inside, 2);
  }
}

TEST(ThreadPool, BindsEachThreadToItsCpu) {
  const auto cpus = cpus_of_this_thread();
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU";
  std::mutex mutex;  // guards seen
  std::set<std::pair<std::size_t, int>> seen;
  // Its owner is a thread of its own: what is bound here stays bound.
  std::thread owner([&] {
    ThreadPool pool(ThreadGroups{{cpus[1]}, {cpus[0]}});
    pool.bind_owner();
    for (const Deadline limit = soon(); seen.size() < 2 && !limit.passed(kClock.now());) {
      pool.run(2, [&](std::size_t, std::size_t worker) {
        const auto own = cpus_of_this_thread();
        EXPECT_EQ(own.size(), 1U);
        const std::scoped_lock lock(mutex);
        seen.emplace(worker, own.front());
      });
    }
  });
  owner.join();

  EXPECT_EQ(seen, (std::set<std::pair<std::size_t, int>>{{0, cpus[1]}, {1, cpus[0]}}));
}

}  // namespace
}  // namespace baton::tensor
