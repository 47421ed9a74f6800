#include "engine/runtime/sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/core/random.hpp"

namespace baton::runtime {
namespace {

SamplingParams warm() {
  SamplingParams p;
  p.temperature = 1;
  return p;
}

constexpr std::size_t kVocab = 64;

Sample sample(const std::vector<float>& logits, const SamplingParams& params,
              const std::vector<TokenId>& banned, std::uint64_t seed, std::size_t position) {
  const std::vector<TokenId> before(position);
  return runtime::sample(
      {.logits = logits, .tokens = before, .prompt = position, .banned = banned, .seed = seed},
      params);
}

std::vector<std::size_t> histogram(const std::vector<float>& logits, const SamplingParams& p,
                                   std::size_t draws, std::vector<TokenId> banned = {}) {
  std::vector<std::size_t> counts(logits.size());
  for (std::size_t i = 0; i < draws; ++i) ++counts[sample(logits, p, banned, 3, i).token];
  return counts;
}

const std::vector<float> kLogits = {1, 3, 2, 3, -1};

TEST(Sampling, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  SamplingParams p;
  p.temperature = 0;

  EXPECT_EQ(sample(kLogits, p, {}, 0, 0).token, 1U);
  EXPECT_EQ(sample(kLogits, p, std::vector<TokenId>{1}, 0, 0).token, 3U);
  EXPECT_EQ(sample(kLogits, p, std::vector<TokenId>{1, 3}, 0, 0).token, 2U);
}

TEST(Sampling, ADrawDependsOnSeedAndPositionOnly) {
  const SamplingParams p = warm();

  std::size_t differ = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    const TokenId token = sample(kLogits, p, {}, 11, i).token;
    EXPECT_EQ(token, sample(kLogits, p, {}, 11, i).token);
    differ += token != sample(kLogits, p, {}, 12, i).token;
  }
  EXPECT_GT(differ, 20U);
}

TEST(Sampling, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  for (const double temperature : {0.5, 1.0, 2.0}) {
    SamplingParams p = warm();
    p.temperature = temperature;
    double total = 0;
    for (const float l : kLogits) total += std::exp(l / temperature);

    const auto counts = histogram(kLogits, p, 20000);

    for (std::size_t t = 0; t < kLogits.size(); ++t)
      EXPECT_NEAR(static_cast<double>(counts[t]) / 20000,
                  std::exp(kLogits[t] / temperature) / total, 0.015);
  }
}

TEST(Sampling, TopKKeepsTheLikeliestAndTheirEquals) {
  SamplingParams p = warm();
  p.top_k = 1;
  EXPECT_EQ(histogram(kLogits, p, 500)[2], 0U);
  EXPECT_GT(histogram(kLogits, p, 500)[3], 0U);  // equal to the first
  p.top_k = 3;
  EXPECT_GT(histogram(kLogits, p, 500)[2], 0U);
  EXPECT_EQ(histogram(kLogits, p, 500)[0], 0U);
}

TEST(Sampling, TopPKeepsTheSmallestSetThatReachesTheMass) {
  // Probabilities 0.5, 0.25, 0.125, 0.125.
  const std::vector<float> logits = {std::log(4.0F), std::log(2.0F), 0, 0};
  SamplingParams p = warm();
  p.top_p = 0.5;
  EXPECT_EQ(histogram(logits, p, 300), (std::vector<std::size_t>{300, 0, 0, 0}));
  p.top_p = 0.6;
  const auto two = histogram(logits, p, 3000);
  EXPECT_NEAR(static_cast<double>(two[0]) / 3000, 2.0 / 3, 0.03);
  EXPECT_EQ(two[2] + two[3], 0U);
  p.top_p = 1e-9;
  EXPECT_EQ(histogram(logits, p, 300)[0], 300U);
}

TEST(Sampling, TopPCountsTheMassThatMinPAndTopKLeft) {
  const std::vector<float> logits = {std::log(4.0F), std::log(2.0F), 0, 0};
  SamplingParams p = warm();
  p.top_k = 2;     // leaves 2/3, 1/3
  p.top_p = 0.66;  // so the first is enough
  EXPECT_EQ(histogram(logits, p, 300)[0], 300U);
  p.top_k = 0;
  p.min_p = 0.4;
  EXPECT_EQ(histogram(logits, p, 300)[0], 300U);
}

TEST(Sampling, MinPDropsWhatIsFarBelowTheLikeliest) {
  SamplingParams p = warm();
  p.min_p = 0.3;  // of exp(3): keeps 3, 2; exp(1-3) = 0.14 goes
  const auto counts = histogram(kLogits, p, 1000);
  EXPECT_EQ(counts[0] + counts[4], 0U);
  EXPECT_GT(counts[2], 0U);
}

TEST(Sampling, BannedTokensAreNotDrawnUnlessNothingElseIsThere) {
  const auto counts = histogram(kLogits, warm(), 500, {1, 3});
  EXPECT_EQ(counts[1] + counts[3], 0U);
  EXPECT_EQ(sample(std::vector<float>{1}, warm(), std::vector<TokenId>{0}, 0, 0).token, 0U);
}

TEST(Sampling, LogprobsAreOfTheRawLogitsWithRankAndAlternatives) {
  SamplingParams p;
  p.temperature = 0;
  p.logprobs = 2;
  double total = 0;
  for (const float l : kLogits) total += std::exp(l);

  const Sample s = sample(kLogits, p, std::vector<TokenId>{1, 3}, 0, 0);

  ASSERT_TRUE(s.logprob);
  EXPECT_NEAR(s.logprob->logprob, 2 - std::log(total), 1e-6);
  EXPECT_EQ(s.logprob->rank, 3U);
  ASSERT_EQ(s.logprob->top.size(), 2U);
  EXPECT_EQ(s.logprob->top[0].first, 1U);
  EXPECT_EQ(s.logprob->top[1].first, 3U);
}

TEST(Sampling, ParametersOutOfRangeAreNamed) {
  const auto message = [](auto change) {
    SamplingParams p;
    change(p);
    const Status s = validate(p, kVocab);
    return s ? std::string("accepted") : s.error().message();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();

  EXPECT_EQ(message([](auto&) {}), "accepted");
  EXPECT_EQ(message([](auto& p) { p.temperature = -1; }), "temperature must be at least 0, got -1");
  EXPECT_EQ(message([&](auto& p) { p.temperature = nan; }),
            "temperature must be at least 0, got nan");
  EXPECT_EQ(message([](auto& p) { p.top_p = 0; }), "top_p must be in (0, 1], got 0");
  EXPECT_EQ(message([](auto& p) { p.top_k = -2; }), "top_k must be -1, 0 or positive, got -2");
  EXPECT_EQ(message([](auto& p) { p.min_p = 1.5; }), "min_p must be in [0, 1], got 1.5");
  EXPECT_EQ(message([](auto& p) { p.max_tokens = 0; }), "max_tokens must be at least 1, got 0");
  EXPECT_EQ(message([](auto& p) { p.min_tokens = 17; }),
            "min_tokens must be at most max_tokens=16, got 17");
  EXPECT_EQ(message([](auto& p) { p.logprobs = 65; }), "logprobs must be at most 64, got 65");
  EXPECT_EQ(message([](auto& p) { p.presence_penalty = 2.5; }),
            "presence_penalty must be in [-2, 2], got 2.5");
  EXPECT_EQ(message([&](auto& p) { p.frequency_penalty = nan; }),
            "frequency_penalty must be in [-2, 2], got nan");
  EXPECT_EQ(message([](auto& p) { p.repetition_penalty = 0; }),
            "repetition_penalty must be above 0, got 0");
  EXPECT_EQ(message([](auto& p) { p.prompt_logprobs = 65; }),
            "prompt_logprobs must be at most 64, got 65");
  EXPECT_EQ(message([](auto& p) { p.logit_bias = {{64, 1.F}}; }),
            "logit_bias: token id 64 is out of the vocabulary of 64");
  EXPECT_EQ(message([](auto& p) { p.allowed = {64}; }),
            "allowed_token_ids: token id 64 is out of the vocabulary of 64");
  EXPECT_EQ(message([](auto& p) { p.bad_words = {{1}, {2, 64}}; }),
            "bad_words: token id 64 is out of the vocabulary of 64");
}

}  // namespace
}  // namespace baton::runtime
