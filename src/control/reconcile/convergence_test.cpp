// Whatever goes wrong or is changed underneath: a service becomes what it should be, with no write
// too many.

#include "control/reconcile/metered_cluster.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ConvergenceTest = ReconcileTest;

TEST_F(ConvergenceTest, ConvergesThroughAStormOfConflicts) {
  create_quickstart();
  int calls = 0;
  troubled_.trouble = [&](std::string_view verb, const kube::Object&) -> Status {
    return verb != "dry-run" && ++calls % 2 == 0 ? Status(conflict("was changed")) : Status();
  };
  for (int i = 0; i < 60; ++i) (void)pass();
  troubled_.trouble = nullptr;
  const auto list = left();
  settle();
  EXPECT_EQ(left(), list);
  EXPECT_EQ(cluster_.list({kDeployment, "", {}}, soon())->items.size(), 3U);
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
}

TEST_F(ConvergenceTest, MakesAgainWhatIsDeletedUnderneath) {
  create_quickstart();
  settle();
  const auto list = left();
  for (const auto& type : child_types()) {
    for (const auto& item : cluster_.list({type, "", {}}, soon())->items) {
      if (type == kClusterRoleBinding || kube::controller_uid(item) == kube::uid_of(service())) {
        ASSERT_TRUE(cluster_.remove(*kube::key_of(item), {}, soon()));
      }
    }
  }
  settle();
  EXPECT_EQ(left(), list);
}

TEST_F(ConvergenceTest, RestoresWhatSomebodyChanged) {
  create_quickstart();
  settle();
  auto changed = deployment("storyteller-kserve");
  changed["spec"]["template"]["spec"]["containers"] = parse("[{name: main, image: other}]");
  changed["metadata"]["labels"]["theirs"] = "1";
  ASSERT_TRUE(cluster_.update(changed, kube::DryRun::kNo, soon()));
  settle();
  const auto restored = deployment("storyteller-kserve");
  EXPECT_NE(restored.find_path({"spec", "template", "spec", "containers"}),
            changed.find_path({"spec", "template", "spec", "containers"}));
  EXPECT_NE(text::json::dump(restored).find("baton"), std::string::npos);
  EXPECT_EQ(kube::label(restored, "theirs"), "1");
}

TEST_F(ConvergenceTest, AFreshReconcilerWritesNothing) {
  create_quickstart();
  settle();
  TroubledCluster counted(cluster_);
  observe::Registry registry;
  Reconciler fresh({counted, clock_, registry}, {Installation(), 0});
  ASSERT_TRUE(fresh.cache().wait_synced(soon()));
  EXPECT_TRUE(fresh.reconcile("default/storyteller"));
  EXPECT_EQ(counted.writes(), 0);
  EXPECT_GT(counted.count["dry-run"], 0);
  const auto asked = counted.count["dry-run"] + counted.count["get"];
  EXPECT_TRUE(fresh.reconcile("default/storyteller"));
  EXPECT_EQ(counted.count["dry-run"] + counted.count["get"], asked);  // nor asks a second time
}

TEST_F(ConvergenceTest, WritesOncePerObjectWithFinalizerAndStatus) {
  create_quickstart();
  settle();
  const int children = static_cast<int>(left().size());
  EXPECT_EQ(troubled_.count["create"], children);
  EXPECT_EQ(troubled_.count["update"], 0);
  EXPECT_EQ(troubled_.count["patch"], 1);
  EXPECT_EQ(troubled_.count["status"], 1);
}

TEST_F(ConvergenceTest, WritesNothingOnceAnotherLeads) {
  create_quickstart();
  observe::Registry registry;
  MeteredCluster metered(troubled_, registry);
  Reconciler reconciler({metered, clock_, registry}, {Installation(), 0});
  ASSERT_TRUE(reconciler.cache().wait_synced(soon()));
  EXPECT_TRUE(reconciler.reconcile("default/storyteller"));
  const auto with_finalizer = service();
  ASSERT_TRUE(reconciler.cache().has_seen(kube::written(with_finalizer), soon()));
  // Leadership goes in the middle of a pass.
  int before = 0;
  troubled_.trouble = [&](std::string_view verb, const kube::Object&) -> Status {
    if (verb == "create" && ++before == 3) metered.stop_writing();
    return {};
  };
  EXPECT_EQ(reconciler.reconcile("default/storyteller").error().code(), Code::kCancelled);
  EXPECT_EQ(troubled_.count["create"], 3);
  EXPECT_EQ(troubled_.count["status"], 0);
  // The next leader finishes it.
  troubled_.trouble = nullptr;
  settle();
  EXPECT_EQ(cluster_.list({kDeployment, "", {}}, soon())->items.size(), 3U);
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
}

TEST_F(ConvergenceTest, DoesNotActBeforeItSeesWhatItWrote) {
  create_quickstart();
  EXPECT_TRUE(pass());
  EXPECT_TRUE(pass());
  // At once, without waiting for the watch: nothing is made or written twice.
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(reconciler_.reconcile("default/storyteller"));
  settle();
  EXPECT_EQ(troubled_.count["create"], static_cast<int>(left().size()));
  EXPECT_EQ(troubled_.count["status"], 1);
  EXPECT_EQ(troubled_.count["delete"], 0);
}

}  // namespace
}  // namespace baton::reconcile
