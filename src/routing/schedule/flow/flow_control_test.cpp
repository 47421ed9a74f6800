#include "routing/schedule/flow/flow_control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::load;
using ::testing::SizeIs;

constexpr Saturation kFree = {.prefill = 0, .decode = 0.5, .effective = 0.5, .endpoints = 2};
constexpr Saturation kFull = {.prefill = 0, .decode = 1, .effective = 1, .endpoints = 2};
constexpr Saturation kEmpty = {};
const Mono kNow = ManualClock().now();

Band band(std::int32_t priority, Fairness::Kind fairness = Fairness::Kind::kGlobalStrict,
          Ordering ordering = Ordering::kFcfs) {
  return {.priority = priority,
          .max_bytes = 1'000'000,
          .max_requests = 100,
          .fairness = {.kind = fairness},
          .ordering = ordering};
}

FlowConfig config(std::vector<Band> bands) {
  FlowConfig made;
  made.ttl = seconds(60);
  made.no_endpoint_ttl = seconds(30);
  made.otherwise = band(0);
  made.otherwise_negative = band(0);
  made.bands = std::move(bands);
  return made;
}

struct Fixture {
  explicit Fixture(FlowConfig with) : flow(std::move(with), kNow) {}
  Ticket enqueue(std::string_view id, std::int32_t priority = 0, std::optional<Nanos> slo = {}) {
    return flow
        .enqueue(
            {.fairness_id = std::string(id), .priority = priority, .bytes = 10, .slo_ttft = slo},
            kFull, now)
        .ticket;
  }
  std::vector<Ticket> drain(const Saturation& pool = kFree) {
    std::vector<Finished> out;
    while (flow.dispatch(pool, now, out)) {
    }
    std::vector<Ticket> order;
    for (const auto& one : out) order.push_back(one.ticket);
    return order;
  }
  std::vector<Finished> sweep(const Saturation& pool) {
    std::vector<Finished> out;
    flow.sweep(pool, now, out);
    return out;
  }
  std::int64_t queued_bytes() const {
    std::int64_t sum = 0;
    for (const auto& each : flow.bands()) sum += each.bytes;
    return sum;
  }
  FlowControl flow;
  Mono now = kNow;
};

TEST(FlowControl, HoldsWhileFullThenGoesByPriority) {
  // epp:F005
  Fixture f(config({band(10), band(0), band(-1)}));
  const auto low = f.enqueue("a", -1), middle = f.enqueue("a"), high = f.enqueue("b", 10);
  EXPECT_THAT(f.drain(kFull), IsEmpty());
  EXPECT_THAT(f.drain(), ElementsAre(high, middle, low));
  EXPECT_EQ(f.flow.queued(), 0);
  EXPECT_EQ(f.queued_bytes(), 0);
}

TEST(FlowControl, RoundRobinGoesOverFlowsAndStrictIgnoresThem) {  // epp:F005
  Fixture robin(config({band(0, Fairness::Kind::kRoundRobin)}));
  const auto a1 = robin.enqueue("a"), a2 = robin.enqueue("a"), b1 = robin.enqueue("b"),
             c1 = robin.enqueue("c"), a3 = robin.enqueue("a");
  EXPECT_THAT(robin.drain(), ElementsAre(a1, b1, c1, a2, a3));
  Fixture strict(config({band(0)}));
  const auto x1 = strict.enqueue("a"), x2 = strict.enqueue("a"), y1 = strict.enqueue("b");
  EXPECT_THAT(strict.drain(), ElementsAre(x1, x2, y1));
}

TEST(FlowControl, OrdersByDeadlineOfTheClient) {  // epp:F005
  Fixture f(config({band(0, Fairness::Kind::kGlobalStrict, Ordering::kSloDeadline)}));
  const auto none = f.enqueue("a"), late = f.enqueue("a", 0, seconds(9)),
             soon = f.enqueue("b", 0, seconds(1)), overflow = f.enqueue("b", 0, Nanos::max());
  EXPECT_THAT(f.drain(), ElementsAre(soon, late, none, overflow));
}

TEST(FlowControl, ProgramsWithLessServiceGoFirst) {
  Fixture f(config({band(0, Fairness::Kind::kProgramAware)}));
  f.enqueue("greedy");
  f.enqueue("modest");
  f.drain();
  f.flow.served(0, "greedy", 1000, 1000, f.now);
  f.flow.served(0, "modest", 10, 10, f.now);
  const auto greedy = f.enqueue("greedy"), modest = f.enqueue("modest");
  EXPECT_THAT(f.drain(), ElementsAre(modest, greedy));
  // Service is forgotten: after many half-lives the older head wins.
  f.now += std::chrono::hours(1) - seconds(1);
  f.flow.served(0, "modest", 10, 0, f.now);
  const auto again = f.enqueue("greedy");
  f.now += seconds(1);
  const auto newer = f.enqueue("modest");
  EXPECT_THAT(f.drain(), ElementsAre(again, newer));
}

TEST(FlowControl, ProgramsTellWhatTheyWereServedAndHowLongTheyWaited) {
  Fixture f(config({band(0, Fairness::Kind::kProgramAware), band(-1)}));
  f.enqueue("a"), f.enqueue("a"), f.enqueue("b"), f.enqueue("other", -1);
  f.now += seconds(2);
  f.drain();
  f.flow.served(0, "a", 100, 50, f.now);
  const auto programs = f.flow.programs(f.now);
  ASSERT_EQ(programs.size(), 2);  // the other band is not fair by program
  EXPECT_EQ(programs.at("a").service, 200);
  EXPECT_EQ(programs.at("a").waited, seconds(4));
  EXPECT_EQ(programs.at("a").requests, 2);
  EXPECT_EQ(programs.at("b").service, 0);
}

TEST(FlowControl, ABlockedBandHoldsTheBandsBelow) {
  // epp:F006
  Fixture f(config({band(10), band(0)}));
  const auto low = f.enqueue("a", 0), high = f.enqueue("a", 10);
  std::vector<Finished> out;
  EXPECT_FALSE(f.flow.dispatch(kFull, f.now, out));
  EXPECT_TRUE(f.flow.dispatch(kFree, f.now, out));
  EXPECT_FALSE(f.flow.dispatch(kFull, f.now, out)) << "the room was for one";
  EXPECT_THAT(out, ElementsAre(Finished{high, Outcome::kDispatched}));
  EXPECT_THAT(f.drain(), ElementsAre(low));
}

TEST(FlowControl, TheUsageLimitGatesBelowFull) {  // epp:F007
  auto limited = config({band(0)});
  limited.usage_limit.threshold = 0.8;
  Fixture f(limited);
  const auto one = f.enqueue("a");
  auto pool = kFree;
  pool.effective = 0.8;
  EXPECT_THAT(f.drain(pool), IsEmpty());
  pool.effective = 0.79;
  EXPECT_THAT(f.drain(pool), ElementsAre(one));
}

Saturation filled(double share) {
  return {.prefill = 0, .decode = share, .effective = share, .endpoints = 2};
}

TEST(FlowControl, HoldbackLowersTheCeilingWithTheRankOrTheValueOfThePriority) {  // epp:F007
  using Domain = UsageLimit::Domain;
  const auto goes = [](Domain domain, double share) {
    auto with = config({band(100), band(90), band(0)});
    with.usage_limit = {.kind = UsageLimit::Kind::kHoldback, .least = 0.5, .domain = domain};
    std::vector<std::int32_t> out;
    for (const std::int32_t priority : {100, 90, 0}) {
      Fixture f(with);
      f.enqueue("a", priority);
      if (!f.drain(filled(share)).empty()) out.push_back(priority);
    }
    return out;
  };
  EXPECT_THAT(goes(Domain::kRank, 0.49), ElementsAre(100, 90, 0));
  EXPECT_THAT(goes(Domain::kRank, 0.5), ElementsAre(100, 90));
  EXPECT_THAT(goes(Domain::kRank, 0.75), ElementsAre(100));
  EXPECT_THAT(goes(Domain::kValue, 0.94), ElementsAre(100, 90));  // up to 0.95
  EXPECT_THAT(goes(Domain::kValue, 0.96), ElementsAre(100));
  EXPECT_THAT(goes(Domain::kValue, 1), IsEmpty());
}

TEST(FlowControl, ReflectiveCeilingsFallTheMoreTheFullerThePoolIs) {  // epp:F007
  auto with = config({band(10), band(0), band(-1)});
  with.usage_limit = {.kind = UsageLimit::Kind::kReflective};
  Fixture f(with);
  const auto low = f.enqueue("a", -1), middle = f.enqueue("a"), high = f.enqueue("a", 10);
  EXPECT_THAT(f.drain(filled(0.67)), ElementsAre(high));    // 1, 0.665, 0.33
  EXPECT_THAT(f.drain(filled(0.66)), ElementsAre(middle));  // 0.67 of the middle one
  EXPECT_THAT(f.drain(filled(0.5)), IsEmpty());
  EXPECT_THAT(f.drain(filled(0.49)), ElementsAre(low));
}

TEST(FlowControl, WhoIsHeldBackForGoodAsksForNoRoom) {  // epp:F015
  auto with = config({band(10), band(0)});
  with.usage_limit = {.kind = UsageLimit::Kind::kHoldback, .least = 0};
  Fixture f(with);
  f.enqueue("a", 0);
  EXPECT_FALSE(f.flow.blocked(filled(0.5)));
  f.enqueue("a", 10);
  EXPECT_FALSE(f.flow.blocked(filled(0.5)));
  ASSERT_TRUE(f.flow.blocked(kFull));
  EXPECT_EQ(f.flow.blocked(kFull)->priority, 10);
  EXPECT_EQ(f.flow.blocked(kFull)->ceiling, 1);
}

TEST(FlowControl, CountsRequestsAndBytesOfBandsAndAll) {
  // epp:F003
  const auto rejects = [](FlowConfig with, std::int64_t bytes) {
    Fixture f(std::move(with));
    for (int i = 0; i < 2; ++i) {
      if (f.flow.enqueue({.fairness_id = "a", .priority = 7, .bytes = bytes}, kFull, kNow)
              .rejected) {
        return i;
      }
    }
    return 2;
  };
  auto with = config({band(7)});
  EXPECT_EQ(rejects(with, 10), 2);
  with.bands[0].max_requests = 1;
  EXPECT_EQ(rejects(with, 10), 1);
  with.bands[0].max_requests = 2;  // exactly
  EXPECT_EQ(rejects(with, 10), 2);
  with.bands[0].max_bytes = 20;
  EXPECT_EQ(rejects(with, 10), 2);
  EXPECT_EQ(rejects(with, 11), 1);
  with = config({band(7)});
  with.max_requests = 1;
  EXPECT_EQ(rejects(with, 10), 1);
  with.max_requests = 0;  // unlimited
  with.max_bytes = 19;
  EXPECT_EQ(rejects(with, 10), 1);
  with.max_bytes = 20;
  EXPECT_EQ(rejects(with, 10), 2);
}

TEST(FlowControl, AFullQueueIs429AndAnEmptyPool503) {
  // epp:F004
  auto with = config({band(0)});
  with.bands[0].max_requests = 1;
  Fixture f(with);
  f.enqueue("a");
  const auto full = f.flow.enqueue({.fairness_id = "a"}, kFull, f.now);
  ASSERT_TRUE(full.rejected);
  EXPECT_EQ(answer(*full.rejected).status, 429);
  EXPECT_EQ(answer(*full.rejected).reason, "rejected-saturated");
  const auto empty = f.flow.enqueue({.fairness_id = "a"}, kEmpty, f.now);
  ASSERT_TRUE(empty.rejected);
  EXPECT_EQ(answer(*empty.rejected).status, 503);
  EXPECT_EQ(answer(*empty.rejected).reason, "rejected-no-endpoints");
}

TEST(FlowControl, WaitingHasABudgetForEachState) {
  // epp:F008
  Fixture f(config({band(0)}));
  auto ticket = f.enqueue("a");
  f.now += seconds(59);
  EXPECT_THAT(f.sweep(kFull), IsEmpty());
  f.now += seconds(1);
  EXPECT_THAT(f.sweep(kFull), ElementsAre(Finished{ticket, Outcome::kExpired}));
  EXPECT_EQ(answer(Outcome::kExpired).status, 429);
  EXPECT_TRUE(answer(Outcome::kExpired).message.starts_with("request timed out in queue:"));

  // The pool empties: its own, shorter budget, from then on.
  ticket = f.enqueue("a");
  f.now += seconds(40);
  EXPECT_THAT(f.sweep(kEmpty), IsEmpty());
  f.now += seconds(29);
  EXPECT_THAT(f.sweep(kEmpty), IsEmpty());
  EXPECT_THAT(f.drain(), ElementsAre(ticket)) << "an endpoint came within the budget";
  ticket = f.enqueue("a");
  EXPECT_THAT(f.sweep(kEmpty), IsEmpty());
  f.now += seconds(30);
  EXPECT_THAT(f.sweep(kEmpty), ElementsAre(Finished{ticket, Outcome::kExpiredNoEndpoints}));
  EXPECT_EQ(answer(Outcome::kExpiredNoEndpoints).status, 503);

  auto longer = config({band(0)});
  longer.no_endpoint_ttl = seconds(600);
  Fixture patient(longer);
  patient.sweep(kEmpty);
  ticket = patient.flow.enqueue({.fairness_id = "a"}, kEmpty, patient.now).ticket;
  patient.now += seconds(599);
  EXPECT_THAT(patient.sweep(kEmpty), IsEmpty());
  EXPECT_THAT(patient.drain(), ElementsAre(ticket));

  auto never = config({band(0)});
  never.ttl = Nanos(0);
  Fixture forever(never);
  forever.enqueue("a");
  forever.now += std::chrono::hours(1000);
  EXPECT_THAT(forever.sweep(kFull), IsEmpty());
  EXPECT_THAT(forever.sweep(kEmpty), IsEmpty());
  forever.now += seconds(30);
  EXPECT_THAT(forever.sweep(kEmpty), SizeIs(1)) << "the other budget is its own";

  auto unbounded = config({band(0)});
  unbounded.no_endpoint_ttl = Nanos(0);
  Fixture hopeful(unbounded);
  hopeful.enqueue("a");
  hopeful.sweep(kEmpty);
  hopeful.now += std::chrono::hours(1000);
  EXPECT_THAT(hopeful.sweep(kEmpty), IsEmpty());
}

TEST(FlowControl, DispatchPassesOverWhatHasExpired) {  // epp:F010
  Fixture f(config({band(0)}));
  const auto old = f.enqueue("a");
  f.now += seconds(60);
  const auto fresh = f.enqueue("a");
  std::vector<Finished> out;
  EXPECT_TRUE(f.flow.dispatch(kFree, f.now, out));
  EXPECT_THAT(out,
              ElementsAre(Finished{old, Outcome::kExpired}, Finished{fresh, Outcome::kDispatched}));
  EXPECT_THAT(f.sweep(kFree), IsEmpty()) << "each once";
}

TEST(FlowControl, ACancelledRequestGivesItsRoomBack) {
  // epp:F009
  auto with = config({band(0)});
  with.bands[0].max_requests = 1;
  Fixture f(with);
  const auto ticket = f.enqueue("a");
  EXPECT_TRUE(f.flow.cancel(ticket));
  EXPECT_FALSE(f.flow.cancel(ticket)) << "once";
  EXPECT_EQ(f.queued_bytes(), 0);
  EXPECT_NE(f.enqueue("a"), 0);
  EXPECT_EQ(answer(Outcome::kCancelled).status, 503);
  EXPECT_EQ(answer(Outcome::kCancelled).reason, "rejected-context-cancelled");
}

TEST(FlowControl, ShuttingDownFinishesEverythingOnce) {  // epp:F010 epp:F002
  Fixture f(config({band(1), band(0)}));
  const auto a = f.enqueue("a"), b = f.enqueue("b", 1);
  f.now += seconds(60);  // they have expired too: shutting down takes precedence
  std::vector<Finished> out;
  f.flow.shut_down(out);
  EXPECT_THAT(
      out, ElementsAre(Finished{a, Outcome::kShuttingDown}, Finished{b, Outcome::kShuttingDown}));
  EXPECT_THAT(f.sweep(kFull), IsEmpty());
  EXPECT_THAT(f.drain(), IsEmpty());
  EXPECT_EQ(f.flow.enqueue({.fairness_id = "a"}, kFree, f.now).rejected, Outcome::kShuttingDown);
  EXPECT_EQ(answer(Outcome::kShuttingDown).status, 503);
  EXPECT_EQ(answer(Outcome::kShuttingDown).reason, "rejected-shutting-down");
}

TEST(FlowControl, ForgetsIdleFlows) {  // epp:F011
  Fixture f(config({band(0)}));
  f.enqueue("a");
  f.now += seconds(30);
  f.enqueue("b");
  EXPECT_EQ(f.flow.bands()[0].flows, 2);
  f.drain();
  f.now += std::chrono::minutes(4);
  f.enqueue("a");  // revived
  f.drain();
  f.now += std::chrono::minutes(4);
  f.sweep(kFree);
  EXPECT_EQ(f.flow.bands()[0].flows, 1) << "b";
  f.now += std::chrono::minutes(1);
  f.sweep(kFree);
  EXPECT_EQ(f.flow.bands()[0].flows, 0);

  auto patient = config({band(0)});
  patient.ttl = Nanos(0);
  Fixture waiting(patient);
  const auto ticket = waiting.enqueue("a");
  waiting.now += std::chrono::hours(1);
  waiting.sweep(kFull);
  EXPECT_THAT(waiting.drain(), ElementsAre(ticket)) << "somebody waits in it";
}

TEST(FlowControl, BandsFollowTheObjectives) {
  // epp:F012
  auto with = config({band(0)});
  with.otherwise.max_requests = 5;
  with.otherwise_negative.max_requests = 2;
  Fixture f(with);
  const auto priorities = [&] {
    std::vector<std::pair<std::int32_t, std::int64_t>> out;
    for (const auto& one : f.flow.bands()) out.emplace_back(one.priority, one.max_requests);
    return out;
  };
  const std::vector<std::int32_t> wanted = {7, -3};
  f.flow.want(wanted, f.now);
  EXPECT_THAT(priorities(), ElementsAre(std::pair(7, 5), std::pair(0, 100), std::pair(-3, 2)));
  f.enqueue("a", 99);  // nobody wants that one: band 0
  EXPECT_EQ(f.flow.bands()[1].requests, 1);
  f.drain();

  f.now += std::chrono::hours(1);
  f.sweep(kFree);
  EXPECT_EQ(priorities().size(), 3) << "wanted bands stay";
  f.flow.want({}, f.now);
  f.now += std::chrono::minutes(9);
  f.sweep(kFree);
  EXPECT_EQ(priorities().size(), 3);
  f.now += std::chrono::minutes(1);
  f.sweep(kFree);
  EXPECT_THAT(priorities(), ElementsAre(std::pair(0, 100))) << "the configured band stays";
}

TEST(Saturation, IsTheMeanOverEndpointsAndStaleOnesAreFull) {
  // epp:F013
  const Detector detector;
  auto snapshot = testing::snapshot(
      {{"a", "", load(5, 0, 0, kNow)}, {"b", "", load(0, 0, 0.4F, kNow - Millis(201))}});
  auto measured = measure(detector, snapshot, kNow);
  EXPECT_DOUBLE_EQ(measured.effective, 1);
  EXPECT_EQ(measured.stale, 1);
  snapshot.loads[1].updated = kNow;
  measured = measure(detector, snapshot, kNow);
  EXPECT_NEAR(measured.effective, 0.75, 1e-6);
  EXPECT_EQ(measured.stale, 0);
  EXPECT_EQ(measure(detector, testing::snapshot({}), kNow).effective, 1);
}

TEST(Saturation, TheFullerStageCounts) {
  // epp:F014
  const auto snapshot = testing::snapshot({{"p", "prefill", load(10, 0, 0, kNow)},
                                           {"d", "decode", load(0, 0, 0, kNow)},
                                           {"u", "", load(5, 0, 0, kNow)},
                                           {"e", "encode", load(50, 0, 0, kNow)}});
  const auto measured = measure(Detector{}, snapshot, kNow);
  EXPECT_DOUBLE_EQ(measured.prefill, 2);
  EXPECT_DOUBLE_EQ(measured.decode, 0.5);
  EXPECT_DOUBLE_EQ(measured.effective, 2);
  EXPECT_EQ(measured.endpoints, 3);
}

TEST(Saturation, CountsWhatIsInFlight) {
  const auto snapshot = testing::snapshot({{"a"}, {"b"}});
  snapshot.reservations->add(0, 50);
  snapshot.reservations->add_tokens(1, 500'000);
  Detector detector{.mode = Detector::Mode::kRequests};
  EXPECT_DOUBLE_EQ(measure(detector, snapshot, kNow).effective, 0.25);
  detector.mode = Detector::Mode::kTokens;
  EXPECT_DOUBLE_EQ(measure(detector, snapshot, kNow).effective, 0.25);
  detector.mode = Detector::Mode::kHybrid;
  EXPECT_DOUBLE_EQ(measure(detector, snapshot, kNow).effective, 0.5);
}

TEST(Admission, ShedsOnlyBelowZero) {
  // epp:F001
  EXPECT_TRUE(admits(0, kFull));
  EXPECT_TRUE(admits(-1, kFree));
  EXPECT_FALSE(admits(-1, kFull));
  EXPECT_TRUE(admits(0, kEmpty));
  EXPECT_FALSE(admits(-1, kEmpty));
}

TEST(Admission, TheProbabilisticAdmitterShedsAsThePoolFills) {
  // epp:F019
  const ProbabilisticAdmitter admitter;
  SeededRandom random(1);
  const auto share = [&](float waiting, std::int32_t priority, Mono updated = kNow) {
    const auto snapshot = testing::snapshot({{"a", "", load(waiting, 0, 0, updated)}});
    int admitted = 0;
    for (int i = 0; i < 1000; ++i) admitted += admits(admitter, priority, snapshot, kNow, random);
    return admitted;
  };
  EXPECT_EQ(share(0, -1), 1000);
  EXPECT_EQ(share(5, -1), 0);
  EXPECT_EQ(share(5, 0), 1000);
  EXPECT_EQ(share(0, -1, Mono::min()), 0) << "unknown is full";
  EXPECT_NEAR(share(1.25F, -1), 707, 60);  // 0.25^5 * 300 = 0.293 refused
}

}  // namespace
}  // namespace baton::schedule
