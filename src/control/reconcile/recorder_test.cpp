// Events are written beside the passes, not by them.

#include "control/reconcile/recorder.hpp"

#include <atomic>
#include <future>

#include "control/reconcile/metered_cluster.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

const kube::Type kEvent{"", "v1", "Event"};

class RecorderTest : public ReconcileTest {
 protected:
  std::size_t written() { return cluster_.list({kEvent, "", {}}, soon())->items.size(); }
  kube::Object about_ = parse(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, uid: u}, spec: {x: 1}}");
};

TEST_F(RecorderTest, NobodyWaitsForAServerThatIsSlowAboutEvents) {
  const auto watch =
      *cluster_.watch({kEvent, "", {}}, cluster_.list({kEvent, "", {}}, soon())->version, soon());
  std::promise<void> gate;
  troubled_.on_event = [opened = gate.get_future().share()] { opened.wait(); };
  Recorder recorder(troubled_, clock_, registry_, Recorder::Write::kLater);
  recorder.record(about_, EventType::kNormal, "One", "first");
  recorder.record(about_, EventType::kNormal, "Two", "second");
  EXPECT_EQ(written(), 0U);  // and yet record() returned
  gate.set_value();
  for (const auto* wanted : {"One", "Two"}) {
    const auto event = watch->next(soon());
    ASSERT_TRUE(event && *event);
    EXPECT_EQ((*event)->object.string_at({"reason"}), wanted);
    EXPECT_EQ((*event)->object.string_at({"involvedObject", "uid"}), "u");
  }
}

TEST_F(RecorderTest, TooManyWaitingAreLoggedOnlyAndCounted) {
  std::promise<void> gate;
  troubled_.on_event = [opened = gate.get_future().share()] { opened.wait(); };
  {
    Recorder recorder(troubled_, clock_, registry_, Recorder::Write::kLater);
    // One may be with the server already.
    for (std::size_t i = 0; i < kMaxWaitingEvents + 2; ++i) {
      recorder.record(about_, EventType::kNormal, "Many", std::to_string(i));
    }
    EXPECT_THAT(registry_.expose(),
                ::testing::ContainsRegex("baton_controller_events_dropped_total [12]\n"));
    gate.set_value();
  }
}

TEST_F(RecorderTest, WarningsGoFirstAndTellWhenTheyHappened) {
  const auto watch =
      *cluster_.watch({kEvent, "", {}}, cluster_.list({kEvent, "", {}}, soon())->version, soon());
  std::promise<void> gate;
  std::promise<void> begun;
  std::atomic<bool> first = true;
  troubled_.on_event = [&, opened = gate.get_future().share()] {
    if (first.exchange(false)) begun.set_value();
    opened.wait();
  };
  ManualClock clock;
  Recorder recorder(troubled_, clock, registry_, Recorder::Write::kLater);
  recorder.record(about_, EventType::kNormal, "One", "with the server");
  begun.get_future().wait();
  recorder.record(about_, EventType::kNormal, "Two", "second");
  recorder.record(about_, EventType::kWarning, "Three", "third");
  const auto happened = kube::timestamp(clock.wall());
  clock.advance(std::chrono::minutes(5));
  gate.set_value();
  for (const auto* wanted : {"One", "Three", "Two"}) {
    const auto event = watch->next(soon());
    ASSERT_TRUE(event && *event);
    EXPECT_EQ((*event)->object.string_at({"reason"}), wanted);
    EXPECT_EQ((*event)->object.string_at({"firstTimestamp"}), happened);
  }
}

// A burst comes at once, what is beyond it at kEventsPerSecond.
TEST_F(RecorderTest, AStormIsWrittenSlowly) {
  const auto watch =
      *cluster_.watch({kEvent, "", {}}, cluster_.list({kEvent, "", {}}, soon())->version, soon());
  Recorder recorder(cluster_, clock_, registry_, Recorder::Write::kLater);
  const auto began = clock_.now();
  const int count = static_cast<int>(kEventBurst) + 5;
  for (int i = 0; i < count; ++i) {
    auto about = about_;
    about["metadata"]["uid"] = std::to_string(i);  // or the correlator would drop some
    recorder.record(about, EventType::kNormal, "Many", std::to_string(i));
  }
  for (int i = 0; i < count; ++i) {
    const auto event = watch->next(soon());
    ASSERT_TRUE(event && *event) << i;
  }
  EXPECT_GT(clock_.now() - began, Millis(4000 / static_cast<int>(kEventsPerSecond)));
}

TEST_F(RecorderTest, RepeatsOfEventsAreNoWritesToTheMeter) {
  MeteredCluster metered(cluster_, registry_);
  Recorder recorder(metered, clock_, registry_, Recorder::Write::kAtOnce);
  for (int i = 0; i < 3; ++i) recorder.record(about_, EventType::kNormal, "Same", "same");
  EXPECT_EQ(written(), 1U);
  EXPECT_THAT(
      registry_.expose(),
      ::testing::HasSubstr(R"(baton_controller_requests_total{verb="event",result="ok"} 3)"));
}

}  // namespace
}  // namespace baton::reconcile
