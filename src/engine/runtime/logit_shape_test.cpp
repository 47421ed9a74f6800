#include "engine/runtime/logit_shape.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace baton::runtime {
namespace {

using ::testing::ElementsAre;

constexpr float kNever = -std::numeric_limits<float>::infinity();
const std::vector<float> kLogits = {1, 3, -2, 3, -1};

// After the prompt 0 1 and the answer 2 2.
std::vector<float> shaped(const SamplingParams& params) {
  static const std::vector<TokenId> kTokens = {0, 1, 2, 2};
  return shape({.logits = kLogits, .tokens = kTokens, .prompt = 2}, params);
}

TEST(LogitShape, PlainParametersChangeNothing) {
  EXPECT_FALSE(shapes({}));
  EXPECT_EQ(shaped({}), kLogits);
}

TEST(LogitShape, RepetitionSeesPromptAndAnswerTheOthersOnlyTheAnswer) {
  SamplingParams p;
  p.repetition_penalty = 2;
  EXPECT_THAT(shaped(p), ElementsAre(0.5F, 1.5F, -4, 3, -1));
  p = {};
  p.frequency_penalty = 0.25;
  EXPECT_THAT(shaped(p), ElementsAre(1, 3, -2.5F, 3, -1));
  p = {};
  p.presence_penalty = -1;
  EXPECT_THAT(shaped(p), ElementsAre(1, 3, -1, 3, -1));
}

TEST(LogitShape, OnlyAllowedTokensStay) {
  SamplingParams p;
  p.allowed = {4, 0};
  EXPECT_THAT(shaped(p), ElementsAre(1, kNever, kNever, kNever, -1));
}

TEST(LogitShape, ABiasIsAddedBeforeThePenalties) {
  SamplingParams p;
  p.logit_bias = {{2, 3}, {4, -100}};
  p.repetition_penalty = 2;
  EXPECT_THAT(shaped(p), ElementsAre(0.5F, 1.5F, 0.5F, 3, -101));
}

TEST(LogitShape, ABadWordIsAvoidedAtItsLastTokenInTheAnswerOnly) {
  SamplingParams p;
  p.bad_words = {{4}, {2, 3}, {1, 2, 2, 1}, {1, 0}};  // the prompt's 1 begins no word
  EXPECT_THAT(shaped(p), ElementsAre(1, 3, -2, kNever, kNever));
}

TEST(LogitShape, WhatIsMaskedIsNotDrawnUnlessNothingIsLeft) {
  const std::vector<TokenId> tokens = {0};
  SamplingParams p;
  p.temperature = 0;
  p.allowed = {2};
  p.logprobs = 0;
  const Draw draw{.logits = kLogits, .tokens = tokens, .prompt = 1};

  const Sample masked = sample(draw, p);
  EXPECT_EQ(masked.token, 2U);
  EXPECT_EQ(masked.logprob->rank, 5U);  // of the raw logits
  p.bad_words = {{2}};
  EXPECT_EQ(sample(draw, p).token, 1U);
  p.temperature = 1;
  EXPECT_EQ(sample(draw, p).token, 1U);
}

}  // namespace
}  // namespace baton::runtime
