// Presets, baseRefs, templates.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "control/plan/child_name.hpp"
#include "control/plan/combine.hpp"
#include "control/plan/md5.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/render.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> args_of(std::string_view spec) {
  return strings(main_of(planned(spec), "s-kserve"), "args");
}

std::string with_args(std::string_view args) {
  return "{template: {containers: [{name: main, args: [" + std::string(args) + "]}]}}";
}

TEST(Presets, AreSelectedByTheShapeOfTheSpec) {
  EXPECT_THAT(presets_for(yaml("{}")), ElementsAre("config-llm-template"));
  EXPECT_THAT(presets_for(yaml("{prefill: {}, router: {route: {}, scheduler: {}}}")),
              ElementsAre("config-llm-scheduler", "config-llm-router-route",
                          "config-llm-prefill-template", "config-llm-decode-template"));
  EXPECT_THAT(presets_for(yaml(
                  "{tracing: {}, worker: {}, parallelism: {dataLocal: 1}, prefill: {worker: {}, "
                  "parallelism: {pipeline: 2}}}")),
              ElementsAre("config-llm-tracing", "config-llm-prefill-worker-pipeline-parallel",
                          "config-llm-decode-worker-data-parallel"));
  EXPECT_THAT(
      presets_for(yaml(
          "{router: {route: {http: {refs: [{name: a}]}}, scheduler: {pool: {ref: {name: b}}}}}")),
      ElementsAre("config-llm-template"));
}

TEST(Presets, AllExistAndHaveASpec) {
  EXPECT_EQ(preset_names().size(), well_known_configs().size());
  for (const std::string_view name : preset_names()) {
    EXPECT_TRUE(preset_spec(name)->is_object()) << name;
  }
  EXPECT_EQ(preset_spec("config-llm-nothing"), nullptr);
}

TEST(BaseRefs, ThatAreMissingAreNamedWithTheCandidates) {
  ServiceView v = view("{baseRefs: [{name: tamplate}]}");
  v.configs.push_back(config("template", "{}"));
  const auto result = plan(v);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_EQ(result.error().message(),
            "/spec/baseRefs/0: no LLMInferenceServiceConfig 'tamplate' in namespace ns or kserve "
            "(did you mean "
            "'template'?); there are: template");
}

// Later refs win over earlier ones, the service over all; its own namespace is looked in
// first.
TEST(BaseRefs, AreMergedInOrder) {
  ServiceView v = view("{baseRefs: [{name: a}, {name: b}], labels: {z: service}}");
  v.configs.push_back(config("a", "{labels: {x: a, y: a, z: a}}"));
  v.configs.push_back(config("b", "{labels: {y: b, z: b}, prefill: {replicas: 2}}"));
  Value other = config("b", "{labels: {y: wrong}}");
  other["metadata"]["namespace"] = "kserve";
  v.configs.insert(v.configs.begin(), other);

  const Plan p = planned(v);

  EXPECT_EQ(*p.merged.find_path({"spec", "labels"}), yaml("{x: a, \"y\": b, z: service}"));
  EXPECT_FALSE(child(p, "Deployment", "s-kserve-prefill").is_null());
  EXPECT_THAT(p.applied_configs, ElementsAre("Preset:kserve/kserve-config-llm-prefill-template",
                                             "Preset:kserve/kserve-config-llm-decode-template",
                                             "UserRef:ns/a", "UserRef:ns/b"));
}

TEST(BaseRefs, MayNameTheModelWhenTheServiceDoesNot) {
  ServiceView v = view("{baseRefs: [{name: a}], model: {uri: 'hf://a/b'}}");
  v.configs.push_back(config("a", "{model: {name: inherited}}"));
  EXPECT_EQ(planned(v).merged.string_at({"spec", "model", "name"}), "inherited");
  v.service["spec"]["model"]["name"] = "own";
  EXPECT_EQ(planned(v).merged.string_at({"spec", "model", "name"}), "own");
}

TEST(BaseRefs, MustBeRightThemselves) {
  ServiceView v = view("{baseRefs: [{name: a}]}");
  v.configs.push_back(config("a", "{replicas: -1}"));
  EXPECT_EQ(refusal(v),
            "LLMInferenceServiceConfig ns/a: /spec/replicas: must be at least 0, is -1");
  v.configs[0]["spec"] = yaml("{replica: 1}");
  EXPECT_THAT(
      warnings(planned(v)),
      ElementsAre(HasSubstr("LLMInferenceServiceConfig ns/a: /spec/replica: unknown field")));
}

TEST(Presets, OfTheClusterReplaceTheCompiledOnes) {
  ServiceView v = view("{}");
  v.configs.push_back(config("kserve-config-llm-template",
                             "{template: {containers: [{name: main, image: theirs}]}}"));
  EXPECT_EQ(main_of(planned(v), "s-kserve").string_at({"image"}), "theirs");

  // B07: a pinned name wins.
  v.configs.push_back(config("old", "{template: {containers: [{name: main, image: pinned}]}}"));
  v.service["status"] = yaml("{annotations: {serving.kserve.io/config-llm-template: old}}");
  EXPECT_EQ(main_of(planned(v), "s-kserve").string_at({"image"}), "pinned");
}

TEST(Pins, AreWhatTheStatusLacks) {
  ServiceView v = view("{}");
  const auto pins = planned(v).pins;
  EXPECT_EQ(pins.size(), 13U);
  EXPECT_EQ(pins.at("serving.kserve.io/config-llm-template"), "kserve-config-llm-template");
  EXPECT_FALSE(pins.contains("serving.kserve.io/config-llm-router-route"));

  for (const auto& [key, name] : pins) v.service["status"]["annotations"][key] = name;
  v.settings.config_prefix = "kserve-v2-";
  v.configs.push_back(
      config("kserve-config-llm-template", "{template: {}, labels: {which: pinned}}"));
  v.configs.push_back(
      config("kserve-v2-config-llm-template", "{template: {}, labels: {which: new}}"));
  EXPECT_TRUE(planned(v).pins.empty());
  EXPECT_EQ(planned(v).merged.string_at({"spec", "labels", "which"}), "pinned");

  v.settings.pin_configs = false;
  EXPECT_TRUE(planned(v).pins.empty());
  EXPECT_EQ(planned(v).merged.string_at({"spec", "labels", "which"}), "new");
}

// Where presets are compiled in, nobody has an object of the former name.
TEST(Pins, LeadToTheCompiledPresetsWhateverThePrefixIsNow) {
  ServiceView v = view("{}");
  for (const auto& [key, name] : planned(v).pins) v.service["status"]["annotations"][key] = name;
  v.settings.config_prefix = "kserve-v2-";
  EXPECT_THAT(planned(v).applied_configs, ElementsAre("Preset:kserve/kserve-config-llm-template"));
  EXPECT_FALSE(main_of(planned(v), "s-kserve").is_null());
}

TEST(Attempt, NamesTheStageThatFailedAndKeepsWhatCameBefore) {
  const auto failed = [](const ServiceView& v) {
    const Attempt tried = attempt(v);
    EXPECT_TRUE(tried.failure);
    return tried.failure ? std::string(reason(tried.failure->stage)) : "";
  };
  EXPECT_EQ(failed(view("{replicas: -1}")), "CombineBaseError");
  EXPECT_EQ(failed(view("{baseRefs: [{name: nowhere}]}")), "ConfigNotFound");
  EXPECT_EQ(failed(view("{labels: {a: '{{ .Spec.Nothing }}'}}")), "CombineBaseError");
  EXPECT_EQ(failed(view("{router: {scheduler: {config: {ref: {name: nowhere, key: epp}}}}}")),
            "CombineBaseError");
  ServiceView wrong = view("{baseRefs: [{name: a}], router: {scheduler: {}}}");
  wrong.configs.push_back(config("a", "{template: {containers: [{name: main}]}, replicas: 2}"));
  wrong.service["spec"]["scaling"] = yaml("{maxReplicas: 2, wva: {hpa: {}}}");
  const Attempt merged = attempt(wrong);
  ASSERT_TRUE(merged.failure);
  EXPECT_EQ(reason(merged.failure->stage), "InvalidRenderedConfig");
  EXPECT_THAT(merged.failure->error.message(),
              HasSubstr("after merging configs [Preset:kserve/kserve-config-llm-scheduler, "
                        "Preset:kserve/kserve-config-llm-template, UserRef:ns/a]: "));
  EXPECT_THAT(merged.plan.applied_configs, Contains("UserRef:ns/a"));
  EXPECT_TRUE(merged.plan.children.empty());

  const Attempt stored =
      attempt(view("{prefill: {worker: {}, parallelism: {pipeline: 2}}, model: {uri: 'ftp://x'}}"));
  ASSERT_TRUE(stored.failure);
  EXPECT_EQ(stored.failure->stage, Stage::kMultiNode);
}

// llmisvc:B17
TEST(BaseRefs, ChainUpToWholeServices) {
  ServiceView v =
      view("{baseRefs: [{name: router}, {name: scheduler}, {name: nodes}, {name: last}]}");
  v.configs = {config("router", "{router: {route: {}, gateway: {}}, replicas: 2}"),
               config("scheduler", "{router: {scheduler: {}}, replicas: 3}"),
               config("nodes", "{worker: {}, parallelism: {data: 4, dataLocal: 2}, replicas: 4}"),
               config("last", "{replicas: 5, parallelism: {tensor: 2}}")};
  const Plan p = planned(v);
  EXPECT_FALSE(child(p, "HTTPRoute", "s-kserve-route").is_null());
  EXPECT_FALSE(child(p, "Deployment", "s-kserve-router-scheduler").is_null());
  const Value set = child(p, "LeaderWorkerSet", "s-kserve-mn");
  EXPECT_EQ(*set.find_path({"spec", "replicas"}), Value(5));
  EXPECT_EQ(*p.merged.find_path({"spec", "parallelism"}),
            yaml("{data: 4, dataLocal: 2, tensor: 2}"));
}

// llmisvc:B08
TEST(Pins, AreNeitherWrittenNorReadWithoutVersioning) {
  ServiceView v = view("{}");
  v.settings.pin_configs = false;
  v.service["status"] = yaml("{annotations: {serving.kserve.io/config-llm-template: old}}");
  EXPECT_TRUE(planned(v).pins.empty());
  EXPECT_THAT(planned(v).applied_configs, ElementsAre("Preset:kserve/kserve-config-llm-template"));
}

// llmisvc:B36
TEST(Combine, FillsInThePickersConfigurationThatIsReferredTo) {
  ServiceView v = view("{router: {scheduler: {config: {ref: {name: c, key: k}}}}}");
  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {k: 'plugins: [{type: "
           "decode-filter}]  # theirs'}}"));
  EXPECT_EQ(*planned(v).merged.find_path({"spec", "router", "scheduler", "config"}),
            yaml("{inline: {plugins: [{type: decode-filter}]}}"));
  // The picker gets the text as it was written.
  EXPECT_THAT(strings(main_of(planned(v), "s-kserve-router-scheduler"), "args"),
              Contains("plugins: [{type: decode-filter}]  # theirs"));
}

// llmisvc:B29
TEST(Combine, LeavesParentsOfRoutesThatAreReferredTo) {
  const Plan p = planned(
      "{router: {gateway: {refs: [{name: g, namespace: other}]}, route: {http: {refs: [{name: "
      "r}]}}}}");
  EXPECT_EQ(*p.merged.find_path({"spec", "router", "route", "http"}), yaml("{refs: [{name: r}]}"));
  EXPECT_TRUE(child(p, "HTTPRoute", "s-kserve-route").is_null());
  // A route of the service's own gets them.
  EXPECT_EQ(planned("{router: {gateway: {refs: [{name: g}]}, route: {}}}")
                .merged.find_path({"spec", "router", "route", "http", "spec", "parentRefs"})
                ->if_array()
                ->front()
                .string_at({"name"}),
            "g");
}

// llmisvc:B20
TEST(Templates, AreReplacedEverywhereInStringsOfTheSpec) {
  ServiceView v = view(
      "{baseRefs: [{name: a}], labels: {x: '{{ .Spec.Model.Name }}'}, router: {route: {http: "
      "{spec: "
      "{rules: [{matches: [{path: {value: '/{{ .Spec.Model.Name }}/{{ .Spec.Model.Name "
      "}}'}}]}]}}}}}");
  v.configs.push_back(config("a", "{annotations: {y: 'for {{ .Spec.Model.Name }}'}}"));
  const Value merged = planned(v).merged;
  EXPECT_EQ(merged.string_at({"spec", "labels", "x"}), "m");
  EXPECT_EQ(merged.string_at({"spec", "annotations", "y"}), "for m");
  EXPECT_EQ(
      text::json::dump(*merged.find_path({"spec", "router", "route", "http", "spec", "rules"})),
      R"([{"matches":[{"path":{"value":"/m/m"}}]}])");

  EXPECT_THAT(args_of(with_args("'{{ .Spec.Model.Name }}-{{ .Name }}.{{ .Namespace }}', plain, '{{ "
                                "if false }}x{{ end }}'")),
              ElementsAre("m-s.ns", "plain"));
}

// Upstream breaks the JSON text with it.
TEST(Templates, KeepQuotesOfSubstitutedValues) {
  EXPECT_THAT(
      strings(
          main_of(
              planned(
                  "{model: {uri: 'hf://a/b', name: 'say \"hi\"'}, template: {containers: [{name: "
                  "main, args: ['{{ .Spec.Model.Name }}']}]}}"),
              "s-kserve"),
          "args"),
      ElementsAre("say \"hi\""));
}

// Upstream shows templates the unmerged spec.
TEST(Templates, SeeTheMergedSpec) {
  ServiceView v = view("{baseRefs: [{name: a}]}");
  v.configs.push_back(config("a", "{parallelism: {tensor: 4}}"));
  EXPECT_THAT(strings(main_of(planned(v), "s-kserve"), "command"),
              Contains("--tensor-parallel-size=4"));
}

// llmisvc:B21
TEST(Templates, MakeChildNames) {
  ServiceView v = view(with_args("'{{ ChildName .ObjectMeta.Name `-kserve-route` }}'"));
  const std::string long_name(60, 'n');
  v.service["metadata"]["name"] = long_name;
  const std::string expected = child_name(long_name, "-kserve-route");
  EXPECT_LE(expected.size(), 63U);
  EXPECT_EQ(expected, std::string(18, 'n') + md5_hex(long_name) + "-kserve-route");
  EXPECT_THAT(strings(main_of(planned(v), child_name(long_name, "-kserve")), "args"),
              ElementsAre(expected));
  EXPECT_THAT(args_of(with_args("'{{ ChildName .ObjectMeta.Name `-x` }}'")), ElementsAre("s-x"));
}

// llmisvc:B22
TEST(Templates, ThatAreWrongAreNamedWithTheirPlace) {
  EXPECT_EQ(refusal(view(with_args("ok, '{{ .Spec.Prefill.Replicas }}'"))),
            "/spec/template/containers/0/args/1: line 1, column 4: .Spec.Prefill is not set, so it "
            "has no .Replicas "
            "(guard it with 'if')");
  EXPECT_THAT(refusal(view(with_args("'{{ .Spec.Modle }}'"))),
              HasSubstr("no field .Spec.Modle (did you mean 'Model'?)"));
  EXPECT_THAT(refusal(view(with_args("'{{ if }}'"))),
              HasSubstr("/spec/template/containers/0/args/0: line 1"));
  EXPECT_THAT(args_of(with_args("'{{ or .Spec.Replicas 7 }}'")), ElementsAre("7"));
}

TEST(Templates, OfOneServiceTogetherAreBounded) {
  std::string annotations = "big: '" + std::string(100'000, 'x') + "'";
  for (int i = 0; i < 300; ++i) {
    annotations += fmt::format(", a{}: '{{{{ .Spec.Annotations.big }}}}'", i);
  }
  const Attempt tried = attempt(view("{annotations: {" + annotations + "}}"));
  ASSERT_TRUE(tried.failure);
  EXPECT_EQ(tried.failure->stage, Stage::kCombine);
  EXPECT_THAT(tried.failure->error.message(), HasSubstr("too many bytes"));
}

// llmisvc:B23
TEST(Templates, SeeTheIngressGatewayButNoCredentials) {
  EXPECT_THAT(args_of(with_args("'{{ .GlobalConfig.IngressGatewayName }}'")),
              ElementsAre("kserve-ingress-gateway"));
  for (const std::string_view field : {"StorageConfig", "CredentialConfig"}) {
    EXPECT_THAT(refusal(view(with_args("'{{ .GlobalConfig." + std::string(field) + " }}'"))),
                HasSubstr("no field"));
  }
}

// llmisvc:B25
TEST(Templates, DeriveTheShutdownTimeoutFromTheGracePeriod) {
  const auto timeout = [](const Value& pod) {
    for (const std::string& word : strings(container(pod, "containers", "main"), "command")) {
      if (word.starts_with("--shutdown-timeout=")) return word.substr(19);
    }
    return std::string();
  };
  const auto timeouts = [&](std::string_view pods) {
    const std::string text(pods);
    const Plan one = planned("{template: " + text + ", prefill: {template: " + text + "}}");
    const Plan many = planned("{template: " + text + ", worker: " + text +
                              ", parallelism: {pipeline: 2}, prefill: {template: " + text +
                              ", worker: " + text + ", parallelism: {data: 2, dataLocal: 1}}}");
    std::vector<std::string> out{timeout(pod(one, "s-kserve")),
                                 timeout(pod(one, "s-kserve-prefill"))};
    for (const std::string_view set : {"s-kserve-mn", "s-kserve-mn-prefill"}) {
      for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
        out.push_back(timeout(*child(many, "LeaderWorkerSet", set)
                                   .find_path({"spec", "leaderWorkerTemplate", place, "spec"})));
      }
    }
    return out;
  };
  EXPECT_THAT(timeouts("{}"), ::testing::Each("40"));
  EXPECT_THAT(timeouts("{terminationGracePeriodSeconds: 120}"), ::testing::Each("100"));
  EXPECT_THAT(timeouts("{terminationGracePeriodSeconds: 10}"), ::testing::Each("0"));
}

// llmisvc:B26
TEST(Offloading, BecomesAConnector) {
  EXPECT_EQ(kv_transfer_json(Value(), ""), "");
  EXPECT_EQ(
      kv_transfer_json(yaml("{cpu: 1Gi}"), ""),
      R"({"kv_connector":"OffloadingConnector","kv_connector_extra_config":{"cpu_bytes_to_use":1073741824,)"
      R"("spec_name":"TieringOffloadingSpec"},"kv_role":"kv_both"})");
  EXPECT_EQ(
      kv_transfer_json(
          yaml("{cpu: 1k, evictionPolicy: arc, secondary: [{}, {fileSystem: {emptyDir: {}}}]}"),
          ""),
      R"({"kv_connector":"OffloadingConnector","kv_connector_extra_config":{"cpu_bytes_to_use":1000,)"
      R"("eviction_policy":"arc","secondary_tiers":[{"root_dir":"/mnt/kv-cache-1","type":"fs"}],)"
      R"("spec_name":"TieringOffloadingSpec"},"kv_role":"kv_both"})");
  EXPECT_EQ(
      kv_transfer_json(
          yaml("{cpu: 1k, evictionPolicy: lru, secondary: [{fileSystem: {pvc: {ref: {name: "
               "c}}}}, {fileSystem: {emptyDir: {}}}]}"),
          ""),
      R"({"kv_connector":"OffloadingConnector","kv_connector_extra_config":{"cpu_bytes_to_use":1000,)"
      R"("eviction_policy":"lru","secondary_tiers":[{"root_dir":"/mnt/kv-cache-0","type":"fs"},)"
      R"({"root_dir":"/mnt/kv-cache-1","type":"fs"}],"spec_name":"TieringOffloadingSpec"},)"
      R"("kv_role":"kv_both"})");
  EXPECT_THAT(strings(main_of(planned("{}"), "s-kserve"), "command"),
              Not(Contains(::testing::StartsWith("--kv-transfer-config"))));
  EXPECT_THAT(
      kv_transfer_json(yaml("{cpu: 1k}"), "kv_producer"),
      HasSubstr(
          R"({"kv_connector":"MultiConnector","kv_connector_extra_config":{"connectors":[{"kv_connector":)"
          R"("NixlConnector","kv_role":"kv_producer"},{"kv_connector":"OffloadingConnector")"));
}

// For presets written for the upstream controller.
TEST(Offloading, IsEscapedForAShellInTheUpstreamFunction) {
  EXPECT_THAT(args_of("{kvCacheOffloading: {cpu: 1k}, template: {containers: [{name: main, args: "
                      "['{{ kvTransferConfig "
                      ".Spec.KVCacheOffloading }}']}]}}"),
              ElementsAre(HasSubstr(
                  R"(--kv-transfer-config '{\"kv_connector\":\"OffloadingConnector\",)")));
}

TEST(Plan, RefusesAWrongServiceWithEveryFinding) {
  ServiceView v = view("{replicas: -1, parallelism: {tensor: 0}}");
  EXPECT_EQ(refusal(v),
            "/spec/replicas: must be at least 0, is -1; /spec/parallelism/tensor: must be at least "
            "1, is 0");
}

TEST(Plan, IsTheSameForTheSameInput) {
  const ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  const Plan a = planned(v);
  const Plan b = planned(v);
  ASSERT_EQ(a.children.size(), b.children.size());
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    EXPECT_EQ(text::json::dump(a.children[i]), text::json::dump(b.children[i]));
  }
}

}  // namespace
}  // namespace baton::plan
