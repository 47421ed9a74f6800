// One engine: requests, limits, and answers that do not depend on company.

#include "engine/runtime/engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "engine/runtime/testing/rig.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

std::string refusal(Engine& engine, GenerateRequest request) {
  const Status s = engine.submit(std::move(request));
  return s ? "accepted" : s.error().message();
}

// The reference: one request at a time, no cache, a pool that never runs out.
std::vector<TokenId> alone(const std::vector<TokenId>& prompt, const SamplingParams& sampling) {
  EngineConfig c = small_config();
  c.prefix_caching = false;
  c.max_num_batched_tokens = 1024;
  c.transfer.reset();
  Rig rig(c);
  return rig.generate(prompt, sampling).tokens;
}

TEST(Engine, AnswersWithTheTokensAskedFor) {
  Rig rig(small_config());

  const Answer answer = rig.generate(prompt_of(20, 1), greedy(7));

  EXPECT_EQ(answer.finish, Finish::kLength);
  EXPECT_EQ(answer.tokens.size(), 7U);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->prompt, 20U);
  EXPECT_EQ(answer.prompt->computed, 20U);
  EXPECT_FALSE(answer.transfer);
  const Stats s = rig.at_rest();
  EXPECT_EQ(s.finished_length, 1U);
  EXPECT_EQ(s.generation_tokens, 7U);
  EXPECT_EQ(s.prompt_tokens_computed, 20U);
}

// vllm-wire Appendix B, 6.
TEST(Engine, StopsAtEosAndStopTokensAfterMinTokens) {
  Rig rig(small_config());
  const auto prompt = prompt_of(20, 1);
  const auto free = rig.generate(prompt, greedy(12)).tokens;

  SamplingParams p = greedy(12);
  p.stop_token_ids = {free[3]};
  const std::size_t first =
      static_cast<std::size_t>(std::ranges::find(free, free[3]) - free.begin());
  const Answer stopped = rig.generate(prompt, p);
  EXPECT_EQ(stopped.finish, Finish::kStop);
  EXPECT_EQ(stopped.stop_token, free[3]);
  EXPECT_EQ(stopped.tokens.size(), first + 1);

  p.min_tokens = first + 1;  // masks the id where it came
  const Answer later = rig.generate(prompt, p);
  EXPECT_GT(later.tokens.size(), first + 1);
  EXPECT_NE(later.tokens[first], free[3]);
}

TEST(Engine, EndsWithStopWhenTheModelSaysEos) {
  Rig rig(small_config());
  SamplingParams p = greedy(1000);
  p.ignore_eos = false;

  const Answer answer = rig.generate(prompt_of(20, 2), p);

  EXPECT_EQ(answer.finish, Finish::kStop);
  EXPECT_EQ(answer.tokens.back(), FakeModel::kEos);
  EXPECT_FALSE(answer.stop_token);
}

TEST(Engine, AnAnswerEndsAtTheContextLimit) {
  Rig rig(small_config());

  EXPECT_EQ(rig.generate(prompt_of(1000, 1), greedy(500)).tokens.size(), 24U);
  EXPECT_EQ(rig.generate(prompt_of(1023, 1), greedy(500)).tokens.size(), 1U);
}

TEST(Engine, GivesLogprobsWhenAsked) {
  Rig rig(small_config());
  SamplingParams p = greedy(3);
  p.logprobs = 4;

  const Answer answer = rig.generate(prompt_of(5, 1), p);

  ASSERT_EQ(answer.logprobs.size(), 3U);
  EXPECT_EQ(answer.logprobs[1].top.size(), 4U);
  EXPECT_EQ(answer.logprobs[1].top[0].first, answer.tokens[1]);
  EXPECT_EQ(answer.logprobs[1].rank, 1U);
}

// One row for each token of the prompt but the first, the same however it is computed.
TEST(Engine, ScoresThePromptWhateverChunksAndCompany) {
  SamplingParams p = greedy(3);
  p.prompt_logprobs = 2;
  const auto prompt = prompt_of(200, 1);
  Rig plain(small_config());
  const auto expected = plain.generate(prompt, p);
  ASSERT_EQ(expected.prompt_logprobs.size(), 199U);
  const auto same = [&](const Answer& answer) {
    EXPECT_EQ(answer.tokens, expected.tokens);
    EXPECT_EQ(answer.prompt->computed, 200U);
    ASSERT_EQ(answer.prompt_logprobs.size(), 199U);
    for (std::size_t i = 0; i < 199; ++i) {
      EXPECT_EQ(answer.prompt_logprobs[i].logprob, expected.prompt_logprobs[i].logprob) << i;
      EXPECT_EQ(answer.prompt_logprobs[i].top, expected.prompt_logprobs[i].top) << i;
    }
  };
  // What the model says of a shorter prompt's end is what it said of that place.
  SamplingParams one = greedy(1);
  one.logprobs = 2;
  const auto at_100 = plain.generate({prompt.begin(), prompt.begin() + 100}, one);
  EXPECT_EQ(at_100.logprobs[0].top, expected.prompt_logprobs[99].top);

  same(plain.generate(prompt, p));  // the cache is passed over
  EngineConfig c = small_config();
  c.max_num_batched_tokens = 9;
  Rig small(c);
  const auto other = small.submit(prompt_of(77, 5), greedy(30));
  same(small.generate(prompt, p));
  small.sink.wait(other);
}

TEST(Engine, APromptThatIsScoredIsComputedHereAndItsRemoteKvGivenBack) {
  Rig prefill(small_config()), decode(small_config());
  const auto prompt = prompt_of(50, 1);
  const Answer first = prefill.prefill(prompt, greedy(4));
  SamplingParams p = greedy(4);
  p.prompt_logprobs = 0;

  const Answer answer = decode.generate(prompt, p, *first.transfer);

  EXPECT_EQ(answer.tokens, alone(prompt, greedy(4)));
  EXPECT_EQ(answer.prompt->remote, 0U);
  EXPECT_EQ(answer.prompt_logprobs.size(), 49U);
  EXPECT_EQ(prefill.at_rest().leases_released, 1U);
}

// A model with a damaged weight.
class NanModel final : public model::Model {
 public:
  const model::Config& config() const override { return fake_.config(); }
  model::KvShape kv_shape() const override { return fake_.kv_shape(); }
  std::size_t weight_bytes() const override { return 0; }
  void forward(std::span<const model::Slice> slices, model::KvMemory& kv,
               std::vector<float>& logits) override {
    fake_.forward(slices, kv, logits);
    if (!logits.empty()) logits.back() = std::nanf("");
  }

 private:
  FakeModel fake_;
};

TEST(Engine, ALogitThatIsNoNumberEndsTheRequestWithTheReason) {
  Rig rig(small_config(), std::make_unique<NanModel>());

  const Answer answer = rig.generate(prompt_of(20, 1), greedy(5));

  EXPECT_EQ(answer.finish, Finish::kError);
  EXPECT_EQ(answer.error->message(),
            "the model computed a logit that is no number: its weights are damaged");
  EXPECT_EQ(rig.at_rest().finished_error, 1U);
}

TEST(Engine, RefusesWhatCanNeverRun) {
  EngineConfig c = small_config();
  c.transfer.reset();
  Rig rig(c);
  Engine& e = *rig.engine;
  GenerateRequest r{"x", {1, 2}, greedy(1), {}, {}};

  auto change = r;
  change.prompt.clear();
  EXPECT_EQ(refusal(e, change), "the prompt is empty");
  change.prompt = prompt_of(1024, 1);
  EXPECT_EQ(refusal(e, change),
            "the prompt has 1024 tokens; with max_model_len=1024 at most 1023 fit");
  change.prompt = {1, 97};
  EXPECT_EQ(refusal(e, change), "token id 97 is out of the vocabulary of 97");
  change = r;
  change.sampling.temperature = -1;
  EXPECT_EQ(refusal(e, change), "temperature must be at least 0, got -1");
  change = r;
  change.transfer.do_remote_prefill = true;
  EXPECT_EQ(refusal(e, change), "kv_transfer_params: this engine runs without KV transfer");
}

TEST(Engine, RefusesAConfigurationThatCannotWork) {
  ManualClock clock;
  SeededRandom random(1);
  const auto message = [&](auto change) {
    EngineConfig c = small_config();
    change(c);
    auto made = Engine::create(c, {std::make_unique<FakeModel>(), clock, random});
    return made ? std::string("accepted") : made.error().message();
  };

  EXPECT_EQ(message([](auto&) {}), "accepted");
  EXPECT_EQ(message([](auto& c) { c.blocks = 63; }),
            "blocks of 63 x 16 tokens cannot hold one sequence of max_model_len=1024");
  EXPECT_EQ(message([](auto& c) { c.max_model_len = 5000; }),
            "max_model_len must be 2 to 4096 (the model's positions), got 5000");
  EXPECT_EQ(message([](auto& c) { c.max_num_batched_tokens = 4; }),
            "max_num_batched_tokens must be at least max_num_seqs=8, got 4");
  EXPECT_EQ(message([](auto& c) { c.block_size = 0; }), "block_size must be 1 to 1024, got 0");
  EXPECT_EQ(message([](auto& c) { c.transfer->host = "nowhere"; }),
            "'nowhere' is not an IP address");
}

// An engine with one place, taken by a request that has drawn one token and holds still.
class BusyEngine : public ::testing::Test {
 protected:
  BusyEngine() { EXPECT_TRUE(rig.sink.wait_for_tokens(running, 1)); }
  ~BusyEngine() override { permits->release(kAllThatIsLeft); }

  static EngineConfig one_place() {
    EngineConfig c = small_config();
    c.max_num_seqs = 1;
    c.max_waiting = 2;
    return c;
  }

  std::shared_ptr<Permits> permits = std::make_shared<Permits>(1);
  Rig rig{one_place(), std::make_unique<FakeModel>(permits)};
  std::string running = rig.submit(prompt_of(4, 1), greedy(1000), {}, std::chrono::seconds(5));
};

TEST_F(BusyEngine, ABoundedQueueSheds) {
  rig.submit(prompt_of(4, 2), greedy(1));
  rig.submit(prompt_of(4, 3), greedy(1));

  const Status full = rig.engine->submit({"x", {1}, greedy(1), {}, {}});

  EXPECT_EQ(full.error().code(), Code::kExhausted);
  EXPECT_EQ(full.error().message(), "2 requests are waiting already");
  EXPECT_EQ(rig.engine->stats().rejected, 1U);
  EXPECT_EQ(rig.engine->stats().waiting, 2U);
}

// Says when a forward pass begins.
class ToldModel final : public model::Model {
 public:
  ToldModel(std::shared_ptr<Permits> permits, std::shared_ptr<std::atomic<int>> begun)
      : fake_(std::move(permits)), begun_(std::move(begun)) {}
  const model::Config& config() const override { return fake_.config(); }
  model::KvShape kv_shape() const override { return fake_.kv_shape(); }
  std::size_t weight_bytes() const override { return 0; }
  void forward(std::span<const model::Slice> slices, model::KvMemory& kv,
               std::vector<float>& logits) override {
    ++*begun_;
    fake_.forward(slices, kv, logits);
  }

 private:
  FakeModel fake_;
  std::shared_ptr<std::atomic<int>> begun_;  // shared with the test
};

TEST_F(BusyEngine, WhatWaitsDuringAStepCountsAndFillsTheQueue) {
  const auto begun = std::make_shared<std::atomic<int>>(0);
  const auto steps = std::make_shared<Permits>(1);
  Rig busy(one_place(), std::make_unique<ToldModel>(steps, begun));
  const auto first = busy.submit(prompt_of(4, 1), greedy(1000));
  EXPECT_TRUE(busy.sink.wait_for_tokens(first, 1));
  busy.submit(prompt_of(4, 2), greedy(1));
  busy.submit(prompt_of(4, 3), greedy(1));

  steps->release();
  busy.stats_when([&](const Stats&) { return *begun == 3; });
  const Stats s = busy.engine->stats();

  const Status full = busy.engine->submit({"x", {1}, greedy(1), {}, {}});
  steps->release(kAllThatIsLeft);
  EXPECT_EQ(s.running, 1U);
  EXPECT_EQ(s.waiting, 2U);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kExhausted);
}

TEST(Engine, ShowsARequestWhileItsFirstStepIsComputed) {
  const auto begun = std::make_shared<std::atomic<int>>(0);
  const auto steps = std::make_shared<Permits>(0);
  Rig rig(small_config(), std::make_unique<ToldModel>(steps, begun));
  rig.submit(prompt_of(20, 1), greedy(1));

  rig.stats_when([&](const Stats&) { return *begun == 1; });
  const Stats s = rig.engine->stats();

  steps->release(kAllThatIsLeft);
  EXPECT_EQ(s.running, 1U);
  EXPECT_EQ(s.waiting, 0U);
  EXPECT_EQ(s.blocks_used, 2U);
}

TEST_F(BusyEngine, AnIdIsUsedOnceAtATime) {
  EXPECT_EQ(rig.engine->submit({running, {1}, greedy(1), {}, {}}).error().code(), Code::kConflict);

  rig.engine->abort(running);
  permits->release();
  rig.sink.wait(running);

  permits->release();
  EXPECT_TRUE(rig.engine->submit({running, {1}, greedy(1), {}, {}}));
  EXPECT_EQ(rig.sink.wait(running).finish, Finish::kLength);
}

TEST_F(BusyEngine, AnAbortEndsARequestWaitingOrRunning) {
  const auto waiting = rig.submit(prompt_of(4, 2), greedy(1000));

  rig.engine->abort(waiting);
  rig.engine->abort(running);
  rig.engine->abort("unknown");
  permits->release();

  EXPECT_EQ(rig.sink.wait(waiting).finish, Finish::kAbort);
  EXPECT_EQ(rig.sink.wait(running).finish, Finish::kAbort);
  EXPECT_EQ(rig.at_rest().finished_abort, 2U);
}

TEST_F(BusyEngine, ADeadlineEndsARequestWaitingOrRunning) {
  const auto waiting = rig.submit(prompt_of(4, 2), greedy(1000), {}, std::chrono::seconds(4));

  rig.clock.advance(std::chrono::seconds(5));
  permits->release();

  EXPECT_EQ(rig.sink.wait(waiting).error.value().code(), Code::kTimeout);
  EXPECT_EQ(rig.sink.wait(running).error.value().code(), Code::kTimeout);
  EXPECT_EQ(rig.at_rest().finished_error, 2U);
}

TEST(Engine, AnswersDoNotDependOnCompanyChunksOrCache) {
  struct Case {
    std::vector<TokenId> prompt;
    SamplingParams sampling;
    std::vector<TokenId> expected;
  };
  std::vector<Case> cases;
  for (std::size_t i = 0; i < 20; ++i) {
    // Families of prompts that share prefixes.
    auto prompt = prompt_of(1 + (i * 37) % 300, i % 4);
    auto sampling = i % 3 == 0 ? greedy(30) : i % 3 == 1 ? seeded(30, i) : shaped(30, i);
    auto expected = alone(prompt, sampling);
    cases.push_back({std::move(prompt), std::move(sampling), std::move(expected)});
  }
  for (const std::size_t block_size : {1, 16, 64}) {
    for (const std::size_t chunk : {8, 33, 1000}) {
      EngineConfig c = small_config();
      c.block_size = block_size;
      c.blocks = 4096 / block_size;
      c.max_num_batched_tokens = chunk;
      Rig rig(c);
      for (int round = 0; round < 2; ++round) {
        std::vector<std::string> ids;
        for (const Case& one : cases) ids.push_back(rig.submit(one.prompt, one.sampling));
        for (std::size_t i = 0; i < cases.size(); ++i)
          EXPECT_EQ(rig.sink.wait(ids[i]).tokens, cases[i].expected)
              << "block " << block_size << " chunk " << chunk << " case " << i;
      }
      const Stats s = rig.at_rest();
      EXPECT_EQ(s.blocks_used, 0U);
      EXPECT_GT(s.prefix_hit_tokens, 0U);
    }
  }
}

TEST(Engine, PreemptionDoesNotChangeAnAnswer) {
  EngineConfig c = small_config();
  c.blocks = 64;  // holds one sequence of max_model_len
  Rig rig(c);
  std::vector<std::string> ids;
  const auto sampling = [](std::size_t i) { return i % 2 ? seeded(200, i) : shaped(200, i); };
  for (std::size_t i = 0; i < 8; ++i) ids.push_back(rig.submit(prompt_of(100, i), sampling(i)));

  for (std::size_t i = 0; i < 8; ++i) {
    const Answer answer = rig.sink.wait(ids[i]);
    EXPECT_EQ(answer.tokens, alone(prompt_of(100, i), sampling(i))) << i;
    EXPECT_EQ(answer.prompt->cached + answer.prompt->computed, 100U);
  }
  const Stats s = rig.at_rest();
  EXPECT_GT(s.preemptions, 0U);
  EXPECT_EQ(s.blocks_used, 0U);
}

TEST(Engine, ASecondTurnFindsPromptAndAnswerInTheCache) {
  Rig rig(small_config());
  auto conversation = prompt_of(100, 1);
  const auto answer = rig.generate(conversation, greedy(50)).tokens;
  conversation.insert(conversation.end(), answer.begin(), answer.end());
  conversation.push_back(5);

  // KV of the last answered token was never computed: 149 tokens, 9 full blocks.
  EXPECT_EQ(rig.generate(conversation, greedy(1)).prompt->cached, 144U);
}

TEST(Engine, DrainsBeforeItStops) {
  Rig rig(small_config());
  const auto id = rig.submit(prompt_of(50, 1), greedy(100));

  rig.engine->stop(Drain::kYes, Deadline::in(rig.clock, kPatience));

  EXPECT_EQ(rig.sink.wait(id).tokens.size(), 100U);
  EXPECT_EQ(rig.engine->submit({"x", {1}, greedy(1), {}, {}}).error().code(), Code::kUnavailable);
  EXPECT_FALSE(rig.engine->healthy());
}

TEST(Engine, StoppingWithoutDrainEndsEveryRequest) {
  Rig rig(small_config());
  const auto id = rig.submit(prompt_of(500, 1), greedy(500));

  rig.engine->stop(Drain::kNo, {});

  EXPECT_TRUE(rig.sink.wait(id).finish.has_value());
}

}  // namespace
}  // namespace baton::runtime
