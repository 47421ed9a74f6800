#include "routing/epp/flow_metrics.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace baton::epp {
namespace {

using schedule::kFlowIdle;
using schedule::Outcome;
using ::testing::HasSubstr;
using ::testing::Not;

struct Flows {
  void finish(const RequestLabels& labels) {
    metrics.finished(labels, 0, Outcome::kDispatched, Millis(1), Nanos(0));
  }
  // The sweep as time passes.
  void pass(Nanos time) {
    metrics.end_idle(now);
    now += time;
    metrics.end_idle(now);
  }
  std::string told() const { return registry.expose(); }

  observe::Registry registry;
  FlowMetrics metrics{registry, "pool"};
  Mono now{};
};

const RequestLabels kMine{"m", "t", "mine"}, kYours{"m", "t", "yours"};
const std::string kMineLabel = "fairness_id=\"mine\"", kYoursLabel = "fairness_id=\"yours\"";

TEST(FlowMetrics, TheSeriesOfAnIdleFlowEnd) {  // epp:F011
  Flows flows;
  flows.finish(kMine);
  {
    const FlowMetrics::Waiting waiting(flows.metrics, kMine, 0, 10);
  }
  EXPECT_THAT(flows.told(), HasSubstr(kMineLabel));
  flows.pass(kFlowIdle - Millis(1));
  EXPECT_THAT(flows.told(), HasSubstr(kMineLabel));
  flows.now += Millis(1);
  flows.metrics.end_idle(flows.now);
  EXPECT_THAT(flows.told(), Not(HasSubstr(kMineLabel)));
  // What names no flow stays.
  EXPECT_THAT(flows.told(), HasSubstr("flow_control_requests_total{outcome=\"Dispatched\","));
}

TEST(FlowMetrics, ARequestThatWaitsKeepsThemAndOneThatComesBackStartsTheTimeAnew) {  // epp:F011
  Flows flows;
  std::optional<FlowMetrics::Waiting> waiting(std::in_place, flows.metrics, kMine, 0, 10);
  flows.pass(2 * kFlowIdle);
  EXPECT_THAT(flows.told(), HasSubstr(kMineLabel));
  waiting.reset();
  flows.pass(kFlowIdle - Millis(1));
  flows.finish(kMine);
  flows.pass(kFlowIdle - Millis(1));
  EXPECT_THAT(flows.told(), HasSubstr(kMineLabel));
  flows.pass(Millis(1));
  EXPECT_THAT(flows.told(), Not(HasSubstr(kMineLabel)));
}

TEST(FlowMetrics, OtherFlowsAndWhatManyShareStay) {  // epp:F011
  Flows flows;
  flows.finish(kMine);
  flows.finish({"m", "t", std::string(kOtherLabel)});
  flows.metrics.finished(kMine, -1, Outcome::kDispatched, Nanos(0), Nanos(0));
  flows.pass(kFlowIdle - Millis(1));
  flows.finish(kYours);
  flows.metrics.finished(kMine, -1, Outcome::kDispatched, Nanos(0), Nanos(0));
  flows.pass(Millis(1));
  EXPECT_THAT(flows.told(), Not(HasSubstr(kMineLabel + ",priority=\"0\"")));
  EXPECT_THAT(flows.told(), HasSubstr(kMineLabel + ",priority=\"-1\""));
  EXPECT_THAT(flows.told(), HasSubstr(kYoursLabel));
  EXPECT_THAT(flows.told(), HasSubstr("fairness_id=\"other\""));
}

TEST(FlowMetrics, EveryBandHasItsSharesAndThePoolThoseOfItsLimits) {  // epp:F016
  Flows flows;
  const auto share = [&](std::string_view name, std::string_view labels, std::string_view value) {
    return HasSubstr(fmt::format("\nllm_d_epp_flow_control_{}{{{}inference_pool=\"pool\"}} {}\n",
                                 name, labels, value));
  };
  using Band = schedule::FlowControl::BandState;
  constexpr Band kFull{
      .priority = 1, .requests = 3, .bytes = 10, .max_requests = 4, .max_bytes = 80, .flows = 1};
  constexpr Band kIdle{
      .priority = -1, .requests = 0, .bytes = 0, .max_requests = 4, .max_bytes = 80, .flows = 0};
  schedule::FlowConfig config;
  const auto told = [&] {
    flows.metrics.bands({kFull, kIdle}, config);
    return flows.told();
  };
  EXPECT_THAT(told(), share("capacity_utilization_requests", "priority=\"1\",", "0.75"));
  EXPECT_THAT(told(), share("capacity_utilization_bytes", "priority=\"1\",", "0.125"));
  EXPECT_THAT(told(), share("capacity_utilization_requests", "priority=\"-1\",", "0"));
  EXPECT_THAT(told(), share("capacity_utilization_bytes", "priority=\"-1\",", "0"));
  EXPECT_THAT(told(), Not(HasSubstr("global_capacity")));

  config.max_requests = 12;
  EXPECT_THAT(told(), share("global_capacity_utilization_requests", "", "0.25"));
  EXPECT_THAT(told(), Not(HasSubstr("global_capacity_utilization_bytes")));
  config.max_bytes = 20;
  EXPECT_THAT(told(), share("global_capacity_utilization_bytes", "", "0.5"));
}

TEST(FlowMetrics, EndpointsWithoutFreshMetricsAreCounted) {  // epp:F013
  Flows flows;
  schedule::Saturation saturation;
  for (const std::size_t stale : {2, 0}) {
    saturation.stale = stale;
    flows.metrics.saturation(saturation);
    EXPECT_THAT(flows.told(),
                HasSubstr(fmt::format("llm_d_epp_flow_control_stale_endpoints{{detector="
                                      "\"utilization-detector\"}} {}\n",
                                      stale)));
  }
}

TEST(FlowMetrics, AFlowThatComesBackBeginsAtZero) {
  Flows flows;
  flows.finish(kMine);
  flows.finish(kMine);
  flows.pass(kFlowIdle);
  flows.finish(kMine);
  EXPECT_THAT(flows.told(),
              HasSubstr("llm_d_epp_flow_control_request_enqueue_duration_seconds_count{" +
                        kMineLabel + ",priority=\"0\",outcome=\"Dispatched\"} 1\n"));
}

}  // namespace
}  // namespace baton::epp
