// Definitions and webhooks on the API server that $BATON_KUBECONFIG names: what its own schema and
// expressions refuse, what it fills in, and what it asks our server for.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/core/random.hpp"
#include "base/text/yaml.hpp"
#include "control/plan/plan.hpp"
#include "control/plan/presets.hpp"
#include "control/webhook/configurations.hpp"
#include "control/webhook/server.hpp"
#include "control/webhook/storage_migration.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/manifests.hpp"
#include "net/kube/in_cluster.hpp"
#include "net/kube/object.hpp"
#include "net/kube/rest_cluster.hpp"

namespace baton::webhook {
namespace {

using kube::Object;
using ::testing::HasSubstr;
using text::json::dump;

const SystemClock kClock;
constexpr auto kPatience = std::chrono::seconds(60);
Deadline soon() { return Deadline::in(kClock, kPatience); }

Object yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

const kube::Type kNamespaceType{"", "v1", "Namespace"};

// Repeats until it holds; the API server takes a moment to notice new definitions and authorities.
template <class F>
bool eventually(F&& holds) {
  const Deadline deadline = soon();
  while (!holds()) {
    if (deadline.passed(kClock.now())) return false;
    std::this_thread::yield();
  }
  return true;
}

class WebhooksLive : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* path = std::getenv("BATON_KUBECONFIG");
    ASSERT_NE(path, nullptr) << "BATON_KUBECONFIG must name a kubeconfig; see tests/e2e/kube";
    kube::AccessHints hints;
    hints.kubeconfig = path;
    kube::RestCluster::Config config;
    config.api.access = *kube::find_access(hints);
    auto opened = kube::RestCluster::open(std::move(config), kClock, random);
    ASSERT_TRUE(opened) << opened.error().message();
    cluster = opened->release();
    Object ns = yaml("{apiVersion: v1, kind: Namespace, metadata: {generateName: webhooks-}}");
    home = new std::string(kube::name_of(*cluster->create(ns, kube::DryRun::kNo, soon())));
    install(0);
  }
  static void TearDownTestSuite() {
    if (cluster == nullptr) return;
    for (const Object& one : objects()) {
      (void)cluster->remove(*kube::key_of(one), {}, soon());
    }
    (void)cluster->remove({kNamespaceType, "", *home}, {}, soon());
    delete server;
    delete cluster;
    delete home;
  }

  static std::vector<Object> objects() {
    const api::HookAddress hooks{.url = "https://" + http::to_string(server->address())};
    std::vector<Object> out = api::crds(hooks);
    std::ranges::move(configurations(hooks), std::back_inserter(out));
    return out;
  }

  // Starts the server, puts definitions and configurations up, waits until they work.
  static void install(std::uint16_t port) {
    auto started = Server::start({*cluster, kClock, registry, [] { return Context(); }},
                                 {.listen = {"127.0.0.1", port}, .ns = *home}, soon());
    ASSERT_TRUE(started) << started.error().message();
    server = started->release();
    for (const Object& one : objects()) {
      const auto applied = cluster->apply(one, {.force = kube::Force::kYes}, soon());
      ASSERT_TRUE(applied) << applied.error().message();
    }
    std::string last;
    const bool works = eventually([&] {
      const auto made = cluster->create(service(*home, "{model: {uri: 'hf://a/b'}}", "v1alpha1"),
                                        kube::DryRun::kYes, soon());
      if (!made) last = made.error().message();
      return made && made->string_at({"spec", "model", "name"}) == "probe";
    });
    ASSERT_TRUE(works) << last;
  }

  static Object service(const std::string& ns, std::string_view spec,
                        std::string_view version = "v1alpha2") {
    Object out =
        text::json::Object{{"apiVersion", fmt::format("serving.kserve.io/{}", version)},
                           {"kind", "LLMInferenceService"},
                           {"metadata", text::json::Object{{"name", "probe"}, {"namespace", ns}}}};
    out["spec"] = yaml(spec);
    return out;
  }

  // What the API server says to a service of that spec, "" when it takes it. Nothing is stored.
  static std::string refusal(std::string_view spec, std::string_view version = "v1alpha2",
                             std::string_view kind = "LLMInferenceService") {
    Object one = service(*home, spec, version);
    one["kind"] = kind;
    if (one.find_path({"spec", "model"}) == nullptr)
      one["spec"]["model"] = yaml("{uri: 'hf://a/b'}");
    const auto made = cluster->create(one, kube::DryRun::kYes, soon());
    return made ? "" : made.error().message();
  }

  static Object stored(const Object& object) {
    const auto made = cluster->create(object, kube::DryRun::kNo, soon());
    EXPECT_TRUE(made) << (made ? "" : made.error().message());
    return made ? *made : Object();
  }
  static Object read(const Object& object, std::string_view version) {
    kube::ObjectKey key = *kube::key_of(object);
    key.type.version = version;
    const auto got = cluster->get(key, soon());
    EXPECT_TRUE(got) << (got ? "" : got.error().message());
    return got ? *got : Object();
  }
  // No controller is here that would take the finalizer off.
  static void remove(const Object& object) {
    const auto key = *kube::key_of(object);
    const auto freed =
        cluster->patch(key, yaml("{metadata: {finalizers: []}}"), kube::DryRun::kNo, soon());
    EXPECT_TRUE(freed) << freed.error().message();
    EXPECT_TRUE(cluster->remove(key, {}, soon()));
  }

  static inline SystemRandom random;
  static inline observe::Registry registry;
  static inline kube::RestCluster* cluster = nullptr;
  static inline std::string* home = nullptr;
  static inline Server* server = nullptr;
};

TEST_F(WebhooksLive, TakeEveryManifestOfTheExamplesButTheFragments) {
  std::size_t seen = 0;
  for (const char* folder : {"examples", "examples/seed"}) {
    for (const auto& file :
         std::filesystem::directory_iterator(std::filesystem::path(BATON_SOURCE_DIR) / folder)) {
      if (file.path().extension() != ".yaml") continue;
      std::stringstream text;
      text << std::ifstream(file.path()).rdbuf();
      const api::Source source{file.path().string(), text.str()};
      const auto manifests = api::read_manifests({&source, 1});
      ASSERT_TRUE(manifests) << manifests.error().message();
      for (const auto* list : {&manifests->configs, &manifests->services}) {
        for (const api::Manifest& manifest : *list) {
          Object object = manifest.object;
          object["metadata"]["namespace"] = *home;
          const auto made = cluster->create(object, kube::DryRun::kYes, soon());
          if (file.path().stem().string().starts_with("fragment")) {
            EXPECT_THAT(made ? std::string() : made.error().message(),
                        HasSubstr("spec.model: Required value"));
          } else {
            EXPECT_TRUE(made) << manifest.where << ": " << (made ? "" : made.error().message());
          }
          ++seen;
        }
      }
    }
  }
  EXPECT_GE(seen, 8U);
}

// llmisvc:C11
TEST_F(WebhooksLive, HaveASchemaThatRefusesNumbersOutOfRange) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"{replicas: -1}",
       "spec.replicas: Invalid value: -1: spec.replicas in body should be greater"},
      {"{parallelism: {tensor: -1}}", "spec.parallelism.tensor in body should be greater"},
      {"{parallelism: {pipeline: -1}}", "spec.parallelism.pipeline in body should be greater"},
      {"{parallelism: {data: -1, dataLocal: 1}}",
       "spec.parallelism.data in body should be greater"},
      {"{parallelism: {data: 1, dataLocal: 0}}",
       "spec.parallelism.dataLocal in body should be greater"},
      {"{parallelism: {dataRPCPort: 0}}", "spec.parallelism.dataRPCPort in body should be greater"},
      {"{parallelism: {dataRPCPort: 65536}}",
       "spec.parallelism.dataRPCPort in body should be less"},
      {"{prefill: {replicas: -1}}", "spec.prefill.replicas in body should be greater"},
      {"{router: {route: {group: 'A_', weight: 1}}}",
       "spec.router.route.group in body should match"},
      {"{router: {route: {group: g, weight: 1000001}}}",
       "spec.router.route.weight in body should be less"},
      {"{replicas: two}", "must be of type integer"},
      {"{kvCacheOffloading: {cpu: 1Gi, evictionPolicy: fifo}}", "Unsupported value: \"fifo\""},
      {"{kvCacheOffloading: {cpu: lots}}", "should match"}};
  for (const auto& [spec, message] : cases) EXPECT_THAT(refusal(spec), HasSubstr(message)) << spec;
  EXPECT_EQ(refusal("{replicas: 0, parallelism: {dataRPCPort: 5555}}"), "");
}

TEST_F(WebhooksLive, HaveExpressionsForWhatTakesTwoFields) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"{replicas: 1, scaling: {maxReplicas: 2, wva: {hpa: {}}}}", "replicas and scaling exclude"},
      {"{prefill: {replicas: 1, scaling: {maxReplicas: 2, wva: {hpa: {}}}}}",
       "replicas and scaling exclude"},
      {"{scaling: {maxReplicas: 2}}", "one of wva and keda is required"},
      {"{scaling: {maxReplicas: 2, wva: {hpa: {}}, keda: {triggers: [{type: cpu}]}}}",
       "wva and keda exclude each other"},
      {"{scaling: {maxReplicas: 2, keda: {triggers: []}}}", "should have at least 1 items"},
      {"{scaling: {maxReplicas: 2, keda: {}}}", "spec.scaling.keda.triggers: Required value"},
      {"{scaling: {minReplicas: 3, maxReplicas: 2, wva: {hpa: {}}}}",
       "minReplicas must not be above maxReplicas"},
      {"{scaling: {minReplicas: 1, maxReplicas: 2, wva: {keda: {idleReplicaCount: 1}}}}",
       "idleReplicaCount needs minReplicas"},
      {"{scaling: {minReplicas: 1, maxReplicas: 2, keda: {triggers: [{type: cpu}], "
       "idleReplicaCount: 1}}}",
       "idleReplicaCount needs minReplicas"},
      {"{scaling: {maxReplicas: 2, wva: {}}}", "one of hpa and keda is required"},
      {"{scaling: {maxReplicas: 2, wva: {hpa: {}, keda: {}}}}", "hpa and keda exclude each other"},
      {"{scaling: {maxReplicas: 2, wva: {keda: {advanced: {scalingModifiers: {formula: x}}}}}}",
       "scalingModifiers must be empty"},
      {"{scaling: {maxReplicas: 2, wva: {keda: {advanced: {horizontalPodAutoscalerConfig: {name: "
       "x}}}}}}",
       "horizontalPodAutoscalerConfig.name must be empty"},
      {"{scaling: {maxReplicas: 2, keda: {triggers: [{type: cpu}], advanced: "
       "{horizontalPodAutoscalerConfig: {name: x}}}}}",
       "horizontalPodAutoscalerConfig.name must be empty"},
      {"{router: {scheduler: {pool: {spec: {selector: {matchLabels: {a: b}}, targetPorts: "
       "[{number: "
       "1}], endpointPickerRef: {name: e}}}}}}",
       "port is required when kind is Service"},
      {"{router: {scheduler: {pool: {spec: {targetPorts: [{number: 1}, {number: 1}]}}}}}",
       "targetPorts must differ"},
      {"{router: {route: {http: {spec: {rules: [{matches: [{path: {type: PathPrefix, value: "
       "x}}]}]}}}}}",
       "a path must begin with '/'"},
      {"{router: {route: {http: {spec: {rules: [{filters: [{type: URLRewrite}]}]}}}}}",
       "urlRewrite goes with type URLRewrite"},
      {"{router: {route: {http: {spec: {rules: [{backendRefs: [{name: s}]}]}}}}}",
       "a Service needs a port"},
      {"{router: {route: {http: {spec: {rules: [{filters: [{type: RequestRedirect, "
       "requestRedirect: {}}], backendRefs: [{name: s, port: 1}]}]}}}}}",
       "a rule with a RequestRedirect filter"}};
  for (const auto& [spec, message] : cases) EXPECT_THAT(refusal(spec), HasSubstr(message)) << spec;
  EXPECT_EQ(refusal("{scaling: {maxReplicas: 2, wva: {keda: {idleReplicaCount: 0, advanced: "
                    "{scalingModifiers: {formula: ''}, horizontalPodAutoscalerConfig: {behavior: "
                    "{}}}}}}}"),
            "");
  EXPECT_EQ(refusal("{router: {scheduler: {pool: {spec: {selector: {matchLabels: {a: b}}, "
                    "targetPorts: [{number: 1}, {number: 2}], endpointPickerRef: {name: e, kind: "
                    "Other}}}}}}"),
            "");
}

TEST_F(WebhooksLive, CheckTheGroupsStatusToo) {
  const Object made = stored(service(*home, "{model: {uri: 'hf://a/b'}}"));
  Object told = made;
  told["status"] = yaml(
      "{router: {group: {name: g, members: [{name: a, weight: 1, backendRef: {name: s, kind: "
      "Service}}]}}}");
  EXPECT_THAT(cluster->update_status(told, soon()).error().message(),
              HasSubstr("a Service needs a port"));
  told["status"]["router"]["group"]["members"].if_array()->front()["backendRef"]["port"] = 8000;
  EXPECT_TRUE(cluster->update_status(told, soon()));
  remove(made);
}

// A merged service that a controller asks about has been through the same checks in its process.
TEST_F(WebhooksLive, AreNotAskedInDryRunsOfMergedServices) {
  Object one = service(*home, "{model: {uri: 'hf://a/b'}}");
  one["metadata"].if_object()->erase("name");
  const auto made = [&](std::string_view ending, kube::DryRun dry_run) {
    one["metadata"]["generateName"] = fmt::format("probe{}", ending);
    const auto got = cluster->create(one, dry_run, soon());
    EXPECT_TRUE(got) << got.error().message();
    return got ? *got : Object();
  };
  const auto is_reviewed = [](const Object& object) {
    return object.find_path({"metadata", "finalizers"}) != nullptr;
  };
  EXPECT_FALSE(is_reviewed(made(plan::kValidationSuffix, kube::DryRun::kYes)));
  EXPECT_TRUE(is_reviewed(made("-other-", kube::DryRun::kYes)));
  const Object stored = made(plan::kValidationSuffix, kube::DryRun::kNo);
  EXPECT_TRUE(is_reviewed(stored)) << "whatever is stored is";
  remove(stored);
}

TEST_F(WebhooksLive, FillWhatIsLeftOut) {
  const auto made = cluster->create(
      service(*home,
              "{model: {uri: 'hf://a/b'}, template: {}, kvCacheOffloading: {cpu: 1Gi}, scaling: "
              "{maxReplicas: 2, wva: {hpa: {}}}, router: {route: {group: g, weight: 1}, scheduler: "
              "{pool: {spec: {endpointPickerRef: {name: e, port: {number: 1}}}}}}}"),
      kube::DryRun::kYes, soon());
  ASSERT_TRUE(made) << made.error().message();

  const Object& spec = *made->find("spec");
  EXPECT_EQ(dump(*made->find_path({"metadata", "finalizers"})),
            R"(["serving.kserve.io/llmisvc-finalizer"])");
  EXPECT_EQ(spec.string_at({"model", "name"}), "probe");
  EXPECT_EQ(dump(*spec.find_path({"template", "containers"})), "[]");
  EXPECT_EQ(*spec.find_path({"scaling", "minReplicas"}), Object(1));
  EXPECT_EQ(spec.string_at({"scaling", "wva", "variantCost"}), "10.0");
  EXPECT_EQ(spec.string_at({"kvCacheOffloading", "evictionPolicy"}), "lru");
  const Object& pool = *spec.find_path({"router", "scheduler", "pool", "spec"});
  EXPECT_EQ(pool.string_at({"appProtocol"}), "http");
  EXPECT_EQ(pool.string_at({"endpointPickerRef", "failureMode"}), "FailClose");
  EXPECT_EQ(kube::label(*made, "serving.kserve.io/routing-group"), "g");
}

TEST_F(WebhooksLive, RefuseWithTheFieldOfEveryFinding) {
  const std::string said = refusal(
      "{model: {uri: 'hf://a/b', lora: {adapters: [{name: x}, {name: x}]}}, router: {route: "
      "{group: "
      "g}, scheduler: {config: {inline: {}}}}}");
  EXPECT_THAT(said, HasSubstr("spec.model.lora.adapters[1].name: Duplicate value: \"x\""));
  EXPECT_THAT(said, HasSubstr("spec.router.route.weight: Required value"));
  EXPECT_THAT(said, HasSubstr("spec.router.scheduler.config.inline: Invalid value"));
}

TEST_F(WebhooksLive, KeepTheSizeOfAGroupOnUpdate) {
  const Object made =
      stored(service(*home, "{model: {uri: 'hf://a/b'}, parallelism: {data: 4, dataLocal: 2}}"));
  Object changed = made;
  changed["spec"]["parallelism"]["data"] = 8;
  EXPECT_THAT(cluster->update(changed, kube::DryRun::kYes, soon()).error().message(),
              HasSubstr("spec.parallelism: Invalid value: \"object\": total parallelism size is "
                        "immutable: was 2, is 4"));
  changed["spec"]["parallelism"]["dataLocal"] = 4;
  EXPECT_TRUE(cluster->update(changed, kube::DryRun::kYes, soon()));
  remove(made);
}

TEST_F(WebhooksLive, ShowAnObjectInEitherVersionWithoutLoss) {
  const Object old =
      service(*home,
              "{model: {uri: 'hf://a/b', name: m, criticality: Critical, lora: "
              "{adapters: [{name: x, uri: 'hf://c/d', criticality: Sheddable}]}}, "
              "router: {scheduler: {pool: {spec: {selector: {a: b}, "
              "targetPortNumber: 8000, extensionRef: {name: e, portNumber: 9002}}}}}}",
              "v1alpha1");
  const Object made = stored(old);
  const Object now = read(old, "v1alpha2");
  EXPECT_EQ(kube::annotation(now, api::kCriticality), "Critical");
  EXPECT_EQ(dump(*now.find_path({"spec", "router", "scheduler", "pool", "spec", "targetPorts"})),
            R"([{"number":8000}])");
  EXPECT_EQ(dump(*read(old, "v1alpha1").find("spec")), dump(*made.find("spec")));
  remove(made);

  // The other way: what v1alpha1 has no field for survives a write through it.
  const Object rich = stored(service(
      *home, "{model: {uri: 'hf://a/b', name: m}, kvCacheOffloading: {cpu: 1Gi}, replicas: 1}"));
  Object through = read(rich, "v1alpha1");
  EXPECT_EQ(through.find_path({"spec", "kvCacheOffloading"}), nullptr);
  through["spec"]["replicas"] = 3;
  ASSERT_TRUE(cluster->update(through, kube::DryRun::kNo, soon()));
  const Object after = read(rich, "v1alpha2");
  EXPECT_EQ(after.string_at({"spec", "kvCacheOffloading", "cpu"}), "1Gi");
  EXPECT_EQ(*after.find_path({"spec", "replicas"}), Object(3));
  EXPECT_EQ(kube::annotation(after, api::kNewFields), "");
  remove(rich);
}

TEST_F(WebhooksLive, KeepPodFieldsOfANewerKubernetesAndDropUnknownOnesOfOurOwn) {
  const auto made = cluster->create(
      service(*home,
              "{model: {uri: 'hf://a/b'}, unknown: 1, template: {tomorrow: {a: 1}, containers: "
              "[{name: main, ports: [{containerPort: 1}], soon: [x]}]}}"),
      kube::DryRun::kYes, soon());
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->find_path({"spec", "unknown"}), nullptr);
  EXPECT_EQ(dump(*made->find_path({"spec", "template"})),
            R"({"containers":[{"name":"main","ports":[{"containerPort":1,"protocol":"TCP"}],)"
            R"("soon":["x"]}],"tomorrow":{"a":1}})");
  EXPECT_THAT(refusal("{template: {containers: [{name: main, args: [1]}]}}"),
              HasSubstr("spec.template.containers[0].args[0]"));
  EXPECT_THAT(refusal("{template: {containers: [{name: a}, {name: a}]}}"),
              HasSubstr("Duplicate value"));
}

// llmisvc:B30
TEST_F(WebhooksLive, TakeEveryPresetAsAConfig) {
  for (const std::string_view name : plan::preset_names()) {
    Object config = service(*home, "{}");
    config["kind"] = "LLMInferenceServiceConfig";
    config["spec"] = *plan::preset_spec(name);
    const auto made = cluster->create(config, kube::DryRun::kYes, soon());
    EXPECT_TRUE(made) << name << ": " << (made ? "" : made.error().message());
  }
  const std::string_view header =
      "{router: {route: {http: {spec: {rules: [{filters: [{type: RequestHeaderModifier, "
      "requestHeaderModifier: {set: [{name: '{{ .GlobalConfig.ModelBasedRoutingHeaderName }}', "
      "value: '{{ .Spec.Model.Name }}'}]}}], matches: [{path: {type: PathPrefix, value: '{{ "
      ".Spec.Model.Name }}'}}]}]}}}}}";
  EXPECT_EQ(refusal(header, "v1alpha2", "LLMInferenceServiceConfig"), "");
  EXPECT_THAT(refusal("{template: {containers: [{name: main, image: '{{ .Spec.Nothing.X }}'}]}}",
                      "v1alpha2", "LLMInferenceServiceConfig"),
              HasSubstr("spec.template.containers[0].image"));
}

TEST_F(WebhooksLive, MigrateWhatIsStoredInTheOldVersion) {
  const kube::ObjectKey key{
      {"apiextensions.k8s.io", "v1", "CustomResourceDefinition"}, "", std::string(api::kConfigCrd)};
  const auto store_in = [&](std::string_view version) {
    return eventually([&] {
      Object crd = *cluster->get(key, soon());
      for (Object& one : *crd["spec"]["versions"].if_array()) {
        one["storage"] = one.string_at({"name"}) == version;
      }
      return cluster->update(crd, kube::DryRun::kNo, soon()).has_value();
    });
  };
  const auto versions = [&] {
    return dump(*cluster->get(key, soon())->find_path({"status", "storedVersions"}));
  };
  const auto config_named = [&](std::string_view name) {
    Object out = service(*home, "{replicas: 1}");
    out["kind"] = "LLMInferenceServiceConfig";
    out["metadata"]["name"] = name;
    return stored(out);
  };
  // What is stored in another version than the server's is written by an update that changes
  // nothing.
  const auto is_rewritten = [&](const Object& object) {
    const Object before = read(object, "v1alpha2");
    const auto after = cluster->update(before, kube::DryRun::kNo, soon());
    return after && after->string_at({"metadata", "resourceVersion"}) !=
                        before.string_at({"metadata", "resourceVersion"});
  };
  // The server takes a moment to store in another version: it does once it rewrites this one.
  const Object canary = config_named("canary");
  ASSERT_TRUE(store_in("v1alpha1"));
  ASSERT_TRUE(eventually([&] { return is_rewritten(canary); }));
  const Object old = config_named("old");
  ASSERT_TRUE(store_in("v1alpha2"));
  ASSERT_TRUE(eventually([&] { return is_rewritten(canary); }));
  EXPECT_EQ(versions(), R"(["v1alpha2","v1alpha1"])");

  ASSERT_TRUE(eventually([&] { return migrate_storage(*cluster, soon()).has_value(); }));

  EXPECT_EQ(versions(), R"(["v1alpha2"])");
  EXPECT_FALSE(is_rewritten(old));
  remove(canary);
  remove(old);
}

TEST_F(WebhooksLive, GoOnWithANewAuthorityWhenTheSecretIsLost) {
  const std::uint16_t port = server->address().port;
  delete std::exchange(server, nullptr);
  ASSERT_TRUE(
      cluster->remove({{"", "v1", "Secret"}, *home, "llmisvc-webhook-server-cert"}, {}, soon()));
  install(port);
}

}  // namespace
}  // namespace baton::webhook
