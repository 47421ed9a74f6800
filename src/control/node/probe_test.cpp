#include "control/node/probe.hpp"

#include <gtest/gtest.h>

namespace baton::node {
namespace {

using State = ProbeTracker::State;
using Outcome = ProbeTracker::Outcome;

kube::Object parse(const std::string& text) { return *text::json::parse(text); }

ProbeSpec every(Nanos period) {
  ProbeSpec spec;
  spec.period = period;
  return spec;
}

TEST(ProbeTracker, TriesEagerlyButCountsFailuresOncePerPeriod) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(1));
  spec.failure_threshold = 2;
  ProbeTracker tracker(spec, ProbeTracker::Style::kEager, clock.now());
  for (int tenths = 0; tenths < 10; ++tenths) {
    EXPECT_EQ(tracker.due(), clock.now());
    EXPECT_EQ(tracker.record(Outcome::kFailure, clock.now()), State::kUnknown);
    clock.advance(Millis(100));
  }

  EXPECT_EQ(tracker.record(Outcome::kFailure, clock.now()), State::kFailed);
}

TEST(ProbeTracker, GoesToItsPeriodOnceItPassed) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(10));
  spec.initial_delay = std::chrono::seconds(30);
  ProbeTracker tracker(spec, ProbeTracker::Style::kEager, clock.now());
  EXPECT_EQ(tracker.record(Outcome::kSuccess, clock.now()), State::kPassed);
  EXPECT_EQ(tracker.due(), clock.now() + std::chrono::seconds(10));
}

TEST(ProbeTracker, LeavesALivenessProbeItsDelay) {
  ManualClock clock;
  ProbeSpec spec = every(std::chrono::seconds(10));
  spec.initial_delay = std::chrono::seconds(30);
  EXPECT_EQ(ProbeTracker(spec, ProbeTracker::Style::kPatient, clock.now()).due(),
            clock.now() + std::chrono::seconds(30));
}

TEST(ProbeSpec, ReadsHandlersAndNamedPorts) {
  const auto container = parse(R"({"ports":[{"name":"http","containerPort":8001}]})");
  const auto http = probe_spec(parse(R"({"httpGet":{"path":"/health","port":"http"},
    "periodSeconds":1,"failureThreshold":60})"),
                               container, "127.77.0.1");
  ASSERT_TRUE(http);
  EXPECT_EQ(http->port, 8001);
  EXPECT_EQ(http->failure_threshold, 60);
  const auto grpc =
      probe_spec(parse(R"({"grpc":{"port":9003,"service":"readiness"}})"), container, "127.77.0.1");
  EXPECT_EQ(grpc->kind, ProbeSpec::Kind::kGrpc);
  EXPECT_EQ(grpc->service, "readiness");
  const auto exec = probe_spec(parse(R"({"exec":{"command":["x","y"]}})"), container, "");
  EXPECT_EQ(exec->kind, ProbeSpec::Kind::kExec);
  EXPECT_EQ(exec->command, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(probe_spec(parse(R"({"httpGet":{"port":"none"}})"), container, "").error().code(),
            Code::kInvalid);
}

}  // namespace
}  // namespace baton::node
