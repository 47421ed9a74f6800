#include "net/kube/event_recorder.hpp"

#include <gtest/gtest.h>

#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {
namespace {

using Do = EventCorrelator::Outcome::Do;

Object service(const std::string& name, const std::string& ns = "llm") {
  Object o;
  o["apiVersion"] = "serving.kserve.io/v1alpha1";
  o["kind"] = "LLMInferenceService";
  o["metadata"]["name"] = name;
  if (!ns.empty()) o["metadata"]["namespace"] = ns;
  o["metadata"]["uid"] = "uid of " + name;
  return o;
}

class EventTest : public ::testing::Test {
 protected:
  std::vector<Object> events() {
    auto list =
        cluster_.list({{"", "v1", "Event"}, "", {}}, Deadline::in(clock_, std::chrono::seconds(1)));
    EXPECT_TRUE(list);
    return list ? list->items : std::vector<Object>();
  }
  void record(EventRecorder& recorder, const Object& about, EventType type,
              const std::string& reason, const std::string& message) {
    recorder.record(about, type, reason, message, clock_.wall());
  }
  EventCorrelator::Outcome note(const std::string& reason, const std::string& message) {
    return correlator_.note(service("a"), EventType::kNormal, reason, message, clock_.now());
  }

  ManualClock clock_;
  SeededRandom random_{5};
  MemoryCluster cluster_{clock_, random_};
  EventRecorder recorder_{cluster_, clock_, "tester"};
  EventCorrelator correlator_;
};

TEST_F(EventTest, ARepeatedEventIsOneObjectWithACount) {
  record(recorder_, service("a"), EventType::kWarning, "Error", "no such thing");
  clock_.advance(std::chrono::seconds(60));
  record(recorder_, service("a"), EventType::kWarning, "Error", "no such thing");
  record(recorder_, service("a"), EventType::kWarning, "Error", "another thing");

  const auto all = events();
  ASSERT_EQ(all.size(), 2U);
  const auto& twice = all[0].find("count")->if_int() == 2 ? all[0] : all[1];
  EXPECT_EQ(twice.find("count")->if_int(), 2);
  EXPECT_EQ(twice.string_at({"type"}), "Warning");
  EXPECT_EQ(twice.string_at({"reason"}), "Error");
  EXPECT_EQ(twice.string_at({"message"}), "no such thing");
  EXPECT_EQ(twice.string_at({"source", "component"}), "tester");
  EXPECT_EQ(twice.string_at({"involvedObject", "uid"}), "uid of a");
  EXPECT_EQ(twice.string_at({"metadata", "namespace"}), "llm");
  EXPECT_EQ(twice.string_at({"firstTimestamp"}), "2023-11-14T22:13:20Z");
  EXPECT_EQ(twice.string_at({"lastTimestamp"}), "2023-11-14T22:14:20Z");
}

TEST_F(EventTest, OneThatIsWrittenLateTellsWhenItHappened) {
  const auto first = clock_.wall();
  clock_.advance(std::chrono::seconds(60));
  const auto second = clock_.wall();
  clock_.advance(std::chrono::hours(1));
  recorder_.record(service("a"), EventType::kNormal, "Created", "x", first);
  EXPECT_EQ(events()[0].string_at({"lastTimestamp"}), "2023-11-14T22:13:20Z");
  recorder_.record(service("a"), EventType::kNormal, "Created", "x", second);
  EXPECT_EQ(events()[0].string_at({"firstTimestamp"}), "2023-11-14T22:13:20Z");
  EXPECT_EQ(events()[0].string_at({"lastTimestamp"}), "2023-11-14T22:14:20Z");
}

TEST_F(EventTest, ARestartedProcessGoesOnCounting) {
  record(recorder_, service("a"), EventType::kNormal, "Created", "x");
  EventRecorder again(cluster_, clock_, "tester");
  record(again, service("a"), EventType::kNormal, "Created", "x");
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].find("count")->if_int(), 2);
}

TEST_F(EventTest, AnEventThatHasExpiredIsWrittenAgain) {
  record(recorder_, service("a"), EventType::kNormal, "Created", "x");
  ASSERT_TRUE(cluster_.remove(*key_of(events()[0]), {}, Deadline::in(clock_, Millis(1))));
  record(recorder_, service("a"), EventType::kNormal, "Created", "x");
  ASSERT_EQ(events().size(), 1U);
  EXPECT_EQ(events()[0].find("count")->if_int(), 2);
}

TEST_F(EventTest, EventsAboutClusterScopedObjectsGoToTheDefaultNamespace) {
  record(recorder_, service("a", ""), EventType::kNormal, "Created", "x");
  EXPECT_EQ(events()[0].string_at({"metadata", "namespace"}), "default");
}

TEST_F(EventTest, ManyAlikeBecomeOneSeries) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(note("Updated", std::to_string(i)).what, Do::kCreate);
  }
  const auto eleventh = note("Updated", "10");
  EXPECT_EQ(eleventh.what, Do::kCreate);
  EXPECT_EQ(eleventh.message, "(combined from similar events): 10");
  const auto twelfth = note("Updated", "11");
  EXPECT_EQ(twelfth.what, Do::kRepeat);
  EXPECT_EQ(twelfth.name, eleventh.name);
  EXPECT_EQ(twelfth.count, 2);
  EXPECT_EQ(note("Created", "12").message, "12");  // of another reason

  clock_.advance(std::chrono::minutes(11));
  EXPECT_EQ(note("Updated", "13").message, "13");
}

TEST_F(EventTest, OneObjectCannotFloodTheServer) {
  int written = 0;
  for (int i = 0; i < 100; ++i) written += note("Updated", "x").what != Do::kDrop ? 1 : 0;
  EXPECT_EQ(written, 25);
  EXPECT_EQ(correlator_.dropped(), 75U);
  EXPECT_EQ(correlator_.note(service("b"), EventType::kNormal, "Updated", "x", clock_.now()).what,
            Do::kCreate);
  EXPECT_EQ(correlator_.note(service("a"), EventType::kWarning, "Stuck", "x", clock_.now()).what,
            Do::kCreate);
  clock_.advance(std::chrono::minutes(5));
  const auto later = note("Updated", "x");
  EXPECT_EQ(later.what, Do::kRepeat);
  EXPECT_EQ(later.count, 101);  // those that were not written count too
  EXPECT_EQ(note("Updated", "x").what, Do::kDrop);
}

TEST_F(EventTest, RemembersABoundedNumberOfSeries) {
  EventCorrelator small(EventCorrelator::Config{.kept = 2});
  const auto note_of = [&](const std::string& name) {
    return small.note(service(name), EventType::kNormal, "R", "m", clock_.now()).what;
  };
  EXPECT_EQ(note_of("a"), Do::kCreate);
  EXPECT_EQ(note_of("b"), Do::kCreate);
  EXPECT_EQ(note_of("a"), Do::kRepeat);
  EXPECT_EQ(note_of("c"), Do::kCreate);
  EXPECT_EQ(note_of("a"), Do::kRepeat);
  EXPECT_EQ(note_of("b"), Do::kCreate);  // forgotten: used least recently
}

TEST_F(EventTest, NamesStayWithinWhatAnObjectMayBeCalled) {
  const auto outcome =
      correlator_.note(service(std::string(253, 'n')), EventType::kNormal, "R", "m", clock_.now());
  EXPECT_EQ(outcome.name.size(), 253U);
}

}  // namespace
}  // namespace baton::kube
