// Engine pods: topologies, labels, accounts, storage, command lines.

#include <gmock/gmock.h>

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

std::string at(const Value& in, std::initializer_list<std::string_view> path) {
  const Value* found = in.find_path(path);
  return found == nullptr ? "" : dump(*found);
}

// A01
TEST(Workload, IsADeploymentWithTheModelAndAServiceBothOwnedByTheService) {
  ServiceView v = view("{baseRefs: [{name: base}]}");
  v.configs.push_back(config("base", "{template: {containers: [{name: main, image: x}]}}"));

  const Plan p = planned(v);

  const Value deployment = child(p, "Deployment", "s-kserve");
  EXPECT_EQ(main_of(p, "s-kserve").string_at({"image"}), "x");
  EXPECT_EQ(
      at(deployment, {"metadata", "ownerReferences"}),
      R"([{"apiVersion":"serving.kserve.io/v1alpha2","kind":"LLMInferenceService","name":"s",)"
      R"("uid":"u-1","controller":true,"blockOwnerDeletion":true}])");
  EXPECT_FALSE(child(p, "Service", "s-kserve-workload-svc").is_null());
  EXPECT_THAT(p.applied_configs,
              ElementsAre("Preset:kserve/kserve-config-llm-template", "UserRef:ns/base"));
}

// A02, A03, A15
TEST(Workload, KeepsTheLiveNumberOfReplicasUnlessTheSpecSaysOne) {
  ServiceView v = view("{}");
  v.children.push_back(yaml("{kind: Deployment, metadata: {name: s-kserve}, spec: {replicas: 3}}"));
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "3");

  v.service["spec"]["replicas"] = 2;
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "2");

  EXPECT_EQ(at(child(planned("{}"), "Deployment", "s-kserve"), {"spec", "replicas"}), "");
}

// A04, A06
TEST(Workload, HandsDownOnlyKnownLabelsAndAnnotations) {
  ServiceView v = view("{}");
  v.service["metadata"]["labels"] = yaml("{kueue.x-k8s.io/queue-name: q, mine: x}");
  v.service["metadata"]["annotations"] =
      yaml("{prometheus.io/scrape: 'true', kubectl.kubernetes.io/last-applied-configuration: z}");

  const Value d = child(planned(v), "Deployment", "s-kserve");

  EXPECT_EQ(d.string_at({"metadata", "labels", "kueue.x-k8s.io/queue-name"}), "q");
  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", "kueue.x-k8s.io/queue-name"}),
            "q");
  EXPECT_EQ(d.find_path({"spec", "template", "metadata", "labels", "mine"}), nullptr);
  EXPECT_EQ(at(d, {"spec", "template", "metadata", "annotations"}),
            R"({"prometheus.io/scrape":"true"})");
}

// A05, A07
TEST(Workload, PutsSpecLabelsOnPodsAndTheServiceButNeverIntoSelectors) {
  const Plan p = planned("{labels: {team: a}, annotations: {note: b}}");
  const Value d = child(p, "Deployment", "s-kserve");
  const Value s = child(p, "Service", "s-kserve-workload-svc");

  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", "team"}), "a");
  EXPECT_EQ(at(d, {"spec", "template", "metadata", "annotations"}), R"({"note":"b"})");
  EXPECT_EQ(
      at(d, {"spec", "selector", "matchLabels"}),
      R"({"app.kubernetes.io/component":"llminferenceservice-workload","app.kubernetes.io/name":"s",)"
      R"("app.kubernetes.io/part-of":"llminferenceservice","kserve.io/component":"workload"})");
  EXPECT_EQ(s.string_at({"metadata", "labels", "team"}), "a");
  EXPECT_EQ(s.find_path({"spec", "selector", "team"}), nullptr);
}

// The catch-all Service upstream can hit prefill pods.
TEST(Workload, ServiceNeverSelectsPrefillPods) {
  EXPECT_EQ(child(planned("{prefill: {}}"), "Service", "s-kserve-workload-svc")
                .string_at({"spec", "selector", "llm-d.ai/role"}),
            "decode");
  EXPECT_EQ(child(planned("{}"), "Service", "s-kserve-workload-svc")
                .string_at({"spec", "selector", "llm-d.ai/role"}),
            "both");
}

// A08, A13
TEST(Workload, OfSeveralPodsIsALeaderWorkerSet) {
  const Plan p = planned("{replicas: 2, worker: {}, parallelism: {data: 4, dataLocal: 2}}");
  const Value lws = child(p, "LeaderWorkerSet", "s-kserve-mn");

  EXPECT_TRUE(child(p, "Deployment", "s-kserve").is_null());
  EXPECT_EQ(at(lws, {"spec", "replicas"}), "2");
  EXPECT_EQ(at(lws, {"spec", "leaderWorkerTemplate", "size"}), "2");
  EXPECT_EQ(lws.string_at({"spec", "leaderWorkerTemplate", "leaderTemplate", "metadata", "labels",
                           "llm-d.ai/role"}),
            "both");
  EXPECT_EQ(lws.find_path({"spec", "leaderWorkerTemplate", "workerTemplate", "metadata", "labels",
                           "llm-d.ai/role"}),
            nullptr);
  EXPECT_EQ(lws.find_path({"spec", "leaderWorkerTemplate", "subGroupPolicy"}), nullptr);
  EXPECT_FALSE(child(p, "ServiceAccount", "s-kserve-mn").is_null());
}

// A09, A10
TEST(Workload, SplitOverSeveralPodsHasTwoSetsAndASidecarOnTheLeader) {
  const Plan p = planned(
      "{worker: {}, parallelism: {data: 4, dataLocal: 2}, prefill: {worker: {}, parallelism: "
      "{data: 2, dataLocal: 1}}}");
  const Value decode = child(p, "LeaderWorkerSet", "s-kserve-mn");
  const Value prefill = child(p, "LeaderWorkerSet", "s-kserve-mn-prefill");

  EXPECT_EQ(at(prefill, {"spec", "leaderWorkerTemplate", "subGroupPolicy"}),
            R"({"subGroupSize":2})");
  EXPECT_EQ(decode.find_path({"spec", "leaderWorkerTemplate", "subGroupPolicy"}), nullptr);
  const Value* leader =
      decode.find_path({"spec", "leaderWorkerTemplate", "leaderTemplate", "spec"});
  const Value* worker =
      decode.find_path({"spec", "leaderWorkerTemplate", "workerTemplate", "spec"});
  EXPECT_FALSE(container(*leader, "initContainers", "llm-d-routing-sidecar").is_null());
  EXPECT_TRUE(container(*worker, "initContainers", "llm-d-routing-sidecar").is_null());
  EXPECT_FALSE(child(p, "Role", "s-kserve-mn-role").is_null());
  EXPECT_FALSE(child(p, "RoleBinding", "s-kserve-mn-rb").is_null());
  EXPECT_THAT(strings(container(*worker, "containers", "main"), "command"),
              Contains("--data-parallel-start-rank=LWS_WORKER_INDEX*2"));
}

// Upstream ships no preset for it.
TEST(Workload, SplitsALargeModelByPipelineStages) {
  const Plan p = planned("{worker: {}, parallelism: {pipeline: 2, tensor: 4}}");
  const Value lws = child(p, "LeaderWorkerSet", "s-kserve-mn");

  EXPECT_EQ(at(lws, {"spec", "leaderWorkerTemplate", "size"}), "2");
  const Value* worker = lws.find_path({"spec", "leaderWorkerTemplate", "workerTemplate", "spec"});
  const auto command = strings(container(*worker, "containers", "main"), "command");
  EXPECT_THAT(command, Contains("--pipeline-parallel-size=2"));
  EXPECT_THAT(command, Contains("--tensor-parallel-size=4"));
  EXPECT_THAT(command, Contains("--headless"));
}

// A17, A18
TEST(Workload, RollsOutAsTold) {
  EXPECT_EQ(at(child(planned("{}"), "Deployment", "s-kserve"), {"spec", "strategy"}), "");
  EXPECT_EQ(
      at(child(planned("{rolloutStrategy: {}}"), "Deployment", "s-kserve"), {"spec", "strategy"}),
      "");
  EXPECT_EQ(at(child(planned("{rolloutStrategy: {maxSurge: 50%}}"), "Deployment", "s-kserve"),
               {"spec", "strategy"}),
            R"({"type":"RollingUpdate","rollingUpdate":{"maxSurge":"50%"}})");
  EXPECT_EQ(
      at(child(
             planned(
                 "{worker: {}, parallelism: {pipeline: 2}, rolloutStrategy: {maxUnavailable: 2}}"),
             "LeaderWorkerSet", "s-kserve-mn"),
         {"spec", "rolloutStrategy"}),
      R"({"type":"RollingUpdate","rollingUpdateConfiguration":{"maxUnavailable":2,"maxSurge":0}})");
}

// A20, A21, A22
TEST(Workload, UsesTheAccountTheUserNamesAndMakesOneForTheSidecarOtherwise) {
  const Plan own = planned("{prefill: {}, template: {serviceAccountName: mine}}");
  EXPECT_TRUE(child(own, "ServiceAccount", "s-kserve").is_null());
  EXPECT_EQ(pod(own, "s-kserve").string_at({"serviceAccountName"}), "mine");
  EXPECT_EQ(at(child(own, "RoleBinding", "s-kserve-rb"), {"subjects"}),
            R"([{"kind":"ServiceAccount","name":"mine","namespace":"ns"}])");

  const Plan split = planned("{prefill: {}}");
  EXPECT_EQ(pod(split, "s-kserve").string_at({"serviceAccountName"}), "s-kserve");

  const Plan plain = planned("{}");
  EXPECT_TRUE(child(plain, "ServiceAccount", "s-kserve").is_null());
  EXPECT_TRUE(child(plain, "Role", "s-kserve-role").is_null());
}

// B31
TEST(Command, CarriesTheTensorParallelSize) {
  const Plan p = planned("{parallelism: {tensor: 4}, prefill: {parallelism: {tensor: 2}}}");
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"), Contains("--tensor-parallel-size=4"));
  EXPECT_THAT(strings(main_of(p, "s-kserve-prefill"), "command"),
              Contains("--tensor-parallel-size=2"));
  EXPECT_THAT(strings(main_of(planned("{}"), "s-kserve"), "command"),
              Not(Contains(HasSubstr("tensor-parallel"))));
}

// Upstream's presets let P/D run without any transfer of KV.
TEST(Command, NamesTheConnectorOfEachRole) {
  const Plan p = planned("{prefill: {}}");
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "command"),
      Contains(R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_consumer"})"));
  EXPECT_THAT(
      strings(main_of(p, "s-kserve-prefill"), "command"),
      Contains(R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_producer"})"));
  EXPECT_EQ(
      at(main_of(p, "s-kserve-prefill"), {"env"}).substr(0, 94),
      R"([{"name":"VLLM_NIXL_SIDE_CHANNEL_HOST","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},)");
  EXPECT_THAT(strings(main_of(planned("{}"), "s-kserve"), "command"),
              Not(Contains(StartsWith("--kv-transfer-config"))));
}

TEST(Command, LeavesTheConnectorToTheUser) {
  const Plan by_args = planned(
      "{prefill: {template: {containers: [{name: main, args: [--kv_transfer_config, x]}]}}}");
  EXPECT_THAT(strings(main_of(by_args, "s-kserve-prefill"), "command"),
              Not(Contains(StartsWith("--kv-transfer"))));
  EXPECT_THAT(strings(main_of(by_args, "s-kserve-prefill"), "args"),
              ElementsAre("--kv_transfer_config", "x"));

  const Plan by_env = planned(
      "{prefill: {}, template: {containers: [{name: main, env: [{name: VLLM_ADDITIONAL_ARGS, "
      "value: "
      "'--kv-transfer-config x'}]}]}}");
  EXPECT_THAT(strings(main_of(by_env, "s-kserve"), "command"),
              Not(Contains(StartsWith("--kv-transfer"))));
}

// Seed example 2: the configs replace the preset's command and forget the model and the connector.
TEST(Command, ThatReplacesThePresetsGetsWhatItForgot) {
  const Plan p = planned(
      "{prefill: {parallelism: {tensor: 4}, template: {containers: [{name: main, command: [vllm, "
      "serve, '{{ "
      ".Spec.Model.Name }}']}]}}, template: {containers: [{name: main, command: [vllm, serve], "
      "args: [--port=8001]}]}}");

  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"),
              ElementsAre("vllm", "serve", "/mnt/models"));
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "args"),
      ElementsAre(
          "--port=8001", "--served-model-name", "m", "publishers/ns/models/m",
          R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_consumer"})"));
  EXPECT_THAT(strings(main_of(p, "s-kserve-prefill"), "command"),
              ElementsAre("vllm", "serve", "/mnt/models"));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("`vllm serve` names no model: /mnt/models added")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("'m' is the served name, not a place")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("NixlConnector added")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("/spec/prefill/parallelism/tensor: has no effect")));
}

// The decode fragment of the description: the engine would take the sidecar's port.
TEST(Command, StaysBehindTheSidecar) {
  const Plan silent =
      planned("{prefill: {}, template: {containers: [{name: main, command: [vllm, serve]}]}}");
  EXPECT_THAT(strings(main_of(silent, "s-kserve"), "args"), Contains("--port=8001"));

  const Plan wrong = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [vllm, serve], args: [--port, "
      "'8000']}]}}");
  EXPECT_THAT(warnings(wrong),
              Contains(HasSubstr("listens on 8000, but port 8001 of the pod is what is asked")));
}

TEST(Command, OfAnotherProgramIsLeftAloneWithAWarning) {
  const Plan p = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [python3, serve.py]}]}}");
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"), ElementsAre("python3", "serve.py"));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("prefill results would never reach decode")));

  const Plan plain = planned(
      "{template: {containers: [{name: main, command: [vllm, serve, /my/model, "
      "--served_model_name=m]}]}}");
  EXPECT_THAT(strings(main_of(plain, "s-kserve"), "command"),
              ElementsAre("vllm", "serve", "/my/model", "--served_model_name=m"));
  EXPECT_THAT(warnings(plain), IsEmpty());
}

TEST(Sidecar, FallsBackWhenPrefillFailsAndKnowsItsPool) {
  const Value sidecar = container(pod(planned("{prefill: {}, router: {}}"), "s-kserve"),
                                  "initContainers", "llm-d-routing-sidecar");

  EXPECT_EQ(sidecar.string_at({"restartPolicy"}), "Always");
  EXPECT_EQ(named(sidecar.find("env"), "BATON_PREFILL_FAILURE_POLICY")->string_at({"value"}),
            "fallback");
  EXPECT_EQ(named(sidecar.find("env"), "INFERENCE_POOL_NAME")->string_at({"value"}),
            "s-inference-pool");
  EXPECT_THAT(strings(sidecar, "command"), Contains("--inference-pool=ns/s-inference-pool"));
}

// B24, H14
TEST(Tls, TurnsOnFlagsProbesVolumesAndTheWishForACertificate) {
  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  const Plan off = planned(v);
  v.settings.enable_tls = true;
  const Plan on = planned(v);

  EXPECT_THAT(strings(main_of(on, "s-kserve"), "command"),
              Contains("--ssl-keyfile=/var/run/kserve/tls/tls.key"));
  EXPECT_EQ(main_of(on, "s-kserve").string_at({"livenessProbe", "httpGet", "scheme"}), "HTTPS");
  EXPECT_THAT(
      strings(container(pod(on, "s-kserve"), "initContainers", "llm-d-routing-sidecar"), "command"),
      Contains("--enable-tls=prefiller"));
  EXPECT_THAT(strings(main_of(on, "s-kserve-router-scheduler"), "command"),
              Contains("--secure-serving=true"));
  EXPECT_EQ(child(on, "Service", "s-kserve-workload-svc")
                .find_path({"spec", "ports"})
                ->if_array()
                ->front()
                .string_at({"name"}),
            "https");
  ASSERT_EQ(on.wishes.size(), 1U);
  EXPECT_EQ(on.wishes[0].name, "s-kserve-self-signed-certs");
  EXPECT_THAT(on.wishes[0].dns_names, Contains("s-epp-service.ns.svc.cluster.local"));
  EXPECT_NE(named(pod(on, "s-kserve").find("volumes"), "tls-certs"), nullptr);

  EXPECT_TRUE(off.wishes.empty());
  EXPECT_EQ(main_of(off, "s-kserve").string_at({"livenessProbe", "httpGet", "scheme"}), "HTTP");
  EXPECT_EQ(named(pod(off, "s-kserve").find("volumes"), "tls-certs"), nullptr);
  EXPECT_THAT(strings(main_of(off, "s-kserve"), "command"), Not(Contains(HasSubstr("ssl"))));
  EXPECT_THAT(strings(main_of(off, "s-kserve-router-scheduler"), "command"), Not(Contains("")));
}

// H01
TEST(Storage, MountsAClaimReadOnly) {
  const Plan p = planned("{model: {uri: 'pvc://claim/a/b', name: m}}");
  const Value main = main_of(p, "s-kserve");

  EXPECT_EQ(
      dump(main.find("volumeMounts")->if_array()->back()),
      R"({"mountPath":"/mnt/models","name":"kserve-pvc-source","readOnly":true,"subPath":"a/b"})");
  EXPECT_EQ(pod(p, "s-kserve").find("initContainers"), nullptr);
}

// H03. baton:// and file:// are fetched the same way: by the node that runs the pod.
TEST(Storage, FetchesIntoASharedFolderBeforeTheEngineStarts) {
  for (const std::string uri : {"hf://a/b", "s3://a/b", "baton://storyteller", "file:///srv/m"}) {
    const Plan p = planned("{model: {uri: '" + uri + "', name: m}}");
    const Value init = container(pod(p, "s-kserve"), "initContainers", "storage-initializer");
    EXPECT_THAT(strings(init, "args"), ElementsAre(uri, "/mnt/models"));
    EXPECT_EQ(dump(*init.find("volumeMounts")),
              R"([{"mountPath":"/mnt/models","name":"kserve-provision-location"}])");
    EXPECT_EQ(dump(main_of(p, "s-kserve").find("volumeMounts")->if_array()->back()),
              R"({"mountPath":"/mnt/models","name":"kserve-provision-location","readOnly":true})");
  }
}

TEST(Storage, RefusesOtherSchemes) {
  EXPECT_THAT(refusal(view("{model: {uri: 'ftp://a', name: m}}")),
              HasSubstr("/spec/model/uri: unsupported scheme 'ftp'"));
  EXPECT_THAT(refusal(view("{model: {uri: models, name: m}}")),
              HasSubstr("/spec/model/uri: expected scheme://"));
}

// H02
TEST(Storage, MountsAnImageOrStandsOneBesideTheEngine) {
  const Plan native = planned("{model: {uri: 'oci+native://reg/m:1', name: m}}");
  EXPECT_EQ(
      at(*named(pod(native, "s-kserve").find("volumes"), "mnt-models"), {"image", "reference"}),
      "\"reg/m:1\"");

  const Plan car = planned("{model: {uri: 'oci://reg/m:1', name: m}}");
  EXPECT_EQ(container(pod(car, "s-kserve"), "containers", "modelcar").string_at({"image"}),
            "reg/m:1");
  EXPECT_EQ(at(pod(car, "s-kserve"), {"shareProcessNamespace"}), "true");
}

// H05
TEST(Storage, StaysAwayWhenTheInitializerIsDisabled) {
  const Plan p = planned("{storageInitializer: {enabled: false}}");
  EXPECT_EQ(pod(p, "s-kserve").find("initContainers"), nullptr);
  EXPECT_EQ(named(pod(p, "s-kserve").find("volumes"), "kserve-provision-location"), nullptr);
}

// H06
TEST(Storage, TakesOverWhatTheUserSaysOfTheInitializerExceptWhatItRuns) {
  const Plan p = planned(
      "{template: {initContainers: [{name: storage-initializer, image: mine, args: [x], env: "
      "[{name: A, value: b}]}]}}");
  const Value init = container(pod(p, "s-kserve"), "initContainers", "storage-initializer");

  EXPECT_EQ(init.string_at({"image"}), "mine");
  EXPECT_THAT(strings(init, "args"), ElementsAre("hf://a/b", "/mnt/models"));
  EXPECT_NE(named(init.find("env"), "A"), nullptr);
  EXPECT_NE(named(init.find("env"), "HF_HUB_ENABLE_HF_TRANSFER"), nullptr);
  EXPECT_THAT(warnings(p),
              Contains(HasSubstr("the command and args of storage-initializer have no effect")));
}

// H10
TEST(Storage, TellsTheInitializerOfConfidentialModels) {
  const Plan p = planned(
      "{model: {uri: 'hf://a/b', name: m, confidential: {enabled: true, resourceId: "
      "'kbs:///a/b/c'}}}");
  const Value init = container(pod(p, "s-kserve"), "initContainers", "storage-initializer");
  EXPECT_EQ(named(init.find("env"), "CONFIDENTIAL_RESOURCE_ID")->string_at({"value"}),
            "kbs:///a/b/c");
}

// H13
TEST(Storage, GivesEachTierOfOffloadedKvItsVolume) {
  const Plan p = planned(
      "{kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {emptyDir: {size: 5Gi}}}, "
      "{fileSystem: {pvc: {ref: "
      "{name: c, path: d}}}}, {fileSystem: {pvc: {spec: {storageClassName: x}}}}]}}");
  const Value spec = pod(p, "s-kserve");

  EXPECT_EQ(at(*named(spec.find("volumes"), "kv-cache-secondary-0"), {"emptyDir"}),
            R"({"sizeLimit":"5Gi"})");
  EXPECT_EQ(at(*named(spec.find("volumes"), "kv-cache-secondary-1"), {"persistentVolumeClaim"}),
            R"({"claimName":"c"})");
  EXPECT_EQ(at(*named(spec.find("volumes"), "kv-cache-secondary-2"),
               {"ephemeral", "volumeClaimTemplate", "spec"}),
            R"({"storageClassName":"x"})");
  EXPECT_EQ(at(main_of(p, "s-kserve"), {"resources", "requests"}),
            R"({"ephemeral-storage":"5Gi"})");
}

// A14
TEST(Workload, GivesWorkersTheLabelsWhenThereIsNoLeader) {
  ServiceView v =
      view("{worker: {containers: [{name: main, image: x}]}, parallelism: {pipeline: 2}}");
  v.configs.push_back(config("kserve-config-llm-worker-pipeline-parallel",
                             "{worker: {containers: [{name: main}]}}"));

  const Value lws = child(planned(v), "LeaderWorkerSet", "s-kserve-mn");

  EXPECT_EQ(lws.find_path({"spec", "leaderWorkerTemplate", "leaderTemplate"}), nullptr);
  EXPECT_EQ(lws.string_at({"spec", "leaderWorkerTemplate", "workerTemplate", "metadata", "labels",
                           "llm-d.ai/role"}),
            "both");
}

TEST(UselessFields, AreWarnedOf) {
  EXPECT_THAT(
      warnings(
          planned("{parallelism: {pipeline: 2}, prefill: {parallelism: {data: 2, dataLocal: 1}}}")),
      ElementsAre(
          "/spec/parallelism/pipeline: has no effect without /spec/worker",
          "/spec/prefill/parallelism/data: has no effect without /spec/prefill/worker",
          "/spec/prefill/parallelism/dataLocal: has no effect without /spec/prefill/worker"));
  ServiceView emulated = view("{parallelism: {pipeline: 2}}");
  emulated.settings.emulate_accelerators = true;
  EXPECT_THAT(warnings(planned(emulated)), IsEmpty());
  // Seed example 3 and the disaggregated one.
  EXPECT_THAT(
      warnings(planned("{router: {scheduler: {pool: {}}}}")),
      ElementsAre(HasSubstr(
          "/spec/router/scheduler: without /spec/router/route no gateway asks the picker")));
  EXPECT_THAT(
      warnings(planned("{router: {ingress: {refs: [{name: a}]}, gateway: {refs: [{name: g}]}}}")),
      ElementsAre(HasSubstr("/spec/router/ingress/refs: "),
                  HasSubstr("/spec/router/gateway/refs: ")));
  EXPECT_THAT(warnings(planned("{tracing: {}, replica: 2}")),
              ElementsAre(HasSubstr("/spec/replica: unknown field"), HasSubstr("/spec/tracing: ")));
  ServiceView device = view("{}");
  device.service["metadata"]["annotations"] = yaml("{serving.kserve.io/exp-dra-device-class: a.b}");
  EXPECT_THAT(warnings(planned(device)),
              ElementsAre(HasSubstr("exp-dra-device-class: has no effect")));
}

TEST(Stopped, LeavesNothing) {
  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  v.service["metadata"]["annotations"] = yaml("{serving.kserve.io/stop: 'True'}");
  const Plan p = planned(v);
  EXPECT_TRUE(p.children.empty());
  EXPECT_FALSE(p.applied_configs.empty());
}

}  // namespace
}  // namespace baton::plan
