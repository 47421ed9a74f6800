// The model in a pod.

#include <gmock/gmock.h>

#include "control/plan/storage.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using text::json::dump;

std::string model(std::string_view uri) {
  return "{model: {uri: '" + std::string(uri) + "', name: m}}";
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

}  // namespace
}  // namespace baton::plan
