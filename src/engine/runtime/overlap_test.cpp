// KV that is pulled while its prompt is still being computed.

#include <gtest/gtest.h>

#include "engine/runtime/testing/meddler.hpp"
#include "engine/runtime/testing/rig.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

constexpr std::size_t kAnswer = 10;
constexpr std::size_t kLayerRow = 64;        // bytes of a token in one of FakeModel's layers
constexpr std::size_t kRow = 3 * kLayerRow;  // in all of them
constexpr std::size_t kStep = 128;           // tokens
constexpr std::size_t kPrompt = 600;

EngineConfig config(LocalSocket local) {
  EngineConfig c = small_config();
  c.max_num_batched_tokens = kStep;
  c.transfer->local_socket = local;
  return c;
}

kv::TransferParams asked() {
  kv::TransferParams p;
  p.do_remote_decode = p.announce = true;
  return p;
}

// A prefill engine that computes as far as the test allows, and a decode engine.
class Overlap : public ::testing::TestWithParam<LocalSocket> {
 protected:
  ~Overlap() override {
    steps->release(kAllThatIsLeft);
    layers->release(kAllThatIsLeft);
  }
  std::unique_ptr<model::Model> slow() const {
    return std::make_unique<FakeModel>(steps, 4096, layers);
  }
  void begin() {
    first = prefill.submit(prompt, greedy(1), asked());
    params = prefill.sink.wait_for_announcement(first);
  }
  std::uint64_t early(std::uint64_t wanted) const {
    return prefill.stats_when([&](const Stats& s) { return s.served_bytes_early >= wanted; })
        .served_bytes_early;
  }
  void expect_nothing_is_kept() {
    const Stats p = prefill.at_rest(), d = decode.at_rest();
    EXPECT_EQ(p.blocks_pinned, 0U);
    EXPECT_EQ(p.blocks_leased, 0U);
    EXPECT_EQ(p.blocks_used, 0U);
    EXPECT_EQ(d.blocks_used, 0U);
  }

  const std::vector<TokenId> prompt = prompt_of(kPrompt, 3);
  const std::vector<TokenId> expected =
      Rig(config(LocalSocket::kOff)).generate(prompt, greedy(kAnswer)).tokens;
  const std::shared_ptr<Permits> steps = std::make_shared<Permits>(0);
  const std::shared_ptr<Permits> layers = std::make_shared<Permits>(0);
  Rig prefill{config(GetParam()), slow(), 1};
  Rig decode{config(GetParam()), nullptr, 2};
  std::string first;
  kv::TransferParams params;
};

TEST_P(Overlap, DecodePullsWhatIsThereWhileTheRestIsComputed) {
  begin();
  EXPECT_TRUE(params.announced);
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);
  layers->release(kAllThatIsLeft);

  steps->release(2);
  EXPECT_EQ(early(2 * kStep * kRow), 2 * kStep * kRow);
  EXPECT_EQ(decode.engine->stats().waiting_remote, 1U);
  steps->release(kAllThatIsLeft);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->remote, kPrompt - 1);
  EXPECT_EQ(answer.prompt->computed, 1U);
  EXPECT_EQ(answer.prompt->kv_bytes, (kPrompt - 1) * kRow);
  EXPECT_EQ(answer.prompt->transfer_error, "");
  const Answer prefilled = prefill.sink.wait(first);
  EXPECT_EQ(prefilled.finish, Finish::kLength);
  EXPECT_EQ(prefilled.transfer.value_or(kv::TransferParams{}).generation, params.generation);
  expect_nothing_is_kept();
  EXPECT_EQ(prefill.engine->stats().served_bytes, (kPrompt - 1) * kRow);
  EXPECT_EQ(prefill.engine->stats().leases_released, 1U);
}

TEST_P(Overlap, LayersOfTokensThatAreBeingComputedMoveToo) {
  begin();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);

  steps->release(2);
  layers->release(3);  // the first step and the second layer of the second

  EXPECT_EQ(early(kStep * (kRow + 2 * kLayerRow)), kStep * (kRow + 2 * kLayerRow));
  steps->release(kAllThatIsLeft);
  layers->release(kAllThatIsLeft);
  EXPECT_EQ(decode.sink.wait(second).tokens, expected);
  expect_nothing_is_kept();
}

TEST_P(Overlap, APrefillThatIsGivenUpEndsThePullAndTheRestIsComputed) {
  layers->release(kAllThatIsLeft);
  begin();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);
  steps->release(1);
  early(kStep * kRow);

  prefill.engine->abort(first);
  steps->release(1);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(prefill.sink.wait(first).finish, Finish::kAbort);
  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_GE(answer.prompt->remote, kStep);
  EXPECT_LE(answer.prompt->remote, 2 * kStep);
  EXPECT_EQ(answer.prompt->remote + answer.prompt->computed, kPrompt);
  EXPECT_NE(answer.prompt->transfer_error.find("no such KV lease"), std::string::npos);
  expect_nothing_is_kept();
  EXPECT_EQ(prefill.engine->stats().leases_withdrawn, 1U);
}

TEST_P(Overlap, APrefillEngineThatStopsInTheMiddleIsReplacedByComputing) {
  layers->release(kAllThatIsLeft);
  begin();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);
  steps->release(1);
  early(kStep * kRow);

  steps->release(1);
  std::jthread gone([&] { prefill.engine->stop(Drain::kNo, {}); });
  steps->release(kAllThatIsLeft);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(answer.tokens, expected);
  EXPECT_GE(answer.prompt.value_or(PromptReport{}).remote, kStep);
  EXPECT_EQ(decode.at_rest().blocks_used, 0U);
}

// Its KV server says every second that it lives.
TEST_P(Overlap, APrefillEngineThatComputesNothingMoreIsGivenUp) {
  layers->release(kAllThatIsLeft);
  EngineConfig patient = config(GetParam());
  patient.transfer->stall_timeout = std::chrono::hours(1);
  Rig waiting(patient, nullptr, 3);
  begin();
  const auto progress = std::make_shared<Progress>();
  ASSERT_TRUE(waiting.engine->submit({.id = "no deadline",
                                      .prompt = prompt,
                                      .sampling = greedy(kAnswer),
                                      .transfer = params,
                                      .deadline = {},
                                      .progress = progress}));
  steps->release(1);
  waiting.stats_when([&](const Stats&) { return progress->ready == kStep; });

  waiting.clock.advance(std::chrono::seconds(31));

  const Answer answer = waiting.sink.wait("no deadline");
  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->remote, kStep);
  EXPECT_EQ(answer.prompt->transfer_error, "nothing more of the prompt was computed for 30 s");
  EXPECT_EQ(waiting.at_rest().blocks_used, 0U);
  steps->release(kAllThatIsLeft);
  expect_nothing_is_kept();
}

TEST_P(Overlap, AClientThatLeavesInTheMiddleFreesBothEngines) {
  layers->release(kAllThatIsLeft);
  begin();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);
  steps->release(1);
  early(kStep * kRow);

  decode.engine->abort(second);

  EXPECT_EQ(decode.sink.wait(second).finish, Finish::kAbort);
  EXPECT_EQ(decode.at_rest().blocks_used, 0U);
  prefill.engine->abort(first);
  steps->release(kAllThatIsLeft);
  expect_nothing_is_kept();
}

TEST_P(Overlap, WhatNobodyFetchesExpiresOnceItIsComputed) {
  layers->release(kAllThatIsLeft);
  begin();
  prefill.clock.advance(std::chrono::seconds(31));
  steps->release(kAllThatIsLeft);
  EXPECT_EQ(prefill.sink.wait(first).finish, Finish::kLength);
  EXPECT_EQ(prefill.engine->stats().blocks_pinned, (kPrompt + 15) / 16);

  prefill.clock.advance(std::chrono::seconds(31));

  expect_nothing_is_kept();
  EXPECT_EQ(prefill.engine->stats().leases_expired, 1U);
}

TEST_P(Overlap, OnlyWhatTheOwnCacheLacksIsWaitedFor) {
  layers->release(kAllThatIsLeft);
  decode.generate(std::vector(prompt.begin(), prompt.begin() + 401), greedy(1));
  begin();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);

  steps->release(kAllThatIsLeft);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->cached, 400U);
  EXPECT_EQ(answer.prompt->remote, kPrompt - 401);
  EXPECT_EQ(answer.prompt->computed, 1U);
  expect_nothing_is_kept();
}

TEST_P(Overlap, AFullHitWaitsForNothingAndThePrefillEndsAsAskedFor) {
  layers->release(kAllThatIsLeft);
  const auto whole = prompt_of(kPrompt - kPrompt % 16 + 1, 3);
  decode.generate(whole, greedy(1));
  first = prefill.submit(whole, greedy(1), asked());
  params = prefill.sink.wait_for_announcement(first);

  const Answer answer = decode.generate(whole, greedy(kAnswer), params);

  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 0U);
  steps->release(kAllThatIsLeft);
  EXPECT_EQ(prefill.sink.wait(first).finish, Finish::kLength);
  expect_nothing_is_kept();
  EXPECT_EQ(prefill.engine->stats().leases_released, 1U);
}

INSTANTIATE_TEST_SUITE_P(ThroughMemoryAndTcp, Overlap,
                         ::testing::Values(LocalSocket::kOn, LocalSocket::kOff));

using OverTcp = Overlap;

TEST_P(OverTcp, APullGoesOnAfterAResetWhileThePromptIsComputed) {
  layers->release(kAllThatIsLeft);
  begin();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kCutOnce,
                  kStep * kRow + 5000);
  params.remote_port = meddler.port();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);

  steps->release(2);
  EXPECT_TRUE(meddler.reached());
  steps->release(kAllThatIsLeft);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, kPrompt - 1);
  EXPECT_EQ(decode.engine->stats().transfers_resumed, 1U);
  expect_nothing_is_kept();
}

TEST_P(OverTcp, WhatHasArrivedIsUsedWhenThePrefillEngineIsKilledInAChunk) {
  layers->release(kAllThatIsLeft);
  begin();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kCutAndClose,
                  kStep * kRow + 5000);
  params.remote_port = meddler.port();
  const std::string second = decode.submit(prompt, greedy(kAnswer), params);
  steps->release(1);
  early(kStep * kRow);

  steps->release(1);

  const Answer answer = decode.sink.wait(second);
  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, kStep);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).computed, kPrompt - kStep);
}

INSTANTIATE_TEST_SUITE_P(ThroughTcp, OverTcp, ::testing::Values(LocalSocket::kOff));

TEST(Announcement, IsMadeOfLongPromptsOnlyAndWhenAskedFor) {
  Rig prefill(config(LocalSocket::kOn));

  EXPECT_FALSE(prefill.prefill(prompt_of(kPrompt, 1), greedy(1)).announced);
  EXPECT_FALSE(prefill.generate(prompt_of(200, 2), greedy(1), asked()).announced);
  EXPECT_TRUE(prefill.generate(prompt_of(kPrompt, 3), greedy(1), asked()).announced);
}

TEST(Announcement, IsNotMadeByAnEngineThatIsNotToMakeAny) {
  EngineConfig quiet = config(LocalSocket::kOn);
  quiet.transfer->announcements = Announcements::kOff;
  Rig prefill(quiet), decode(config(LocalSocket::kOn));

  const Answer first = prefill.generate(prompt_of(kPrompt, 4), greedy(1), asked());

  EXPECT_FALSE(first.announced);
  ASSERT_TRUE(first.transfer);
  const Answer second = decode.generate(prompt_of(kPrompt, 4), greedy(2), *first.transfer);
  EXPECT_EQ(second.prompt.value_or(PromptReport{}).remote, kPrompt - 1);
}

// A sequence that decodes takes the blocks that were announced.
TEST(Announcement, IsTakenBackWhenTheBlocksAreNeededForAnother) {
  EngineConfig tight = config(LocalSocket::kOff);
  tight.blocks = 21;
  tight.max_model_len = 330;
  tight.max_num_batched_tokens = 16;
  const auto steps = std::make_shared<Permits>(0);
  Rig prefill(tight, std::make_unique<FakeModel>(steps)), decode(config(LocalSocket::kOff));
  const auto prompt = prompt_of(300, 4);
  const std::string hungry = prefill.submit(prompt_of(16, 5), greedy(100));
  const std::string first = prefill.submit(prompt, greedy(1), asked());
  steps->release(kAllThatIsLeft);
  const kv::TransferParams params = prefill.sink.wait_for_announcement(first);

  const Answer answer = decode.generate(prompt, greedy(kAnswer), params);

  EXPECT_EQ(answer.tokens, Rig(config(LocalSocket::kOff)).generate(prompt, greedy(kAnswer)).tokens);
  EXPECT_NE(answer.prompt.value_or(PromptReport{}).transfer_error, "");
  EXPECT_EQ(prefill.sink.wait(hungry).tokens.size(), 100U);
  const Answer later = prefill.sink.wait(first);
  ASSERT_TRUE(later.transfer);
  EXPECT_NE(later.transfer->generation, params.generation);
  EXPECT_TRUE(prefill.engine->release_lease(later.transfer->remote_request_id,
                                            later.transfer->lease_token));
  const Stats s = prefill.at_rest();
  EXPECT_EQ(s.leases_withdrawn, 1U);
  EXPECT_EQ(s.leases_granted, 2U);
  EXPECT_EQ(s.blocks_used, 0U);
}

}  // namespace
}  // namespace baton::runtime
