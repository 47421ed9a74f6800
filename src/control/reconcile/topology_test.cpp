// What a service consists of as its shape changes, and what its status says of that.

#include "control/reconcile/apply.hpp"
#include "control/reconcile/references.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TopologyTest : public ReconcileTest {
 protected:
  void set_spec(const char* spec) {
    edit([&](kube::Object& o) {
      const auto model = *o.find_path({"spec", "model"});
      o["spec"] = parse(spec);
      o["spec"]["model"] = model;
    });
  }
  // Accepted by the gateway of that name.
  static kube::Object accepted_by(const char* gateway, const char* status = "True") {
    auto out = parse(R"([{parentRef: {namespace: kserve}, conditions: [{type: Accepted},
      {type: ResolvedRefs, status: 'True'}]}])");
    auto& entry = out.if_array()->front();
    entry["parentRef"]["name"] = gateway;
    entry["conditions"].if_array()->front()["status"] = status;
    return out;
  }
  void set_parents(const kube::Type& type, const kube::Object& parents) {
    for (auto object : cluster_.list({type, "", {}}, soon())->items) {
      object["status"]["parents"] = parents;
      ASSERT_TRUE(cluster_.update_status(object, soon()));
    }
  }
  void all_available() {
    for (const auto& one : cluster_.list({kDeployment, "", {}}, soon())->items) {
      mark_available(std::string(kube::name_of(one)), "True");
    }
  }
  // "primary Deployment x" …
  std::vector<std::string> workloads() {
    std::vector<std::string> out;
    const auto object = service();
    const auto* found = object.find_path({"status", "workloads"});
    if (found == nullptr) return out;
    for (const auto& [role, what] : *found->if_object()) {
      out.push_back(std::string(role) + " " + std::string(what.string_at({"kind"})) + " " +
                    std::string(what.string_at({"name"})));
    }
    std::ranges::sort(out);
    return out;
  }
};

TEST_F(TopologyTest, NeedsNoDefinitionOfGroupsUntilAServiceAsksForOne) {  // llmisvc:A16
  troubled_.leave_out({"LeaderWorkerSet"});
  observe::Registry registry;
  Reconciler without({troubled_, clock_, registry}, {Installation(), 0});
  create_quickstart();
  for (int i = 0; i < 4; ++i) {
    const auto done = pass(without);
    EXPECT_TRUE(done) << done.error().message();
  }
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");

  set_spec("{worker: {}, parallelism: {data: 2, dataLocal: 1}}");
  EXPECT_EQ(pass(without).error().code(), Code::kNotFound);
  EXPECT_EQ(reason(service(), "WorkerWorkloadReady"), "ReconcileMultiNodeWorkloadError");
  EXPECT_THAT(
      std::string(kube::find_condition(service(), "WorkerWorkloadReady")->string_at({"message"})),
      HasSubstr("the server has no kind LeaderWorkerSet"));
  troubled_.leave_out({});
  EXPECT_TRUE(pass(without));
  EXPECT_EQ(reason(service(), "WorkerWorkloadReady"), "Progressing");
}

TEST_F(TopologyTest, NamesTheWorkloadsOfEveryShape) {  // llmisvc:F20
  const std::string service_of = "service Service storyteller-kserve-workload-svc";
  const std::string groups = "worker: {}, parallelism: {data: 2, dataLocal: 1}";
  const std::string one = "primary Deployment storyteller-kserve";
  const std::string many = "primary LeaderWorkerSet storyteller-kserve-mn";
  const std::string picker = "scheduler Deployment storyteller-kserve-router-scheduler";
  create_quickstart();
  for (const auto& [spec, wanted] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"{}", {one, service_of}},
           {"{router: {route: {}, scheduler: {}}}", {one, picker, service_of}},
           {"{router: {route: {}, scheduler: {pool: {ref: {name: theirs}}}}}", {one, service_of}},
           {"{prefill: {}, router: {scheduler: {}}}",
            {"prefill Deployment storyteller-kserve-prefill", one, picker, service_of}},
           {"{prefill: {" + groups + "}}",
            {"prefill LeaderWorkerSet storyteller-kserve-mn-prefill", one, service_of}},
           {"{" + groups + ", prefill: {}}",
            {"prefill Deployment storyteller-kserve-prefill", many, service_of}},
           {"{" + groups + "}", {many, service_of}}}) {
    SCOPED_TRACE(spec);
    set_spec(spec.c_str());
    settle();
    EXPECT_EQ(workloads(), wanted);
    const auto version = std::string(service().string_at({"metadata", "resourceVersion"}));
    settle();
    EXPECT_EQ(service().string_at({"metadata", "resourceVersion"}), version);
  }
  edit([](kube::Object& o) { o["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"; });
  settle();
  EXPECT_THAT(workloads(), IsEmpty());
}

TEST_F(TopologyTest, NamesTheGatewaysOfItsRouteWhileItHasOne) {  // llmisvc:F19
  create_quickstart();
  settle();
  const auto gateways = [&] {
    const auto object = service();
    const auto* found = object.find_path({"status", "router", "gateways"});
    return found == nullptr ? "none" : text::json::dump(*found);
  };
  const auto told = gateways();
  EXPECT_EQ(told, R"([{"group":"gateway.networking.k8s.io","kind":"Gateway",)"
                  R"("name":"kserve-ingress-gateway","namespace":"kserve","httpRoutes":[)"
                  R"({"group":"gateway.networking.k8s.io","kind":"HTTPRoute",)"
                  R"("name":"storyteller-kserve-route","namespace":"default"}]}])");
  edit([](kube::Object& o) { o["metadata"]["labels"]["touched"] = "yes"; });
  const int writes = troubled_.count["status"];
  settle();
  EXPECT_EQ(gateways(), told);
  EXPECT_EQ(troubled_.count["status"], writes);
  edit([](kube::Object& o) { o["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"; });
  settle();
  EXPECT_EQ(gateways(), "none");
  edit([](kube::Object& o) { o["metadata"].if_object()->erase("annotations"); });
  settle();
  EXPECT_EQ(gateways(), told);
  edit([](kube::Object& o) { o["spec"].if_object()->erase("router"); });
  settle();
  EXPECT_EQ(gateways(), "none");
}

TEST_F(TopologyTest, IsReadyAtItsNewGatewayThoughTheFormerOneRefusedThePool) {  // llmisvc:D23
  create(parse(R"({apiVersion: gateway.networking.k8s.io/v1, kind: Gateway,
    metadata: {name: own, namespace: kserve},
    spec: {listeners: [{name: http, protocol: HTTP, port: 80}]}})"));
  create_quickstart();
  edit([](kube::Object& o) {
    o["spec"]["router"]["gateway"]["refs"] = parse("[{name: own, namespace: kserve}]");
  });
  settle();
  all_available();
  set_parents(kRoute, accepted_by("own"));
  set_parents(kPool, accepted_by("own", "False"));
  set_parents(kOldPool, kube::Object());
  settle();
  EXPECT_EQ(reason(service(), "InferencePoolReady"), "InferencePoolNotReady");

  edit([](kube::Object& o) { o["spec"]["router"]["gateway"] = parse("{}"); });
  settle();
  set_parents(kRoute, accepted_by("kserve-ingress-gateway"));
  auto both = accepted_by("own", "False");
  both.push_back(accepted_by("kserve-ingress-gateway").if_array()->front());
  set_parents(kPool, both);
  settle();
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True")) << text::json::pretty(service());
}

TEST_F(TopologyTest, KeepsThePresetsThatItWasMadeWith) {  // llmisvc:B07
  create_quickstart();
  settle();
  const auto pins = *service().find_path({"status", "annotations"});
  EXPECT_EQ(pins.if_object()->size(), 13U);
  EXPECT_EQ(pins.string_at({"serving.kserve.io/config-llm-decode-template"}),
            "kserve-config-llm-decode-template");
  observe::Registry registry;
  Installation installation;
  installation.plan.config_prefix = "v2-";
  Reconciler newer({troubled_, clock_, registry}, {installation, 0});
  const auto applied = *service().find_path({"status", "appliedConfigs"});
  edit([](kube::Object& o) { o["spec"]["replicas"] = 5; });
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(newer));
  EXPECT_EQ(deployment("storyteller-kserve").find_path({"spec", "replicas"})->if_int(), 5);
  EXPECT_EQ(*service().find_path({"status", "annotations"}), pins);
  // The route's preset is never pinned.
  auto followed = applied;
  for (auto& entry : *followed.if_array()) {
    if (entry.string_at({"name"}) == "kserve-config-llm-router-route") {
      entry["name"] = "v2-config-llm-router-route";
    }
  }
  EXPECT_EQ(*service().find_path({"status", "appliedConfigs"}), followed);
}

TEST_F(TopologyTest, IsNoLongerReadyWhenAConfigurationMakesItWrong) {  // llmisvc:B03
  create_quickstart();
  create(parse(R"({apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceServiceConfig,
    metadata: {name: base, namespace: default}, spec: {labels: {a: b}}})"));
  set_spec("{baseRefs: [{name: base}], scaling: {maxReplicas: 2, wva: {hpa: {}}}}");
  settle();
  all_available();
  auto scaler = *cluster_.get(
      {{"autoscaling", "v2", "HorizontalPodAutoscaler"}, "default", "storyteller-kserve-hpa"},
      soon());
  scaler["status"]["conditions"] = parse("[{type: AbleToScale, status: 'True'}]");
  ASSERT_TRUE(cluster_.update_status(scaler, soon()));
  settle();
  ASSERT_TRUE(kube::condition_is(service(), "Ready", "True")) << text::json::pretty(service());

  auto config = *cluster_.get({kServiceConfig, "default", "base"}, soon());
  config["spec"]["replicas"] = 3;
  ASSERT_TRUE(cluster_.update(config, kube::DryRun::kNo, soon()));
  settle();  // terminal: every pass ends well
  EXPECT_EQ(reason(service(), "PresetsCombined"), "InvalidRenderedConfig");
  EXPECT_EQ(reason(service(), "Ready"), "InvalidRenderedConfig");
  const auto message =
      std::string(kube::find_condition(service(), "Ready")->string_at({"message"}));
  EXPECT_THAT(message, HasSubstr("kserve-config-llm-template, UserRef:default/base]: /spec/"));
  EXPECT_EQ(events("LLMInferenceServiceNotReady").size(), 1U);
  config["spec"].if_object()->erase("replicas");
  config["metadata"].if_object()->erase("resourceVersion");
  ASSERT_TRUE(cluster_.update(config, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True"));
}

// llmisvc:G21, llmisvc:G22
TEST_F(TopologyTest, TellsOfTheTokenizerAsLongAsSomethingAsksForIt) {
  const auto objects = [&] {
    std::vector<std::string> out;
    for (const auto& type : {kDeployment, kCoreService}) {
      if (cluster_.get({type, "default", "storyteller-tokenizer"}, soon())) {
        out.push_back(type.kind);
      }
    }
    return out;
  };
  const char* plain = "{router: {route: {}, scheduler: {}}}";
  create_quickstart();
  for (const auto* asking :
       {"{router: {route: {}, scheduler: {tokenizer: {}}}}",
        "{router: {scheduler: {config: {inline: {plugins: [{type: token-producer}]}}}}}"}) {
    SCOPED_TRACE(asking);
    for (const auto* without :
         {plain, "{}",
          "{router: {scheduler: {tokenizer: {}, pool: {ref: {name: theirs}}}, route: {}}}"}) {
      SCOPED_TRACE(without);
      set_spec(asking);
      settle();
      EXPECT_THAT(objects(), ElementsAre("Deployment", "Service"));
      EXPECT_EQ(reason(service(), "TokenizerReady"), "Progressing");
      set_spec(without);
      settle();
      EXPECT_THAT(objects(), IsEmpty());
      EXPECT_EQ(reason(service(), "TokenizerReady"), "absent");
    }
    set_spec(asking);
    settle();
    edit([](kube::Object& o) { o["metadata"]["annotations"]["serving.kserve.io/stop"] = "true"; });
    settle();
    EXPECT_THAT(objects(), IsEmpty());
    EXPECT_EQ(reason(service(), "TokenizerReady"), "Stopped");
    edit([](kube::Object& o) { o["metadata"].if_object()->erase("annotations"); });
  }
}

TEST(Apply, ComparesAGroupsRouteExactlyAndAllowsAddedRulesOtherwise) {  // llmisvc:D15
  const auto live = parse(R"({kind: HTTPRoute,
    metadata: {labels: {serving.kserve.io/routing-group: g, theirs: "1"},
      annotations: {baton.dev/rules: "1"}},
    spec: {rules: [{name: ours}, {name: appended}]}})");
  const auto alone = updated(live, parse("{metadata: {}, spec: {rules: [{name: ours}]}}"));
  EXPECT_EQ(text::json::dump(*alone.find_path({"metadata", "labels"})), R"({"theirs":"1"})");
  EXPECT_EQ(alone.find_path({"spec", "rules"})->if_array()->size(), 2U);
  const auto grouped = updated(
      live, parse("{metadata: {labels: {serving.kserve.io/routing-group: h}}, spec: {rules: "
                  "[{name: ours}]}}"));
  EXPECT_EQ(kube::label(grouped, "serving.kserve.io/routing-group"), "h");
  EXPECT_EQ(grouped.find_path({"spec", "rules"})->if_array()->size(), 1U);
  // And where nothing else changed, the stale label alone makes a difference.
  EXPECT_FALSE(same_content(alone, live));
}

TEST(Apply, KeepsNoRuleOfARouteThatWasOursAndIsWantedNoMore) {
  auto live = parse("{kind: HTTPRoute, metadata: {}, spec: {rules: [{name: a}, {name: b}]}}");
  const auto wanted = parse("{metadata: {}, spec: {rules: [{name: a}]}}");
  const auto rules = [&](const char* noted) {
    live["metadata"]["annotations"]["baton.dev/rules"] = noted;
    return updated(live, wanted).find_path({"spec", "rules"})->if_array()->size();
  };
  EXPECT_EQ(rules("1"), 2U);
  EXPECT_EQ(rules("2"), 1U);
  EXPECT_EQ(rules("some"), 1U) << "all may have been ours";
  EXPECT_EQ(updated(live, wanted).string_at({"metadata", "annotations", "baton.dev/rules"}), "1");
}

// llmisvc:H17
TEST_F(TopologyTest, TellsWhatTheClusterLacksForModelsInImages) {
  const auto told = [&](std::optional<kube::ServerVersion> version, const char* uri,
                        plan::Settings::Storage::Oci mode) {
    observe::Registry registry;
    Installation installation;
    installation.plan.storage.oci = mode;
    troubled_.version = version;
    troubled_.leave_out({});
    if (!version) troubled_.leave_out({"version"});
    Reconciler fresh({troubled_, clock_, registry}, {installation, 0});
    edit([&](kube::Object& o) { o["spec"]["model"]["uri"] = uri; });
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(fresh));
    return std::string(reason(service(), "OciImageVolumeCompatible"));
  };
  using enum plan::Settings::Storage::Oci;
  const char* image = "oci://registry.example/model:1";
  create_quickstart();
  EXPECT_EQ(told({{1, 30}}, image, kNative), "ImageVolumeUnsupported");
  EXPECT_EQ(told({{1, 31}}, image, kNative), "ImageVolumeSubPathUnsupported");
  EXPECT_EQ(told({{1, 32}}, image, kNative), "ImageVolumeSubPathUnsupported");
  EXPECT_EQ(told({{1, 35}}, image, kNative), "absent");
  EXPECT_EQ(told({{1, 33}}, image, kNative), "ImageVolumeAlpha");
  EXPECT_TRUE(kube::condition_is(service(), "PresetsCombined", "True")) << "it only advises";
  EXPECT_EQ(told(std::nullopt, image, kNative), "absent") << "nobody tells";
  EXPECT_EQ(told({{1, 34}}, image, kNative), "ImageVolumeAlpha");
  EXPECT_EQ(told({{1, 34}}, image, kModelcar), "absent");
  EXPECT_EQ(told({{1, 30}}, "oci+native://registry.example/model:1", kModelcar),
            "ImageVolumeUnsupported");
  EXPECT_EQ(told({{1, 30}}, "hf://a/b", kNative), "absent");
}

TEST_F(TopologyTest, StillTellsWhatTheClusterLacksWhileItDoesNotTellItsVersion) {
  observe::Registry registry;
  Installation installation;
  installation.plan.storage.oci = plan::Settings::Storage::Oci::kNative;
  ClockAhead clock;
  Reconciler native({troubled_, clock, registry}, {installation, 0});
  create_quickstart();
  edit([](kube::Object& o) { o["spec"]["model"]["uri"] = "oci://registry.example/model:1"; });
  troubled_.leave_out({"version"});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(native));
  EXPECT_EQ(reason(service(), "OciImageVolumeCompatible"), "absent");

  // Nobody changes the service: it looks again by itself.
  troubled_.leave_out({});
  troubled_.version = {1, 30};
  clock.advance(std::chrono::minutes(2));
  EXPECT_TRUE(pass(native));
  EXPECT_EQ(reason(service(), "OciImageVolumeCompatible"), "ImageVolumeUnsupported");

  troubled_.leave_out({"version"});
  clock.advance(std::chrono::minutes(11));
  edit([](kube::Object& o) { o["spec"]["replicas"] = 3; });
  EXPECT_TRUE(pass(native));
  EXPECT_EQ(reason(service(), "OciImageVolumeCompatible"), "ImageVolumeUnsupported");
}

// ---- the certificate authorities that initializers trust

class CaBundleTest : public TopologyTest {
 protected:
  void put_source(const char* data) {
    auto map = parse("{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: kserve}}");
    map["data"] = parse(data);
    const auto live = cluster_.get({kConfigMap, "kserve", "ca"}, soon());
    if (live) {
      ASSERT_TRUE(cluster_.update(map, kube::DryRun::kNo, soon()));
    } else {
      create(map);
    }
  }
  std::string copy() {
    const auto found = cluster_.get({kConfigMap, "default", "global-ca-bundle"}, soon());
    if (!found) return "none";
    EXPECT_EQ(found->find_path({"metadata", "ownerReferences"}), nullptr);
    return text::json::dump(*found->find("data"));
  }
  // One whose installation names a bundle.
  static Installation installation() {
    Installation out;
    out.plan.storage.ca_bundle_config_map = "ca";
    return out;
  }

  observe::Registry with_bundle_metrics_;
  Reconciler with_bundle_{{troubled_, clock_, with_bundle_metrics_}, {installation(), 0}};
};

TEST_F(CaBundleTest, IsCopiedIntoTheNamespaceAndFollowsItsSource) {
  create_quickstart();
  EXPECT_TRUE(pass(with_bundle_));  // the finalizer
  EXPECT_EQ(pass(with_bundle_).error().code(), Code::kNotFound) << "there is no bundle yet";
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "ReconcileCertsError");
  EXPECT_EQ(copy(), "none");

  put_source("{ca.crt: first}");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(with_bundle_));
  EXPECT_EQ(copy(), R"({"ca.crt":"first"})");
  EXPECT_EQ(reason(service(), "MainWorkloadReady"), "Progressing");
  // A pass that changes nothing asks nothing either.
  const auto counted = troubled_.count;
  edit([](kube::Object& o) { o["metadata"]["labels"]["touched"] = "yes"; });
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(with_bundle_));
  EXPECT_EQ(troubled_.count, counted);

  put_source("{ca.crt: second}");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(with_bundle_));
  EXPECT_EQ(copy(), R"({"ca.crt":"second"})");
  // Somebody else's edit is undone, their labels are theirs.
  auto edited = *cluster_.get({kConfigMap, "default", "global-ca-bundle"}, soon());
  edited["data"] = parse("{ca.crt: theirs}");
  edited["metadata"]["labels"]["theirs"] = "1";
  ASSERT_TRUE(cluster_.update(edited, kube::DryRun::kNo, soon()));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(with_bundle_));
  EXPECT_EQ(copy(), R"({"ca.crt":"second"})");
  EXPECT_EQ(
      kube::label(*cluster_.get({kConfigMap, "default", "global-ca-bundle"}, soon()), "theirs"),
      "1");
}

TEST_F(CaBundleTest, ConcernsWhoeverTrustsIt) {
  create_quickstart();
  create(parse(R"({apiVersion: v1, kind: ConfigMap,
    metadata: {name: inferenceservice-config, namespace: kserve},
    data: {storageInitializer: '{"caBundleConfigMapName": "ca"}'}})"));
  catch_up();
  const auto concerned_by = [&](const char* ns, const char* name) {
    auto map = parse("{apiVersion: v1, kind: ConfigMap, metadata: {}}");
    map["metadata"]["namespace"] = ns;
    map["metadata"]["name"] = name;
    return concerned(reconciler_.cache(), plan::Settings(), nullptr,
                     std::make_shared<const kube::Snapshot>(kube::Snapshot{map}));
  };
  EXPECT_THAT(concerned_by("kserve", "ca"), ElementsAre("default/storyteller"));
  EXPECT_THAT(concerned_by("default", "global-ca-bundle"), ElementsAre("default/storyteller"));
  EXPECT_THAT(concerned_by("kserve", "other"), IsEmpty());
  EXPECT_THAT(concerned_by("default", "ca"), IsEmpty());
}

TEST_F(CaBundleTest, StaysWhenTheServiceGoes) {
  create_quickstart();
  put_source("{ca.crt: first}");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(with_bundle_));
  ASSERT_TRUE(cluster_.remove({kService, "default", "storyteller"}, {}, soon()));
  EXPECT_TRUE(pass(with_bundle_));
  EXPECT_FALSE(cluster_.get({kService, "default", "storyteller"}, soon()));
  EXPECT_EQ(copy(), R"({"ca.crt":"first"})");
}

}  // namespace
}  // namespace baton::reconcile
