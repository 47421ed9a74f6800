#include "routing/watch/pool_watch.hpp"

#include <gtest/gtest.h>

#include "net/kube/memory_cluster.hpp"
#include "routing/watch/testing/objects.hpp"

namespace baton::watch {
namespace {

using Pool = std::optional<PoolWatch::Pool>;

const SystemClock kClock;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

// The last that a watch told.
class Told {
 public:
  void operator()(Pool pool) {
    const std::lock_guard lock(mutex_);
    last_ = std::move(pool);
    told_ = true;
    changed_.notify_all();
  }
  bool becomes(const std::function<bool(const Pool&)>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, soon().at, [&] { return told_ && wanted(last_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Pool last_;
  bool told_ = false;
};

void create(kube::Cluster& cluster, const kube::Object& object) {
  const auto done = cluster.create(object, kube::DryRun::kNo, soon());
  ASSERT_TRUE(done) << done.error().message();
  if (object.find("status") == nullptr) return;
  auto with_status = *done;
  with_status["status"] = *object.find("status");
  ASSERT_TRUE(cluster.update_status(with_status, soon()));
}

kube::Object free_pool(std::string_view name) {
  return testing::parse(fmt::format(R"(
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {0}, namespace: llm}}
spec: {{selector: {{matchLabels: {{app.kubernetes.io/name: {0}}}}}, targetPorts: [{{number: 8000}}]}}
)",
                                    name));
}

TEST(PoolWatch, TellsThePodsOfOnePoolAndForgetsThemWithIt) {
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Told told;
  const PoolWatch watch(cluster, kClock, {.ns = "llm", .pool = "a"},
                        [&](Pool pool) { told(std::move(pool)); });
  create(cluster, free_pool("b"));
  create(cluster, testing::pod("b", "other", "decode", "10.0.0.9"));
  create(cluster, free_pool("a"));
  create(cluster, testing::pod("a", "d0", "decode", "10.0.0.1"));
  create(cluster, testing::pod("a", "late", "decode", "10.0.0.2", "False"));
  EXPECT_TRUE(told.becomes([](const Pool& pool) {
    return pool && pool->endpoints.size() == 1 && pool->endpoints[0].name == "d0" &&
           pool->endpoints[0].port == 8000;
  }));
  ASSERT_TRUE(cluster.remove({{"inference.networking.k8s.io", "v1", "InferencePool"}, "llm", "a"},
                             {}, soon()));
  EXPECT_TRUE(told.becomes([](const Pool& pool) { return !pool; }));
}

TEST(PoolWatch, TellsThatThereIsNoSuchPool) {
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Told told;
  const PoolWatch watch(cluster, kClock, {.ns = "llm", .pool = "a"},
                        [&](Pool pool) { told(std::move(pool)); });
  EXPECT_TRUE(told.becomes([](const Pool& pool) { return !pool; }));
}

TEST(PoolWatch, TellsThePoolsProtocol) {  // epp:C014
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Told told;
  const PoolWatch watch(cluster, kClock, {.ns = "llm", .pool = "a"},
                        [&](Pool pool) { told(std::move(pool)); });
  auto pool = free_pool("a");
  pool["spec"]["appProtocol"] = "kubernetes.io/h2c";
  create(cluster, pool);
  EXPECT_TRUE(told.becomes(
      [](const Pool& now) { return now && now->app_protocol == "kubernetes.io/h2c"; }));
}

TEST(PoolWatch, TellsThePodsOfASelectorWithoutAPool) {
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Told told;
  const PoolWatch watch(
      cluster, kClock,
      {.ns = "llm", .pool = "", .selected = Target{{{"app.kubernetes.io/name", "a"}}, {1, 2}}},
      [&](Pool pool) { told(std::move(pool)); });
  create(cluster, testing::pod("a", "d0", "decode", "10.0.0.1"));
  EXPECT_TRUE(told.becomes([](const Pool& pool) { return pool && pool->endpoints.size() == 2; }));
}

}  // namespace
}  // namespace baton::watch
