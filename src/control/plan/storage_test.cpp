// The model, its adapters and its KV tiers in a pod.

#include <gmock/gmock.h>

#include "control/plan/lora.hpp"
#include "control/plan/storage.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using text::json::Array;
using text::json::dump;

std::string at(const Value& in, std::initializer_list<std::string_view> path) {
  const Value* found = in.find_path(path);
  return found == nullptr ? "" : dump(*found);
}

std::string model(std::string_view uri) {
  return "{model: {uri: '" + std::string(uri) + "', name: m}}";
}

Value initializer(const Plan& plan) {
  return container(pod(plan, "s-kserve"), "initContainers", "storage-initializer");
}

// "NAME=value", "NAME<secret/key".
std::vector<std::string> env_of(const Value& container) {
  std::vector<std::string> out;
  const Value* env = container.find("env");
  if (env == nullptr) return out;
  for (const Value& variable : *env->if_array()) {
    const std::string name(variable.string_at({"name"}));
    if (const Value* key = variable.find_path({"valueFrom", "secretKeyRef"})) {
      out.push_back(name + "<" + std::string(key->string_at({"name"})) + "/" +
                    std::string(key->string_at({"key"})));
    } else {
      out.push_back(name + "=" + std::string(variable.string_at({"value"})));
    }
  }
  return out;
}

Value mount_of(const Value& container, std::string_view volume) {
  for (const Value& mount : *container.find("volumeMounts")->if_array()) {
    if (mount.string_at({"name"}) == volume) return mount;
  }
  return {};
}

// llmisvc:H01
TEST(Storage, MountsAClaimReadOnlyInEveryPod) {
  const std::string expected =
      R"({"mountPath":"/mnt/models","name":"kserve-pvc-source","readOnly":true,"subPath":"a/b"})";
  const Plan p = planned(model("pvc://claim/a/b"));
  EXPECT_EQ(dump(mount_of(main_of(p, "s-kserve"), "kserve-pvc-source")), expected);
  EXPECT_EQ(at(*named(pod(p, "s-kserve").find("volumes"), "kserve-pvc-source"),
               {"persistentVolumeClaim"}),
            R"({"claimName":"claim"})");
  EXPECT_EQ(pod(p, "s-kserve").find("initContainers"), nullptr);

  const Plan group =
      planned("{model: {uri: 'pvc://claim/a/b', name: m}, worker: {}, parallelism: {pipeline: 2}}");
  for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
    const Value set = child(group, "LeaderWorkerSet", "s-kserve-mn");
    const Value& spec = *set.find_path({"spec", "leaderWorkerTemplate", place, "spec"});
    EXPECT_EQ(dump(mount_of(container(spec, "containers", "main"), "kserve-pvc-source")), expected);
    EXPECT_EQ(spec.find("initContainers"), nullptr);
  }
}

// llmisvc:H02
TEST(Storage, MountsAnImageOrStandsOneBesideTheEngine) {
  ServiceView v = view(model("oci://reg/m:1"));
  v.settings.storage.modelcar_uid = 1010;
  const Plan car = planned(v);
  const Value beside = container(pod(car, "s-kserve"), "containers", "modelcar");
  EXPECT_EQ(beside.string_at({"image"}), "reg/m:1");
  EXPECT_THAT(strings(beside, "command").back(),
              HasSubstr("ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"));
  EXPECT_EQ(at(beside, {"resources", "limits"}), R"({"cpu":"10m","memory":"15Mi"})");
  EXPECT_EQ(container(pod(car, "s-kserve"), "initContainers", "modelcar-init").string_at({"image"}),
            "reg/m:1");
  EXPECT_EQ(at(pod(car, "s-kserve"), {"shareProcessNamespace"}), "true");
  EXPECT_THAT(env_of(main_of(car, "s-kserve")), Contains("MODEL_INIT_MODE=async"));
  EXPECT_EQ(dump(mount_of(main_of(car, "s-kserve"), "kserve-provision-location")),
            R"({"mountPath":"/mnt","name":"kserve-provision-location"})");
  EXPECT_EQ(at(main_of(car, "s-kserve"), {"securityContext", "runAsUser"}), "1010");

  v.settings.storage.oci = Settings::Storage::Oci::kOff;
  EXPECT_THAT(refusal(v), HasSubstr("OCI modelcars is not enabled"));
  v.settings.storage.oci = Settings::Storage::Oci::kFetch;
  EXPECT_THAT(refusal(v), HasSubstr("'fetch' is not implemented"));
  v.settings.storage.oci = Settings::Storage::Oci::kNative;
  const Plan native = planned(v);
  const Plan by_scheme = planned(model("oci+native://reg/m:1"));
  for (const Plan* p : {&native, &by_scheme}) {
    EXPECT_EQ(at(*named(pod(*p, "s-kserve").find("volumes"), "mnt-models"), {"image"}),
              R"({"reference":"reg/m:1","pullPolicy":"IfNotPresent"})");
    EXPECT_EQ(
        dump(mount_of(main_of(*p, "s-kserve"), "mnt-models")),
        R"({"mountPath":"/mnt/models","name":"mnt-models","readOnly":true,"subPath":"models"})");
  }
}

// baton:// and file:// are fetched the same way: by the node that runs the pod.
TEST(Storage, FetchesIntoASharedFolderBeforeTheEngineStarts) {
  for (const std::string uri : {"hf://a/b", "s3://a/b", "baton://storyteller", "file:///srv/m"}) {
    const Plan p = planned(model(uri));
    EXPECT_THAT(strings(initializer(p), "args"), ElementsAre(uri, "/mnt/models"));
    EXPECT_EQ(dump(*initializer(p).find("volumeMounts")),
              R"([{"mountPath":"/mnt/models","name":"kserve-provision-location"}])");
    EXPECT_EQ(dump(mount_of(main_of(p, "s-kserve"), "kserve-provision-location")),
              R"({"mountPath":"/mnt/models","name":"kserve-provision-location","readOnly":true})");
  }
}

// llmisvc:H03
TEST(Storage, FetchesFromTheHubWithTheTokenOfTheAccount) {
  ServiceView v = view(model("hf://a/b"));
  v.service["spec"]["template"] = yaml("{serviceAccountName: reader}");
  v.accounts = {yaml("{metadata: {name: default, namespace: ns}}"),
                yaml("{metadata: {name: reader, namespace: ns}, secrets: [{name: hub}]}")};
  v.secrets = {yaml("{metadata: {name: hub, namespace: ns}, data: {HF_TOKEN: eA==}}")};
  EXPECT_THAT(strings(initializer(planned(v)), "args"), ElementsAre("hf://a/b", "/mnt/models"));
  EXPECT_FALSE(mount_of(initializer(planned(v)), "kserve-provision-location").is_null());
  EXPECT_THAT(env_of(initializer(planned(v))),
              ElementsAre("HF_TOKEN<hub/HF_TOKEN", "HF_HUB_ENABLE_HF_TRANSFER=1",
                          "HF_XET_HIGH_PERFORMANCE=1", "HF_XET_NUM_CONCURRENT_RANGE_GETS=8"));

  // The default account's, when the pod names none.
  v.service["spec"].if_object()->erase("template");
  EXPECT_THAT(env_of(initializer(planned(v))), Not(Contains(StartsWith("HF_TOKEN"))));
  (*v.accounts)[0]["secrets"] = yaml("[{name: hub}, {name: gone}]");
  EXPECT_THAT(env_of(initializer(planned(v))), Contains("HF_TOKEN<hub/HF_TOKEN"));
  EXPECT_THAT(warnings(planned(v)),
              ElementsAre(HasSubstr("ServiceAccount default names Secret ns/gone")));
  // One Secret by annotation instead.
  v.service["metadata"]["annotations"] = yaml("{serving.kserve.io/storageSecretName: other}");
  v.secrets.push_back(yaml("{metadata: {name: other, namespace: ns}, data: {HF_TOKEN: eA==}}"));
  EXPECT_THAT(env_of(initializer(planned(v))), Contains("HF_TOKEN<other/HF_TOKEN"));
}

// An account of ours carries the default's Secrets.
TEST(Storage, FetchesWithTheDefaultsSecretsUnderAnAccountOfOurs) {
  ServiceView v = view("{prefill: {}}");
  v.accounts = {yaml("{metadata: {name: default, namespace: ns}, secrets: [{name: hub}]}")};
  v.secrets = {yaml("{metadata: {name: hub, namespace: ns}, data: {HF_TOKEN: eA==}}")};
  EXPECT_THAT(env_of(initializer(planned(v))), Contains("HF_TOKEN<hub/HF_TOKEN"));
}

// llmisvc:H04
TEST(Storage, FetchesFromObjectStores) {
  ServiceView v = view(model("s3://bucket/a"));
  EXPECT_THAT(env_of(initializer(planned(v))), IsEmpty());

  // Certificate authorities of the installation.
  v.settings.storage.ca_bundle_config_map = "authorities";
  const Plan bundled = planned(v);
  EXPECT_THAT(env_of(initializer(bundled)),
              ElementsAre("CA_BUNDLE_CONFIGMAP_NAME=global-ca-bundle",
                          "CA_BUNDLE_VOLUME_MOUNT_POINT=/etc/ssl/custom-certs"));
  EXPECT_EQ(at(*named(pod(bundled, "s-kserve").find("volumes"), "cabundle-cert"), {"configMap"}),
            R"({"name":"global-ca-bundle"})");
  EXPECT_EQ(dump(mount_of(initializer(bundled), "cabundle-cert")),
            R"({"mountPath":"/etc/ssl/custom-certs","name":"cabundle-cert","readOnly":true})");
  ASSERT_EQ(bundled.wishes.size(), 1U);
  EXPECT_EQ(bundled.wishes[0].kind, Wish::Kind::kCaBundle);
  EXPECT_EQ(bundled.wishes[0].source, "authorities");
  EXPECT_EQ(bundled.wishes[0].name, "global-ca-bundle");
  v.settings.storage.ca_bundle_config_map.clear();

  // A key, with where to use it said by annotation, by the Secret's data and by the installation.
  v.accounts = {yaml("{metadata: {name: default, namespace: ns}, secrets: [{name: key}]}")};
  v.secrets = {
      yaml("{metadata: {name: key, namespace: ns, annotations: {serving.kserve.io/s3-endpoint: "
           "'http://minio:9000', serving.kserve.io/s3-cabundle-configmap: mine, "
           "serving.kserve.io/s3-cabundle: /certs/ca.crt}}, data: {awsAccessKeyID: eA==, "
           "awsSecretAccessKey: eA==, AWS_DEFAULT_REGION: ZXUtMQ==}}")};
  v.settings.credentials.s3_verify_ssl = "0";
  const Plan keyed = planned(v);
  EXPECT_THAT(env_of(initializer(keyed)),
              ElementsAre("AWS_ACCESS_KEY_ID<key/awsAccessKeyID",
                          "AWS_SECRET_ACCESS_KEY<key/awsSecretAccessKey", "S3_USE_HTTPS=0",
                          "S3_ENDPOINT=minio:9000", "AWS_ENDPOINT_URL=http://minio:9000",
                          "S3_VERIFY_SSL=0", "AWS_DEFAULT_REGION=eu-1",
                          "AWS_CA_BUNDLE=/certs/ca.crt", "AWS_CA_BUNDLE_CONFIGMAP=mine",
                          "CA_BUNDLE_CONFIGMAP_NAME=mine", "CA_BUNDLE_VOLUME_MOUNT_POINT=/certs"));
  EXPECT_EQ(at(*named(pod(keyed, "s-kserve").find("volumes"), "cabundle-cert"), {"configMap"}),
            R"({"name":"mine"})");

  // A role instead of a key.
  v.secrets.clear();
  v.accounts = {
      yaml("{metadata: {name: default, namespace: ns, annotations: {eks.amazonaws.com/role-arn: r, "
           "serving.kserve.io/s3-endpoint: s3.eu, serving.kserve.io/s3-usehttps: '1'}}}")};
  EXPECT_THAT(env_of(initializer(planned(v))),
              ElementsAre("S3_USE_HTTPS=1", "S3_ENDPOINT=s3.eu", "AWS_ENDPOINT_URL=https://s3.eu",
                          "S3_VERIFY_SSL=0"));
  (*v.accounts)[0]["metadata"]["annotations"].if_object()->erase("eks.amazonaws.com/role-arn");
  EXPECT_THAT(env_of(initializer(planned(v))), IsEmpty());

  // Google's credentials are a file.
  v.accounts = {yaml("{metadata: {name: default, namespace: ns}, secrets: [{name: gcs}]}")};
  v.secrets = {
      yaml("{metadata: {name: gcs, namespace: ns}, data: "
           "{gcloud-application-credentials.json: eA==}}")};
  EXPECT_THAT(env_of(initializer(planned(v))),
              ElementsAre("GOOGLE_APPLICATION_CREDENTIALS=/var/secrets/"
                          "gcloud-application-credentials.json"));
  EXPECT_EQ(at(*named(pod(planned(v), "s-kserve").find("volumes"), "user-gcp-sa"), {"secret"}),
            R"({"secretName":"gcs"})");
}

// llmisvc:H05
TEST(Storage, StaysAwayWhenTheInitializerIsDisabled) {
  for (const std::string uri : {"s3://a/b", "hf://a/b", "pvc://a/b", "oci://a/b"}) {
    const Plan p =
        planned("{storageInitializer: {enabled: false}, model: {uri: '" + uri + "', name: m}}");
    EXPECT_EQ(pod(p, "s-kserve").find("initContainers"), nullptr) << uri;
    EXPECT_EQ(pod(p, "s-kserve").find("containers")->if_array()->size(), 1U) << uri;
    for (const std::string_view volume :
         {"kserve-provision-location", "kserve-pvc-source", "mnt-models"}) {
      EXPECT_EQ(named(pod(p, "s-kserve").find("volumes"), volume), nullptr) << uri;
    }
  }
}

// llmisvc:H06
TEST(Storage, TakesOverWhatTheUserSaysOfTheInitializerExceptWhatItRuns) {
  const Plan p = planned(
      "{template: {initContainers: [{name: storage-initializer, image: mine, args: [x], command: "
      "[z], env: [{name: A, value: b}], resources: {limits: {memory: 8Gi}}, volumeMounts: [{name: "
      "home, mountPath: /cache}]}]}}");
  EXPECT_EQ(initializer(p).string_at({"image"}), "mine");
  EXPECT_THAT(strings(initializer(p), "args"), ElementsAre("hf://a/b", "/mnt/models"));
  EXPECT_EQ(initializer(p).find("command"), nullptr);
  EXPECT_THAT(env_of(initializer(p)), Contains("A=b"));
  EXPECT_THAT(env_of(initializer(p)), Contains("HF_HUB_ENABLE_HF_TRANSFER=1"));
  EXPECT_EQ(at(initializer(p), {"resources", "limits"}), R"({"cpu":"1","memory":"8Gi"})");
  EXPECT_FALSE(mount_of(initializer(p), "home").is_null());
  EXPECT_FALSE(mount_of(initializer(p), "kserve-provision-location").is_null());
  ASSERT_EQ(p.warnings.size(), 1U);
  EXPECT_EQ(p.warnings[0].reason, "StorageInitializerOverride");

  const Plan unused = planned(
      "{model: {uri: 'pvc://a', name: m}, template: {initContainers: [{name: "
      "storage-initializer}]}}");
  EXPECT_EQ(pod(unused, "s-kserve").find("initContainers"), nullptr);
  EXPECT_THAT(warnings(unused), ElementsAre(HasSubstr("nothing is downloaded from pvc://")));
}

// llmisvc:H07
TEST(Storage, KeepsTheLiveInitializerWhenOnlyTheReleaseChanged) {
  ServiceView v = view("{}");
  v.children.push_back(yaml(
      "{kind: Deployment, metadata: {name: s-kserve}, spec: {template: {spec: {initContainers: "
      "[{name: storage-initializer, image: 'old:1'}]}}}}"));
  EXPECT_EQ(initializer(planned(v)).string_at({"image"}), "old:1");
  // Releases without these settings must not get them now.
  EXPECT_THAT(env_of(initializer(planned(v))), IsEmpty());
  Value live = yaml("[{name: storage-initializer, image: 'old:1', env: [{name: HF_HOME}]}]");
  v.children[0]["spec"]["template"]["spec"]["initContainers"] = live;
  EXPECT_THAT(env_of(initializer(planned(v))), Contains("HF_XET_HIGH_PERFORMANCE=1"));
}

// llmisvc:H08
TEST(Storage, TakesTheModelFromTheCacheOfTheNode) {
  ServiceView v = view(model("hf://a/b/sub"));
  v.service["metadata"]["labels"] = yaml("{internal.serving.kserve.io/localmodel: cache}");
  v.service["metadata"]["annotations"] = yaml(
      "{internal.serving.kserve.io/localmodel-sourceuri: 'hf://a/b', "
      "internal.serving.kserve.io/localmodel-pvc-name: cache-gpus}");
  const Plan p = planned(v);
  // The first 16 digits of the SHA-256 of hf://a/b.
  EXPECT_EQ(mount_of(main_of(p, "s-kserve"), "kserve-pvc-source").string_at({"subPath"}),
            "models/c0b0e4ebc4c40d98/sub");
  EXPECT_EQ(named(pod(p, "s-kserve").find("volumes"), "kserve-pvc-source")
                ->string_at({"persistentVolumeClaim", "claimName"}),
            "cache-gpus");
  EXPECT_EQ(pod(p, "s-kserve").find("initContainers"), nullptr);

  v.service["metadata"]["annotations"] =
      yaml("{internal.serving.kserve.io/localmodel-sourceuri: 'hf://a/b'}");
  EXPECT_THAT(refusal(v), HasSubstr("internal.serving.kserve.io~1localmodel-pvc-name: is missing"));
}

// llmisvc:H09
TEST(Storage, GoesWhereItIsWantedInTheContainerThatWantsIt) {
  struct Case {
    std::string uri, container, path;
  };
  for (const Case& c : {Case{"hf://flat", "tokenizer", "/mnt/models/base"},
                        Case{"hf://org/name", "tokenizer", "/mnt/models/base"},
                        Case{"hf://flat", "main", "/mnt/models"},
                        Case{"pvc://claim/x", "tokenizer", "/mnt/models/base"},
                        Case{"oci+native://x", "tokenizer", "/mnt/models/base"}}) {
    const ServiceView v = view(model(c.uri));
    Plan out;
    Build build{.observed = v,
                .service = v.service,
                .picker_text = {},
                .name = "s",
                .ns = "ns",
                .out = out};
    Value spec = yaml("{containers: [{name: tokenizer}, {name: main}]}");
    const ModelTarget target{
        .container = c.container, .path = c.path, .only_tokenizer = c.container == "tokenizer"};
    ASSERT_TRUE(attach_model(build, target, spec));
    const Value got = container(spec, "containers", c.container);
    ASSERT_EQ(got.find("volumeMounts")->if_array()->size(), 1U);
    EXPECT_EQ(got.find("volumeMounts")->if_array()->front().string_at({"mountPath"}), c.path);
    const std::string_view other = c.container == "main" ? "tokenizer" : "main";
    EXPECT_EQ(container(spec, "containers", other).find("volumeMounts"), nullptr);
    if (!c.uri.starts_with("hf")) continue;
    const Value init = container(spec, "initContainers", "storage-initializer");
    EXPECT_THAT(strings(init, "args"), ElementsAre(c.uri, "/mnt/models"));
    EXPECT_EQ(named(init.find("env"), "STORAGE_ALLOW_PATTERNS") != nullptr,
              c.container == "tokenizer");
  }
}

// llmisvc:H10
TEST(Storage, TellsTheInitializerOfConfidentialModels) {
  const auto confidential = [](std::string_view said) {
    return env_of(initializer(
        planned("{model: {uri: 's3://a/b', name: m, confidential: {" + std::string(said) + "}}}")));
  };
  EXPECT_THAT(confidential("enabled: true, resourceId: 'kbs:///a/b/c'"),
              ElementsAre("CONFIDENTIAL_ENABLED=true", "CONFIDENTIAL_RESOURCE_ID=kbs:///a/b/c"));
  EXPECT_THAT(confidential("enabled: true"), ElementsAre("CONFIDENTIAL_ENABLED=true"));
  EXPECT_THAT(confidential("enabled: false, resourceId: 'kbs:///a/b/c'"), IsEmpty());
}

TEST(Storage, RefusesOtherSchemes) {
  EXPECT_THAT(refusal(view(model("ftp://a"))),
              HasSubstr("/spec/model/uri: unsupported scheme 'ftp'"));
  EXPECT_THAT(refusal(view(model("models"))), HasSubstr("/spec/model/uri: expected scheme://"));
}

// ---- adapters ----

constexpr std::string_view kAdapters =
    "adapters: [{name: z, uri: 'hf://o/z'}, {name: a, uri: 'pvc://claim/p'}]";

std::string adapted(std::string_view lora, std::string_view rest = "") {
  return "{model: {uri: 'hf://a/b', name: m, lora: {" + std::string(lora) + "}}" +
         std::string(rest) + "}";
}

// llmisvc:H11
TEST(Lora, TellsTheEngineOfEveryAdapterUnderBothNames) {
  const std::vector<std::string> modules = {
      "--lora-modules", R"('{"name":"a","path":"/mnt/lora/a"}')",
      R"('{"name":"publishers/ns/models/a","path":"/mnt/lora/a"}')",
      R"('{"name":"z","path":"/mnt/lora/z"}')",
      R"('{"name":"publishers/ns/models/z","path":"/mnt/lora/z"}')"};
  std::vector<std::string> expected = {"--enable-lora", "--max-lora-rank=8", "--max-loras=2",
                                       "--max-cpu-loras=4"};
  expected.insert(expected.end(), modules.begin(), modules.end());
  expected.emplace_back("--mine");
  const Plan all =
      planned(adapted(std::string(kAdapters) + ", maxRank: 8, maxAdapters: 2, maxCpuAdapters: 4",
                      ", prefill: {}, template: {containers: [{name: main, args: [--mine]}]}"));
  EXPECT_THAT(strings(main_of(all, "s-kserve"), "args"), ElementsAreArray(expected));
  EXPECT_THAT(strings(main_of(all, "s-kserve-prefill"), "args"), Contains("--lora-modules"));

  std::vector<std::string> plain = {"--enable-lora"};
  plain.insert(plain.end(), modules.begin(), modules.end());
  EXPECT_THAT(strings(main_of(planned(adapted(kAdapters)), "s-kserve"), "args"),
              ElementsAreArray(plain));

  for (const std::string_view own :
       {"args: [--lora-modules, x]", "command: [vllm, serve, /m, --lora-modules=x]",
        "env: [{name: VLLM_ADDITIONAL_ARGS, value: '--lora-modules x'}]"}) {
    const Plan users = planned(
        adapted(kAdapters, ", template: {containers: [{name: main, " + std::string(own) + "}]}"));
    EXPECT_THAT(strings(main_of(users, "s-kserve"), "args"), Not(Contains("--enable-lora"))) << own;
  }
  // No shell would take the quotes away.
  const Plan direct = planned(
      adapted(kAdapters, ", template: {containers: [{name: main, command: [vllm, serve]}]}"));
  EXPECT_THAT(strings(main_of(direct, "s-kserve"), "args"),
              Contains(R"({"name":"a","path":"/mnt/lora/a"})"));
}

TEST(Lora, IsFetchedTogetherWithTheModelOrMounted) {
  const Plan p = planned(adapted(kAdapters));
  EXPECT_THAT(strings(initializer(p), "args"),
              ElementsAre("hf://a/b", "/mnt/models", "hf://o/z", "/mnt/lora/z"));
  EXPECT_EQ(dump(mount_of(initializer(p), "kserve-provision-location")),
            R"({"mountPath":"/mnt","name":"kserve-provision-location"})");
  // A claim cannot be mounted inside a read-only volume: each folder by itself.
  const Value main = main_of(p, "s-kserve");
  const Array& all = *main.find("volumeMounts")->if_array();
  ASSERT_GE(all.size(), 3U);
  EXPECT_EQ(
      dump(Value(Array(all.end() - 3, all.end()))),
      R"([{"mountPath":"/mnt/lora/a","name":"lora-pvc-a","readOnly":true,"subPath":"p"},)"
      R"({"mountPath":"/mnt/models","name":"kserve-provision-location","readOnly":true,"subPath":"models"},)"
      R"({"mountPath":"/mnt/lora/z","name":"kserve-provision-location","readOnly":true,"subPath":"lora/z"}])");
  const Plan fetched = planned(adapted("adapters: [{name: z, uri: 'hf://o/z'}]"));
  EXPECT_EQ(dump(mount_of(main_of(fetched, "s-kserve"), "kserve-provision-location")),
            R"({"mountPath":"/mnt","name":"kserve-provision-location","readOnly":true})");
  const Plan odd = planned(adapted("adapters: [{name: Team/A, uri: 'pvc://claim'}]"));
  EXPECT_THAT(dump(*pod(odd, "s-kserve").find("volumes")),
              ::testing::ContainsRegex("\"lora-pvc--eam---[0-9a-f]{8}\""));

  // Beside a model that is not downloaded, the adapters still are.
  for (const std::string uri : {"pvc://c", "oci://reg/m"}) {
    const Plan beside = planned("{model: {uri: '" + uri +
                                "', name: m, lora: {adapters: [{name: x, uri: 's3://b/x'}, {name: "
                                "w, uri: 'hf://o/w'}]}}}");
    EXPECT_THAT(strings(initializer(beside), "args"),
                ElementsAre("hf://o/w", "/mnt/lora/w", "s3://b/x", "/mnt/lora/x"));
    const std::string volume =
        uri.starts_with("oci") ? "lora-location" : "kserve-provision-location";
    EXPECT_EQ(mount_of(main_of(beside, "s-kserve"), volume).string_at({"mountPath"}), "/mnt/lora");
  }
}

// llmisvc:H12
TEST(Lora, MakesFoldersOfNames) {
  const auto folder = [](std::string_view name) {
    const auto adapters = lora_adapters(yaml(
        "{model: {lora: {adapters: [{uri: 'hf://a/b', name: '" + std::string(name) + "'}]}}}"));
    return adapters ? (*adapters)[0].path : adapters.error().message();
  };
  EXPECT_EQ(folder("org/My_adapter-1.0"), "/mnt/lora/org-My_adapter-1.0");
  EXPECT_EQ(folder(""), "/mnt/lora/adapter");
  EXPECT_EQ(folder("."), "/mnt/lora/adapter");
  EXPECT_EQ(folder(".."), "/mnt/lora/adapter");
  EXPECT_EQ(folder("../x"), "/mnt/lora/..-x");
}

TEST(Lora, RefusesAdaptersThatCannotBeHadWhereTheServiceIsPutTogether) {
  const auto failed = [](std::string_view spec) {
    const Attempt tried = attempt(view(spec));
    EXPECT_TRUE(tried.failure && tried.failure->stage == Stage::kCombine);
    return tried.failure ? tried.failure->error.message() : "";
  };
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'oci://a'}]")),
              StartsWith("/spec/model/lora/adapters/0/uri: adapters do not come out of images"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'ftp://a'}]")),
              HasSubstr("unsupported scheme 'ftp'"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: here}]")), HasSubstr("expected scheme://"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'hf://a'}]",
                             ", storageInitializer: {enabled: false}")),
              HasSubstr("storageInitializer.enabled false"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a/b, uri: 'hf://a'}, {name: a-b, uri: 'hf://a'}]")),
              HasSubstr("two names become the folder /mnt/lora/a-b"));
}

// ---- KV tiers ----

// llmisvc:H13
TEST(Tiers, HaveAVolumeAndAMountEach) {
  const Plan p = planned(
      "{kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {emptyDir: {size: 5Gi}}}, "
      "{fileSystem: {pvc: {ref: {name: c, path: d}}}}, {fileSystem: {pvc: {spec: "
      "{storageClassName: x}}}}]}, prefill: {kvCacheOffloading: {cpu: 1Gi, secondary: "
      "[{fileSystem: {emptyDir: {}}}]}}}");
  const Value spec = pod(p, "s-kserve");
  const Value* volumes = spec.find("volumes");
  EXPECT_EQ(at(*named(volumes, "kv-cache-secondary-0"), {"emptyDir"}), R"({"sizeLimit":"5Gi"})");
  EXPECT_EQ(at(*named(volumes, "kv-cache-secondary-1"), {"persistentVolumeClaim"}),
            R"({"claimName":"c"})");
  EXPECT_EQ(
      at(*named(volumes, "kv-cache-secondary-2"), {"ephemeral", "volumeClaimTemplate", "spec"}),
      R"({"storageClassName":"x"})");
  const Value main = main_of(p, "s-kserve");
  EXPECT_EQ(at(main, {"resources", "requests"}), R"({"ephemeral-storage":"5Gi"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-0")),
            R"({"mountPath":"/mnt/kv-cache-0","name":"kv-cache-secondary-0"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-1")),
            R"({"mountPath":"/mnt/kv-cache-1","name":"kv-cache-secondary-1","subPath":"d"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-2")),
            R"({"mountPath":"/mnt/kv-cache-2","name":"kv-cache-secondary-2"})");
  // Prefill has its own.
  EXPECT_EQ(
      at(*named(pod(p, "s-kserve-prefill").find("volumes"), "kv-cache-secondary-0"), {"emptyDir"}),
      "{}");

  // A tier without a file system, which only a config could bring past validation.
  const Value tiers = yaml("{kvCacheOffloading: {secondary: [{}, {fileSystem: {emptyDir: {}}}]}}");
  const Workload workload{tiers, "/spec", "both"};
  Value bare = yaml("{containers: [{name: main}]}");
  attach_kv_tiers(workload, bare);
  EXPECT_EQ(bare.find("volumes")->if_array()->size(), 1U);
  EXPECT_EQ(container(bare, "containers", "main")
                .find("volumeMounts")
                ->if_array()
                ->front()
                .string_at({"mountPath"}),
            "/mnt/kv-cache-1");
}

}  // namespace
}  // namespace baton::plan
