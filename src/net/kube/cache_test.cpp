#include "net/kube/cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/core/log.hpp"
#include "base/text/yaml.hpp"
#include "net/kube/digest.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {
namespace {

using ::testing::HasSubstr;

const Type kPod{"", "v1", "Pod"};
const Type kWidget{"example.org", "v1", "Widget"};

Object parse(const std::string& text) { return *text::yaml::parse(text, "test"); }
Object pod(const std::string& name, const std::string& more = "") {
  return parse("{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: llm" + more +
               "}, spec: {large: text}}");
}

// A MemoryCluster that does not know Widgets, or cannot list them.
class WithoutWidgets : public Cluster {
 public:
  explicit WithoutWidgets(MemoryCluster& inner) : inner_(inner) {}
  std::atomic<bool> broken = false;
  std::atomic<int> lists = 0;

  Result<Object> get(const ObjectKey& k, Deadline d) override { return inner_.get(k, d); }
  Result<List> list(const Query& q, Deadline d) override {
    if (q.type.kind == "Widget") {
      ++lists;
      lists.notify_all();
      return broken ? unavailable("no answer") : not_found("no such kind");
    }
    return inner_.list(q, d);
  }
  Result<Object> create(const Object& o, DryRun r, Deadline d) override {
    return inner_.create(o, r, d);
  }
  Result<Object> update(const Object& o, DryRun r, Deadline d) override {
    return inner_.update(o, r, d);
  }
  Result<Object> update_status(const Object& o, Deadline d) override {
    return inner_.update_status(o, d);
  }
  Result<Object> patch(const ObjectKey& k, const Object& p, DryRun r, Deadline d) override {
    return inner_.patch(k, p, r, d);
  }
  Status remove(const ObjectKey& k, const Removal& how, Deadline d) override {
    return inner_.remove(k, how, d);
  }
  Result<std::unique_ptr<Watch>> watch(const Query& q, const Version& v, Deadline d) override {
    return inner_.watch(q, v, d);
  }

 private:
  MemoryCluster& inner_;
};

// Its list of Pods ends when its watch of Widgets is closed.
class SlowPods final : public WithoutWidgets {
 public:
  using WithoutWidgets::WithoutWidgets;
  bool patient = true;  // the list had not to be given up

  void wait_until_busy() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return listing_ && watching_; });
  }
  Result<List> list(const Query& query, Deadline) override {
    if (query.type.kind != "Pod") return List{.items = {}, .version = "1"};
    std::unique_lock lock(mutex_);
    listing_ = true;
    changed_.notify_all();
    patient = changed_.wait_for(lock, std::chrono::seconds(20), [&] { return closed_; });
    return unavailable("no answer");
  }
  Result<std::unique_ptr<Watch>> watch(const Query&, const Version&, Deadline) override {
    return std::unique_ptr<Watch>(std::make_unique<WidgetWatch>(*this));
  }

 private:
  class WidgetWatch final : public Watch {
   public:
    explicit WidgetWatch(SlowPods& of) : of_(of) {}
    Result<std::optional<Event>> next(Deadline) override {
      std::unique_lock lock(of_.mutex_);
      of_.watching_ = true;
      of_.changed_.notify_all();
      of_.changed_.wait(lock, [&] { return of_.closed_; });
      return cancelled("closed");
    }
    void close() override {
      const std::lock_guard lock(of_.mutex_);
      of_.closed_ = true;
      of_.changed_.notify_all();
    }

   private:
    SlowPods& of_;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  bool listing_ = false, watching_ = false, closed_ = false;
};

class CacheTest : public ::testing::Test {
 protected:
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  Object create(const Object& object) {
    auto made = memory_.create(object, DryRun::kNo, soon());
    EXPECT_TRUE(made) << made.error().message();
    return *made;
  }
  void see(const Expectation& expected) { ASSERT_TRUE(cache_.has_seen(expected, soon())); }

  SystemClock clock_;
  SeededRandom random_{7};
  MemoryCluster memory_{clock_, random_};
  WithoutWidgets cluster_{memory_};
  Cache cache_{cluster_, clock_};
};

TEST_F(CacheTest, HoldsWhatWasThereAndWhatComesChangesAndGoes) {
  create(pod("first"));
  cache_.follow({kPod, {}, nullptr}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  EXPECT_TRUE(cache_.get({kPod, "llm", "first"}));

  auto second = create(pod("second"));
  see(written(second));
  EXPECT_EQ(cache_.list(kPod, "llm").size(), 2U);
  EXPECT_TRUE(cache_.list(kPod, "elsewhere").empty());

  second["spec"]["large"] = "other";
  see(written(*memory_.update(second, DryRun::kNo, soon())));
  EXPECT_EQ(cache_.get({kPod, "llm", "second"})->object.string_at({"spec", "large"}), "other");

  ASSERT_TRUE(memory_.remove({kPod, "llm", "second"}, Grace::kDefault, soon()));
  see(removed(second));
  EXPECT_FALSE(cache_.get({kPod, "llm", "second"}));
}

TEST_F(CacheTest, EndsAllFollowersBeforeItWaitsForOne) {
  SlowPods slow(memory_);
  Cache cache(slow, clock_);
  for (const auto& type : {kPod, kWidget}) cache.follow({type, {}, nullptr}, nullptr);
  cache.start();
  slow.wait_until_busy();
  cache.stop();
  EXPECT_TRUE(slow.patient);
}

TEST_F(CacheTest, StartsNoFollowerBeforeEveryKindIsThereToBeRead) {
  cluster_.broken = true;  // Widgets are not known not to be served
  const auto made = create(pod("p"));
  std::atomic<bool> knew = false;
  cache_.follow({kPod, {}, nullptr},
                [&](const SnapshotPtr&, const SnapshotPtr&) { knew = cache_.serves(kWidget); });
  cache_.follow({kWidget, {}, nullptr}, nullptr);
  EXPECT_EQ(cluster_.lists, 0);
  cache_.start();
  see(written(made));
  cache_.stop();
  EXPECT_TRUE(knew);
}

TEST_F(CacheTest, DoesNotSayThatItHasSeenWhatHasNotHappened) {
  cache_.follow({kPod, {}, nullptr}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  const auto made = create(pod("p"));
  see(written(made));
  auto later = written(made);
  later.version = std::to_string(std::stoull(later.version) + 1);
  EXPECT_FALSE(cache_.has_seen(later, Deadline{clock_.now()}));
  EXPECT_FALSE(cache_.has_seen(removed(made), Deadline{clock_.now()}));
}

TEST_F(CacheTest, KeepsOnlyWhatTheTrimLeavesAndStillTellsThatTheRestChanged) {
  cache_.follow({kPod, {}, identity_only}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  auto made = create(pod("p"));
  see(written(made));
  const auto before = cache_.get({kPod, "llm", "p"});
  EXPECT_EQ(before->object.find("spec"), nullptr);
  EXPECT_EQ(uid_of(before->object), uid_of(made));

  made["status"]["phase"] = "Running";
  made = *memory_.update_status(made, soon());
  see(written(made));
  EXPECT_EQ(cache_.get({kPod, "llm", "p"})->content, before->content);

  made["spec"]["large"] = "other";
  see(written(*memory_.update(made, DryRun::kNo, soon())));
  EXPECT_NE(cache_.get({kPod, "llm", "p"})->content, before->content);
}

TEST_F(CacheTest, FindsObjectsByControllerAndByLabel) {
  cache_.follow({kPod, {}, nullptr, by_label("app")}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  const auto owner = create(pod("owner"));
  auto child = pod("child", ", labels: {app: x}");
  child["metadata"]["ownerReferences"].push_back(controller_reference(owner));
  child = create(child);
  see(written(child));
  ASSERT_EQ(cache_.controlled(kPod, uid_of(owner)).size(), 1U);
  EXPECT_EQ(name_of(cache_.controlled(kPod, uid_of(owner)).front()->object), "child");
  EXPECT_EQ(cache_.indexed(kPod, "llm", "x").size(), 1U);
  EXPECT_TRUE(cache_.indexed(kPod, "elsewhere", "x").empty());
  EXPECT_TRUE(cache_.indexed(kPod, "llm", "y").empty());

  ASSERT_TRUE(memory_.remove({kPod, "llm", "child"}, Grace::kDefault, soon()));
  see(removed(child));
  EXPECT_TRUE(cache_.controlled(kPod, uid_of(owner)).empty());
  EXPECT_TRUE(cache_.indexed(kPod, "llm", "x").empty());
}

TEST_F(CacheTest, FindsObjectsByManyKeysAndCountsWhatItGives) {
  const auto keys = [](const Object& object) {
    std::vector<std::string> out;
    for (const auto& one : *object.find_path({"spec", "keys"})->if_array()) {
      out.push_back(*one.if_string());
    }
    return out;
  };
  cache_.follow({kPod, {}, nullptr, keys}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  const auto keyed = [](const std::string& name, const std::string& ns, const std::string& list) {
    auto out = pod(name);
    out["metadata"]["namespace"] = ns;
    out["spec"]["keys"] = parse(list);
    return out;
  };
  auto first = create(keyed("first", "a", "[one, two, one, '']"));
  create(keyed("second", "b", "[one]"));
  see(written(create(keyed("third", "ab", "[one]"))));
  const auto found = [&](std::string_view ns, std::string_view key) {
    std::vector<std::string> out;
    for (const auto& one : cache_.indexed(kPod, ns, key)) out.emplace_back(name_of(one->object));
    return out;
  };
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  EXPECT_THAT(found("", "one"), ElementsAre("first", "third", "second"));
  const auto before = cache_.given();
  EXPECT_THAT(found("a", "one"), ElementsAre("first"));
  EXPECT_EQ(cache_.given(), before + 1) << "others are not looked at";
  EXPECT_THAT(found("aa", "one"), IsEmpty());
  EXPECT_THAT(found("", "two"), ElementsAre("first"));
  EXPECT_THAT(found("", ""), IsEmpty());

  first["spec"]["keys"] = parse("[three]");
  see(written(*memory_.update(first, DryRun::kNo, soon())));
  EXPECT_THAT(found("", "one"), ElementsAre("third", "second"));
  EXPECT_THAT(found("", "two"), IsEmpty());
  EXPECT_THAT(found("a", "three"), ElementsAre("first"));
}

TEST_F(CacheTest, FollowsOnlyTheLabelsAskedFor) {
  create(pod("mine", ", labels: {app: x}"));
  create(pod("other"));
  cache_.follow({kPod, {{"app", "x"}}, nullptr}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  EXPECT_EQ(cache_.list(kPod, "").size(), 1U);
  EXPECT_EQ(cache_.size(), 1U);
}

TEST_F(CacheTest, IsInStepWithAClusterThatDoesNotServeAKind) {
  cache_.follow({kWidget, {}, nullptr}, nullptr);
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  EXPECT_TRUE(cache_.synced());
  EXPECT_FALSE(cache_.serves(kWidget));
  EXPECT_TRUE(cache_.list(kWidget, "").empty());
}

TEST_F(CacheTest, TellsOfChangesWithWhatWasBefore) {
  std::mutex mutex;
  std::vector<std::string> told;
  cache_.follow({kPod, {}, nullptr}, [&](const SnapshotPtr& before, const SnapshotPtr& now) {
    const std::lock_guard lock(mutex);
    told.push_back(std::string(before ? "had" : "new") + (now ? "" : " gone"));
  });
  cache_.start();
  ASSERT_TRUE(cache_.wait_synced(soon()));
  auto made = create(pod("p"));
  made["spec"]["large"] = "other";
  made = *memory_.update(made, DryRun::kNo, soon());
  see(written(made));
  ASSERT_TRUE(memory_.remove({kPod, "llm", "p"}, Grace::kDefault, soon()));
  see(removed(made));
  cache_.stop();  // all was told
  EXPECT_THAT(told, ::testing::ElementsAre("new", "had", "had gone"));
}

TEST_F(CacheTest, NamesTheKindsThatDidNotArriveInTime) {
  cluster_.broken = true;
  cache_.follow({kWidget, {}, nullptr}, nullptr);
  cache_.start();
  const auto waited = cache_.wait_synced(Deadline{clock_.now()});
  ASSERT_FALSE(waited);
  EXPECT_THAT(waited.error().message(), HasSubstr("Widget"));
  EXPECT_FALSE(cache_.synced());
}

TEST_F(CacheTest, SaysOnceWhyAKindCannotBeListedHoweverOftenItIsTried) {
  std::atomic<int> told = 0;
  log::redirect([&](std::string_view line) {
    if (line.find("list failed") != line.npos) ++told;
  });
  cluster_.broken = true;
  cache_.follow({kWidget, {}, nullptr}, nullptr);
  cache_.start();
  for (int seen = 0; seen < 2; seen = cluster_.lists) cluster_.lists.wait(seen);
  cache_.stop();
  log::redirect(nullptr);
  EXPECT_EQ(told, 1);
}

TEST(Digest, LeavesOutWhatOnlyTheServerDecides) {
  const auto a = parse("{metadata: {name: a, resourceVersion: '1'}, spec: {x: 1}, status: {y: 1}}");
  const auto b = parse("{metadata: {name: a, resourceVersion: '2', uid: u}, spec: {x: 1}}");
  const auto c = parse("{metadata: {name: a, labels: {l: v}}, spec: {x: 1}}");
  EXPECT_EQ(digest_of_content(a), digest_of_content(b));
  EXPECT_NE(digest_of_content(a), digest_of_content(c));
  const auto revised = parse(
      "{metadata: {name: a, annotations: {deployment.kubernetes.io/revision: '1'}}, spec: {x: 1}}");
  EXPECT_EQ(digest_of_content(a), digest_of_content(revised));
  EXPECT_NE(digest(a), digest(b));
  EXPECT_NE(digest(parse("[[1], 2]")), digest(parse("[1, [2]]")));
}

}  // namespace
}  // namespace baton::kube
