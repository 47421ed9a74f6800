#include "routing/watch/cluster_watch.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "base/core/random.hpp"
#include "net/kube/memory_cluster.hpp"
#include "routing/watch/testing/objects.hpp"

namespace baton::watch {
namespace {

// The latest topology, and a wait for one that satisfies a condition.
class Inbox {
 public:
  void put(Topology topology) {
    const std::lock_guard lock(mutex_);
    last_ = std::move(topology);
    changed_.notify_all();
  }
  template <class F>
  bool wait_for(F&& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return wanted(last_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Topology last_;
};

TEST(ClusterWatch, FollowsPodsAsTheyComeAndGo) {
  SystemClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(clock, random);
  const auto deadline = Deadline::in(clock, std::chrono::seconds(10));
  const auto create = [&](const kube::Object& object) {
    const auto made = cluster.create(object, kube::DryRun::kNo, deadline);
    ASSERT_TRUE(made) << made.error().message();
    if (object.find("status") == nullptr) return;
    auto with_status = *made;
    with_status["status"] = *object.find("status");
    ASSERT_TRUE(cluster.update_status(with_status, deadline));
  };
  auto service = testing::service("story", "m");
  service["metadata"]["uid"] = "u-story";
  create(service);
  const auto stored = cluster.get(*kube::key_of(service), deadline);
  ASSERT_TRUE(stored);
  auto pool = testing::pool("story");
  (*pool["metadata"]["ownerReferences"].if_array())[0]["uid"] =
      stored->string_at({"metadata", "uid"});
  create(pool);

  Inbox inbox;
  ClusterWatch watch(cluster, clock, [&](Topology topology) { inbox.put(std::move(topology)); });
  EXPECT_TRUE(inbox.wait_for([](const Topology& t) { return t.services.size() == 1; }));

  create(testing::pod("story", "d0", "decode", "127.77.0.2"));
  EXPECT_TRUE(inbox.wait_for([](const Topology& t) {
    return t.services.size() == 1 && t.services[0].endpoints.size() == 1;
  }));

  const auto pod = testing::pod("story", "d0", "decode", "127.77.0.2");
  EXPECT_TRUE(cluster.remove(*kube::key_of(pod), kube::Grace::kNone, deadline));
  EXPECT_TRUE(inbox.wait_for(
      [](const Topology& t) { return t.services.size() == 1 && t.services[0].endpoints.empty(); }));
}

}  // namespace
}  // namespace baton::watch
