// Services that share the traffic of a group: who takes part as they come, change and go.

#include "control/reconcile/references.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class GroupLifecycleTest : public ReconcileTest {
 protected:
  void create_member(const char* name, const char* group, int weight) {
    auto object = parse(R"({apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService,
      metadata: {namespace: default},
      spec: {model: {uri: "baton://storyteller", name: m}, router: {gateway: {}, scheduler: {},
             route: {}}}})");
    object["metadata"]["name"] = name;
    object["spec"]["router"]["route"]["group"] = group;
    object["spec"]["router"]["route"]["weight"] = weight;
    create(object);
  }
  // Everything that the service waits for is there.
  void bring_up(const char* name) {
    settle(name);
    const auto accepted = parse(R"([{parentRef: {name: kserve-ingress-gateway, namespace: kserve},
      conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}])");
    for (const auto& type : {kDeployment, kRoute, kPool}) {
      for (auto object : cluster_.list({type, "default", {}}, soon())->items) {
        if (kube::controller_uid(object) != kube::uid_of(service(name))) continue;
        if (type == kDeployment) {
          object["status"]["readyReplicas"] = 1;
          object["status"]["availableReplicas"] = 1;
          kube::set_condition(object["status"]["conditions"], {"Available", "True", "", "", ""},
                              clock_.wall());
        } else {
          object["status"]["parents"] = accepted;
        }
        ASSERT_TRUE(cluster_.update_status(object, soon()));
      }
    }
    settle(name);
    ASSERT_TRUE(kube::condition_is(service(name), "RouterReady", "True"))
        << text::json::pretty(service(name));
  }
  void SetUp() override {
    create_gateway();
    create_member("a", "g", 90);
    create_member("b", "g", 10);
    bring_up("a");
    bring_up("b");
    settle("a");
  }
  // "pool:weight" of every backend of the service's route that has a weight and is a pool.
  std::set<std::string> shares(const char* name) {
    std::set<std::string> out;
    const auto route =
        *cluster_.get({kRoute, "default", std::string(name) + "-kserve-route"}, soon());
    for (const auto& rule : *route.find_path({"spec", "rules"})->if_array()) {
      for (const auto& backend : *rule.find("backendRefs")->if_array()) {
        if (backend.string_at({"kind"}) != "InferencePool") continue;
        out.insert(std::string(backend.string_at({"name"})) + ":" +
                   text::json::dump(*backend.find("weight")));
      }
    }
    return out;
  }
  bool exists(const char* name) {
    return cluster_.get({kService, "default", name}, soon()).has_value();
  }
  void set_group(const char* name, const char* group) {
    edit(
        [&](kube::Object& o) {
          auto& route = o["spec"]["router"]["route"];
          route = parse("{}");
          if (*group == '\0') return;
          route["group"] = group;
          route["weight"] = 10;
        },
        name);
  }

  const std::set<std::string> both_{"a-inference-pool:1", "a-inference-pool:90",
                                    "b-inference-pool:10"};
  const std::set<std::string> a_alone_{"a-inference-pool:1", "a-inference-pool:90"};
};

// llmisvc:J06
TEST_F(GroupLifecycleTest, DropsAMemberThatIsDeletedBeforeItGoes) {
  EXPECT_EQ(shares("a"), both_);
  ASSERT_TRUE(cluster_.remove({kService, "default", "b"}, {}, soon()));
  EXPECT_TRUE(pass("b"));
  ASSERT_TRUE(exists("b")) << "a still sends requests there";
  EXPECT_EQ(reason(service("b"), "GroupReady"), "FinalizationPending");
  settle("a");
  EXPECT_EQ(shares("a"), a_alone_);
  EXPECT_TRUE(pass("b"));
  EXPECT_FALSE(exists("b"));
}

// llmisvc:J06
TEST_F(GroupLifecycleTest, DropsAMemberThatLeavesOrJoinsAnotherGroup) {
  for (const auto* group : {"", "h"}) {
    SCOPED_TRACE(group);
    set_group("b", group);
    settle("b");
    settle("a");
    EXPECT_EQ(shares("a"), a_alone_);
    EXPECT_FALSE(shares("b").contains("a-inference-pool:90"));
    const auto route = *cluster_.get({kRoute, "default", "b-kserve-route"}, soon());
    EXPECT_EQ(kube::label(route, "serving.kserve.io/routing-group"), group);
    set_group("b", "g");
    bring_up("b");
    settle("a");
    EXPECT_EQ(shares("a"), both_);
  }
}

// llmisvc:J06
TEST_F(GroupLifecycleTest, LetsMembersGoThatAreDeletedAtOnce) {
  for (const auto* name : {"a", "b"}) {
    ASSERT_TRUE(cluster_.remove({kService, "default", name}, {}, soon()));
  }
  EXPECT_TRUE(pass("a"));
  EXPECT_TRUE(pass("b"));
  EXPECT_FALSE(exists("a"));
  EXPECT_FALSE(exists("b"));
}

TEST_F(GroupLifecycleTest, ConcernsThePeersOnlyWhenItsTrafficMayChange) {  // llmisvc:J09
  const auto with = [&](const std::function<void(kube::Object&)>& change) {
    const auto before = std::make_shared<const kube::Snapshot>(kube::Snapshot{service("b")});
    auto object = service("b");
    change(object);
    const auto now = std::make_shared<const kube::Snapshot>(kube::Snapshot{std::move(object)});
    return concerned(reconciler_.cache(), plan::Settings(), before, now);
  };
  const auto alone = UnorderedElementsAre("default/b");
  const auto all = UnorderedElementsAre("default/a", "default/b");
  catch_up();
  EXPECT_THAT(with([](kube::Object& o) { o["metadata"]["labels"]["x"] = "y"; }), alone);
  EXPECT_THAT(with([](kube::Object& o) { o["spec"]["replicas"] = 3; }), alone);
  EXPECT_THAT(with([](kube::Object& o) { o["spec"]["template"] = parse("{}"); }), alone);
  EXPECT_THAT(
      with([](kube::Object& o) { o["status"]["workloads"]["primary"]["readyReplicas"] = 2; }),
      alone);
  EXPECT_THAT(with([](kube::Object& o) { o["spec"]["router"]["route"]["weight"] = 50; }), all);
  EXPECT_THAT(with([](kube::Object& o) { o["spec"]["router"].if_object()->erase("scheduler"); }),
              all);
  EXPECT_THAT(with([](kube::Object& o) {
                o["metadata"]["annotations"]["serving.kserve.io/stop"] = "true";
              }),
              all);
  EXPECT_THAT(with([](kube::Object& o) {  // it can no longer answer
                o["status"]["workloads"]["primary"]["readyReplicas"] = 0;
              }),
              all);
  EXPECT_THAT(with([](kube::Object& o) {
                kube::set_condition(o["status"]["conditions"], {"RouterReady", "False", "", "", ""},
                                    Wall());
              }),
              all);
  EXPECT_THAT(with([](kube::Object& o) {
                o["status"]["addresses"] = parse("[{models: [{name: other}]}]");
              }),
              all);
}

}  // namespace
}  // namespace baton::reconcile
