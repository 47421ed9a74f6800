#include "net/kube/memory_cluster.hpp"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "net/kube/follower.hpp"
#include "net/kube/modify.hpp"
#include "net/kube/object.hpp"
#include "net/kube/testing/conformance.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::kube {
namespace {

using testing::config_map;

const Type kConfigMap{"", "v1", "ConfigMap"};
const Type kPod{"", "v1", "Pod"};

class MemoryClusterTest : public ::testing::Test {
 protected:
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(10)); }
  Object pod_on_node() {
    Object pod = config_map("ns", "pod");
    pod["kind"] = "Pod";
    pod["spec"]["nodeName"] = "here";
    pod["spec"]["terminationGracePeriodSeconds"] = 7;
    return pod;
  }

  SystemClock clock_;
  SeededRandom random_{1};
  MemoryCluster cluster_{clock_, random_, {.history = 64}};
};

TEST_F(MemoryClusterTest, PassesTheConformanceSuite) {
  testing::run_conformance(cluster_, clock_, "conformance");
}

TEST_F(MemoryClusterTest, BindsAPodToOneNodeOnce) {
  Object pod = config_map("ns", "pod");
  pod["kind"] = "Pod";
  ASSERT_TRUE(cluster_.create(pod, DryRun::kNo, soon()));
  Object binding;
  binding["target"]["name"] = "here";
  const ObjectKey key{kPod, "ns", "pod"};

  ASSERT_TRUE(cluster_.create_subresource(key, "binding", binding, soon()));

  EXPECT_EQ(cluster_.get(key, soon())->string_at({"spec", "nodeName"}), "here");
  EXPECT_EQ(cluster_.create_subresource(key, "binding", binding, soon()).error().code(),
            Code::kConflict);
  EXPECT_EQ(cluster_.create_subresource(key, "token", binding, soon()).error().code(),
            Code::kUnsupported);
}

TEST_F(MemoryClusterTest, ExpiresAWatchThatFallsBehindTheHistory) {
  auto made = cluster_.create(config_map("ns", "busy"), DryRun::kNo, soon());
  auto list = cluster_.list({kConfigMap, "ns", {}}, soon());
  auto watch = cluster_.watch({kConfigMap, "ns", {}}, list->version, soon());
  for (int i = 0; i < 100; ++i) {
    Object next = *made;
    next["data"]["a"] = std::to_string(i + 2);
    made = cluster_.update(next, DryRun::kNo, soon());
    ASSERT_TRUE(made);
  }

  EXPECT_EQ((*watch)->next(soon()).error().code(), Code::kConflict);
  EXPECT_EQ(cluster_.watch({kConfigMap, "ns", {}}, list->version, soon()).error().code(),
            Code::kConflict);
}

TEST_F(MemoryClusterTest, LetsAWatchWaitUntilItsDeadlineAndWakesItOnClose) {
  auto watch = cluster_.watch({kConfigMap, "ns", {}}, "1", soon());
  ASSERT_TRUE(watch);
  const auto nothing = (*watch)->next(Deadline::in(clock_, Millis(5)));
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->has_value());

  std::thread closer([&] { (*watch)->close(); });
  EXPECT_EQ((*watch)->next(soon()).error().code(), Code::kCancelled);
  closer.join();
}

TEST_F(MemoryClusterTest, KeepsAPodOnANodeUntilTheNodeLetsGo) {
  ASSERT_TRUE(cluster_.create(pod_on_node(), DryRun::kNo, soon()));
  const ObjectKey key{kPod, "ns", "pod"};
  ASSERT_TRUE(cluster_.remove(key, Grace::kDefault, soon()));

  const auto held = cluster_.get(key, soon());
  ASSERT_TRUE(held);
  EXPECT_TRUE(is_deleting(*held));
  EXPECT_EQ(held->find_path({"metadata", "deletionGracePeriodSeconds"})->if_int(), 7);

  ASSERT_TRUE(cluster_.remove(key, Grace::kNone, soon()));
  EXPECT_FALSE(cluster_.get(key, soon()));
}

TEST_F(MemoryClusterTest, CollectsWhatIsCreatedForAnOwnerAlreadyGone) {
  Object child = config_map("ns", "late");
  Object gone = config_map("ns", "gone");
  gone["metadata"]["uid"] = "no-such-uid";
  child["metadata"]["ownerReferences"].push_back(controller_reference(gone));

  EXPECT_TRUE(cluster_.create(child, DryRun::kNo, soon()));

  EXPECT_FALSE(cluster_.get({kConfigMap, "ns", "late"}, soon()));
}

TEST_F(MemoryClusterTest, ServesAFollowerThroughExpiry) {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::string> seen;
  Follower follower(cluster_, clock_, {kConfigMap, "ns", {}}, [&](const Event& event) {
    const std::lock_guard lock(mutex);
    seen[std::string(name_of(event.object))] =
        event.kind == Event::Kind::kDeleted ? "gone" : event.object.string_at({"data", "a"});
    changed.notify_all();
  });
  for (int i = 0; i < 300; ++i) {
    Object o = config_map("ns", "m" + std::to_string(i));
    ASSERT_TRUE(cluster_.create(o, DryRun::kNo, soon()));
  }
  ASSERT_TRUE(cluster_.remove({kConfigMap, "ns", "m7"}, Grace::kDefault, soon()));

  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] {
    return seen.size() >= 299 && (!seen.contains("m7") || seen["m7"] == "gone");
  }));
}

TEST_F(MemoryClusterTest, ModifiesWhatOthersChangeInBetween) {
  ASSERT_TRUE(cluster_.create(config_map("ns", "shared"), DryRun::kNo, soon()));
  const ObjectKey key{kConfigMap, "ns", "shared"};
  int runs = 0;
  const auto add_mine = [&](Object& o) -> Status {
    if (++runs < 3) {  // somebody else is faster, twice
      Object other = *cluster_.get(key, soon());
      other["data"]["theirs"] = std::to_string(runs);
      EXPECT_TRUE(cluster_.update(other, DryRun::kNo, soon()));
    }
    o["data"]["mine"] = "yes";
    return {};
  };
  const auto made = modify(cluster_, key, Part::kObject, add_mine, soon());
  ASSERT_TRUE(made);
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(made->string_at({"data", "theirs"}), "2");
  EXPECT_EQ(made->string_at({"data", "mine"}), "yes");

  const auto set_status = [](Object& o) -> Status {
    o["status"]["phase"] = "done";
    return {};
  };
  EXPECT_EQ(
      modify(cluster_, key, Part::kStatus, set_status, soon())->string_at({"status", "phase"}),
      "done");
  const auto refuse = [](Object&) -> Status { return denied("not mine"); };
  EXPECT_EQ(modify(cluster_, key, Part::kObject, refuse, soon()).error().code(), Code::kDenied);
}

TEST(ObjectText, MovesTheTransitionTimeOnlyWhenTheStatusChanges) {
  ManualClock clock;
  Object conditions;
  set_condition(conditions, {"Ready", "False", "Starting", "one", ""}, clock.wall());
  const std::string first(conditions.if_array()->front().string_at({"lastTransitionTime"}));
  clock.advance(std::chrono::seconds(5));
  set_condition(conditions, {"Ready", "False", "Starting", "two", ""}, clock.wall());
  EXPECT_EQ(conditions.if_array()->front().string_at({"lastTransitionTime"}), first);
  EXPECT_EQ(conditions.if_array()->front().string_at({"message"}), "two");
  set_condition(conditions, {"Ready", "True", "", "", ""}, clock.wall());
  EXPECT_NE(conditions.if_array()->front().string_at({"lastTransitionTime"}), first);
  EXPECT_EQ(conditions.if_array()->front().find("reason"), nullptr);
  EXPECT_EQ(parse_timestamp("2023-11-14T22:13:20Z"), Wall(std::chrono::seconds(1'700'000'000)));
}

TEST(Backlog, HandsOutAKeyOnceAtATimeAndAgainWhenAddedMeanwhile) {
  ManualClock clock;
  Backlog backlog({});
  backlog.add("a", clock.now());
  backlog.add("a", clock.now());

  EXPECT_EQ(backlog.take(clock.now()), "a");
  EXPECT_EQ(backlog.take(clock.now()), std::nullopt);
  backlog.add("a", clock.now());
  EXPECT_EQ(backlog.take(clock.now()), std::nullopt);
  backlog.done("a");
  EXPECT_EQ(backlog.take(clock.now()), "a");
}

TEST(Backlog, HandsOutWhatHasBeenDueLongestFirstAndWhatBecomesDueEarlierInItsNewPlace) {
  ManualClock clock;
  Backlog backlog({});
  const auto after = [&](int n) { return clock.now() + Millis(n); };
  backlog.add("c", after(30));
  backlog.add("b", after(20));
  backlog.add("a", after(10));
  backlog.add("c", after(5));
  backlog.add("a", after(50));  // it is due before that
  EXPECT_EQ(backlog.next_due(), after(5));
  EXPECT_EQ(backlog.take(after(1)), std::nullopt);
  EXPECT_EQ(backlog.take(after(100)), "c");
  backlog.add("c", after(15));  // once it is not in work any more
  EXPECT_EQ(backlog.next_due(), after(10));
  EXPECT_EQ(backlog.take(after(100)), "a");
  EXPECT_TRUE(backlog.done("c"));
  EXPECT_FALSE(backlog.done("a"));
  EXPECT_EQ(backlog.take(after(100)), "c");
  EXPECT_EQ(backlog.take(after(100)), "b");
  EXPECT_EQ(backlog.next_due(), Mono::max());
}

TEST(Backlog, DoublesTheWaitOfARetryUpToTheCeilingUntilForgotten) {
  ManualClock clock;
  Backlog backlog({.base = Millis(10), .max = Millis(35)});
  for (const auto wait : {Millis(10), Millis(20), Millis(35), Millis(35)}) {
    backlog.retry("a", clock.now());
    EXPECT_EQ(backlog.next_due() - clock.now(), wait);
    clock.advance(wait);
    EXPECT_EQ(backlog.take(clock.now()), "a");
    backlog.done("a");
  }
  backlog.forget("a");
  backlog.retry("a", clock.now());
  EXPECT_EQ(backlog.next_due() - clock.now(), Millis(10));
}

TEST(Backlog, IsBusyWithWhatIsDueOrInWorkAndNotWithWhatWaits) {
  ManualClock clock;
  Backlog backlog({.base = Millis(10), .max = Millis(35)});
  EXPECT_EQ(backlog.busy(clock.now()), 0);
  backlog.add("later", clock.now() + std::chrono::hours(1));
  backlog.add("now", clock.now());
  EXPECT_EQ(backlog.busy(clock.now()), 1);
  EXPECT_EQ(backlog.take(clock.now()), "now");
  backlog.add("now", clock.now());
  EXPECT_EQ(backlog.busy(clock.now()), 1);
  backlog.done("now");
  EXPECT_EQ(backlog.busy(clock.now()), 1);
  EXPECT_EQ(backlog.take(clock.now()), "now");
  backlog.retry("now", clock.now());
  backlog.done("now");
  EXPECT_EQ(backlog.busy(clock.now()), 0);
  clock.advance(Millis(10));
  EXPECT_EQ(backlog.busy(clock.now()), 1);
}

TEST(WorkQueue, GivesEveryKeyToOneWorkerAndEndsOnClose) {
  SystemClock clock;
  WorkQueue queue(clock);
  std::mutex mutex;
  std::map<std::string, int> worked;
  std::latch all(20);
  const auto work = [&] {
    while (auto key = queue.next()) {
      {
        const std::lock_guard lock(mutex);
        ++worked[*key];
      }
      queue.done(*key);
      all.count_down();
    }
  };
  std::thread first(work);
  std::thread second(work);
  for (int i = 0; i < 20; ++i) queue.add("k" + std::to_string(i));
  all.wait();
  queue.close();
  first.join();
  second.join();

  EXPECT_EQ(worked.size(), 20u);
}

}  // namespace
}  // namespace baton::kube
