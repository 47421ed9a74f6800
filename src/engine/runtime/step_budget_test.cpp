#include "engine/runtime/step_budget.hpp"

#include <gtest/gtest.h>

#include "engine/runtime/batch.hpp"
#include "engine/runtime/testing/rig.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

constexpr Nanos kMilli = std::chrono::milliseconds(1);

TEST(StepBudget, LeavesRoomForWhatDecodingTakes) {
  StepBudget budget(50 * kMilli);
  for (int i = 0; i < 20; ++i) {
    budget.learn({.decoding = 4, .prompt = 0, .took = 10 * kMilli});
    budget.learn({.decoding = 4, .prompt = 20, .took = 50 * kMilli});  // 2 ms each
  }
  EXPECT_NEAR(static_cast<double>(budget.prompt_tokens()), 20, 1);
}

TEST(StepBudget, FollowsCostsThatRise) {
  StepBudget budget(100 * kMilli);
  budget.learn({.decoding = 1, .prompt = 100, .took = 100 * kMilli});
  EXPECT_EQ(budget.prompt_tokens(), 100U);
  for (int i = 0; i < 10; ++i) budget.learn({.decoding = 1, .prompt = 25, .took = 100 * kMilli});
  EXPECT_NEAR(static_cast<double>(budget.prompt_tokens()), 25, 1);
}

TEST(StepBudget, LetsAPromptGetOnWhateverItCosts) {
  StepBudget budget(1 * kMilli);
  EXPECT_EQ(budget.prompt_tokens(), StepBudget::kLeast);  // nothing is known yet
  budget.learn({.decoding = 1, .prompt = 100, .took = std::chrono::seconds(1)});
  EXPECT_EQ(budget.prompt_tokens(), StepBudget::kLeast);
}

TEST(StepBudget, HoldsNothingBackWithoutATarget) {
  StepBudget budget(std::nullopt);
  budget.learn({.decoding = 1, .prompt = 1, .took = std::chrono::seconds(1)});
  EXPECT_GT(budget.prompt_tokens(), 1'000'000U);
}

// A model whose tokens take a millisecond each.
class SlowModel final : public model::Model {
 public:
  explicit SlowModel(ManualClock& clock) : clock_(clock) {}
  const model::Config& config() const override { return fake_.config(); }
  model::KvShape kv_shape() const override { return fake_.kv_shape(); }
  std::size_t weight_bytes() const override { return 0; }
  void forward(std::span<const model::Slice> slices, model::KvMemory& kv,
               std::vector<float>& logits) override {
    for (const model::Slice& slice : slices) clock_.advance(slice.tokens.size() * kMilli);
    fake_.forward(slices, kv, logits);
  }

 private:
  ManualClock& clock_;
  FakeModel fake_;
};

struct Steps {
  Nanos longest{};  // between two tokens of the first request
  std::vector<TokenId> tokens;
};

// One request answers while a prompt of 600 tokens is computed.
Steps beside_a_long_prompt(std::optional<Nanos> target) {
  ManualClock clock;
  SeededRandom random(7);
  SlowModel model(clock);
  EngineConfig config = small_config();
  config.transfer.reset();
  config.max_num_batched_tokens = 256;
  config.step_target = target;
  model::KvMemory memory(model.kv_shape(), config.blocks, config.block_size);
  Batch batch(config, {model, memory, nullptr, nullptr, clock, random});
  batch.add({"short", prompt_of(20, 1), greedy(100), {}, {}}, clock.now());
  Steps out;
  Mono last{};
  for (int step = 0; step < 100; ++step) {
    if (step == 5) batch.add({"long", prompt_of(600, 2), greedy(50), {}, {}}, clock.now());
    batch.step();
    for (const Event& event : batch.take_events()) {
      if (event.id != "short") continue;
      out.tokens.insert(out.tokens.end(), event.tokens.begin(), event.tokens.end());
      if (last != Mono{}) out.longest = std::max(out.longest, clock.now() - last);
      last = clock.now();
    }
  }
  return out;
}

TEST(StepBudget, BoundsTheTimeBetweenTokensBesideALongPrompt) {
  const Steps free = beside_a_long_prompt(std::nullopt);
  const Steps bound = beside_a_long_prompt(40 * kMilli);

  EXPECT_EQ(free.longest, 256 * kMilli);  // --max-num-batched-tokens
  EXPECT_LE(bound.longest, 40 * kMilli);
  EXPECT_EQ(bound.tokens.size(), 100U);
  EXPECT_EQ(bound.tokens, free.tokens);
}

}  // namespace
}  // namespace baton::runtime
