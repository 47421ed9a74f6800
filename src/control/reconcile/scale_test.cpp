// What does not grow with the number of services: the work of a pass and of a change, and what a
// service costs the server.

#include <algorithm>
#include <array>
#include <random>
#include <thread>

#include "control/reconcile/references.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ScaleTest : public ReconcileTest {
 protected:
  kube::Object plain(const std::string& name, const std::string& spec = "") {
    return parse(
        "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {name: " +
        name + ", namespace: default}, spec: {model: {uri: 'hf://a/b', name: " + name + "}" + spec +
        "}}");
  }
  kube::Object config(const std::string& name, const std::string& ns = "default") {
    return parse(
        "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceServiceConfig, metadata: "
        "{name: " +
        name + ", namespace: " + ns + "}, spec: {replicas: 3}}");
  }
  kube::Object stored_config(const std::string& name, const std::string& ns = "default") {
    const auto got = cluster_.get({kServiceConfig, ns, name}, soon());
    return got ? *got : kube::Object();
  }
  // Snapshots that `work` takes from the cache.
  std::uint64_t reads(const std::function<void()>& work) {
    const auto before = reconciler_.cache().given();
    work();
    return reconciler_.cache().given() - before;
  }
  // What workers would do, until it holds.
  void work_until(const std::function<bool()>& holds) {
    const auto deadline = soon();
    while (!holds()) {
      ASSERT_FALSE(deadline.passed(clock_.now()));
      if (!reconciler_.work_once()) std::this_thread::yield();
    }
  }
};

TEST_F(ScaleTest, AConfigurationsUsersAreFoundAmongManyWithoutALookAtTheOthers) {
  for (int i = 0; i < 300; ++i) create(plain("s" + std::to_string(i)));
  create(plain("u1", ", baseRefs: [{name: base}]"));
  create(plain("u2", ", baseRefs: [{name: base}, {name: base}]"));
  create(config("base"));
  catch_up();

  EXPECT_TRUE(reconciler_.reconcile("config:default/base"));  // the finalizer
  catch_up();
  // Its followers may look at the two, too, as they hear of the configuration.
  EXPECT_LE(reads([&] { EXPECT_TRUE(reconciler_.reconcile("config:default/base")); }), 10U);
  EXPECT_EQ(text::json::dump(*stored_config("base").find_path({"status", "referencedBy"})),
            R"([{"name":"u1","namespace":"default"},{"name":"u2","namespace":"default"}])");
  // So is what a change of it concerns.
  const auto& cache = reconciler_.cache();
  const auto now = cache.get({kServiceConfig, "default", "base"});
  EXPECT_LE(reads([&] {
              EXPECT_THAT(concerned(cache, plan::Settings(), nullptr, now),
                          UnorderedElementsAre("default/u1", "default/u2"));
            }),
            10U);
}

TEST_F(ScaleTest, WhatAConfigurationsStatusTellsIsNobodysConcern) {
  create(plain("u", ", baseRefs: [{name: base}]"));
  create(config("base"));
  catch_up();
  const auto& cache = reconciler_.cache();
  const auto known = cache.get({kServiceConfig, "default", "base"});
  auto object = stored_config("base");
  object["status"]["referencedBy"].push_back("u");
  ASSERT_TRUE(cluster_.update_status(object, soon()));
  catch_up();
  const auto told = cache.get({kServiceConfig, "default", "base"});
  ASSERT_NE(told->version(), known->version());
  EXPECT_THAT(concerned(cache, plan::Settings(), known, told), IsEmpty());

  object = stored_config("base");
  object["spec"]["replicas"] = 4;
  ASSERT_TRUE(cluster_.update(object, kube::DryRun::kNo, soon()));
  catch_up();
  EXPECT_THAT(
      concerned(cache, plan::Settings(), told, cache.get({kServiceConfig, "default", "base"})),
      UnorderedElementsAre("default/u"));
}

TEST_F(ScaleTest, AServiceConcernsConfigurationsThatItTakesUpOrLeavesOnly) {
  for (const auto* name : {"one", "two", "kserve-config-llm-template"}) create(config(name));
  create(config("two", "kserve"));
  catch_up();
  const auto snapshot = [&](const std::string& spec, const std::string& status = "{}") {
    auto object = plain("s", spec);
    object["status"] = parse(status);
    return std::make_shared<const kube::Snapshot>(kube::Snapshot{std::move(object)});
  };
  const auto between = [&](const kube::SnapshotPtr& before, const kube::SnapshotPtr& now) {
    return configs_concerned(reconciler_.cache(), plan::Settings(), before, now);
  };
  const auto one = snapshot(", baseRefs: [{name: one}]");
  EXPECT_THAT(between(one, snapshot(", replicas: 2, baseRefs: [{name: one}]", "{url: x}")),
              IsEmpty());
  EXPECT_THAT(between(one, snapshot(", baseRefs: [{name: two}]")),
              UnorderedElementsAre("default/one", "default/two", "kserve/two"));
  // A preset that it has not pinned counts as used.
  EXPECT_THAT(between(nullptr, one),
              UnorderedElementsAre("default/one", "default/kserve-config-llm-template"));
  EXPECT_THAT(
      between(one, snapshot(", baseRefs: [{name: one}]",
                            "{annotations: {serving.kserve.io/config-llm-template: v1-other}}")),
      UnorderedElementsAre("default/kserve-config-llm-template"));
}

TEST_F(ScaleTest, APresetsConfigurationGoesWithTheLastServiceThatHasNotPinnedIt) {
  const std::string name = "kserve-config-llm-router-route";  // is never pinned
  create(config(name, "kserve"));
  create(plain("s"));
  const auto condition = [&] { return reason(stored_config(name, "kserve"), "ConfigInUse"); };
  work_until([&] { return condition() == "InUse"; });
  ASSERT_TRUE(cluster_.remove({kServiceConfig, "kserve", name}, {}, soon()));
  work_until([&] { return condition() == "DeletionBlocked"; });
  ASSERT_TRUE(cluster_.remove({kService, "default", "s"}, {}, soon()));
  work_until([&] { return stored_config(name, "kserve").is_null(); });
}

TEST_F(ScaleTest, APassDoesNotLookAtOtherServicesOfItsNamespace) {
  create_quickstart();
  settle();
  const auto cost = [&](const char* mark) {
    edit([&](kube::Object& o) { o["metadata"]["labels"]["touched"] = mark; });
    catch_up();
    return reads([&] { EXPECT_TRUE(reconciler_.reconcile("default/storyteller")); });
  };
  const auto alone = cost("once");
  constexpr int kOthers = 20;
  for (int i = 0; i < kOthers; ++i) {
    auto other = service();
    const auto name = "other" + std::to_string(i);
    other["metadata"] = text::json::Object{{"name", name}, {"namespace", "default"}};
    other["spec"]["model"]["name"] = name;
    other.if_object()->erase("status");
    create(other);
    settle(name.c_str());
  }
  catch_up();
  EXPECT_LT(cost("twice"), alone + kOthers);
}

// Many services at once, and their Deployments' controller, which takes its time.
class Burst {
 public:
  explicit Burst(int services) {
    for (int i = 0; i < services; ++i) {
      const auto ns = "n" + std::to_string(i % 10);
      const auto name = "s" + std::to_string(i);
      auto service = parse(
          "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, spec: {model: {uri: "
          "'hf://a/b'}, prefill: {replicas: 1}}}");
      service["metadata"] = text::json::Object{{"name", name}, {"namespace", ns}};
      service["spec"]["model"]["name"] = name;
      EXPECT_TRUE(cluster_.create(service, kube::DryRun::kNo, {}));
      for (const auto* part : {"-kserve", "-kserve-prefill"})
        deployments_.push_back({ns, name + part});
    }
  }

  int status_writes() { return troubled_.count["status"]; }
  // As workers do, until so many statuses were written and nothing is due.
  void settle(int status_writes) {
    const auto deadline = Deadline::in(system_, std::chrono::seconds(100));
    for (;;) {
      if (reconciler_.work_once()) continue;
      if (this->status_writes() >= status_writes) return;
      ASSERT_FALSE(deadline.passed(system_.now())) << this->status_writes();
      std::this_thread::yield();
    }
  }
  void advance(Nanos by) { clock_.advance(by); }
  // One Deployment after the other reports that it has no pod, in no order.
  void report(Nanos gap) {
    std::ranges::shuffle(deployments_, std::mt19937(7));
    for (const auto& [ns, name] : deployments_) {
      clock_.advance(gap);
      auto object = *cluster_.get({kDeployment, ns, name}, {});
      kube::set_condition(object["status"]["conditions"],
                          {"Available", "False", "MinimumReplicasUnavailable", "", ""},
                          clock_.wall());
      const auto written = cluster_.update_status(object, {});
      ASSERT_TRUE(written);
      ASSERT_TRUE(reconciler_.cache().has_seen(kube::written(*written),
                                               Deadline::in(system_, std::chrono::seconds(20))));
      while (reconciler_.work_once()) {
      }
    }
  }
  // Services whose status tells what both of their Deployments reported.
  int told() {
    const auto all = cluster_.list({kService, "", {}}, {});
    return static_cast<int>(std::ranges::count_if(all->items, [](const kube::Object& service) {
      return std::ranges::all_of(
          std::array{"MainWorkloadReady", "PrefillWorkloadReady"}, [&](const char* type) {
            const auto* found = kube::find_condition(service, type);
            return found != nullptr && found->string_at({"reason"}) == "MinimumReplicasUnavailable";
          });
    }));
  }

 private:
  SystemClock system_;
  ClockAhead clock_;
  SeededRandom random_{5};
  kube::MemoryCluster cluster_{clock_, random_};
  TroubledCluster troubled_{cluster_};
  observe::Registry registry_;
  Reconciler reconciler_{{troubled_, clock_, registry_}, {Installation(), 0, kDetailPause}};
  std::vector<std::pair<std::string, std::string>> deployments_;
};

// 2,000 Deployments that report seven a second take five minutes.
TEST(BurstTest, AThousandServicesAreTwoStatusWritesEachHoweverLateTheirDeploymentsReport) {
  constexpr int kServices = 1000;
  Burst burst(kServices);
  burst.settle(kServices);
  EXPECT_EQ(burst.status_writes(), kServices);
  burst.report(Nanos(std::chrono::seconds(1)) / 7);
  burst.settle(2 * kServices);
  burst.advance(std::chrono::hours(1));
  burst.settle(2 * kServices);
  EXPECT_EQ(burst.status_writes(), 2 * kServices);
  EXPECT_EQ(burst.told(), kServices);
}

}  // namespace
}  // namespace baton::reconcile
