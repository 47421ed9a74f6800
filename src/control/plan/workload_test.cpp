// Engine pods: topologies, labels, rollouts.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "control/plan/labels.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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
TEST(Workload, LeavesReplicasOpenUnlessTheSpecSaysThem) {
  ServiceView v = view("{}");
  v.children.push_back(yaml("{kind: Deployment, metadata: {name: s-kserve}, spec: {replicas: 3}}"));
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "");

  v.service["spec"]["replicas"] = 2;
  EXPECT_EQ(at(child(planned(v), "Deployment", "s-kserve"), {"spec", "replicas"}), "2");

  EXPECT_EQ(at(child(planned("{}"), "Deployment", "s-kserve"), {"spec", "replicas"}), "");

  ServiceView group = view("{worker: {}, parallelism: {pipeline: 2}}");
  group.children.push_back(
      yaml("{kind: LeaderWorkerSet, metadata: {name: s-kserve-mn}, spec: {replicas: 3}}"));
  EXPECT_EQ(at(child(planned(group), "LeaderWorkerSet", "s-kserve-mn"), {"spec", "replicas"}), "");
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

TEST(Workload, KeepsTheLabelsThatSelectorsAskForWhateverTheUserCallsThem) {
  const Plan p = planned(
      "{labels: {app.kubernetes.io/name: x, app.kubernetes.io/part-of: llminferenceservice, "
      "team: a}, annotations: {app.kubernetes.io/name: note}, prefill: {labels: "
      "{app.kubernetes.io/component: z, kserve.io/component: z, llm-d.ai/role: mine}}}");

  for (const std::string_view name : {"s-kserve", "s-kserve-prefill"}) {
    const Value d = child(p, "Deployment", name);
    const Value* labels = d.find_path({"spec", "template", "metadata", "labels"});
    for (const auto& [key, value] :
         *d.find_path({"spec", "selector", "matchLabels"})->if_object()) {
      EXPECT_EQ(labels->string_at({key}), *value.if_string()) << name << " " << key;
    }
  }
  const Value main = child(p, "Deployment", "s-kserve");
  EXPECT_EQ(main.string_at({"spec", "template", "metadata", "labels", "team"}), "a");
  EXPECT_EQ(main.string_at({"spec", "template", "metadata", "annotations", kName}), "note");
  EXPECT_EQ(child(p, "Deployment", "s-kserve-prefill")
                .string_at({"spec", "template", "metadata", "labels", kRole}),
            "mine");
  EXPECT_EQ(child(p, "Service", "s-kserve-workload-svc").string_at({"metadata", "labels", kName}),
            "s");
  constexpr std::string_view kWhy = ": has no effect: selectors ask for the value that is planned";
  EXPECT_THAT(
      warnings(p),
      AllOf(Contains(fmt::format("/spec/labels/app.kubernetes.io~1name{}", kWhy)).Times(1),
            Contains(HasSubstr("/spec/prefill/labels/")).Times(2),
            Not(Contains(HasSubstr("part-of"))), Not(Contains(HasSubstr("llm-d.ai~1role")))));
}

// Workers serve nothing: one that said it does would get requests.
TEST(Workload, OfSeveralPodsKeepsWorkersOutOfThePoolWhateverTheUserCallsThem) {
  const Plan p = planned(
      "{labels: {kserve.io/component: workload}, worker: {}, parallelism: {data: 4, dataLocal: "
      "2}}");
  EXPECT_EQ(child(p, "LeaderWorkerSet", "s-kserve-mn")
                .find_path({"spec", "leaderWorkerTemplate", "workerTemplate", "metadata", "labels",
                            kWorkload}),
            nullptr);
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

// `serve` has these models, a cluster's storage initializer does not.
TEST(ModelsOfBaton, AreWarnedOfOnACluster) {
  ServiceView v = view(
      "{model: {uri: 'baton://storyteller', name: m, lora: {adapters: [{name: x, uri: 'hf://c/d'}, "
      "{name: z, uri: 'baton://tone'}]}}, prefill: {}}");
  EXPECT_THAT(warnings(planned(v)),
              ElementsAre(AllOf(HasSubstr("/spec/model/uri: models of baton:// are only where"),
                                HasSubstr("name hf://, s3:// or pvc://")),
                          HasSubstr("/spec/model/lora/adapters/1/uri: models of baton://")));
  v.settings.runs_baton = true;
  EXPECT_THAT(warnings(planned(v)), IsEmpty());
}

TEST(ModelsOfBaton, AreNobodysConcernWhereNothingIsFetched) {
  EXPECT_THAT(warnings(planned("{model: {uri: 'baton://storyteller', name: m}, storageInitializer: "
                               "{enabled: false}}")),
              Not(Contains(HasSubstr("baton node"))));
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
