#include "control/reconcile/testing.hpp"

#include "control/reconcile/apply.hpp"

namespace baton::reconcile {
namespace {

using ::testing::HasSubstr;

TEST_F(ReconcileTest, MakesTheChildrenOfAPrefillDecodeServiceAndWaitsForThem) {
  create_quickstart();
  settle();

  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 2);
  EXPECT_EQ(deployment("storyteller-kserve-prefill").find_path({"spec", "replicas"})->if_int(), 1);
  EXPECT_EQ(kube::controller_uid(deployment("storyteller-kserve")), kube::uid_of(service()));
  EXPECT_TRUE(kube::condition_is(service(), "PresetsCombined", "True"));
  EXPECT_TRUE(kube::condition_is(service(), "MainWorkloadReady", "False"));
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
  EXPECT_EQ(reason(service(), "SchedulerWorkloadReady"), "Progressing");
  EXPECT_EQ(reason(service(), "InferencePoolReady"), "WaitingForGateway");
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "False"));
  EXPECT_EQ(service().find_path({"status", "observedGeneration"})->if_int(),
            kube::generation_of(service()));
  EXPECT_EQ(service().string_at({"status", "workloads", "prefill", "name"}),
            "storyteller-kserve-prefill");
}

TEST_F(ReconcileTest, CopiesTheReasonOfTheFirstPartThatFails) {
  create_quickstart();
  settle();
  mark_available("storyteller-kserve-prefill", "False");
  mark_available("storyteller-kserve", "True");
  settle();
  EXPECT_EQ(reason(service(), "WorkloadsReady"), "MinimumReplicasUnavailable");
  EXPECT_EQ(kube::find_condition(service(), "WorkloadsReady")->string_at({"message"}),
            "pod x: stuck");
}

TEST_F(ReconcileTest, WritesNothingWhenNothingChanged) {
  create_quickstart();
  settle();
  const auto list = cluster_.list({kDeployment, "", {}}, soon());
  settle();
  EXPECT_EQ(cluster_.list({kDeployment, "", {}}, soon())->version, list->version);
}

TEST_F(ReconcileTest, FollowsAScaleAndRemovesWhatIsNoLongerPlanned) {
  create_quickstart();
  settle();
  auto changed = service();
  changed["spec"]["replicas"] = 4;
  changed["spec"].if_object()->erase("prefill");
  ASSERT_TRUE(cluster_.update(changed, kube::DryRun::kNo, soon()));
  settle();

  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 4);
  EXPECT_FALSE(cluster_.get({kDeployment, "default", "storyteller-kserve-prefill"}, soon()));
  EXPECT_EQ(reason(service(), "PrefillWorkloadReady"), "absent");
}

TEST_F(ReconcileTest, NeverTouchesWhatItDoesNotControl) {
  create(parse(R"({apiVersion: apps/v1, kind: Deployment,
    metadata: {name: storyteller-kserve, namespace: default}, spec: {replicas: 9}})"));
  create_quickstart();
  EXPECT_TRUE(pass());  // the finalizer
  EXPECT_EQ(pass().error().code(), Code::kConflict);
  EXPECT_EQ(reason(service(), "Ready"), "ReconcileSingleNodeWorkloadError");

  EXPECT_THAT(std::string(kube::find_condition(service(), "Ready")->string_at({"message"})),
              HasSubstr("not controlled by"));
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 9);
}

TEST_F(ReconcileTest, ReportsAServiceThatCannotBePlanned) {
  create(parse(R"({apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService,
    metadata: {name: storyteller, namespace: default},
    spec: {model: {uri: "baton://storyteller", name: s}, baseRefs: [{name: absent}]}})"));
  settle();
  EXPECT_EQ(reason(service(), "PresetsCombined"), "ConfigNotFound");
  EXPECT_EQ(reason(service(), "Ready"), "ConfigNotFound");
  EXPECT_THAT(std::string(kube::find_condition(service(), "Ready")->string_at({"message"})),
              HasSubstr("absent"));
}

TEST_F(ReconcileTest, LeavesNothingBehindWhenTheServiceGoes) {
  create_quickstart();
  settle();
  EXPECT_FALSE(cluster_.list({kClusterRoleBinding, "", {}}, soon())->items.empty());
  ASSERT_TRUE(cluster_.remove({kService, "default", "storyteller"}, kube::Grace::kDefault, soon()));
  EXPECT_TRUE(pass());
  EXPECT_FALSE(cluster_.get({kService, "default", "storyteller"}, soon()));
  for (const auto& type : {kDeployment, kRoute, kClusterRoleBinding}) {
    EXPECT_TRUE(cluster_.list({type, "", {}}, soon())->items.empty()) << type.kind;
  }
}

TEST_F(ReconcileTest, IsReadyOnceEverythingItNeedsIs) {
  create_quickstart();
  settle();
  for (const auto* name : {"storyteller-kserve", "storyteller-kserve-prefill",
                           "storyteller-kserve-router-scheduler"}) {
    mark_available(name, "True");
  }
  const auto fresh = parse(R"([{conditions: [{type: Accepted, status: "True"},
    {type: ResolvedRefs, status: "True"}], parentRef: {name: kserve-ingress-gateway, namespace: kserve}}])");
  auto route = cluster_.list({kRoute, "", {}}, soon())->items.front();
  route["status"]["parents"] = fresh;
  ASSERT_TRUE(cluster_.update_status(route, soon()));
  auto one = cluster_.list({kPool, "", {}}, soon())->items.front();
  one["status"]["parents"] = fresh;
  ASSERT_TRUE(cluster_.update_status(one, soon()));
  auto served = *cluster_.get({kGateway, "kserve", "kserve-ingress-gateway"}, soon());
  served["status"]["addresses"] = parse(R"([{value: 127.0.0.1}])");
  ASSERT_TRUE(cluster_.update_status(served, soon()));
  settle();

  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True")) << text::json::pretty(service());
  EXPECT_EQ(service().string_at({"status", "url"}), "http://127.0.0.1:8080/default/storyteller");
}

TEST_F(ReconcileTest, AsksTheServerOnceAboutAServiceAndNeverAboutItsNewChildren) {
  create_quickstart();
  settle();
  EXPECT_EQ(troubled_.count["dry-run"], 1);
  auto labelled = service();
  labelled["metadata"]["labels"]["touched"] = "yes";
  ASSERT_TRUE(cluster_.update(labelled, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(troubled_.count["dry-run"], 1);
  auto scaled = deployment("storyteller-kserve");
  scaled["spec"]["replicas"] = 7;  // the service says 2
  ASSERT_TRUE(cluster_.update(scaled, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 2);
}

// Whoever serves /metrics outlives it.
TEST_F(ReconcileTest, ItsFiguresEndWithIt) {
  using ::testing::HasSubstr;
  using ::testing::Not;
  observe::Registry registry;
  {
    const Reconciler one({troubled_, clock_, registry}, {Installation(), 0});
    EXPECT_THAT(registry.expose(), HasSubstr("\nbaton_controller_queue_depth "));
    EXPECT_THAT(registry.expose(), HasSubstr("\nbaton_controller_cache_objects "));
  }
  EXPECT_THAT(registry.expose(), Not(HasSubstr("\nbaton_controller_queue_depth ")));
  EXPECT_THAT(registry.expose(), Not(HasSubstr("\nbaton_controller_cache_objects ")));
}

TEST_F(ReconcileTest, LeavesSecretsOfAServiceAccountThatOthersPutThere) {
  create(parse(R"({apiVersion: v1, kind: ServiceAccount,
    metadata: {name: default, namespace: default}, imagePullSecrets: [{name: pull}]})"));
  create_quickstart();
  settle();
  const kube::ObjectKey key{kServiceAccount, "default", "storyteller-kserve"};
  auto account = *cluster_.get(key, soon());
  account["imagePullSecrets"] = parse("[{name: theirs}, {name: pull}]");
  account["secrets"] = parse("[{name: theirs}]");
  account = *cluster_.update(account, kube::DryRun::kNo, soon());
  settle();
  EXPECT_EQ(*cluster_.get(key, soon()), account) << "nothing is written back and forth";

  change_part({kServiceAccount, "default", "default"}, kube::Part::kObject,
              [](kube::Object& o) { o["imagePullSecrets"] = parse("[{name: more}]"); });
  settle();
  EXPECT_EQ(text::json::dump(*cluster_.get(key, soon())->find("imagePullSecrets")),
            R"([{"name":"theirs"},{"name":"pull"},{"name":"more"}])");
}

TEST_F(ReconcileTest, LeavesReplicasToAnAutoscalerThatIsFasterThanTheCache) {
  create_quickstart();
  edit([](kube::Object& o) { o["spec"].if_object()->erase("replicas"); });
  const auto scale = [&](int to) {
    change_part({kDeployment, "default", "storyteller-kserve"}, kube::Part::kObject,
                [&](kube::Object& o) { o["spec"]["replicas"] = to; });
  };
  settle();
  scale(2);
  settle();
  edit([](kube::Object& o) { o["spec"]["labels"]["touched"] = "yes"; });
  catch_up();
  bool scaled = false;
  troubled_.trouble = [&](std::string_view verb, const kube::Object& object) -> Status {
    if (scaled || verb != "dry-run" || kube::name_of(object) != "storyteller-kserve") return {};
    scaled = true;
    scale(5);
    return {};
  };
  ASSERT_TRUE(reconciler_.reconcile("default/storyteller"));
  ASSERT_TRUE(scaled);
  const auto now = deployment("storyteller-kserve");
  EXPECT_EQ(now.find_path({"spec", "replicas"})->if_int(), 5);
  EXPECT_EQ(now.string_at({"spec", "template", "metadata", "labels", "touched"}), "yes");
}

TEST(Apply, KeepsReplicasLeftOpenAndLabelsOfOthers) {
  const auto live = parse(
      R"({kind: Deployment, metadata: {uid: u, labels: {theirs: "1"}}, spec: {replicas: 5}})");
  const auto wanted = parse(R"({metadata: {labels: {ours: "1"}}, spec: {paused: false}})");
  const auto next = updated(live, wanted);
  EXPECT_EQ(next.find_path({"spec", "replicas"})->if_int(), 5);
  EXPECT_EQ(kube::label(next, "theirs"), "1");
  EXPECT_EQ(kube::label(next, "ours"), "1");
  EXPECT_EQ(kube::uid_of(next), "u");
}

}  // namespace
}  // namespace baton::reconcile
