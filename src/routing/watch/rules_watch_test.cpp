#include "routing/watch/rules_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <set>

#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"
#include "routing/watch/testing/objects.hpp"

namespace baton::watch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const SystemClock kClock;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

// The names of the last list that was told.
class Names {
 public:
  void operator()(const std::vector<kube::Object>& objects) {
    const std::lock_guard lock(mutex_);
    names_.clear();
    for (const auto& object : objects) names_.emplace_back(kube::name_of(object));
    told_ = true;
    changed_.notify_all();
  }
  std::vector<std::string> become(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, soon().at, [&] { return told_ && names_.size() == count; });
    return names_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> names_;
  bool told_ = false;
};

kube::Object object(std::string_view group, std::string_view kind, std::string_view name) {
  return testing::parse(fmt::format(R"(
apiVersion: {}/v1alpha2
kind: {}
metadata: {{name: {}, namespace: llm}}
spec: {{poolRef: {{name: p}}}}
)",
                                    group, kind, name));
}

// A cluster into which only some groups' definitions have been installed.
class Serves final : public kube::Cluster {
 public:
  Serves(kube::MemoryCluster& inner, std::set<std::string> groups)
      : inner_(inner), groups_(std::move(groups)) {}
  Result<kube::List> list(const kube::Query& q, Deadline d) override {
    if (!groups_.contains(q.type.group)) return not_found("no such kind");
    return inner_.list(q, d);
  }
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& q, const kube::Version& v,
                                             Deadline d) override {
    return inner_.watch(q, v, d);
  }
  Result<kube::Object> get(const kube::ObjectKey& k, Deadline d) override {
    return inner_.get(k, d);
  }
  Result<kube::Object> create(const kube::Object& o, kube::DryRun r, Deadline d) override {
    return inner_.create(o, r, d);
  }
  Result<kube::Object> update(const kube::Object& o, kube::DryRun r, Deadline d) override {
    return inner_.update(o, r, d);
  }
  Result<kube::Object> update_status(const kube::Object& o, Deadline d) override {
    return inner_.update_status(o, d);
  }
  Result<kube::Object> patch(const kube::ObjectKey& k, const kube::Object& p, kube::DryRun r,
                             Deadline d) override {
    return inner_.patch(k, p, r, d);
  }
  Status remove(const kube::ObjectKey& k, const kube::Removal& how, Deadline d) override {
    return inner_.remove(k, how, d);
  }

 private:
  kube::MemoryCluster& inner_;
  const std::set<std::string> groups_;
};

TEST(RulesWatch, FollowsTheGroupThatTheClusterServes) {  // epp:L006
  const std::string now = "llm-d.ai", legacy = "inference.networking.x-k8s.io";
  const std::pair<std::set<std::string>, std::string> rows[] = {
      {{legacy}, "old"}, {{now}, "new"}, {{now, legacy}, "new"}, {{}, ""}};
  for (const auto& [served, wanted] : rows) {
    SeededRandom random(1);
    kube::MemoryCluster memory(kClock, random);
    for (const auto& [group, name] : {std::pair(now, "new"), std::pair(legacy, "old")}) {
      ASSERT_TRUE(
          memory.create(object(group, "InferenceObjective", name), kube::DryRun::kNo, soon()));
    }
    Serves cluster(memory, served);
    Names objectives;
    const RulesWatch watch(
        cluster, kClock, "llm", [&](const auto& all) { objectives(all); },
        [](const std::vector<kube::Object>&) {});
    const auto names = objectives.become(wanted.empty() ? 0 : 1);
    EXPECT_EQ(names, wanted.empty() ? std::vector<std::string>() : std::vector{wanted});
  }
}

TEST(RulesWatch, TellsAllObjectsOfAKindWheneverOneChanges) {  // epp:L004
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Names objectives;
  Names rewrites;
  const RulesWatch watch(
      cluster, kClock, "llm", [&](const auto& all) { objectives(all); },
      [&](const auto& all) { rewrites(all); });
  EXPECT_THAT(objectives.become(0), IsEmpty());

  for (const auto* name : {"low", "high"}) {
    ASSERT_TRUE(
        cluster.create(object("llm-d.ai", "InferenceObjective", name), kube::DryRun::kNo, soon()));
  }
  ASSERT_TRUE(
      cluster.create(object("llm-d.ai", "InferenceModelRewrite", "r"), kube::DryRun::kNo, soon()));

  EXPECT_THAT(objectives.become(2), ElementsAre("high", "low"));
  EXPECT_THAT(rewrites.become(1), ElementsAre("r"));
  ASSERT_TRUE(
      cluster.remove({{"llm-d.ai", "v1alpha2", "InferenceObjective"}, "llm", "low"}, {}, soon()));
  EXPECT_THAT(objectives.become(1), ElementsAre("high"));
}

TEST(RulesWatch, WhereBothGroupsAreServedTheLegacyOneIsIgnored) {
  SeededRandom random(1);
  kube::MemoryCluster cluster(kClock, random);
  Names objectives;
  ASSERT_TRUE(
      cluster.create(object("inference.networking.x-k8s.io", "InferenceObjective", "legacy"),
                     kube::DryRun::kNo, soon()));
  const RulesWatch watch(
      cluster, kClock, "llm", [&](const auto& all) { objectives(all); },
      [](const std::vector<kube::Object>&) {});
  ASSERT_TRUE(cluster.create(object("llm-d.ai", "InferenceObjective", "current"), kube::DryRun::kNo,
                             soon()));
  EXPECT_THAT(objectives.become(1), ElementsAre("current"));
}

}  // namespace
}  // namespace baton::watch
