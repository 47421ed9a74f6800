// The ConfigMap inferenceservice-config; images; devices; tracing; revisions.

#include <gmock/gmock.h>

#include "control/plan/presets.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using text::json::dump;

Value config_map(std::string_view key, std::string_view json) {
  Value out = yaml("{metadata: {name: inferenceservice-config, namespace: kserve}}");
  out["data"][key] = json;
  return out;
}

Settings read(std::string_view key, std::string_view json) {
  auto out = read_settings(config_map(key, json), Settings{});
  EXPECT_TRUE(out) << out.error().message();
  return out ? *out : Settings{};
}

TEST(Settings, ComeFromTheConfigMapKeyByKey) {
  const Settings ingress = read(
      "ingress",
      R"({"kserveIngressGateway": "gw-ns/gw", "urlScheme": "https", "modelBasedRoutingMode": "FORCED",
          "enableLLMInferenceServiceTLS": true, "modelBasedRoutingHeaderName": "X-M",
          "ingressDomain": "example.com"})");
  EXPECT_EQ(ingress.ingress_gateway_namespace, "gw-ns");
  EXPECT_EQ(ingress.ingress_gateway_name, "gw");
  EXPECT_EQ(ingress.url_scheme, "https");
  EXPECT_EQ(ingress.model_routing_header, "X-M");
  EXPECT_EQ(ingress.model_routing, Settings::ModelRouting::kForced);
  EXPECT_TRUE(ingress.enable_tls);
  EXPECT_EQ(read("ingress", R"({"kserveIngressGateway": "gw"})").ingress_gateway_namespace,
            "kserve");

  const Settings storage = read(
      "storageInitializer",
      R"({"image": "i", "cpuRequest": "1", "cpuLimit": "2", "memoryRequest": "3Gi", "memoryLimit": "4Gi",
          "caBundleConfigMapName": "ca", "caBundleVolumeMountPath": "/ca", "uidModelcar": 10,
          "cpuModelcar": "5m", "memoryModelcar": "6Mi"})");
  EXPECT_EQ(storage.storage.image, "i");
  EXPECT_EQ(storage.storage.memory_limit, "4Gi");
  EXPECT_EQ(storage.storage.ca_bundle_config_map, "ca");
  EXPECT_EQ(storage.storage.ca_bundle_mount_path, "/ca");
  EXPECT_EQ(storage.storage.modelcar_uid, 10);
  EXPECT_EQ(storage.storage.modelcar_cpu, "5m");

  const Settings credentials =
      read("credentials",
           R"({"storageSecretNameAnnotation": "x/y", "gcs": {"gcsCredentialFileName": "f"},
          "s3": {"s3AccessKeyIDName": "A", "s3SecretAccessKeyName": "B", "s3Endpoint": "e"}})");
  EXPECT_EQ(credentials.credentials.s3_access_key_id_name, "A");
  EXPECT_EQ(credentials.credentials.s3_secret_access_key_name, "B");
  EXPECT_EQ(credentials.credentials.s3_endpoint, "e");
  EXPECT_EQ(credentials.credentials.gcs_file_name, "f");
  EXPECT_EQ(credentials.credentials.secret_annotation, "x/y");

  EXPECT_THAT(read("scheduler", R"({"expirationAnnotations": ["a", "b"]})").expiration_annotations,
              ElementsAre("a", "b"));
  using Default = Settings::PickerDefault;
  EXPECT_EQ(read("scheduler", "{}").picker_default, Default::kSeed);
  EXPECT_EQ(read("scheduler", R"({"defaultConfig": "current"})").picker_default, Default::kCurrent);
  const Settings wva = read("autoscaling-wva-controller-config",
                            R"({"prometheus": {"url": "u", "tlsInsecureSkipVerify": true}})");
  EXPECT_EQ(wva.prometheus.url, "u");
  EXPECT_TRUE(wva.prometheus.tls_insecure_skip_verify);
  // Not about LLMInferenceServices.
  EXPECT_EQ(read("explainers", "{not json").storage.image, Settings{}.storage.image);
}

TEST(Settings, DecideHowImagesBecomeModels) {
  using Oci = Settings::Storage::Oci;
  const auto oci = [](std::string_view json) {
    return read("storageInitializer", json).storage.oci;
  };
  EXPECT_EQ(oci("{}"), Oci::kOff);
  EXPECT_EQ(oci(R"({"enableModelcar": true})"), Oci::kModelcar);
  EXPECT_EQ(oci(R"({"enableOciModelSupport": true})"), Oci::kModelcar);
  EXPECT_EQ(oci(R"({"ociModelMode": "native"})"), Oci::kNative);
  EXPECT_EQ(oci(R"({"ociModelMode": "fetch"})"), Oci::kFetch);
  EXPECT_EQ(read("ingress", "{}").storage.oci, Oci::kModelcar);
}

TEST(Settings, ThatAreWrongAreNamedWithTheirKey) {
  const auto refusal = [](std::string_view key, std::string_view json) {
    const auto out = read_settings(config_map(key, json), Settings{});
    return out ? "accepted" : out.error().message();
  };
  EXPECT_THAT(refusal("ingress", "{"), HasSubstr("inferenceservice-config: ingress: no JSON: "));
  EXPECT_EQ(refusal("credentials", "[]"),
            "inferenceservice-config: credentials: expected an object, is array");
  EXPECT_EQ(
      refusal("storageInitializer", R"({"uidModelcar": "x"})"),
      "inferenceservice-config: storageInitializer: /uidModelcar: expected an integer, is string");
  EXPECT_EQ(
      refusal("storageInitializer", R"({"ociModelMode": "magic"})"),
      "inferenceservice-config: storageInitializer: /ociModelMode: 'magic' is unknown (known: "
      "modelcar, native, fetch)");
  EXPECT_EQ(
      refusal("ingress", R"({"enableLLMInferenceServiceTLS": "yes"})"),
      "inferenceservice-config: ingress: /enableLLMInferenceServiceTLS: expected true or false, "
      "is string");
  EXPECT_EQ(refusal("scheduler", R"({"defaultConfig": "newest"})"),
            "inferenceservice-config: scheduler: /defaultConfig: 'newest' is unknown (known: "
            "october-2025, current)");
  EXPECT_EQ(
      refusal("scheduler", R"({"expirationAnnotations": [1]})"),
      "inferenceservice-config: scheduler: /expirationAnnotations: expected a list of strings, "
      "is array");
}

// ---- images ----

TEST(Images, AreBatonsOnCpusAndVllmsWithDevicesWhereNobodyNamesOne) {
  const auto image = [](std::string_view main) {
    return std::string(
        main_of(planned("{template: {containers: [{name: main" + std::string(main) + "}]}}"),
                "s-kserve")
            .string_at({"image"}));
  };
  const Settings defaults;
  EXPECT_EQ(image(""), defaults.cpu_engine_image);
  EXPECT_EQ(image(", resources: {limits: {cpu: 4, memory: 1Gi}}"), defaults.cpu_engine_image);
  EXPECT_EQ(image(", resources: {limits: {nvidia.com/gpu: 1}}"), defaults.accelerator_engine_image);
  EXPECT_EQ(image(", resources: {requests: {amd.com/gpu: 1}}"), defaults.accelerator_engine_image);
  EXPECT_EQ(image(", resources: {claims: [{name: x}]}"), defaults.accelerator_engine_image);
  EXPECT_EQ(image(", image: mine"), "mine");
}

TEST(Images, AreChosenByTheInstallation) {
  const Settings own = read("images", R"({"baton": "registry/baton:1", "acceleratorEngine": "v"})");
  EXPECT_EQ(own.picker_image, "registry/baton:1");
  EXPECT_EQ(own.sidecar_image, "registry/baton:1");
  EXPECT_EQ(own.cpu_engine_image, "registry/baton:1");
  EXPECT_EQ(own.accelerator_engine_image, "v");
  EXPECT_EQ(own.picker_version, "");

  Settings upstream;
  use_upstream_picker(upstream);
  use_upstream_engine_and_sidecar(upstream);
  const Settings all = read("images", R"({"upstream": true})");
  EXPECT_EQ(all.picker_image, upstream.picker_image);
  EXPECT_EQ(all.picker_version, upstream.picker_version);
  EXPECT_EQ(all.sidecar_version, upstream.sidecar_version);
  const Settings older =
      read("images", R"({"upstream": true, "sidecar": "old", "sidecarVersion": "0.3.0"})");
  EXPECT_EQ(older.sidecar_image, "old");
  EXPECT_EQ(older.sidecar_version, "0.3.0");
  EXPECT_EQ(older.picker_version, upstream.picker_version);
}

TEST(Images, OfUpstreamComeBySettingWithTheFlagsOfTheirGeneration) {
  ServiceView v = view("{prefill: {}, router: {}}");
  v.settings.enable_tls = true;
  const auto sidecar = [&] {
    return container(pod(planned(v), "s-kserve"), "initContainers", "llm-d-routing-sidecar");
  };
  EXPECT_EQ(sidecar().string_at({"image"}), Settings{}.sidecar_image);
  use_upstream_engine_and_sidecar(v.settings);
  EXPECT_EQ(sidecar().string_at({"image"}), "ghcr.io/llm-d/llm-d-router-disagg-sidecar:v0.10.0");
  EXPECT_THAT(strings(sidecar(), "command"), Contains("--kv-connector=nixlv2"));
  EXPECT_EQ(main_of(planned(v), "s-kserve").string_at({"image"}),
            Settings{}.accelerator_engine_image);

  v.settings.sidecar_image = "ghcr.io/llm-d/llm-d-routing-sidecar:v0.3.0";
  v.settings.sidecar_version = "0.3.0";
  EXPECT_THAT(strings(sidecar(), "command"),
              ElementsAre("/app/pd-sidecar", "--port=8000", "--vllm-port=8001",
                          "--connector=nixlv2", "--enable-ssrf-protection=true",
                          "--inference-pool-namespace=ns", "--inference-pool-name=s-inference-pool",
                          "--secure-proxy=true", "--cert-path=/var/run/kserve/tls",
                          "--decoder-use-tls=true", "--prefiller-use-tls=true"));
}

// "ghcr.io" of "ghcr.io/llm-d/x:1", "" where a kubelet would ask Docker Hub.
std::string_view registry(std::string_view image) {
  const std::size_t slash = image.find('/');
  if (slash == std::string_view::npos) return "";
  const std::string_view first = image.substr(0, slash);
  return first.contains('.') || first.contains(':') ? first : "";
}

void collect_images(const Value& in, std::vector<std::string>& out) {
  if (const auto* list = in.if_array()) {
    for (const Value& item : *list) collect_images(item, out);
  }
  if (const auto* members = in.if_object()) {
    for (const auto& [key, member] : *members) {
      if (key == "image" && member.is_string()) out.push_back(*member.if_string());
      collect_images(member, out);
    }
  }
}

TEST(Images, NameTheirRegistryWhereTheyAreNotOnDockerHub) {
  Settings upstream;
  use_upstream_picker(upstream);
  use_upstream_engine_and_sidecar(upstream);
  std::vector<std::string> images;
  for (const Settings& one : {Settings{}, upstream}) {
    images.insert(images.end(), {one.storage.image, one.accelerator_engine_image,
                                 one.cpu_engine_image, one.sidecar_image, one.picker_image});
  }
  for (const std::string_view name : preset_names()) collect_images(*preset_spec(name), images);
  EXPECT_THAT(images, Contains(HasSubstr("latency-predictor")));
  for (const std::string& image : images) {
    const std::string_view owner = std::string_view(image).substr(0, image.find('/'));
    const bool ours_or_on_the_hub = owner == "baton" || owner == "kserve" || owner == "vllm";
    EXPECT_TRUE(ours_or_on_the_hub || !registry(image).empty()) << image;
  }
}

TEST(Images, OfEnginesAreForDevicesOnlyWhereOneIsAskedFor) {
  const auto image = [](std::string_view resource) {
    return std::string(
        main_of(planned("{template: {containers: [{name: main, resources: {limits: {" +
                        std::string(resource) + ": 1}}}]}}"),
                "s-kserve")
            .string_at({"image"}));
  };
  EXPECT_EQ(image("nvidia.com/gpu"), Settings{}.accelerator_engine_image);
  EXPECT_EQ(image("kubernetes.io/batch-cpu"), Settings{}.cpu_engine_image);
}

// ---- devices ----

ServiceView with_devices(std::string_view spec, std::string_view annotations) {
  ServiceView v = view(spec);
  v.service["metadata"]["annotations"] = yaml(annotations);
  return v;
}

constexpr std::string_view kClass = "{serving.kserve.io/exp-dra-device-class: gpu.example.com}";

// llmisvc:A24
TEST(Devices, AreClaimedThroughATemplateInEveryPod) {
  for (const std::string_view spec : {"{}", "{worker: {}, parallelism: {pipeline: 2}}"}) {
    const Plan p = planned(with_devices(spec, kClass));
    EXPECT_EQ(dump(*child(p, "ResourceClaimTemplate", "s-managed-dra").find("spec")),
              R"({"spec":{"devices":{"requests":[{"name":"device","exactly":)"
              R"({"deviceClassName":"gpu.example.com"}}]}}})");
    std::vector<Value> pods = {pod(p, "s-kserve")};
    if (pods[0].is_null()) {
      const Value set = child(p, "LeaderWorkerSet", "s-kserve-mn");
      pods = {*set.find_path({"spec", "leaderWorkerTemplate", "leaderTemplate", "spec"}),
              *set.find_path({"spec", "leaderWorkerTemplate", "workerTemplate", "spec"})};
    }
    for (const Value& one : pods) {
      EXPECT_EQ(dump(*one.find("resourceClaims")),
                R"([{"name":"managed-device","resourceClaimTemplateName":"s-managed-dra"}])");
      EXPECT_EQ(dump(*container(one, "containers", "main").find_path({"resources", "claims"})),
                R"([{"name":"managed-device"}])");
    }
  }
  EXPECT_TRUE(child(planned("{}"), "ResourceClaimTemplate", "s-managed-dra").is_null());
}

// llmisvc:A25
TEST(Devices, GoToTheFirstContainerOrTheOneNamed) {
  const auto owner = [](std::string_view annotations) {
    const Value spec = pod(
        planned(with_devices(
            "{template: {containers: [{name: first}, {name: main}, {name: third}]}}", annotations)),
        "s-kserve");
    EXPECT_NE(spec.find("resourceClaims"), nullptr);
    std::string out;
    for (const Value& one : *spec.find("containers")->if_array()) {
      if (one.find_path({"resources", "claims"}) != nullptr) out += one.string_at({"name"});
    }
    return out;
  };
  EXPECT_EQ(owner(kClass), "first");
  EXPECT_EQ(owner("{serving.kserve.io/exp-dra-device-class: g.x, "
                  "serving.kserve.io/exp-dra-container-name: third}"),
            "third");
  // Validation has looked at the name without the blanks around it.
  EXPECT_EQ(owner("{serving.kserve.io/exp-dra-device-class: g.x, "
                  "serving.kserve.io/exp-dra-container-name: ' third '}"),
            "third");
  EXPECT_EQ(owner("{serving.kserve.io/exp-dra-device-class: g.x, "
                  "serving.kserve.io/exp-dra-container-name: nobody}"),
            "");
  EXPECT_THAT(warnings(planned(with_devices("{}",
                                            "{serving.kserve.io/exp-dra-device-class: g.x, "
                                            "serving.kserve.io/exp-dra-container-name: absent}"))),
              ElementsAre(HasSubstr("/spec/template has no container 'absent'")));
}

// llmisvc:A26
TEST(Devices, AreCountedAndSelected) {
  const auto exactly = [](std::string_view count) {
    ServiceView v = with_devices("{}", kClass);
    v.service["metadata"]["annotations"]["serving.kserve.io/exp-dra-device-count"] = count;
    v.service["metadata"]["annotations"]["serving.kserve.io/exp-dra-cel-selector"] =
        "a == 1\n\n b\n";
    const Value made = child(planned(v), "ResourceClaimTemplate", "s-managed-dra");
    return made.find_path({"spec", "spec", "devices", "requests"})->if_array()->front();
  };
  EXPECT_EQ(dump(*exactly("2").find("exactly")),
            R"({"deviceClassName":"gpu.example.com","count":2,"selectors":[{"cel":{"expression":)"
            R"("a == 1"}},{"cel":{"expression":"b"}}]})");
  EXPECT_EQ(exactly("1").find_path({"exactly", "count"}), nullptr);
}

// llmisvc:A28
TEST(Devices, WithAWrongCountAreRefused) {
  ServiceView v = with_devices("{}", kClass);
  v.service["metadata"]["annotations"]["serving.kserve.io/exp-dra-device-count"] = "many";
  EXPECT_THAT(refusal(v), HasSubstr("serving.kserve.io~1exp-dra-device-count"));
}

// llmisvc:A29
TEST(Devices, AreClaimedOnceBesideOtherClaims) {
  const Value spec =
      pod(planned(with_devices("{template: {resourceClaims: [{name: other}, {name: managed-device, "
                               "resourceClaimTemplateName: s-managed-dra}], containers: [{name: "
                               "main, resources: {claims: "
                               "[{name: other}, {name: managed-device}]}}]}}",
                               kClass)),
          "s-kserve");
  EXPECT_EQ(spec.find("resourceClaims")->if_array()->size(), 2U);
  EXPECT_EQ(dump(*container(spec, "containers", "main").find_path({"resources", "claims"})),
            R"([{"name":"other"},{"name":"managed-device"}])");
}

// ---- tracing ----

TEST(Tracing, ReachesEveryEngine) {
  const Plan p = planned(
      "{tracing: {samplerArg: '1'}, prefill: {template: {containers: [{name: main, args: "
      "[--otlp-traces-endpoint=http://mine], env: [{name: OTEL_SERVICE_NAME, value: mine}]}]}}}");
  const Value decode = main_of(p, "s-kserve");
  EXPECT_THAT(strings(decode, "args"),
              ElementsAre("--otlp-traces-endpoint", "http://otel-collector:4317",
                          "--collect-detailed-traces", "all"));
  const auto variable = [](const Value& main, std::string_view name) {
    const Value* entry = named(main.find("env"), name);
    return entry == nullptr ? "absent" : std::string(entry->string_at({"value"}));
  };
  EXPECT_EQ(variable(decode, "OTEL_SERVICE_NAME"), "inference-server-decode");
  EXPECT_EQ(variable(decode, "OTEL_EXPORTER_OTLP_ENDPOINT"), "http://otel-collector:4317");
  EXPECT_EQ(variable(decode, "OTEL_TRACES_EXPORTER"), "otlp");
  EXPECT_EQ(variable(decode, "OTEL_TRACES_SAMPLER"), "parentbased_traceidratio");
  EXPECT_EQ(variable(decode, "OTEL_TRACES_SAMPLER_ARG"), "1");
  EXPECT_EQ(variable(decode, "OTEL_RESOURCE_ATTRIBUTES"),
            "k8s.namespace.name=ns,k8s.node.name=$(OTEL_RESOURCE_ATTRIBUTES_NODE_NAME),"
            "k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),llmisvc.name=s");

  const Value prefill = main_of(p, "s-kserve-prefill");
  EXPECT_THAT(strings(prefill, "args"), ElementsAre("--otlp-traces-endpoint=http://mine",
                                                    "--collect-detailed-traces", "all"));
  EXPECT_EQ(variable(prefill, "OTEL_SERVICE_NAME"), "mine");

  EXPECT_EQ(main_of(planned("{}"), "s-kserve").find("args"), nullptr);
  EXPECT_EQ(variable(main_of(planned("{}"), "s-kserve"), "OTEL_SERVICE_NAME"), "absent");
}

// ---- revisions ----

std::string revision(const Plan& plan, std::string_view deployment) {
  return std::string(
      child(plan, "Deployment", deployment)
          .string_at({"spec", "template", "metadata", "labels", "baton.dev/revision"}));
}

TEST(Revision, IsSharedByPrefillAndDecodeAndChangesWithWhatTheyMustAgreeOn) {
  constexpr std::string_view kSpec =
      "{model: {uri: 'hf://a/b', name: m}, prefill: {template: {containers: [{name: main}]}}, "
      "template: {containers: [{name: main}]}}";
  const Plan base = planned(kSpec);
  const std::string first = revision(base, "s-kserve");
  EXPECT_THAT(first, ::testing::MatchesRegex("[0-9a-f]{10}"));
  EXPECT_EQ(revision(base, "s-kserve-prefill"), first);
  EXPECT_EQ(child(base, "Deployment", "s-kserve")
                .find_path({"spec", "selector", "matchLabels", "baton.dev/revision"}),
            nullptr);

  const auto changed = [&](std::initializer_list<std::string_view> path, const Value& to) {
    ServiceView v = view(kSpec);
    Value* at = v.service.find("spec");
    for (const std::string_view key : path) {
      at = at->is_array() ? &at->if_array()->front() : &(*at)[key];
    }
    *at = to;
    const Plan p = planned(v);
    EXPECT_EQ(revision(p, "s-kserve"), revision(p, "s-kserve-prefill"));
    return revision(p, "s-kserve") != first;
  };
  EXPECT_TRUE(changed({"model", "uri"}, "hf://a/c"));
  EXPECT_TRUE(changed({"template", "containers", "0", "image"}, "other"));
  EXPECT_TRUE(changed({"prefill", "template", "containers", "0", "image"}, "other"));
  EXPECT_TRUE(changed({"template", "containers", "0", "args"}, yaml("[--kv-cache-dtype, fp8]")));
  EXPECT_TRUE(changed({"template", "containers", "0", "args"}, yaml("[--block_size=32]")));
  EXPECT_TRUE(changed({"template", "containers", "0", "env"},
                      yaml("[{name: VLLM_KV_CACHE_LAYOUT, value: HND}]")));
  EXPECT_TRUE(changed({"template", "containers", "0", "env"},
                      yaml("[{name: VLLM_ADDITIONAL_ARGS, value: '--dtype float16'}]")));
  EXPECT_TRUE(changed({"prefill", "template", "containers", "0", "args"},
                      yaml(R"(["--kv-transfer-config={\"kv_connector\":\"P2pNcclConnector\"}"])")));

  EXPECT_FALSE(changed({"replicas"}, 3));
  EXPECT_FALSE(changed({"labels"}, yaml("{a: b}")));
  EXPECT_FALSE(changed({"parallelism"}, yaml("{tensor: 2}")));
  EXPECT_FALSE(changed({"kvCacheOffloading"}, yaml("{cpu: 1Gi}")));
  EXPECT_FALSE(changed({"template", "containers", "0", "args"}, yaml("[--max-num-seqs, '3']")));
}

}  // namespace
}  // namespace baton::plan
