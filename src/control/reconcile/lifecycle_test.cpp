// What happens to a service over its life: edits, stops, configurations, deletion.

#include "control/reconcile/apply.hpp"
#include "control/reconcile/config_pass.hpp"
#include "control/reconcile/metered_cluster.hpp"
#include "control/reconcile/references.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class LifecycleTest : public ReconcileTest {
 protected:
  void annotate(const char* key, const char* value) {
    edit([&](kube::Object& o) { o["metadata"]["annotations"][key] = value; });
  }
  void create_config(const std::string& name, const std::string& spec) {
    auto config = parse(
        "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceServiceConfig, "
        "metadata: {namespace: default}}");
    config["metadata"]["name"] = name;
    config["spec"] = parse(spec);
    create(config);
  }
  Status config_pass(const std::string& name) {
    catch_up();
    return reconciler_.reconcile("config:default/" + name);
  }
  kube::Object config(const std::string& name) {
    return *cluster_.get({kServiceConfig, "default", name}, soon());
  }
  bool exists(const kube::Type& type, const std::string& name) {
    return cluster_.get({type, type == kClusterRoleBinding ? "" : "default", name}, soon())
        .has_value();
  }
};

TEST_F(LifecycleTest, LeavesReplicasAloneUnlessTheServiceSaysThem) {  // llmisvc:A02
  create_quickstart();
  edit([](kube::Object& o) { o["spec"].if_object()->erase("replicas"); });
  settle();
  auto scaled = deployment("storyteller-kserve");
  scaled["spec"]["replicas"] = 3;
  ASSERT_TRUE(cluster_.update(scaled, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 3);

  edit([](kube::Object& o) { o["spec"]["replicas"] = 2; });  // llmisvc:A03
  settle();
  scaled = deployment("storyteller-kserve");
  scaled["spec"]["replicas"] = 5;
  ASSERT_TRUE(cluster_.update(scaled, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 2);
}

TEST_F(LifecycleTest, RemovesPrefillWithItsConditions) {
  create_quickstart();
  settle();
  EXPECT_EQ(reason(service(), "PrefillWorkloadReady"), "Progressing");
  edit([](kube::Object& o) { o["spec"].if_object()->erase("prefill"); });
  settle();
  EXPECT_FALSE(exists(kDeployment, "storyteller-kserve-prefill"));
  EXPECT_EQ(reason(service(), "PrefillWorkloadReady"), "absent");
  EXPECT_EQ(service().find_path({"status", "workloads", "prefill"}), nullptr);
}

TEST_F(LifecycleTest, MakesTheRouterPartsAsLongAsTheyAreAskedFor) {
  create_quickstart();
  settle();
  EXPECT_TRUE(exists(kRoute, "storyteller-kserve-route"));
  EXPECT_EQ(reason(service(), "SchedulerWorkloadReady"), "Progressing");
  edit([](kube::Object& o) { o["spec"]["router"].if_object()->erase("scheduler"); });
  settle();
  EXPECT_EQ(reason(service(), "SchedulerWorkloadReady"), "absent");  // llmisvc:D19
  EXPECT_EQ(reason(service(), "InferencePoolReady"), "absent");
  EXPECT_FALSE(exists(kDeployment, "storyteller-kserve-router-scheduler"));
  EXPECT_TRUE(cluster_.list({kClusterRoleBinding, "", {}}, soon())->items.empty());
  EXPECT_TRUE(cluster_.list({kPool, "", {}}, soon())->items.empty());
  EXPECT_TRUE(cluster_.list({kOldPool, "", {}}, soon())->items.empty());

  edit([](kube::Object& o) { o["spec"].if_object()->erase("router"); });
  settle();
  EXPECT_FALSE(exists(kRoute, "storyteller-kserve-route"));
  EXPECT_EQ(reason(service(), "HTTPRoutesReady"), "absent");
  EXPECT_EQ(service().find_path({"status", "router"}), nullptr);
  EXPECT_EQ(service().string_at({"status", "url"}),
            "http://storyteller-kserve-workload-svc.default.svc.cluster.local:8000");
}

TEST_F(LifecycleTest, ReplacesThePresetsRulesByTheServicesOwn) {  // llmisvc:D04
  create_quickstart();
  settle();
  const auto rules = [&] {
    const auto route = *cluster_.get({kRoute, "default", "storyteller-kserve-route"}, soon());
    return *route.find_path({"spec", "rules"});
  };
  ASSERT_GT(rules().if_array()->size(), 2U);
  for (const auto* own : {"[{name: a, backendRefs: [{name: x}]}, {name: b}]", "[{name: b}]"}) {
    edit([&](kube::Object& o) {
      o["spec"]["router"]["route"]["http"]["spec"]["rules"] = parse(own);
    });
    settle();
    EXPECT_EQ(rules(), parse(own));
  }
}

TEST_F(LifecycleTest, HandsTheRouteOverToThoseReferredTo) {  // llmisvc:D05
  create_quickstart();
  settle();
  ASSERT_TRUE(exists(kRoute, "storyteller-kserve-route"));
  create(parse(R"({apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute,
    metadata: {name: own, namespace: default},
    spec: {parentRefs: [{name: kserve-ingress-gateway, namespace: kserve}]}})"));
  edit([](kube::Object& o) {
    o["spec"]["router"] = parse("{scheduler: {}, route: {http: {refs: [{name: own}]}}}");
  });
  settle();
  EXPECT_FALSE(exists(kRoute, "storyteller-kserve-route"));
  EXPECT_TRUE(exists(kRoute, "own"));
  EXPECT_EQ(reason(service(), "HTTPRoutesReady"), "HTTPRoutesNotReady");
  EXPECT_NE(service().find_path({"status", "router"}), nullptr);
  edit([](kube::Object& o) { o["spec"].if_object()->erase("router"); });
  settle();
  EXPECT_EQ(service().find_path({"status", "router"}), nullptr);
}

TEST_F(LifecycleTest, WaitsForAGatewayThatIsNotThereYet) {  // llmisvc:D08
  create_quickstart();
  for (const auto* ref : {"[{name: late, namespace: kserve}]", "[{name: late}]"}) {
    edit([&](kube::Object& o) { o["spec"]["router"]["gateway"]["refs"] = parse(ref); });
    Status last;
    for (int i = 0; i < 4; ++i) last = pass();
    EXPECT_FALSE(last);
    EXPECT_EQ(reason(service(), "GatewaysReady"), "RefsInvalid");
    EXPECT_EQ(reason(service(), "RouterReady"), "RefsInvalid");
    const auto ns =
        std::string_view(ref).find("kserve") == std::string_view::npos ? "default" : "kserve";
    create(parse(std::string("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: "
                             "{name: late, namespace: ") +
                 ns + "}, spec: {listeners: [{name: h, protocol: HTTP, port: 80}]}}"));
    settle();
    EXPECT_EQ(reason(service(), "GatewaysReady"), "GatewaysNotReady");
  }
  edit([](kube::Object& o) {
    o["spec"]["router"] = parse("{scheduler: {}, route: {http: {refs: [{name: late}]}}}");
  });
  (void)pass();
  EXPECT_EQ(reason(service(), "HTTPRoutesReady"), "RefsInvalid");
  create(parse(R"({apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute,
    metadata: {name: late, namespace: default},
    spec: {parentRefs: [{name: kserve-ingress-gateway, namespace: kserve}]}})"));
  settle();
  EXPECT_EQ(reason(service(), "HTTPRoutesReady"), "HTTPRoutesNotReady");
}

TEST_F(LifecycleTest, StopsAndComesBack) {  // llmisvc:J01
  create_quickstart();
  settle();
  const auto before = left();
  annotate("serving.kserve.io/stop", "TRUE");
  settle();
  EXPECT_THAT(left(), IsEmpty());
  for (const auto* type : {"MainWorkloadReady", "WorkerWorkloadReady", "PrefillWorkloadReady",
                           "PrefillWorkerWorkloadReady", "SchedulerWorkloadReady", "TokenizerReady",
                           "InferencePoolReady", "GatewaysReady", "HTTPRoutesReady",
                           "WorkloadsReady", "RouterReady", "Ready"}) {
    EXPECT_EQ(reason(service(), type), "Stopped") << type;
  }
  for (const auto* member : {"router", "addresses", "url", "workloads"}) {
    EXPECT_EQ(service().find_path({"status", member}), nullptr) << member;
  }
  annotate("serving.kserve.io/stop", "false");
  settle();
  EXPECT_EQ(left(), before);
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
}

TEST_F(LifecycleTest, StopsAlsoWithoutItsConfigurationOrGateway) {  // llmisvc:J03
  create_quickstart();
  create_config("base", "{replicas: 3}");
  edit([](kube::Object& o) { o["spec"]["baseRefs"] = parse("[{name: base}]"); });
  settle();
  const auto applied = *service().find_path({"status", "appliedConfigs"});
  ASSERT_TRUE(cluster_.remove({kServiceConfig, "default", "base"}, {}, soon()));
  ASSERT_TRUE(cluster_.remove({kGateway, "kserve", "kserve-ingress-gateway"}, {}, soon()));
  annotate("serving.kserve.io/stop", "true");
  settle();
  EXPECT_THAT(left(), IsEmpty());
  EXPECT_EQ(reason(service(), "PresetsCombined"), "Stopped");
  EXPECT_THAT(
      std::string(kube::find_condition(service(), "PresetsCombined")->string_at({"message"})),
      HasSubstr("Service is stopped with warning: "));
  EXPECT_EQ(*service().find_path({"status", "appliedConfigs"}), applied);  // llmisvc:B05
  annotate("serving.kserve.io/stop", "false");
  (void)pass();
  EXPECT_EQ(reason(service(), "PresetsCombined"), "ConfigNotFound");
  EXPECT_EQ(service().find_path({"status", "appliedConfigs"}), nullptr);
  create_gateway();
  create_config("base", "{replicas: 3}");
  settle();
  EXPECT_TRUE(exists(kDeployment, "storyteller-kserve"));
}

TEST_F(LifecycleTest, TellsThatTheInstallationIsWrongAndStopsAllTheSame) {
  create_quickstart();
  settle();
  create(parse(R"({apiVersion: v1, kind: ConfigMap, data: {ingress: '{'},
    metadata: {name: inferenceservice-config, namespace: kserve}})"));
  EXPECT_EQ(pass().error().code(), Code::kInvalid);
  EXPECT_THAT(events("Error"), ElementsAre(HasSubstr("failed: inferenceservice-config: ingress")));
  annotate("serving.kserve.io/stop", "true");
  settle();
  EXPECT_THAT(left(), IsEmpty());
  EXPECT_EQ(reason(service(), "Ready"), "Stopped");
}

TEST_F(LifecycleTest, TellsThatItMayNotHoldTheService) {
  create_quickstart();
  troubled_.trouble = [](std::string_view verb, const kube::Object&) {
    return verb == "patch" ? Status(denied("patch is forbidden")) : Status();
  };
  EXPECT_FALSE(pass());
  EXPECT_THAT(events("Error"), ElementsAre(HasSubstr("patch is forbidden")));
}

TEST_F(LifecycleTest, WaitsQuietlyForAConfigurationAndGoesOnWhenItComes) {  // llmisvc:B01
  create_gateway();
  create(parse(R"({apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService,
    metadata: {name: storyteller, namespace: default},
    spec: {model: {uri: "baton://storyteller", name: s}, baseRefs: [{name: late}]}})"));
  settle();  // passes end well: nothing is repeated
  EXPECT_EQ(reason(service(), "PresetsCombined"), "ConfigNotFound");
  EXPECT_THAT(left(), IsEmpty());

  create_config("late", "{replicas: 2}");  // llmisvc:B02
  catch_up();
  const auto made = reconciler_.cache().get({kServiceConfig, "default", "late"});
  EXPECT_THAT(concerned(reconciler_.cache(), plan::Settings(), nullptr, made),
              UnorderedElementsAre("default/storyteller"));
  settle();
  EXPECT_TRUE(kube::condition_is(service(), "PresetsCombined", "True"));
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 2);
}

TEST_F(LifecycleTest, AsksTheApiServerAboutTheMergedServiceOnce) {
  create_quickstart();
  settle();
  EXPECT_EQ(troubled_.count["dry-run"], 1);
  troubled_.trouble = [](std::string_view verb, const kube::Object& object) -> Status {
    if (verb != "dry-run" || object.string_at({"kind"}) != kService.kind) return {};
    return invalid("spec.replicas: Invalid value: -1");
  };
  edit([](kube::Object& o) { o["spec"]["replicas"] = 7; });
  settle();  // terminal: nothing is repeated
  EXPECT_EQ(reason(service(), "PresetsCombined"), "InvalidRenderedConfig");
  const auto message =
      std::string(kube::find_condition(service(), "PresetsCombined")->string_at({"message"}));
  EXPECT_THAT(message, HasSubstr("dry-run validation failed after merging configs [Preset:"));
  EXPECT_THAT(message, HasSubstr("spec.replicas: Invalid value: -1"));
  EXPECT_EQ(reason(service(), "Ready"), "InvalidRenderedConfig");
  EXPECT_NE(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 7);
}

TEST_F(LifecycleTest, TriesAgainWhenTheApiServerCannotSay) {  // llmisvc:B04
  create_quickstart();
  EXPECT_TRUE(pass());
  troubled_.trouble = [](std::string_view verb, const kube::Object&) -> Status {
    return verb == "dry-run" ? Status(timed_out("webhook does not answer")) : Status();
  };
  EXPECT_EQ(pass().error().code(), Code::kTimeout);
  EXPECT_TRUE(kube::condition_is(service(), "PresetsCombined", "Unknown"));
  EXPECT_EQ(reason(service(), "PresetsCombined"), "ValidationUnavailable");
  troubled_.trouble = nullptr;
  settle();
  EXPECT_TRUE(kube::condition_is(service(), "PresetsCombined", "True"));
}

TEST_F(LifecycleTest, HoldsAConfigurationWhileItIsUsed) {  // llmisvc:B34
  create_quickstart();
  create_config("base", "{replicas: 3}");
  create_config("lonely", "{replicas: 3}");
  edit([](kube::Object& o) { o["spec"]["baseRefs"] = parse("[{name: base}]"); });
  EXPECT_TRUE(config_pass("base"));
  EXPECT_TRUE(config_pass("base"));
  EXPECT_TRUE(config_pass("lonely"));
  EXPECT_TRUE(config_pass("lonely"));
  // llmisvc:B35
  EXPECT_EQ(text::json::dump(*config("base").find_path({"metadata", "finalizers"})),
            R"(["serving.kserve.io/llmisvcconfig-finalizer"])");
  EXPECT_TRUE(kube::condition_is(config("base"), "Ready", "True"));
  EXPECT_EQ(reason(config("base"), "ConfigInUse"), "InUse");
  EXPECT_EQ(text::json::dump(*config("base").find_path({"status", "referencedBy"})),
            R"([{"name":"storyteller","namespace":"default"}])");
  EXPECT_EQ(reason(config("lonely"), "ConfigInUse"), "NotInUse");
  EXPECT_EQ(config("lonely").find_path({"status", "referencedBy"}), nullptr);

  for (const auto* name : {"base", "lonely"}) {
    ASSERT_TRUE(cluster_.remove({kServiceConfig, "default", name}, {}, soon()));
    EXPECT_TRUE(config_pass(name));
  }
  EXPECT_FALSE(exists(kServiceConfig, "lonely"));
  EXPECT_EQ(reason(config("base"), "ConfigInUse"), "DeletionBlocked");
  EXPECT_THAT(events("DeletionBlocked"), UnorderedElementsAre(HasSubstr("default/storyteller")));
  edit([](kube::Object& o) { o["spec"].if_object()->erase("baseRefs"); });
  EXPECT_TRUE(config_pass("base"));
  EXPECT_FALSE(exists(kServiceConfig, "base"));
}

TEST_F(LifecycleTest, WorkersLookAtServicesAndConfigurationsThatChange) {
  create_quickstart();
  create_config("base", "{replicas: 3}");
  edit([](kube::Object& o) { o["spec"]["baseRefs"] = parse("[{name: base}]"); });
  const auto from = cluster_.list({kServiceConfig, "", {}}, soon())->version;
  const auto watch = *cluster_.watch({kServiceConfig, "", {}}, from, soon());
  observe::Registry registry;
  const Reconciler working({cluster_, clock_, registry}, {Installation(), 2});
  const auto deadline = soon();
  while (!kube::condition_is(config("base"), "ConfigInUse", "True")) {
    const auto event = watch->next(deadline);
    ASSERT_TRUE(event && *event) << "nothing happens";
  }
  while (!exists(kDeployment, "storyteller-kserve")) ASSERT_FALSE(deadline.passed(clock_.now()));
}

TEST_F(LifecycleTest, WritesLaterWhatItMayNotWriteNow) {
  create_quickstart();
  const auto from = cluster_.list({kDeployment, "", {}}, soon())->version;
  const auto watch = *cluster_.watch({kDeployment, "", {}}, from, soon());
  observe::Registry registry;
  MeteredCluster metered(cluster_, registry);
  std::atomic<int> asked = 0;
  metered.fence([&] { return ++asked < 4 ? Mono::min() : Mono::max(); }, clock_);
  const Reconciler working({metered, clock_, registry}, {Installation(), 1});
  const auto event = watch->next(soon());
  ASSERT_TRUE(event && *event) << "nothing happens";
  EXPECT_EQ((*event)->kind, kube::Event::Kind::kAdded);
}

TEST_F(LifecycleTest, TellsWhenItBecomesReadyAndWhenNot) {  // llmisvc:J10
  create_quickstart();
  edit([](kube::Object& o) { o["spec"].if_object()->erase("router"); });
  settle();
  for (const auto* name : {"storyteller-kserve", "storyteller-kserve-prefill"}) {
    mark_available(name, "True");
  }
  settle();
  EXPECT_EQ(events("LLMInferenceServiceReady").size(), 1U);
  EXPECT_THAT(events("LLMInferenceServiceNotReady"), IsEmpty());
  mark_available("storyteller-kserve", "False");
  settle();
  EXPECT_THAT(events("LLMInferenceServiceNotReady"),
              UnorderedElementsAre(HasSubstr("MainWorkloadReady")));
  EXPECT_EQ(events("LLMInferenceServiceReady").size(), 1U);
}

TEST_F(LifecycleTest, LooksAgainWhenAPodsStartOrAddressesChangeOnly) {  // llmisvc:J11
  create_quickstart();
  catch_up();
  const auto snapshot = [](const std::string& labels, const std::string& status,
                           const char* kind = "Pod") {
    return std::make_shared<const kube::Snapshot>(kube::Snapshot{
        parse(std::string("{apiVersion: v1, kind: ") + kind + ", metadata: {name: p, namespace: " +
              "default, labels: {" + labels + "}}, status: " + status + "}")});
  };
  const auto keys = [&](const kube::SnapshotPtr& before, const kube::SnapshotPtr& now) {
    return concerned(reconciler_.cache(), plan::Settings(), before, now);
  };
  const std::string ours = "app.kubernetes.io/name: storyteller";
  const auto plain = snapshot(ours, "{}");
  EXPECT_THAT(keys(plain, snapshot(ours, "{podIPs: [{ip: 10.0.0.1}]}")),
              UnorderedElementsAre("default/storyteller"));
  EXPECT_THAT(keys(plain, snapshot(ours, "{initContainerStatuses: [{name: a, ready: true}]}")),
              UnorderedElementsAre("default/storyteller"));
  EXPECT_THAT(keys(plain, snapshot(ours, "{containerStatuses: [{name: a, ready: true}]}")),
              IsEmpty());
  EXPECT_THAT(keys(snapshot("", "{}"), snapshot("", "{podIPs: [{ip: 10.0.0.1}]}")), IsEmpty());
  EXPECT_THAT(keys(snapshot("app.kubernetes.io/name: ''", "{}"),
                   snapshot("app.kubernetes.io/name: ''", "{podIPs: [{ip: 10.0.0.1}]}")),
              IsEmpty());
  EXPECT_THAT(
      keys(snapshot(ours, "{}", "Node"), snapshot(ours, "{podIPs: [{ip: 10.0.0.1}]}", "Node")),
      IsEmpty());
}

TEST_F(LifecycleTest, LooksAtEveryServiceWhenTheInstallationChanges) {  // llmisvc:D13
  create_quickstart();
  catch_up();
  const auto map = [](const char* value) {
    return std::make_shared<const kube::Snapshot>(kube::Snapshot{parse(
        std::string("{apiVersion: v1, kind: ConfigMap, metadata: {name: inferenceservice-config, "
                    "namespace: kserve}, data: {ingress: '") +
        value + "'}}")});
  };
  const auto& cache = reconciler_.cache();
  EXPECT_THAT(concerned(cache, plan::Settings(), map("a"), map("b")),
              UnorderedElementsAre("default/storyteller"));
  EXPECT_THAT(concerned(cache, plan::Settings(), map("a"), map("a")), IsEmpty());
}

TEST_F(LifecycleTest, LooksAgainWhenASecretChangesThatAnAccountOrItselfNames) {
  create_quickstart();
  create(parse(R"({apiVersion: v1, kind: ServiceAccount, secrets: [{name: s3}],
    metadata: {name: default, namespace: default}})"));
  annotate("serving.kserve.io/storageSecretName", "token");
  catch_up();
  const auto keys = [&](const std::string& name, bool is_new) {
    const auto secret = std::make_shared<const kube::Snapshot>(kube::Snapshot{parse(
        "{apiVersion: v1, kind: Secret, metadata: {namespace: default, name: " + name + "}}")});
    return concerned(reconciler_.cache(), plan::Settings(), is_new ? nullptr : secret, secret);
  };
  for (const auto* name : {"s3", "token"}) {
    EXPECT_THAT(keys(name, true), ElementsAre("default/storyteller")) << name;
    EXPECT_THAT(keys(name, false), IsEmpty()) << name;
  }
  EXPECT_THAT(keys("other", true), IsEmpty());
}

TEST_F(LifecycleTest, RemembersNothingOfSecretsAndConfigMapsThatAreGone) {
  observe::Registry registry;
  Installation installation;
  installation.plan.enable_tls = true;
  Reconciler secured({troubled_, clock_, registry}, {installation, 0});
  create_quickstart();
  create(parse("{apiVersion: v1, kind: ConfigMap, metadata: {name: picker, namespace: default}}"));
  for (int i = 0; i < 3; ++i) (void)pass(secured);
  edit([](kube::Object& o) {
    o["spec"]["router"]["scheduler"]["config"] = parse("{ref: {name: picker}}");
  });
  (void)pass(secured);
  EXPECT_EQ(secured.remembered(), 2U);
  ASSERT_TRUE(cluster_.remove({kConfigMap, "default", "picker"}, {}, soon()));
  ASSERT_TRUE(cluster_.remove({kService, "default", "storyteller"}, {}, soon()));
  EXPECT_TRUE(pass(secured));
  EXPECT_THAT(cluster_.list({kSecret, "", {}}, soon())->items, IsEmpty());
  const auto deadline = soon();
  while (secured.remembered() > 0) ASSERT_FALSE(deadline.passed(clock_.now()));
}

TEST_F(LifecycleTest, DeletingWhatIsGoneOrNotServedIsNoError) {  // llmisvc:J12
  create_quickstart();
  settle();
  Ledger ledger;
  const auto owner = service();
  Applier applier({troubled_, reconciler_.cache(), ledger}, owner, soon(),
                  [](std::string_view, const kube::Object&) { ADD_FAILURE(); });
  EXPECT_TRUE(applier.remove(parse(
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: never, namespace: default}}")));
  EXPECT_TRUE(applier.remove(
      parse("{apiVersion: no.such/v1, kind: Group, metadata: {name: x, namespace: default}}")));
}

TEST_F(LifecycleTest, RefusesToUpdateOrDeleteWhatItDoesNotControl) {  // llmisvc:J13
  create_quickstart();
  const auto foreign = parse(
      "{apiVersion: apps/v1, kind: Deployment, metadata: {name: foreign, namespace: default}}");
  create(foreign);
  catch_up();
  Ledger ledger;
  const auto owner = service();
  Applier applier({troubled_, reconciler_.cache(), ledger}, owner, soon(),
                  [](std::string_view, const kube::Object&) { ADD_FAILURE(); });
  EXPECT_THAT(applier.apply(foreign).error().message(), HasSubstr("not controlled by"));
  EXPECT_THAT(applier.remove(foreign).error().message(), HasSubstr("not owned by"));
  EXPECT_TRUE(exists(kDeployment, "foreign"));
}

}  // namespace
}  // namespace baton::reconcile
