#include "routing/sidecar/transaction.hpp"

#include <gtest/gtest.h>

namespace baton::sidecar {
namespace {

using Kind = Leg::Kind;

Leg answered(int status) { return {Kind::kAnswered, status}; }
Leg failed(Kind kind) { return {kind, 0}; }

Transaction prefilling(Policy policy) {
  Transaction t(policy);
  EXPECT_EQ(t.begin(true), Action::kPrefill);
  return t;
}

TEST(Transaction, RunsBothLegs) {
  Transaction t = prefilling(Policy::kRelay);

  EXPECT_EQ(t.on_prefill(answered(200)), Action::kDecode);
  EXPECT_TRUE(t.owes_release());
  EXPECT_EQ(t.on_decode(answered(200)), Action::kStream);
  EXPECT_FALSE(t.owes_release());
  t.on_sent();

  EXPECT_EQ(t.state(), State::kDone);
  EXPECT_EQ(t.outcome(), Outcome::kDisaggregated);
}

TEST(Transaction, GoesStraightToDecodeWithoutPrefill) {
  Transaction t(Policy::kStrict);

  EXPECT_EQ(t.begin(false), Action::kDecodeLocally);
  EXPECT_EQ(t.on_decode(answered(200)), Action::kStream);
  EXPECT_EQ(t.outcome(), Outcome::kAggregated);
}

struct Case {
  Leg leg;
  Policy policy;
  Action action;
  int status;
};

TEST(Transaction, AnswersAFailedPrefillByPolicy) {
  const Case cases[] = {
      {answered(500), Policy::kRelay, Action::kRelayPrefill, 0},
      {answered(500), Policy::kStrict, Action::kRelayPrefill, 0},
      {answered(500), Policy::kFallback, Action::kDecodeLocally, 0},
      {answered(302), Policy::kRelay, Action::kRelayPrefill, 0},
      {answered(400), Policy::kFallback, Action::kRelayPrefill, 0},  // the client's own fault
      {answered(404), Policy::kFallback, Action::kDecodeLocally, 0},
      {answered(429), Policy::kFallback, Action::kDecodeLocally, 0},
      {failed(Kind::kRefused), Policy::kRelay, Action::kFail, 502},
      {failed(Kind::kLost), Policy::kStrict, Action::kFail, 502},
      {failed(Kind::kTimeout), Policy::kRelay, Action::kFail, 504},
      {failed(Kind::kRefused), Policy::kFallback, Action::kDecodeLocally, 0},
      {failed(Kind::kTimeout), Policy::kFallback, Action::kDecodeLocally, 0},
      {failed(Kind::kUnusable), Policy::kRelay, Action::kDecodeLocally, 0},
      {failed(Kind::kUnusable), Policy::kFallback, Action::kDecodeLocally, 0},
      {failed(Kind::kUnusable), Policy::kStrict, Action::kFail, 502},
      {failed(Kind::kBroken), Policy::kRelay, Action::kFail, 502},
      {failed(Kind::kBroken), Policy::kFallback, Action::kDecodeLocally, 0},
  };
  for (const Case& c : cases) {
    Transaction t = prefilling(c.policy);
    EXPECT_EQ(t.on_prefill(c.leg), c.action);
    EXPECT_EQ(t.status(), c.status);
    EXPECT_FALSE(t.owes_release());
    EXPECT_EQ(t.fell_back(), c.action == Action::kDecodeLocally);
  }
}

TEST(Transaction, DecodesOnceMoreWithoutKvUnderFallback) {
  for (Leg leg : {answered(400), answered(500), failed(Kind::kLost)}) {
    Transaction t = prefilling(Policy::kFallback);
    (void)t.on_prefill(answered(200));

    EXPECT_EQ(t.on_decode(leg), Action::kDecodeLocally);
    EXPECT_TRUE(t.owes_release());
    EXPECT_NE(t.on_decode(leg), Action::kDecodeLocally);  // only once
  }
}

TEST(Transaction, DoesNotRepeatADecodeOtherwise) {
  for (Policy policy : {Policy::kRelay, Policy::kStrict}) {
    Transaction t = prefilling(policy);
    (void)t.on_prefill(answered(200));
    EXPECT_EQ(t.on_decode(answered(500)), Action::kStream);
    EXPECT_TRUE(t.owes_release());
    EXPECT_EQ(t.outcome(), Outcome::kDecodeFailed);
  }
  Transaction busy = prefilling(Policy::kFallback);
  (void)busy.on_prefill(answered(200));
  EXPECT_EQ(busy.on_decode(answered(503)), Action::kStream);
}

TEST(Transaction, NamesAFailedDecodeByItsCause) {
  const std::pair<Kind, int> cases[] = {
      {Kind::kRefused, 503}, {Kind::kLost, 502}, {Kind::kTimeout, 504}};
  for (auto [kind, status] : cases) {
    Transaction t(Policy::kRelay);
    (void)t.begin(false);
    EXPECT_EQ(t.on_decode(failed(kind)), Action::kFail);
    EXPECT_EQ(t.status(), status);
  }
}

TEST(Transaction, GivesBackWhatASuccessfulDecodeDidNotPull) {
  Transaction t = prefilling(Policy::kRelay);
  (void)t.on_prefill(answered(200));

  EXPECT_EQ(t.on_decode({.status = 200, .pulled = false}), Action::kStream);

  EXPECT_TRUE(t.owes_release());
}

TEST(Transaction, KeepsTheLeaseInMindWhenTheClientLeaves) {
  Transaction t = prefilling(Policy::kRelay);
  (void)t.on_prefill(answered(200));

  t.on_client_gone();

  EXPECT_TRUE(t.owes_release());
  EXPECT_EQ(t.outcome(), Outcome::kClientGone);
}

TEST(Policy, IsReadByName) {
  EXPECT_EQ(parse_policy("fallback"), Policy::kFallback);
  EXPECT_EQ(parse_policy("Fallback"), std::nullopt);
}

}  // namespace
}  // namespace baton::sidecar
