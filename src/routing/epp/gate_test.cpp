#include "routing/epp/gate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/async/blocking.hpp"
#include "base/async/task_group.hpp"
#include "routing/epp/ext_proc.hpp"
#include "routing/epp/testing/envoy.hpp"
#include "routing/epp/testing/picker.hpp"

namespace baton::epp {
namespace {

using schedule::Outcome;

const SystemClock kClock;
const RequestLabels kLabels{"m", "m", "f"};
Mono soon() { return kClock.now() + std::chrono::seconds(20); }

// A pool of one pod with room for one request.
std::string picker(std::string_view flow, std::string_view plugins = "") {
  return R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 1}})" +
         std::string(plugins) + R"(]
flowControl: {saturationDetector: {pluginRef: concurrency-detector})" +
         std::string(flow) + "}\n";
}

class GateTest : public ::testing::Test {
 protected:
  ~GateTest() override {
    async::blocking_run(loop_, end());
    loop_.stop();
  }
  void serve(std::string_view flow = "",
             const std::vector<testing::Pod>& pods = {{"a", "10.0.0.1"}}) {
    start(picker(flow), pods);
  }
  void start(std::string_view config, const std::vector<testing::Pod>& pods) {
    picker_ = std::make_unique<testing::Picker>(kClock, registry_, config);
    ASSERT_FALSE(picker_->pool.broken()) << picker_->pool.broken()->message();
    picker_->serve(pods);
    loop_.start();
    loop_.post([this] {
      tasks_.emplace(loop_.executor());
      tasks_->spawn(picker_->gate.run());
    });
  }
  Task<void> end() {
    tasks_->cancel();
    co_await tasks_->join();
    tasks_.reset();
  }
  Outcome enter(std::int64_t bytes = 10) {
    return async::blocking_run(loop_,
                               picker_->gate.enter({.fairness_id = "f", .bytes = bytes}, kLabels))
        .outcome;
  }
  // Enters beside the test; what comes out of it is in `outcomes_`.
  void enter_later() {
    loop_.post([this] { tasks_->spawn(note()); });
  }
  Task<void> note() {
    const auto entered = co_await picker_->gate.enter({.fairness_id = "f", .bytes = 10}, kLabels);
    const std::lock_guard lock(mutex_);
    outcomes_.push_back(entered.outcome);
  }
  std::vector<Outcome> outcomes(std::size_t count) {
    while (kClock.now() < soon_) {
      {
        const std::lock_guard lock(mutex_);
        if (outcomes_.size() >= count) return outcomes_;
      }
      std::this_thread::yield();
    }
    return {};
  }
  double metric(const std::string& line) const {
    const auto text = registry_.expose();
    const auto at = text.find("\n" + line + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }
  // Whether it comes to that.
  bool reads(const std::string& line, double value) const {
    while (metric(line) != value) {
      if (kClock.now() > soon_) return false;
      std::this_thread::yield();
    }
    return true;
  }
  bool waits(double count) const { return reads(kQueueSize, count); }
  // Requests that came to the queue, whatever became of them.
  double counted() const {
    const auto text = registry_.expose();
    constexpr std::string_view kName = "\nllm_d_epp_flow_control_requests_total{";
    double sum = 0;
    for (auto at = text.find(kName); at != std::string::npos; at = text.find(kName, at + 1)) {
      sum += std::stod(text.substr(text.find("} ", at) + 2));
    }
    return sum;
  }
  schedule::Reservation place() {
    const auto snapshot = picker_->pool.snapshot();
    return {snapshot.reservations, snapshot.endpoints->front().slot};
  }

  const std::string kFlow =
      "{fairness_id=\"f\",priority=\"0\",inference_pool=\"pool\",model_name=\"m\","
      "target_model_name=\"m\"}";
  const std::string kQueueSize = "llm_d_epp_flow_control_queue_size" + kFlow;
  const std::string kQueueBytes = "llm_d_epp_flow_control_queue_bytes" + kFlow;
  const Mono soon_ = soon();
  observe::Registry registry_;
  async::Loop loop_{"gate"};
  std::unique_ptr<testing::Picker> picker_;
  std::optional<async::TaskGroup> tasks_;
  std::mutex mutex_;
  std::vector<Outcome> outcomes_;
};

TEST_F(GateTest, LetsARequestGoWhenAPlaceIsFree) {  // epp:F016
  serve();
  EXPECT_EQ(enter(), Outcome::kDispatched);
  EXPECT_EQ(metric(kQueueSize), 0);
  EXPECT_EQ(metric("llm_d_epp_flow_control_requests_total{outcome=\"Dispatched\",priority=\"0\","
                   "inference_pool=\"pool\"}"),
            1);
  EXPECT_EQ(counted(), 1);
}

TEST_F(GateTest, HoldsRequestsUntilAPlaceIsFreeAgain) {  // epp:F016
  serve();
  auto taken = place();
  enter_later();
  enter_later();
  EXPECT_TRUE(waits(2));
  EXPECT_TRUE(reads(kQueueBytes, 20));
  EXPECT_TRUE(outcomes_.empty());

  taken.release();
  // Nobody picks an endpoint here, so that both find the place free.
  EXPECT_EQ(outcomes(2), (std::vector{Outcome::kDispatched, Outcome::kDispatched}));
  EXPECT_EQ(metric(kQueueSize), 0);
  EXPECT_EQ(metric(kQueueBytes), 0);
  EXPECT_EQ(counted(), 2);
}

TEST_F(GateTest, TellsHowFullEveryBandIsAndThePoolWhereItHasALimit) {  // epp:F016
  serve(", maxRequests: 4, priorityBands: [{priority: 5}, {priority: 0, maxRequests: 8}]");
  const auto taken = place();
  enter_later();
  enter_later();
  const std::string share = "llm_d_epp_flow_control_capacity_utilization_requests";
  const std::string all = "llm_d_epp_flow_control_global_capacity_utilization_";
  EXPECT_TRUE(reads(all + "requests{inference_pool=\"pool\"}", 0.5));
  EXPECT_EQ(metric(share + "{priority=\"0\",inference_pool=\"pool\"}"), 0.25);
  EXPECT_EQ(metric(share + "{priority=\"5\",inference_pool=\"pool\"}"), 0);
  EXPECT_EQ(metric(all + "bytes{inference_pool=\"pool\"}"), -1);  // without a limit, no share
}

TEST_F(GateTest, OneRequestGoesAtATimeUntilItIsPlaced) {
  serve();
  auto entered = std::make_optional(
      async::blocking_run(loop_, picker_->gate.enter({.fairness_id = "f", .bytes = 1}, kLabels)));
  enter_later();
  EXPECT_TRUE(waits(1));
  auto taken = place();  // the first one's
  entered.reset();
  EXPECT_TRUE(waits(1));
  taken.release();
  EXPECT_EQ(outcomes(1), std::vector{Outcome::kDispatched});
}

TEST_F(GateTest, AClientThatLeavesGivesItsRoomBack) {  // epp:F009
  serve(", maxRequests: 1");
  const auto taken = place();
  enter_later();
  EXPECT_TRUE(waits(1));
  EXPECT_EQ(enter(), Outcome::kRejectedCapacity);
  async::blocking_run(loop_, end());  // cancels it
  EXPECT_EQ(metric(kQueueSize), 0);
  EXPECT_EQ(metric("llm_d_epp_flow_control_requests_total{outcome=\"EvictedContextCancelled\","
                   "priority=\"0\",inference_pool=\"pool\"}"),
            1);
  EXPECT_EQ(counted(), 2);
  loop_.post([this] {
    tasks_.emplace(loop_.executor());
    tasks_->spawn(picker_->gate.run());
  });
  enter_later();
  EXPECT_TRUE(waits(1));
}

TEST_F(GateTest, WaitingEndsWithItsTime) {  // epp:F008
  serve(", defaultRequestTTL: 30ms");
  const auto taken = place();
  EXPECT_EQ(enter(), Outcome::kExpired);
}

TEST_F(GateTest, WithoutEndpointsTheOtherBudgetCounts) {  // epp:F008
  serve(", defaultRequestTTL: 1h, noEndpointRequestTTL: 30ms", {});
  EXPECT_EQ(enter(), Outcome::kExpiredNoEndpoints);
}

TEST_F(GateTest, RequestsWaitForTheFirstEndpoint) {  // epp:F008
  serve("", {});
  enter_later();
  EXPECT_TRUE(waits(1));
  picker_->serve({{"a", "10.0.0.1"}});
  EXPECT_EQ(outcomes(1), std::vector{Outcome::kDispatched});
}

TEST_F(GateTest, ShuttingDownTurnsEverybodyAway) {  // epp:F010
  serve();
  const auto taken = place();
  enter_later();
  EXPECT_TRUE(waits(1));
  picker_->gate.shut_down();
  EXPECT_EQ(outcomes(1), std::vector{Outcome::kShuttingDown});
  EXPECT_EQ(enter(), Outcome::kShuttingDown);
}

TEST_F(GateTest, AProgramIsChargedForWhatItWasServedWhenItsLabelIsOther) {
  start(picker(", defaultPriorityBand: {fairnessPolicyRef: program-aware-fairness}",
               ", {type: program-aware-fairness}"),
        {{"a", "10.0.0.1"}});
  for (std::size_t i = 0; i < kMaxLabelValues; ++i) {
    picker_->metrics.series("m", "m", "f" + std::to_string(i));
  }
  ASSERT_EQ(enter(), Outcome::kDispatched);  // another program
  ExtProc stream(picker_->desk);
  std::vector<Reply> replies;
  const auto send = [&](const std::string& message) {
    EXPECT_TRUE(stream.on_message(message, replies));
  };
  send(testing::headers(Side::kRequest,
                        {{":path", "/v1/completions"}, {"x-llm-d-inference-fairness-id", "late"}}));
  send(testing::body(Side::kRequest, R"({"model":"m","prompt":"x"})", true));
  ASSERT_EQ(stream.labels().fairness, kOtherLabel);
  const auto entered =
      async::blocking_run(loop_, picker_->gate.enter(stream.admission(), stream.labels()));
  ASSERT_EQ(entered.outcome, Outcome::kDispatched);
  stream.admitted(entered.outcome, replies);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse,
                     R"({"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}})",
                     true));

  // Jain's index of two programs, of which only one was served anything; 1 when neither was.
  const auto& evenness = registry_.gauge("llm_d_epp_program_aware_jains_fairness_index",
                                         "how evenly programs were served; 1: alike");
  while (evenness.value() != 0.5 && kClock.now() < soon_) std::this_thread::yield();
  EXPECT_EQ(evenness.value(), 0.5);
}

TEST_F(GateTest, ManyRequestsFromTwoLoopsAllGoThroughOnePlace) {  // epp:F018
  serve();
  async::Loop other("other");
  other.start();
  constexpr int kEach = 200;
  std::atomic<int> through = 0;
  std::atomic<int> inside = 0;
  std::atomic<bool> crowded = false;
  const auto run = [&](async::Loop& loop) {
    return std::thread([&] {
      for (int i = 0; i < kEach; ++i) {
        auto entered = async::blocking_run(
            loop, picker_->gate.enter({.fairness_id = std::to_string(i % 7), .bytes = 1}, kLabels));
        if (entered.outcome != Outcome::kDispatched) continue;
        if (++inside > 1) crowded = true;
        auto taken = place();
        entered = {};
        --inside;
        taken.release();
        ++through;
      }
    });
  };
  auto one = run(loop_);
  auto two = run(other);
  one.join();
  two.join();
  other.stop();
  EXPECT_EQ(through, 2 * kEach);
  EXPECT_FALSE(crowded);
  EXPECT_EQ(picker_->pool.snapshot().reserved(0), 0);
}

}  // namespace
}  // namespace baton::epp
