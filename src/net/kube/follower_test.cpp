#include "net/kube/follower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <utility>

#include "base/core/log.hpp"
#include "base/text/yaml.hpp"
#include "net/kube/cache.hpp"
#include "net/kube/quiet_watch.hpp"

namespace baton::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Nanos kPatience = std::chrono::seconds(20);
const Type kWidget{"example.org", "v1", "Widget"};

Object widget(const std::string& name, const std::string& version) {
  return *text::yaml::parse("{apiVersion: example.org/v1, kind: Widget, metadata: {name: " + name +
                                ", namespace: ns, resourceVersion: '" + version + "'}}",
                            "test");
}

// Lists and watches are answered as a test says, by their number from 0 on.
class ScriptedCluster final : public Cluster {
 public:
  std::function<Result<List>(int)> on_list;
  std::function<Status(int)> on_watch;  // fine: a quiet watch

  void wait_for_lists(int wanted) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, kPatience, [&] { return lists_ >= wanted; }));
  }

  Result<List> list(const Query&, Deadline) override {
    int number = 0;
    {
      const std::lock_guard lock(mutex_);
      number = lists_++;
      changed_.notify_all();
    }
    return on_list(number);
  }
  Result<std::unique_ptr<Watch>> watch(const Query&, const Version&, Deadline) override {
    BATON_TRY(on_watch(watches_++));
    return std::unique_ptr<Watch>(std::make_unique<QuietWatch>());
  }
  Result<Object> get(const ObjectKey&, Deadline) override { return unsupported("get"); }
  Result<Object> create(const Object&, DryRun, Deadline) override { return unsupported("create"); }
  Result<Object> update(const Object&, DryRun, Deadline) override { return unsupported("update"); }
  Result<Object> update_status(const Object&, Deadline) override { return unsupported("status"); }
  Result<Object> patch(const ObjectKey&, const Object&, DryRun, Deadline) override {
    return unsupported("patch");
  }
  Status remove(const ObjectKey&, const Removal&, Deadline) override {
    return unsupported("remove");
  }

 private:
  std::mutex mutex_;  // guards lists_
  std::condition_variable changed_;
  int lists_ = 0;
  int watches_ = 0;  // the follower's thread's
};

class FollowerTest : public ::testing::Test {
 protected:
  ScriptedCluster cluster_;
  SystemClock clock_;
};

// The second of three lists finds the kind not served.
void serve_with_a_gap(ScriptedCluster& cluster, List before, List after) {
  cluster.on_list = [before = std::move(before), after = std::move(after)](int n) -> Result<List> {
    if (n == 1) return not_found("the server has no kind Widget");
    return n == 0 ? before : after;
  };
  cluster.on_watch = [](int n) { return n == 0 ? Status(conflict("expired")) : Status(); };
}

TEST_F(FollowerTest, TellsEverythingAgainOnceAKindIsServedAgain) {
  serve_with_a_gap(cluster_, {{widget("stays", "1"), widget("goes", "2")}, "3"},
                   {{widget("stays", "1"), widget("comes", "4")}, "5"});
  std::mutex mutex;
  std::vector<std::string> told;
  std::condition_variable changed;
  int listed = 0;
  Follower follower(
      cluster_, clock_, {kWidget, "", {}},
      [&](const Event& event) {
        const std::lock_guard guard(mutex);
        told.push_back(std::string(event.kind == Event::Kind::kDeleted ? "no " : "") +
                       std::string(event.object.string_at({"metadata", "name"})));
      },
      [&](const Result<Version>&) {
        const std::lock_guard guard(mutex);
        told.emplace_back("|");
        ++listed;
        changed.notify_all();
      },
      Follower::Keep::kVersions, {.watch = Millis(1), .absent = Millis(1)});
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, kPatience, [&] { return listed == 3; }));
  EXPECT_THAT(told, ElementsAre("stays", "goes", "|", "|", "stays", "comes", "no goes", "|"));
}

TEST_F(FollowerTest, ACacheHasItsObjectsAgainAfterAMomentInWhichTheirKindWasNotServed) {
  const List same{{widget("one", "1")}, "1"};
  serve_with_a_gap(cluster_, same, same);
  std::mutex mutex;
  std::vector<std::string> told;
  std::condition_variable changed;
  Cache cache(cluster_, clock_, {.watch = Millis(1), .absent = Millis(1)});
  cache.follow({kWidget, {}, nullptr}, [&](const SnapshotPtr&, const SnapshotPtr& now) {
    const std::lock_guard guard(mutex);
    told.emplace_back(now ? "there" : "gone");
    changed.notify_all();
  });
  cache.start();
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, kPatience, [&] { return told.size() == 3; }));
  EXPECT_THAT(told, ElementsAre("there", "gone", "there"));
  EXPECT_TRUE(cache.get({kWidget, "ns", "one"}));
}

TEST_F(FollowerTest, ACacheHasSeenAListOnlyWhenAllOfItIsThere) {
  cluster_.on_list = [](int n) -> Result<List> {
    if (n == 0) return List{{widget("a", "1"), widget("b", "2")}, "3"};
    return List{{widget("a", "95"), widget("b", "90")}, "96"};
  };
  cluster_.on_watch = [](int n) { return n == 0 ? Status(conflict("expired")) : Status(); };
  const Expectation wanted = written(widget("b", "90"));
  std::atomic<bool> early = false;
  Cache cache(cluster_, clock_, {.watch = Millis(1)});
  cache.follow({kWidget, {}, nullptr}, [&](const SnapshotPtr&, const SnapshotPtr& now) {
    if (now && now->version() == "95") early = cache.has_seen(wanted, Deadline::in(clock_, {}));
  });
  cache.start();

  ASSERT_TRUE(cache.has_seen(wanted, Deadline::in(clock_, kPatience)));

  EXPECT_EQ(cache.get({kWidget, "ns", "b"})->version(), "90");
  EXPECT_FALSE(early);
}

TEST_F(FollowerTest, PausesLongerEachTimeAWatchIsRefusedOrTooOldAndSaysWhyOnce) {
  std::mutex mutex;
  std::vector<std::string> said;
  log::redirect([&](std::string_view line) {
    const std::lock_guard guard(mutex);
    if (line.find("watch") != line.npos) said.emplace_back(line);
  });
  const ManualClock still;  // no watch stands for long, however slow the machine
  for (const auto& refusal : {denied("widgets cannot be watched"), conflict("expired")}) {
    ScriptedCluster cluster;
    cluster.on_list = [](int) -> Result<List> { return List{{}, "1"}; };
    cluster.on_watch = [&](int) { return Status(refusal); };
    said.clear();
    const auto began = std::chrono::steady_clock::now();
    {
      const Follower follower(cluster, still, {kWidget, "", {}}, [](const Event&) {}, nullptr,
                              Follower::Keep::kVersions,
                              {.watch = Millis(10), .longest = Millis(40)});
      cluster.wait_for_lists(5);
    }
    EXPECT_GE(std::chrono::steady_clock::now() - began, Millis(10 + 20 + 40 + 40));
    EXPECT_THAT(said, ElementsAre(HasSubstr(refusal.message())));
  }
  log::redirect(nullptr);
}

}  // namespace
}  // namespace baton::kube
