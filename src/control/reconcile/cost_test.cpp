// What a service costs: writes, requests, memory. Guards of what bench/controller measures.

#include <numeric>

#include "control/reconcile/recorder.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

// Bytes on the heap that a value holds beside itself, at least: capacities count as sizes.
std::size_t heap_bytes(const kube::Object& value) {
  const auto of_text = [](const std::string& text) {
    return text.capacity() > std::string().capacity() ? text.capacity() + 1 : 0;
  };
  std::size_t out = 0;
  if (const auto* text = value.if_string()) out += of_text(*text);
  if (const auto* array = value.if_array()) {
    out += array->size() * sizeof(kube::Object);
    for (const auto& one : *array) out += heap_bytes(one);
  }
  if (const auto* object = value.if_object()) {
    out += object->size() * sizeof(text::json::Member);
    for (const auto& [key, one] : *object) out += of_text(key) + heap_bytes(one);
  }
  return out;
}

class CostTest : public ReconcileTest {
 protected:
  // Reports of Deployments, one after the other, each seen by a pass.
  void report_one_by_one(Reconciler& reconciler, const char* truth) {
    for (const auto* name : {"storyteller-kserve", "storyteller-kserve-prefill",
                             "storyteller-kserve-router-scheduler"}) {
      mark_available(name, truth);
      EXPECT_TRUE(pass(reconciler));
    }
  }
  void until(const std::function<bool()>& holds) {
    const auto deadline = soon();
    const auto from = cluster_.list({kService, "", {}}, soon())->version;
    const auto watch = *cluster_.watch({kService, "", {}}, from, soon());
    while (!holds()) {
      ASSERT_FALSE(deadline.passed(clock_.now()));
      (void)watch->next(deadline.earlier(Deadline::in(clock_, Millis(20))));
    }
  }
};

TEST_F(CostTest, ReportsThatFollowOneAnotherAreOneStatusMore) {
  observe::Registry registry;
  Reconciler patient({troubled_, clock_, registry},
                     {Installation(), 0, {.after_write = std::chrono::hours(1)}});
  create_quickstart();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 1);
  const auto depth = [&] {
    const auto text = registry.expose();
    const std::string name = "\nbaton_controller_queue_depth ";
    const auto at = text.find(name);
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + name.size()));
  };
  // Due is the service: told a moment after it is seen.
  const int others = 1;
  until([&] { return depth() == others; });
  report_one_by_one(patient, "False");
  EXPECT_EQ(troubled_.count["status"], 1) << "only details: they wait";
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
  EXPECT_EQ(depth(), others + 1) << "and whoever waits for rest sees it";

  // A change of the service is answered at once, with all that waited.
  edit([](kube::Object& o) { o["spec"]["replicas"] = 3; });
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 2);
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "MinimumReplicasUnavailable");
  EXPECT_EQ(depth(), others);
  // So is what makes it ready.
  edit([](kube::Object& o) { o["spec"].if_object()->erase("router"); });
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 3);
  mark_available("storyteller-kserve", "True");
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 3);
  mark_available("storyteller-kserve-prefill", "True");
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 4);
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True"));
}

TEST_F(CostTest, WhatDeploymentsReportFirstIsToldAtOnceForAllOfThem) {
  observe::Registry registry;
  Reconciler patient({troubled_, clock_, registry},
                     {Installation(), 0, {.for_reports = std::chrono::hours(1)}});
  create_quickstart();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pass(patient));
  mark_available("storyteller-kserve", "False");
  mark_available("storyteller-kserve-prefill", "False");
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 1) << "the picker's is silent";

  mark_available("storyteller-kserve-router-scheduler", "False");
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(troubled_.count["status"], 2);
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "MinimumReplicasUnavailable");
  EXPECT_EQ(reason(service(), "SchedulerWorkloadReady"), "MinimumReplicasUnavailable");
}

TEST_F(CostTest, WhoIsSilentIsNotWaitedForForEver) {
  observe::Registry registry;
  Reconciler patient({troubled_, clock_, registry},
                     {Installation(), 0, {.for_reports = Millis(200)}});
  create_quickstart();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pass(patient));
  mark_available("storyteller-kserve", "False");
  const auto deadline = soon();
  while (troubled_.count["status"] == 1) {
    ASSERT_FALSE(deadline.passed(clock_.now()));
    EXPECT_TRUE(pass(patient));
  }
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "MinimumReplicasUnavailable");
}

TEST_F(CostTest, WhoIsSilentIsWaitedForWhileDeploymentsOfOthersReport) {
  ClockAhead clock;
  observe::Registry registry;
  Reconciler patient({troubled_, clock, registry},
                     {Installation(),
                      0,
                      {.for_reports = std::chrono::seconds(60), .at_most = std::chrono::hours(1)}});
  create_quickstart();
  auto other = service();
  other["metadata"] = text::json::Object{{"name", "other"}, {"namespace", "default"}};
  create(other);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(pass(patient));
    EXPECT_TRUE(pass(patient, "other"));
  }
  mark_available("storyteller-kserve", "False");
  EXPECT_TRUE(pass(patient));

  clock.advance(std::chrono::seconds(50));
  // Whoever sees the second has been told of the first.
  mark_available("other-kserve", "False");
  mark_available("other-kserve-prefill", "False");
  catch_up(patient);
  clock.advance(std::chrono::seconds(20));
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing") << "another one reported";

  clock.advance(std::chrono::seconds(60));
  EXPECT_TRUE(pass(patient));
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "MinimumReplicasUnavailable");
}

TEST_F(CostTest, WhatWaitsIsWrittenWhenItsTimeComes) {
  observe::Registry registry;
  const Reconciler working({troubled_, clock_, registry},
                           {Installation(), 1, {.after_write = Millis(300)}});
  create_quickstart();
  until([&] { return reason(service(), "SchedulerWorkloadReady") == "Progressing"; });
  for (const auto* name : {"storyteller-kserve", "storyteller-kserve-prefill"}) {
    mark_available(name, "False");
  }
  until([&] {
    return reason(service(), "MainWorkloadReady") == "MinimumReplicasUnavailable" &&
           reason(service(), "PrefillWorkloadReady") == "MinimumReplicasUnavailable";
  });
}

TEST_F(CostTest, APassThatChangesNothingAsksNothing) {
  create_quickstart();
  settle();
  const auto requests = [&] {
    return std::accumulate(troubled_.count.begin(), troubled_.count.end(), 0,
                           [](int sum, const auto& entry) { return sum + entry.second; });
  };
  const int before = requests();
  edit([](kube::Object& o) { o["metadata"]["labels"]["touched"] = "yes"; });
  settle();
  EXPECT_EQ(requests(), before);
}

// The goal is 8 KB an object in the process, allocator and indices included.
TEST_F(CostTest, LittleIsKeptOfEachObject) {
  create_quickstart();
  settle();
  std::size_t objects = 0;
  std::size_t bytes = 0;
  for (const auto& kind : followed_kinds()) {
    for (const auto& snapshot : reconciler_.cache().list(kind.type, "")) {
      ++objects;
      const auto size = sizeof(kube::Snapshot) + heap_bytes(snapshot->object);
      RecordProperty(
          std::string(kind.type.kind + "_" + std::string(kube::name_of(snapshot->object))),
          static_cast<int>(size));
      EXPECT_LT(size, 16U << 10) << kind.type.kind << " " << kube::name_of(snapshot->object);
      bytes += size;
    }
  }
  EXPECT_GT(objects, 15U);
  EXPECT_LT(bytes / objects, 4U << 10);
}

}  // namespace
}  // namespace baton::reconcile
