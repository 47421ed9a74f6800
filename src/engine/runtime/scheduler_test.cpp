// The scheduler alone, driven under seeds: no request lost, no block leaked.

#include "engine/runtime/scheduler.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "base/core/random.hpp"

namespace baton::runtime {
namespace {

std::unique_ptr<Sequence> sequence(std::uint64_t serial, std::vector<TokenId> prompt,
                                   std::size_t answer = 4, std::int64_t priority = 0) {
  auto s = std::make_unique<Sequence>();
  s->request.priority = priority;
  s->serial = serial;
  s->request.id = "r" + std::to_string(serial);
  s->prompt = prompt.size();
  s->most = prompt.size() + answer;
  s->tokens = std::move(prompt);
  return s;
}

std::vector<TokenId> numbers(std::size_t n, TokenId first = 0) {
  std::vector<TokenId> out(n);
  std::iota(out.begin(), out.end(), first);
  return out;
}

// Carries out one step; sequences that reach `most` finish.
Plan step(Scheduler& scheduler) {
  Plan plan = scheduler.plan();
  scheduler.apply(plan);
  for (const auto& [s, tokens] : plan.work) {
    scheduler.computed(*s, tokens);
    if (s->computed < s->tokens.size()) continue;
    s->tokens.push_back(static_cast<TokenId>(s->tokens.size() % 5));
    if (s->tokens.size() >= s->most) scheduler.finish(*s);
  }
  return plan;
}

TEST(Scheduler, CutsALongPromptIntoChunksOfTheBudget) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 6, .prefix_caching = true}, pool);
  scheduler.add(sequence(1, numbers(14)));

  EXPECT_EQ(step(scheduler).work.at(0).tokens, 6U);
  EXPECT_EQ(step(scheduler).work.at(0).tokens, 6U);
  EXPECT_EQ(step(scheduler).work.at(0).tokens, 2U);
  EXPECT_EQ(step(scheduler).work.at(0).tokens, 1U);
}

TEST(Scheduler, ServesDecodingBeforePrompts) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 6, .prefix_caching = true}, pool);
  scheduler.add(sequence(1, numbers(20)));
  step(scheduler);
  scheduler.add(sequence(2, numbers(3, 50)));
  while (!scheduler.find("r1")->decoding()) step(scheduler);
  scheduler.add(sequence(3, numbers(20, 70)));

  const Plan plan = step(scheduler);

  EXPECT_EQ(plan.work.at(0).sequence->serial, 1U);
  EXPECT_EQ(plan.work.at(0).tokens, 1U);
  EXPECT_EQ(plan.work.back().sequence->serial, 3U);
}

TEST(Scheduler, ReusesACachedPrefixButComputesTheLastToken) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = true}, pool);
  scheduler.add(sequence(1, numbers(8), 1));
  step(scheduler);
  scheduler.add(sequence(2, numbers(8), 1));

  const Plan plan = step(scheduler);

  EXPECT_EQ(plan.admit.at(0).cached.size(), 1U);  // not both blocks
  EXPECT_EQ(plan.work.at(0).tokens, 4U);
}

TEST(Scheduler, PlanningChangesNothing) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = true}, pool);
  scheduler.add(sequence(1, numbers(8)));

  (void)scheduler.plan();
  const Plan again = scheduler.plan();

  EXPECT_EQ(pool.free(), 16U);
  EXPECT_EQ(scheduler.waiting(), 1U);
  EXPECT_EQ(again.work.size(), 1U);
}

TEST(Scheduler, PreemptsTheLatestArrivalWhenDecodingRunsOutOfBlocks) {
  BlockPool pool(4, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = false}, pool);
  scheduler.add(sequence(1, numbers(8), 8));
  scheduler.add(sequence(2, numbers(8, 50), 8));
  step(scheduler);  // both prompts fill the pool

  const Plan plan = step(scheduler);

  ASSERT_EQ(plan.preempt.size(), 1U);
  EXPECT_EQ(plan.preempt[0]->serial, 2U);
  EXPECT_EQ(scheduler.find("r2")->state, Sequence::State::kWaiting);
  while (!scheduler.idle()) step(scheduler);
  EXPECT_EQ(pool.free(), 4U);
}

TEST(Scheduler, WaitsForTheBlocksOfAnAnnouncedPromptInsteadOfPreemptingMore) {
  BlockPool pool(6, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = false}, pool);
  for (const std::uint64_t serial : {1, 2, 3}) scheduler.add(sequence(serial, numbers(8), 8));
  step(scheduler);  // the prompts fill the pool
  Sequence& last = *scheduler.find("r3");
  last.announced.emplace();
  const std::vector<BlockIndex> leased = last.blocks;
  pool.acquire(leased);

  const Plan plan = step(scheduler);

  ASSERT_EQ(plan.preempt.size(), 1U);
  EXPECT_EQ(plan.preempt[0]->serial, 3U);
  EXPECT_TRUE(plan.work.empty());
  pool.release(leased);
  EXPECT_EQ(step(scheduler).work.size(), 2U);
}

TEST(Scheduler, NobodyOvertakesTheFirstInLine) {
  BlockPool pool(4, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = true}, pool);
  scheduler.add(sequence(1, numbers(8), 8));
  step(scheduler);
  scheduler.add(sequence(2, numbers(12, 50)));
  scheduler.add(sequence(3, numbers(1, 90)));

  EXPECT_TRUE(step(scheduler).admit.empty());
}

TEST(Scheduler, AdmitsByPriorityThenByArrival) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 1, .max_tokens = 64, .prefix_caching = false}, pool);
  scheduler.add(sequence(1, numbers(4), 1));
  scheduler.add(sequence(2, numbers(4), 1, 5));
  scheduler.add(sequence(3, numbers(4), 1, -1));
  scheduler.add(sequence(4, numbers(4), 1, -1));

  std::vector<std::uint64_t> order;
  while (!scheduler.idle())
    for (const auto& admission : step(scheduler).admit) order.push_back(admission.sequence->serial);

  EXPECT_EQ(order, (std::vector<std::uint64_t>{3, 4, 1, 2}));
}

TEST(Scheduler, ComputesTheMoreUrgentPromptFirst) {
  BlockPool pool(16, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 6, .prefix_caching = false}, pool);
  for (const std::uint64_t serial : {1, 2}) {
    auto s = sequence(serial, numbers(20), 4, serial == 1 ? 0 : -1);
    s->wants_remote = true;
    scheduler.add(std::move(s));
  }
  step(scheduler);
  for (Sequence* s : scheduler.all()) scheduler.pulled(*s, 0);  // in vain

  const Plan plan = scheduler.plan();

  ASSERT_EQ(plan.work.size(), 1U);
  EXPECT_EQ(plan.work[0].sequence->serial, 2U);
}

TEST(Scheduler, PreemptsTheLeastUrgentThoughItCameFirst) {
  BlockPool pool(4, 4, 1);
  Scheduler scheduler({.max_seqs = 4, .max_tokens = 64, .prefix_caching = false}, pool);
  scheduler.add(sequence(1, numbers(8), 8, 1));
  scheduler.add(sequence(2, numbers(8, 50), 8));
  step(scheduler);  // both prompts fill the pool

  const Plan plan = step(scheduler);

  ASSERT_EQ(plan.preempt.size(), 1U);
  EXPECT_EQ(plan.preempt[0]->serial, 1U);
}

// One run of random arrivals, pulls, aborts and leases.
void simulate(std::uint64_t seed) {
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  const std::size_t block = 1 + random.below(5);
  BlockPool pool(2 + 40 / block + random.below(10), block, seed);
  Scheduler scheduler({.max_seqs = 1 + random.below(6),
                       .max_tokens = 6 + random.below(20),
                       .prefix_caching = random.below(4) != 0},
                      pool);
  std::size_t added = 0, ended = 0;
  std::vector<std::vector<BlockIndex>> leases;
  for (std::size_t steps = 0; added < 60 || !scheduler.idle(); ++steps) {
    ASSERT_LT(steps, 20000U) << "stuck";
    if (added < 60 && random.below(3) == 0) {
      auto s =
          sequence(++added, numbers(1 + random.below(20), static_cast<TokenId>(random.below(2))),
                   1 + random.below(20), static_cast<std::int64_t>(random.below(3)));
      s->wants_remote = random.below(4) == 0;
      scheduler.add(std::move(s));
    }
    const Plan plan = scheduler.plan();
    scheduler.apply(plan);
    std::size_t budget = 0;
    for (const auto& [s, tokens] : plan.work) {
      budget += tokens;
      ASSERT_EQ(s->state, Sequence::State::kRunning);
      ASSERT_GE(s->blocks.size() * block, s->computed + tokens);
      scheduler.computed(*s, tokens);
      if (s->computed < s->tokens.size()) continue;
      s->tokens.push_back(static_cast<TokenId>(s->tokens.size() + s->drawn()));
      if (s->tokens.size() < s->most) continue;
      ++ended;
      if (random.below(3) == 0) {
        leases.push_back(scheduler.finish_keeping(*s, s->prompt));
        pool.pin(leases.back());
      } else {
        scheduler.finish(*s);
      }
    }
    ASSERT_LE(budget, 26U);
    for (Sequence* s : scheduler.all()) {
      if (s->state == Sequence::State::kPulling && random.below(3) == 0)
        scheduler.pulled(*s, random.below(2) == 0 ? 0 : s->prompt - 1 - s->computed);
      else if (s->state != Sequence::State::kPulling && random.below(200) == 0)
        scheduler.finish(*s), ++ended;
    }
    if (!leases.empty() && random.below(4) == 0) {
      pool.unpin(leases.front());
      leases.erase(leases.begin());
    }
  }
  for (const auto& lease : leases) pool.unpin(lease);
  EXPECT_EQ(ended, added);
  EXPECT_EQ(pool.used(), 0U);
  EXPECT_EQ(pool.pinned(), 0U);
}

TEST(Scheduler, LosesNoRequestAndLeaksNoBlock) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) simulate(seed);
}

}  // namespace
}  // namespace baton::runtime
