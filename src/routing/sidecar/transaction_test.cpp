#include "routing/sidecar/transaction.hpp"

#include <gtest/gtest.h>

namespace baton::sidecar {
namespace {

using Kind = Leg::Kind;

const ManualClock kClock;
const Mono kNow = kClock.now();
const Deadline kEnd{kNow + std::chrono::seconds(600)};

Leg answered(int status) { return {.kind = Kind::kAnswered, .status = status, .granted = kNow}; }
Leg failed(Kind kind) { return {.kind = kind, .status = 0}; }

// Over the defaults, with the calls that need no time of their own.
struct Machine : Transaction {
  explicit Machine(Policy policy) : Machine(Tactics{.policy = policy}) {}
  explicit Machine(const Tactics& tactics) : Transaction(tactics, kEnd) {}
  Action begin(bool prefill) { return Transaction::begin(prefill ? 1 : 0, kNow); }
  Action on_prefill(const Leg& leg) {
    Action action = Transaction::on_prefill(leg, kNow);
    return action == Action::kDecode ? on_dispatch(kNow) : action;
  }
  Action on_decode(const Leg& leg) { return Transaction::on_decode(leg, kNow); }
};

Machine prefilling(Policy policy) {
  Machine t(policy);
  EXPECT_EQ(t.begin(true), Action::kPrefill);
  return t;
}

TEST(Transaction, RunsBothLegs) {
  Machine t = prefilling(Policy::kRelay);

  EXPECT_EQ(t.on_prefill(answered(200)), Action::kDecode);
  EXPECT_TRUE(t.owes_release());
  EXPECT_EQ(t.on_decode(answered(200)), Action::kStream);
  EXPECT_FALSE(t.owes_release());
  t.on_sent();

  EXPECT_EQ(t.state(), State::kDone);
  EXPECT_EQ(t.outcome(), Outcome::kDisaggregated);
}

TEST(Transaction, GoesStraightToDecodeWithoutPrefill) {
  Machine t(Policy::kStrict);

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
      {failed(Kind::kCutOff), Policy::kRelay, Action::kDecodeLocally, 0},
      {failed(Kind::kCutOff), Policy::kFallback, Action::kDecodeLocally, 0},
      {failed(Kind::kCutOff), Policy::kStrict, Action::kFail, 502},
      {failed(Kind::kBroken), Policy::kRelay, Action::kFail, 502},
      {failed(Kind::kBroken), Policy::kFallback, Action::kDecodeLocally, 0},
  };
  for (const Case& c : cases) {
    Machine t = prefilling(c.policy);
    EXPECT_EQ(t.on_prefill(c.leg), c.action);
    EXPECT_EQ(t.status(), c.status);
    EXPECT_FALSE(t.owes_release());
    EXPECT_EQ(t.fell_back(), c.action == Action::kDecodeLocally);
  }
}

TEST(Transaction, DecodesOnceMoreWithoutKvUnderFallback) {
  for (Leg leg : {answered(400), answered(500), failed(Kind::kLost)}) {
    Machine t = prefilling(Policy::kFallback);
    (void)t.on_prefill(answered(200));

    EXPECT_EQ(t.on_decode(leg), Action::kDecodeLocally);
    EXPECT_TRUE(t.owes_release());
    EXPECT_NE(t.on_decode(leg), Action::kDecodeLocally);  // only once
  }
}

TEST(Transaction, DoesNotRepeatADecodeOtherwise) {
  for (Policy policy : {Policy::kRelay, Policy::kStrict}) {
    Machine t = prefilling(policy);
    (void)t.on_prefill(answered(200));
    EXPECT_EQ(t.on_decode(answered(500)), Action::kStream);
    EXPECT_TRUE(t.owes_release());
    EXPECT_EQ(t.outcome(), Outcome::kDecodeFailed);
  }
  Machine busy = prefilling(Policy::kFallback);
  (void)busy.on_prefill(answered(200));
  EXPECT_EQ(busy.on_decode(answered(503)), Action::kStream);
}

TEST(Transaction, NamesAFailedDecodeByItsCause) {
  const std::pair<Kind, int> cases[] = {
      {Kind::kRefused, 503}, {Kind::kLost, 502}, {Kind::kTimeout, 504}};
  for (auto [kind, status] : cases) {
    Machine t(Policy::kRelay);
    (void)t.begin(false);
    EXPECT_EQ(t.on_decode(failed(kind)), Action::kFail);
    EXPECT_EQ(t.status(), status);
  }
}

TEST(Transaction, GivesBackWhatASuccessfulDecodeDidNotPull) {
  Machine t = prefilling(Policy::kRelay);
  (void)t.on_prefill(answered(200));

  EXPECT_EQ(t.on_decode({.status = 200, .pulled = false}), Action::kStream);

  EXPECT_TRUE(t.owes_release());
}

TEST(Transaction, KeepsTheLeaseInMindWhenTheClientLeaves) {
  Machine t = prefilling(Policy::kRelay);
  (void)t.on_prefill(answered(200));

  t.on_client_gone();

  EXPECT_TRUE(t.owes_release());
  EXPECT_EQ(t.outcome(), Outcome::kClientGone);
}

Transaction among(std::size_t candidates, const Tactics& tactics) {
  Transaction t(tactics, kEnd);
  EXPECT_EQ(t.begin(candidates, kNow), Action::kPrefill);
  return t;
}

TEST(Transaction, TriesOtherHostsBeforeTheSameOnesAgain) {
  Transaction t = among(3, {.retries = 2});

  EXPECT_EQ(t.on_prefill(failed(Kind::kRefused), kNow), Action::kPrefill);
  EXPECT_EQ(t.candidate(), 1U);
  EXPECT_EQ(t.on_prefill(answered(500), kNow), Action::kPrefill);
  EXPECT_EQ(t.candidate(), 2U);
  EXPECT_EQ(t.on_prefill(answered(503), kNow), Action::kWait);
  EXPECT_EQ(t.wait_until(), kNow + Millis(200));
  EXPECT_EQ(t.on_waited(t.wait_until()), Action::kPrefill);
  EXPECT_EQ(t.candidate(), 0U);  // a 500 is not asked again
  EXPECT_EQ(t.on_prefill(failed(Kind::kLost), kNow), Action::kWait);
  EXPECT_EQ(t.on_waited(t.wait_until()), Action::kPrefill);
  EXPECT_EQ(t.candidate(), 2U);
  EXPECT_EQ(t.on_prefill(answered(503), kNow), Action::kRelayPrefill);
  EXPECT_EQ(t.attempts(), 5U);
}

TEST(Transaction, SkipsHostsWhoseBreakerIsOpen) {
  Transaction some = among(2, {});
  EXPECT_EQ(some.on_prefill(failed(Kind::kOpen), kNow), Action::kPrefill);
  EXPECT_EQ(some.on_prefill(answered(200), kNow), Action::kDecode);
  EXPECT_EQ(some.attempts(), 1U);

  Transaction none = among(2, {.retries = 3});
  (void)none.on_prefill(failed(Kind::kOpen), kNow);
  EXPECT_EQ(none.on_prefill(failed(Kind::kOpen), kNow), Action::kFail);
  EXPECT_EQ(none.status(), 503);

  Transaction local = among(1, {.policy = Policy::kFallback});
  EXPECT_EQ(local.on_prefill(failed(Kind::kOpen), kNow), Action::kDecodeLocally);
}

TEST(Transaction, RelaysTheFailureOfWhoeverWasAskedLast) {
  Transaction t = among(2, {});
  EXPECT_EQ(t.on_prefill(answered(500), kNow), Action::kPrefill);
  EXPECT_EQ(t.candidate(), 1U);
  EXPECT_EQ(t.on_prefill(failed(Kind::kOpen), kNow), Action::kRelayPrefill);
  EXPECT_EQ(t.candidate(), 0U);
}

TEST(Transaction, BoundsAnAttemptByItsTimeoutAndTheRequestByItsDeadline) {
  Transaction t = among(2, {.prefill_timeout = std::chrono::seconds(10)});
  EXPECT_EQ(t.leg_deadline(kNow).at, kNow + std::chrono::seconds(10));
  Mono late = kEnd.at - std::chrono::seconds(1);
  EXPECT_EQ(t.leg_deadline(late).at, kEnd.at);
  EXPECT_EQ(t.on_prefill(failed(Kind::kTimeout), kEnd.at), Action::kFail);  // no time for another
  EXPECT_EQ(t.status(), 504);

  Transaction half = among(1, {.policy = Policy::kFallback});
  EXPECT_EQ(half.leg_deadline(kNow).at, kNow + std::chrono::seconds(300));
}

TEST(Transaction, PrefillsAgainWhenTooLittleOfTheLeaseIsLeft) {
  const Mono edge = kNow + std::chrono::seconds(25);  // 30 s of lease, 5 s of margin
  Transaction t = among(1, {});
  EXPECT_EQ(t.on_prefill(answered(200), kNow), Action::kDecode);
  EXPECT_EQ(t.on_dispatch(edge + Nanos(1)), Action::kPrefill);
  EXPECT_TRUE(t.owes_release());
  t.on_released();
  Leg second = answered(200);
  second.granted = edge;
  EXPECT_EQ(t.on_prefill(second, edge), Action::kDecode);
  EXPECT_EQ(t.on_dispatch(edge + std::chrono::seconds(25)), Action::kDecode);

  Transaction again = among(1, {});
  (void)again.on_prefill(answered(200), kNow);
  (void)again.on_dispatch(edge + Nanos(1));
  (void)again.on_prefill(answered(200), edge);
  EXPECT_EQ(again.on_dispatch(edge + Nanos(1)), Action::kDecodeLocally);  // only once

  Transaction strict = among(1, {.policy = Policy::kStrict});
  (void)strict.on_prefill(answered(200), kNow);
  (void)strict.on_dispatch(edge + Nanos(1));
  (void)strict.on_prefill(answered(200), edge);
  EXPECT_EQ(strict.on_dispatch(edge + Nanos(1)), Action::kFail);
  EXPECT_EQ(strict.status(), 502);
}

TEST(Transaction, NeverSendsAHandoverTwice) {
  Leg lost = failed(Kind::kLost);
  lost.kept = true;
  Transaction t = among(1, {});
  (void)t.on_prefill(answered(200), kNow);
  (void)t.on_dispatch(kNow);
  EXPECT_EQ(t.on_decode(lost, kNow), Action::kPrefill);
  (void)t.on_prefill(answered(200), kNow);
  (void)t.on_dispatch(kNow);
  EXPECT_EQ(t.on_decode(lost, kNow), Action::kFail);
  EXPECT_EQ(t.status(), 502);
}

TEST(Transaction, PrefillsAgainForADecodeThatIsAskedForLess) {
  Leg refused = answered(400);
  refused.again = true;
  for (Policy policy : {Policy::kRelay, Policy::kStrict, Policy::kFallback}) {
    Transaction t = among(1, {.policy = policy});
    (void)t.on_prefill(answered(200), kNow);
    (void)t.on_dispatch(kNow);
    EXPECT_EQ(t.on_decode(refused, kNow), Action::kPrefill);
    EXPECT_TRUE(t.owes_release());
    t.on_released();
    (void)t.on_prefill(answered(200), kNow);
    EXPECT_EQ(t.on_dispatch(kNow), Action::kDecode);
    EXPECT_NE(t.on_decode(refused, kNow), Action::kPrefill);  // only once
  }
}

TEST(Transaction, SaysWhenThereIsNoBudgetToFallBack) {
  Transaction t = among(1, {.policy = Policy::kFallback});
  EXPECT_EQ(t.on_prefill(failed(Kind::kRefused), kNow), Action::kDecodeLocally);
  ASSERT_TRUE(t.wants_budget());
  EXPECT_EQ(t.on_no_budget(), Action::kFail);
  EXPECT_EQ(t.status(), 503);
  EXPECT_EQ(t.outcome(), Outcome::kPrefillFailed);

  Transaction relay = among(1, {});
  (void)relay.on_prefill(failed(Kind::kUnusable), kNow);
  EXPECT_FALSE(relay.wants_budget());  // llm-d's own way
}

TEST(Policy, IsReadByName) {
  EXPECT_EQ(parse_policy("fallback"), Policy::kFallback);
  EXPECT_EQ(parse_policy("Fallback"), std::nullopt);
}

TEST(HadItsTime, IsHalfOfWhatAnAttemptUsuallyGets) {
  using std::chrono::seconds;
  const Tactics relay;
  const Tactics fallback{.policy = Policy::kFallback};
  const Tactics limited{.prefill_timeout = seconds(2)};

  EXPECT_TRUE(had_its_time(relay, seconds(5), seconds(10)));
  EXPECT_FALSE(had_its_time(relay, seconds(4), seconds(10)));
  EXPECT_TRUE(had_its_time(fallback, Millis(2500), seconds(10)));
  EXPECT_FALSE(had_its_time(fallback, seconds(2), seconds(10)));
  EXPECT_TRUE(had_its_time(limited, seconds(1), seconds(600)));
}

}  // namespace
}  // namespace baton::sidecar
