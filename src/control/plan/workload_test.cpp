// Engine pods: topologies, labels, accounts, command lines.

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

// llmisvc:A01
TEST(Workload, IsADeploymentWithTheModelAndAServiceBothOwnedByTheService) {
  ServiceView v = view("{baseRefs: [{name: base}]}");
  v.configs.push_back(config("base", "{template: {containers: [{name: main, image: x}]}}"));

  const Plan p = planned(v);

  const Value deployment = child(p, "Deployment", "s-kserve");
  EXPECT_EQ(main_of(p, "s-kserve").string_at({"image"}), "x");
  EXPECT_EQ(
      main_of(p, "s-kserve").find("volumeMounts")->if_array()->back().string_at({"mountPath"}),
      "/mnt/models");
  EXPECT_EQ(
      at(deployment, {"metadata", "ownerReferences"}),
      R"([{"apiVersion":"serving.kserve.io/v1alpha2","kind":"LLMInferenceService","name":"s",)"
      R"("uid":"u-1","controller":true,"blockOwnerDeletion":true}])");
  EXPECT_FALSE(child(p, "Service", "s-kserve-workload-svc").is_null());
  EXPECT_THAT(p.applied_configs,
              ElementsAre("Preset:kserve/kserve-config-llm-template", "UserRef:ns/base"));
}

// llmisvc:A02 llmisvc:A03 llmisvc:A15
TEST(Workload, KeepsTheLiveNumberOfReplicasUnlessTheSpecSaysOne) {
  ServiceView v = view("{}");
  v.children.push_back(yaml("{kind: Deployment, metadata: {name: s-kserve}, spec: {replicas: 3}}"));
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "3");

  v.service["spec"]["replicas"] = 2;
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "2");

  EXPECT_EQ(at(child(planned("{}"), "Deployment", "s-kserve"), {"spec", "replicas"}), "");

  ServiceView group = view("{worker: {}, parallelism: {pipeline: 2}}");
  group.children.push_back(
      yaml("{kind: LeaderWorkerSet, metadata: {name: s-kserve-mn}, spec: {replicas: 3}}"));
  EXPECT_EQ(at(child(planned(group), "LeaderWorkerSet", "s-kserve-mn"), {"spec", "replicas"}), "3");
  group.service["spec"]["replicas"] = 2;
  EXPECT_EQ(at(child(planned(group), "LeaderWorkerSet", "s-kserve-mn"), {"spec", "replicas"}), "2");
}

// llmisvc:A04 llmisvc:A06
TEST(Workload, HandsDownOnlyKnownLabelsAndAnnotations) {
  ServiceView v = view("{}");
  v.service["metadata"]["labels"] = yaml("{kueue.x-k8s.io/queue-name: q, mine: x}");
  v.service["metadata"]["annotations"] = yaml(
      "{prometheus.io/scrape: 'true', kueue.x-k8s.io/a: b, internal.serving.kserve.io/c: d, "
      "kubectl.kubernetes.io/last-applied-configuration: z}");

  const Value d = child(planned(v), "Deployment", "s-kserve");

  for (const Value* metadata :
       {d.find("metadata"), d.find_path({"spec", "template", "metadata"})}) {
    EXPECT_EQ(metadata->string_at({"labels", "kueue.x-k8s.io/queue-name"}), "q");
    EXPECT_EQ(metadata->find_path({"labels", "mine"}), nullptr);
    EXPECT_EQ(*metadata->find("annotations"),
              yaml("{prometheus.io/scrape: 'true', kueue.x-k8s.io/a: b}"));
  }
}

// llmisvc:A05
TEST(Workload, KeepsTheModelRoutingAnnotationAwayFromPods) {
  constexpr std::string_view kKey = "serving.kserve.io/model-based-routing-enabled";
  const Plan one = planned("{annotations: {note: b}}");
  EXPECT_EQ(one.merged.string_at({"spec", "annotations", kKey}), "true");
  EXPECT_EQ(
      at(child(one, "Deployment", "s-kserve"), {"spec", "template", "metadata", "annotations"}),
      R"({"note":"b"})");
  const Plan many = planned("{annotations: {note: b}, worker: {}, parallelism: {pipeline: 2}}");
  for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
    EXPECT_EQ(at(child(many, "LeaderWorkerSet", "s-kserve-mn"),
                 {"spec", "leaderWorkerTemplate", place, "metadata", "annotations"}),
              R"({"note":"b"})");
  }
}

// llmisvc:A07
TEST(Workload, PutsSpecLabelsOnPodsAndTheServiceButNeverIntoSelectors) {
  const Plan p = planned("{labels: {team: a}, annotations: {note: b}}");
  const Value d = child(p, "Deployment", "s-kserve");
  const Value s = child(p, "Service", "s-kserve-workload-svc");

  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", "team"}), "a");
  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "annotations", "note"}), "b");
  EXPECT_EQ(
      at(d, {"spec", "selector", "matchLabels"}),
      R"({"app.kubernetes.io/component":"llminferenceservice-workload","app.kubernetes.io/name":"s",)"
      R"("app.kubernetes.io/part-of":"llminferenceservice","kserve.io/component":"workload"})");
  EXPECT_EQ(s.string_at({"metadata", "labels", "team"}), "a");
  EXPECT_EQ(s.string_at({"metadata", "annotations", "note"}), "b");
  EXPECT_EQ(
      *s.find_path({"spec", "selector"}),
      *child(planned("{}"), "Service", "s-kserve-workload-svc").find_path({"spec", "selector"}));
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

// llmisvc:A08 llmisvc:A13
TEST(Workload, OfSeveralPodsIsALeaderWorkerSet) {
  const Plan p = planned("{replicas: 2, worker: {}, parallelism: {data: 4, dataLocal: 2}}");
  const Value lws = child(p, "LeaderWorkerSet", "s-kserve-mn");

  EXPECT_TRUE(child(p, "Deployment", "s-kserve").is_null());
  EXPECT_EQ(at(lws, {"spec", "replicas"}), "2");
  EXPECT_EQ(at(lws, {"spec", "leaderWorkerTemplate", "size"}), "2");
  EXPECT_EQ(lws.string_at({"spec", "leaderWorkerTemplate", "leaderTemplate", "metadata", "labels",
                           "llm-d.ai/role"}),
            "both");
  for (const std::string_view key : {"llm-d.ai/role", "kserve.io/component"}) {
    EXPECT_NE(lws.find_path(
                  {"spec", "leaderWorkerTemplate", "leaderTemplate", "metadata", "labels", key}),
              nullptr);
    EXPECT_EQ(lws.find_path(
                  {"spec", "leaderWorkerTemplate", "workerTemplate", "metadata", "labels", key}),
              nullptr);
  }
  EXPECT_EQ(lws.find_path({"spec", "leaderWorkerTemplate", "subGroupPolicy"}), nullptr);
  EXPECT_FALSE(child(p, "ServiceAccount", "s-kserve-mn").is_null());
}

// llmisvc:A09 llmisvc:A10
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
  EXPECT_FALSE(child(p, "ServiceAccount", "s-kserve-mn").is_null());
  EXPECT_EQ(*child(p, "Role", "s-kserve-mn-role").find("rules"),
            yaml("[{apiGroups: [''], resources: [pods], verbs: [get, list, watch]}, {apiGroups: "
                 "[inference.networking.k8s.io, inference.networking.x-k8s.io], resources: "
                 "[inferencepools], verbs: [get, list, watch]}]"));
  EXPECT_EQ(child(p, "RoleBinding", "s-kserve-mn-rb").string_at({"roleRef", "name"}),
            "s-kserve-mn-role");
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

// llmisvc:A17 llmisvc:A18
TEST(Workload, RollsOutAsTold) {
  const auto strategy = [](std::string_view rollout) {
    const Plan p = planned("{" + std::string(rollout) + "}");
    return at(child(p, "Deployment", "s-kserve"), {"spec", "strategy"});
  };
  EXPECT_EQ(strategy(""), "");
  EXPECT_EQ(strategy("rolloutStrategy: {}"), "");
  EXPECT_EQ(strategy("rolloutStrategy: {maxSurge: 50%}"),
            R"({"type":"RollingUpdate","rollingUpdate":{"maxSurge":"50%"}})");
  EXPECT_EQ(strategy("rolloutStrategy: {maxUnavailable: 1}"),
            R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1}})");
  EXPECT_EQ(strategy("rolloutStrategy: {maxUnavailable: 0, maxSurge: 2}"),
            R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":0,"maxSurge":2}})");

  const auto rolling = [](std::string_view rollout) {
    const Plan p =
        planned("{worker: {}, parallelism: {pipeline: 2}, " + std::string(rollout) + "}");
    return at(child(p, "LeaderWorkerSet", "s-kserve-mn"), {"spec", "rolloutStrategy"});
  };
  EXPECT_EQ(rolling("replicas: 1"), R"({"type":"RollingUpdate"})");
  EXPECT_EQ(rolling("rolloutStrategy: {}"), R"({"type":"RollingUpdate"})");
  EXPECT_EQ(
      rolling("rolloutStrategy: {maxUnavailable: 2}"),
      R"({"type":"RollingUpdate","rollingUpdateConfiguration":{"maxUnavailable":2,"maxSurge":0}})");
  EXPECT_EQ(
      rolling("rolloutStrategy: {maxSurge: 1}"),
      R"({"type":"RollingUpdate","rollingUpdateConfiguration":{"maxUnavailable":1,"maxSurge":1}})");
}

// llmisvc:A20 llmisvc:A21
TEST(Accounts, AreTheUsersWhereOneIsNamed) {
  const Plan own = planned("{prefill: {}, template: {serviceAccountName: mine}}");
  EXPECT_TRUE(child(own, "ServiceAccount", "s-kserve").is_null());
  EXPECT_EQ(pod(own, "s-kserve").string_at({"serviceAccountName"}), "mine");
  EXPECT_FALSE(child(own, "Role", "s-kserve-role").is_null());
  EXPECT_EQ(at(child(own, "RoleBinding", "s-kserve-rb"), {"subjects"}),
            R"([{"kind":"ServiceAccount","name":"mine","namespace":"ns"}])");

  const Plan split = planned("{prefill: {}}");
  EXPECT_FALSE(child(split, "ServiceAccount", "s-kserve").is_null());
  EXPECT_EQ(pod(split, "s-kserve").string_at({"serviceAccountName"}), "s-kserve");
  EXPECT_EQ(pod(split, "s-kserve-prefill").find("serviceAccountName"), nullptr);

  const Plan plain = planned("{}");
  EXPECT_TRUE(child(plain, "ServiceAccount", "s-kserve").is_null());
  EXPECT_TRUE(child(plain, "Role", "s-kserve-role").is_null());

  const Plan group = planned(
      "{worker: {serviceAccountName: workers}, template: {serviceAccountName: leaders}, "
      "parallelism: {pipeline: 2}}");
  EXPECT_TRUE(child(group, "ServiceAccount", "s-kserve-mn").is_null());
  for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
    EXPECT_EQ(child(group, "LeaderWorkerSet", "s-kserve-mn")
                  .string_at({"spec", "leaderWorkerTemplate", place, "spec", "serviceAccountName"}),
              "leaders");
  }
  EXPECT_THAT(warnings(group), Contains(HasSubstr("workers run as leaders")));
}

// llmisvc:A19
TEST(Accounts, OfOursHaveThePullSecretsOfTheDefaultOne) {
  ServiceView v = view(
      "{worker: {}, parallelism: {pipeline: 2}, prefill: {worker: {}, parallelism: {pipeline: "
      "2}}}");
  ServiceView single = view("{prefill: {}}");
  v.accounts = {
      yaml("{metadata: {name: default, namespace: ns}, imagePullSecrets: [{name: pull}], "
           "secrets: [{name: hub}]}")};
  v.secrets = {yaml("{metadata: {name: hub, namespace: ns}, data: {}}")};
  single.accounts = v.accounts;
  single.secrets = v.secrets;
  for (const auto& [seen, name] :
       {std::pair(&v, "s-kserve-mn"), std::pair(&v, "s-kserve-mn-prefill"),
        std::pair(&single, "s-kserve")}) {
    const Value made = child(planned(*seen), "ServiceAccount", name);
    EXPECT_EQ(at(made, {"imagePullSecrets"}), R"([{"name":"pull"}])") << name;
    EXPECT_EQ(at(made, {"secrets"}), R"([{"name":"hub"}])") << name;
  }
  single.accounts = {yaml("{metadata: {name: default, namespace: ns}}")};
  EXPECT_EQ(child(planned(single), "ServiceAccount", "s-kserve").find("imagePullSecrets"), nullptr);
}

// llmisvc:A23
TEST(Accounts, ThatAreNotThereAreAnErrorOfTheirWorkload) {
  const auto failure = [](std::string_view spec) {
    ServiceView v = view(spec);
    v.accounts.emplace();
    const Attempt tried = attempt(v);
    return tried.failure
               ? std::string(reason(tried.failure->stage)) + ": " + tried.failure->error.message()
               : "";
  };
  EXPECT_THAT(failure("{template: {serviceAccountName: gone}}"),
              StartsWith("ReconcileSingleNodeWorkloadError: "
                         "/spec/template/serviceAccountName: failed to fetch existing "
                         "ServiceAccount ns/gone"));
  EXPECT_THAT(failure("{prefill: {template: {serviceAccountName: gone}}}"),
              HasSubstr("/spec/prefill/template/serviceAccountName: "));
  EXPECT_THAT(failure("{worker: {serviceAccountName: gone}, parallelism: {pipeline: 2}}"),
              StartsWith("ReconcileMultiNodeWorkloadError: /spec/worker/serviceAccountName: "));
  EXPECT_EQ(failure("{prefill: {}}"), "");
  // Nobody to ask.
  EXPECT_EQ(refusal(view("{template: {serviceAccountName: gone}}")), "accepted");
}

// llmisvc:B31
TEST(Command, CarriesTheTensorParallelSize) {
  const Plan p = planned("{parallelism: {tensor: 4}, prefill: {parallelism: {tensor: 2}}}");
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"), Contains("--tensor-parallel-size=4"));
  EXPECT_THAT(strings(main_of(p, "s-kserve-prefill"), "command"),
              Contains("--tensor-parallel-size=2"));
  EXPECT_THAT(strings(main_of(planned("{parallelism: {tensor: 4}}"), "s-kserve"), "command"),
              Contains("--tensor-parallel-size=4"));
  const Plan none = planned("{prefill: {}}");
  for (const Value& main : {main_of(planned("{}"), "s-kserve"), main_of(none, "s-kserve"),
                            main_of(none, "s-kserve-prefill")}) {
    EXPECT_THAT(strings(main, "command"), Not(Contains(HasSubstr("tensor-parallel"))));
  }
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

TEST(Command, ThatReplacesThePresetsGetsTheOffloadingConnectorToo) {
  const Plan p = planned(
      "{kvCacheOffloading: {cpu: 1k}, template: {containers: [{name: main, command: [vllm, "
      "serve]}]}}");
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "args"),
      Contains(StartsWith(R"(--kv-transfer-config={"kv_connector":"OffloadingConnector")")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("OffloadingConnector added")));

  const Plan own = planned(
      "{kvCacheOffloading: {cpu: 1k}, template: {containers: [{name: main, args: "
      "[--kv-transfer-config, x]}]}}");
  EXPECT_THAT(warnings(own), ElementsAre(HasSubstr("/spec/kvCacheOffloading: has no effect")));
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

// llmisvc:B24
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

// llmisvc:A14
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
              ElementsAre(HasSubstr("/spec/replica: unknown field")));
  EXPECT_THAT(
      warnings(planned("{model: {uri: 'hf://a/b', name: m, lora: {maxRank: 8}, confidential: "
                       "{enabled: false, resourceId: 'kbs:///a/b/c'}}}")),
      ElementsAre(HasSubstr("/spec/model/lora/maxRank: "),
                  HasSubstr("/spec/model/confidential/resourceId: ")));
  EXPECT_THAT(
      warnings(planned("{model: {uri: 'hf://a/b', name: m, lora: {adapters: [{name: x, uri: "
                       "'hf://c/d'}]}, confidential: {enabled: true}}}")),
      ElementsAre(HasSubstr("/spec/model/confidential: ")));
  EXPECT_THAT(warnings(planned("{template: {containers: [{name: other}]}}")), IsEmpty());
  ServiceView bare = view("{template: {containers: [{name: other}]}}");
  bare.configs.push_back(config("kserve-config-llm-template", "{labels: {a: b}}"));
  EXPECT_THAT(warnings(planned(bare)), ElementsAre(HasSubstr("has no container 'main'")));
}

TEST(Stopped, LeavesNothing) {
  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  v.service["metadata"]["annotations"] = yaml("{serving.kserve.io/stop: 'True'}");
  const Plan p = planned(v);
  EXPECT_TRUE(p.children.empty());
  EXPECT_FALSE(p.applied_configs.empty());
}

TEST(Workload, LimitsDevicesThatAreOnlyRequested) {
  const Plan made = planned(
      "template: {containers: [{name: main, resources: {requests: {nvidia.com/gpu: '4', cpu: "
      "2}}}]}");
  const Value deployment = child(made, "Deployment", "s-kserve");
  const Value& containers = *deployment.find_path({"spec", "template", "spec", "containers"});
  const Value& main = *named(&containers, "main");
  EXPECT_EQ(main.string_at({"resources", "limits", "nvidia.com/gpu"}), "4");
  EXPECT_EQ(get(main, {"resources", "limits", "cpu"}), nullptr);
}

}  // namespace
}  // namespace baton::plan
