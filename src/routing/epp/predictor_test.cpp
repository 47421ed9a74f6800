#include "routing/epp/predictor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <thread>

#include "base/async/blocking.hpp"
#include "routing/epp/testing/scripted_predictor.hpp"

namespace baton::epp {
namespace {

using schedule::Latencies;
using schedule::LatencyRow;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const SystemClock kClock;
using Made = std::optional<std::vector<Latencies>>;

class PredictorTest : public ::testing::Test {
 protected:
  PredictorTest() { loop_.start(); }
  ~PredictorTest() override {
    if (predictor_) async::blocking_run(loop_, predictor_->stop());
    loop_.post([this] { predictor_.reset(); });
    loop_.stop();
  }
  void open(PredictorConfig config) {
    predictor_.emplace(loop_.executor(), Predictor::Deps{kClock, metrics_}, std::move(config));
  }
  Made predict(std::size_t rows) {
    const std::vector<LatencyRow> each(rows);
    return async::blocking_run(loop_, predictor_->predict(each));
  }
  Task<std::pair<Made, Made>> two_at_once() {
    std::vector<LatencyRow> rows(2);
    Made one, other;
    async::TaskGroup both(loop_.executor());
    const auto ask = [](Predictor* p, const std::vector<LatencyRow>* r, Made* into) -> Task<void> {
      *into = co_await p->predict(*r);
    };
    both.spawn(ask(&*predictor_, &rows, &one));
    both.spawn(ask(&*predictor_, &rows, &other));
    co_await both.join();
    co_return std::pair(one, other);
  }
  double metric(const std::string& name) const {
    const auto text = registry_.expose();
    const auto at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }

  testing::ScriptedPredictor server_{kClock};
  observe::Registry registry_;
  LatencyMetrics metrics_{registry_, "p"};
  async::Loop loop_{"picker"};
  std::optional<Predictor> predictor_;
};

TEST_F(PredictorTest, AsksForAllEndpointsInOneCall) {
  open(server_.config());
  const auto made = predict(3);
  ASSERT_TRUE(made);
  EXPECT_THAT(*made, ElementsAre(Latencies{10, 5}, Latencies{20, 5}, Latencies{30, 5}));
  ASSERT_EQ(server_.predictions().size(), 1);
  EXPECT_EQ(server_.predictions()[0].find("requests")->if_array()->size(), 3);
}

TEST_F(PredictorTest, RequestsThatComeTogetherShareACall) {
  auto config = server_.config();
  config.window = Millis(50);
  open(config);
  const auto [one, other] = async::blocking_run(loop_, two_at_once());
  ASSERT_TRUE(one && other);
  EXPECT_THAT(*one, ElementsAre(Latencies{10, 5}, Latencies{20, 5}));
  EXPECT_THAT(*other, ElementsAre(Latencies{30, 5}, Latencies{40, 5}));
  EXPECT_EQ(server_.predictions().size(), 1);
}

TEST_F(PredictorTest, WithoutAWindowEveryRequestHasItsOwn) {
  auto config = server_.config();
  config.window = Nanos(0);
  open(config);
  const auto [one, other] = async::blocking_run(loop_, two_at_once());
  ASSERT_TRUE(one && other);
  EXPECT_EQ(*one, *other);
  EXPECT_EQ(server_.predictions().size(), 2);
}

TEST_F(PredictorTest, EnoughRowsDoNotWaitForTheWindow) {
  auto config = server_.config();
  config.window = std::chrono::hours(1);
  config.batch_rows = 4;
  open(config);
  const auto [one, other] = async::blocking_run(loop_, two_at_once());
  EXPECT_TRUE(one && other);
}

TEST_F(PredictorTest, ARequestGoesWithoutWhenNobodyAnswers) {  // epp:K021
  PredictorConfig nowhere;
  nowhere.prediction = {{.at = {"127.0.0.1", 1}, .path = ""}};
  open(nowhere);
  EXPECT_FALSE(predict(1));
  EXPECT_EQ(metric("baton_epp_unpredicted_requests_total"), 1);
}

TEST_F(PredictorTest, ARequestGoesWithoutWhenItTakesTooLong) {
  open(server_.config());
  server_.hangs = true;
  const auto began = kClock.now();
  EXPECT_FALSE(predict(1));
  EXPECT_GE(kClock.now() - began, kPredictsWithin);
}

TEST_F(PredictorTest, AnErrorOrTooManyEndpointsGiveNoPredictions) {
  auto config = server_.config();
  config.rows = 2;
  open(config);
  EXPECT_FALSE(predict(3));
  EXPECT_FALSE(predict(0));
  EXPECT_TRUE(server_.predictions().empty());
  server_.status = 503;
  EXPECT_FALSE(predict(2));
  server_.status = 200;
  EXPECT_TRUE(predict(2));
}

TEST_F(PredictorTest, ClosesItsConnectionsOnItsLoopWhenItStops) {
  open(server_.config());
  ASSERT_TRUE(predict(1));
  EXPECT_EQ(server_.connections(), 1);
  async::blocking_run(loop_, predictor_->stop());
  const auto limit = kClock.now() + std::chrono::seconds(20);
  while (server_.connections() > 0 && kClock.now() < limit) std::this_thread::yield();
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(PredictorTest, SamplesGoToTheTrainingServerInBatches) {
  auto config = server_.config();
  config.samples = 3;
  open(config);
  loop_.post([&] {
    for (int i = 0; i < 5; ++i) predictor_->samples().add({.row = {}, .took = {1, 0}, .at = {}});
    predictor_->start();
  });
  const auto limit = kClock.now() + std::chrono::seconds(20);
  while (metric("baton_epp_latency_samples_sent_total") < 3 && kClock.now() < limit) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_.entries().size(), 3);
  EXPECT_EQ(metric("baton_epp_latency_samples_sent_total"), 3);
  EXPECT_EQ(metric("baton_epp_latency_samples_lost_total"), 2) << "over the bound";
}

}  // namespace
}  // namespace baton::epp
