#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <stdexcept>
#include <thread>

#include "base/async/all_or_none.hpp"
#include "base/async/blocking.hpp"
#include "base/async/cpu_pool.hpp"
#include "base/async/event.hpp"
#include "base/async/finish_by.hpp"
#include "base/async/loop.hpp"
#include "base/async/task_group.hpp"
#include "base/async/watchdog.hpp"

namespace baton::async {
namespace {

Mono in(Nanos budget) { return std::chrono::steady_clock::now() + budget; }

Task<int> answer_at(Mono when, int value) {
  co_await sleep_until(when);
  co_return value;
}

Task<int> fail() {
  throw std::runtime_error("boom");
  co_return 0;
}

class AsyncTest : public ::testing::Test {
 protected:
  AsyncTest() { loop_.start(); }
  ~AsyncTest() override { loop_.stop(); }
  Loop loop_{"test"};
};

using LoopTest = AsyncTest;
using FinishBy = AsyncTest;
using AllOrNone = AsyncTest;
using TaskGroupTest = AsyncTest;
using WatchdogTest = AsyncTest;
using CpuPoolTest = AsyncTest;

TEST_F(LoopTest, RunsPostedWorkOnItsOwnThread) {
  std::promise<std::thread::id> where;

  loop_.post([&] { where.set_value(std::this_thread::get_id()); });

  EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
  EXPECT_TRUE(loop_.running());
}

TEST_F(FinishBy, GivesTheValueOfWhatIsInTime) {
  auto value =
      blocking_run(loop_, finish_by(in(std::chrono::seconds(20)), answer_at(in(Millis(1)), 7)));

  EXPECT_EQ(value, 7);
}

TEST_F(FinishBy, GivesNothingForWhatIsLate) {
  auto value =
      blocking_run(loop_, finish_by(in(Millis(5)), answer_at(in(std::chrono::hours(1)), 7)));

  EXPECT_FALSE(value.has_value());
}

TEST_F(FinishBy, PassesAnExceptionOnAtOnce) {
  EXPECT_THROW(blocking_run(loop_, finish_by(in(std::chrono::hours(1)), fail())),
               std::runtime_error);
}

Task<Went> go_well_at(Mono when) {
  co_await sleep_until(when);
  co_return Went::kWell;
}

// No runtime_error: what a cancellation throws is one.
Task<Went> go_mad() {
  throw std::logic_error("boom");
  co_return Went::kWell;
}

TEST_F(AllOrNone, TheFirstExceptionIsTheOneThatPropagates) {
  std::vector<Task<Went>> tasks;
  tasks.push_back(go_well_at(in(std::chrono::hours(1))));
  tasks.push_back(go_mad());

  EXPECT_THROW(blocking_run(loop_, all_or_none(std::move(tasks))), std::logic_error);
}

Task<void> sleep_forever(bool* unwound) {
  struct Mark {
    bool* flag;
    ~Mark() { *flag = true; }
  } mark{unwound};
  co_await sleep_until(Mono::max());
}

Task<bool> cancel_and_join(TaskGroup* group, bool* unwound) {
  group->spawn(sleep_forever(unwound));
  co_await sleep_until(in(Millis(1)));
  group->cancel();
  co_await group->join();
  co_return group->empty();
}

TEST_F(TaskGroupTest, JoinWaitsForCancelledChildren) {
  TaskGroup group(loop_.executor());
  bool unwound = false;

  EXPECT_TRUE(blocking_run(loop_, cancel_and_join(&group, &unwound)));

  EXPECT_TRUE(unwound);
}

struct Watched {
  explicit Watched(asio::any_io_executor executor) : event(executor), dog(executor) {}
  Event event;
  Watchdog dog;
  std::atomic<int> expired = 0;
};

Task<void> expire_two(Watched* w) {
  Watchdog::Entry late(w->dog, [w] { w->expired += 100; });
  Watchdog::Entry first(w->dog, [w] { w->expired += 1; });
  Watchdog::Entry second(w->dog, [w] {
    w->expired += 10;
    w->event.notify();
  });
  late.set(in(std::chrono::hours(1)));
  second.set(in(Millis(12)));
  first.set(in(Millis(4)));
  while (w->expired < 11) co_await w->event.wait();
}

TEST_F(WatchdogTest, FiresTheDueEntriesOnly) {
  Watched watched(loop_.executor());

  blocking_run(loop_, expire_two(&watched));

  EXPECT_EQ(watched.expired, 11);
}

Task<Result<std::thread::id>> where_it_runs(CpuPool* pool) {
  return pool->run([] { return std::this_thread::get_id(); });
}

TEST_F(CpuPoolTest, RunsTheFunctionElsewhere) {
  CpuPool pool({.threads = 1, .queue = 4});

  auto id = blocking_run(loop_, where_it_runs(&pool));

  ASSERT_TRUE(id);
  EXPECT_NE(*id, std::this_thread::get_id());
  EXPECT_EQ(pool.pending(), 0U);
}

TEST_F(CpuPoolTest, RefusesBeyondItsQueue) {
  CpuPool pool({.threads = 1, .queue = 0});

  auto id = blocking_run(loop_, where_it_runs(&pool));

  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().code(), Code::kExhausted);
}

Task<void> call_again_and_again(CpuPool* pool, std::size_t* calls) {
  while (true) {
    const auto done = co_await pool->run([] {});
    EXPECT_TRUE(done || done.error().code() == Code::kCancelled);
    ++*calls;
  }
}

Task<void> cancel_callers(CpuPool* pool, std::size_t* calls) {
  TaskGroup callers(co_await asio::this_coro::executor);
  for (int i = 0; i < 8; ++i) callers.spawn(call_again_and_again(pool, calls));
  const std::size_t enough = *calls + 20;
  while (*calls < enough) co_await async::sleep_until(in(Nanos(0)));
  callers.cancel();
  co_await callers.join();
}

// Each is cancelled in the middle of a call; a thread of the pool that looked back at it would find
// its frame freed or used by another.
TEST_F(CpuPoolTest, ThreadsOfThePoolDoNotLookBackAtACallerThatIsCancelled) {
  CpuPool pool({.threads = 3, .queue = 64});
  std::size_t calls = 0;

  for (int round = 0; round < 300; ++round) blocking_run(loop_, cancel_callers(&pool, &calls));

  EXPECT_EQ(pool.pending(), 0U);
}

Task<void> hold(CpuPool* pool, std::shared_future<void> go) {
  const auto done = co_await pool->run([go] { go.wait(); });
  EXPECT_TRUE(done);
}

Task<void> call_in_vain(CpuPool* pool) {
  const auto done = co_await pool->run([] { ADD_FAILURE(); });
  EXPECT_FALSE(done);
}

Task<void> leave_while_queued(CpuPool* pool) {
  TaskGroup first(co_await asio::this_coro::executor);
  TaskGroup others(co_await asio::this_coro::executor);
  std::promise<void> go;
  first.spawn(hold(pool, go.get_future().share()));
  for (int i = 0; i < 8; ++i) others.spawn(call_in_vain(pool));
  while (pool->pending() < 9) co_await async::sleep_until(in(Nanos(0)));
  others.cancel();
  go.set_value();
  co_await others.join();
  co_await first.join();
}

TEST_F(CpuPoolTest, ACallWhoseCallerLeftBeforeItBeganIsNotMade) {
  CpuPool pool({.threads = 1, .queue = 16});

  blocking_run(loop_, leave_while_queued(&pool));

  EXPECT_EQ(pool.pending(), 0U);
}

}  // namespace
}  // namespace baton::async
