// The endpoint picker: its program, configuration and rights.

#include <gmock/gmock.h>

#include "control/plan/picker_config.hpp"
#include "control/plan/picker_flags.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kRouted = "{router: {route: {}, gateway: {}, scheduler: {}}}";
constexpr std::string_view kPicker = "s-kserve-router-scheduler";

std::vector<std::string> args_of(const Plan& plan) {
  return strings(main_of(plan, kPicker), "args");
}

std::string config_text(const Plan& plan) {
  const auto args = args_of(plan);
  return args.size() >= 2 && args[args.size() - 2] == "--config-text" ? args.back() : "";
}

TEST(Picker, HasADefaultConfigurationForEachShape) {
  EXPECT_EQ(config_text(planned(kRouted)), picker_text("seed-single.yaml"));
  EXPECT_EQ(config_text(planned("{prefill: {}, router: {route: {}, scheduler: {}}}")),
            picker_text("seed-pd.yaml"));
}

// llmisvc:G06
TEST(Picker, HasTheDefaultsOfTodayWhenTheInstallationSaysSo) {
  const auto text = [](std::string_view prefill, std::string_view lora) {
    ServiceView v = view("{router: {route: {}, scheduler: {}}}");
    v.settings.picker_default = Settings::PickerDefault::kCurrent;
    if (!prefill.empty()) v.service["spec"]["prefill"] = yaml(prefill);
    if (!lora.empty()) v.service["spec"]["model"]["lora"] = yaml(lora);
    return yaml(config_text(planned(v)));
  };
  // Controller reference 6.1.
  const std::string head = "{kind: EndpointPickerConfig, apiVersion: llm-d.ai/v1alpha1, plugins: [";
  const std::string single =
      "{type: single-profile-handler}, {type: queue-scorer}, {type: kv-cache-utilization-scorer}, "
      "{type: prefix-cache-scorer}, {type: no-hit-lru-scorer}, {type: max-score-picker}";
  const std::string single_refs =
      "{pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, "
      "{pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: no-hit-lru-scorer, weight: 2}, "
      "{pluginRef: max-score-picker}]}]}";
  const std::string pd =
      "{type: disagg-headers-handler}, {type: prefill-filter}, {type: decode-filter}, {type: "
      "queue-scorer}, {type: kv-cache-utilization-scorer}, {type: active-request-scorer}, {type: "
      "prefix-cache-scorer}, {type: max-score-picker}, {type: always-disagg-pd-decider}, {type: "
      "disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}}";
  const auto pd_refs = [](std::string_view lora) {
    return "{name: prefill, plugins: [{pluginRef: prefill-filter}, " + std::string(lora) +
           "{pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer, weight: 2}, "
           "{pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: max-score-picker}]}, "
           "{name: decode, plugins: [{pluginRef: decode-filter}, " +
           std::string(lora) +
           "{pluginRef: active-request-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, "
           "weight: "
           "3}, {pluginRef: max-score-picker}]}]}";
  };
  const std::string affinity = "{pluginRef: lora-affinity-scorer, weight: 4}, ";
  const std::string adapters = "{adapters: [{name: l, uri: 'hf://c/d'}]}";

  const Value plain =
      yaml(head + single + "], schedulingProfiles: [{name: default, plugins: [" + single_refs);
  EXPECT_EQ(text("", ""), plain);
  EXPECT_EQ(text("", "{}"), plain);
  EXPECT_EQ(text("", "{adapters: []}"), plain);
  EXPECT_EQ(
      text("", adapters),
      yaml(head + single +
           ", {type: lora-affinity-scorer}], schedulingProfiles: [{name: default, plugins: [" +
           affinity + single_refs));
  EXPECT_EQ(text("{}", ""), yaml(head + pd + "], schedulingProfiles: [" + pd_refs("")));
  EXPECT_EQ(text("{}", adapters),
            yaml(head + pd + ", {type: lora-affinity-scorer}], schedulingProfiles: [" +
                 pd_refs(affinity)));
}

// llmisvc:G01 llmisvc:G05
TEST(Picker, TakesTheConfigurationGivenInline) {
  constexpr std::string_view kGiven = "{kind: X, plugins: [{type: a}]}";
  EXPECT_EQ(yaml(config_text(
                planned("{router: {scheduler: {config: {inline: " + std::string(kGiven) + "}}}}"))),
            yaml(kGiven));

  ServiceView v = view("{baseRefs: [{name: base}], router: {scheduler: {}}}");
  v.configs.push_back(
      config("base", "{router: {scheduler: {config: {inline: " + std::string(kGiven) + "}}}}"));
  EXPECT_EQ(yaml(config_text(planned(v))), yaml(kGiven));

  v.configs[0]["spec"] = yaml("{router: {scheduler: {config: {ref: {name: c, key: k}}}}}");
  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {k: 'kind: Y'}}"));
  EXPECT_EQ(config_text(planned(v)), "kind: Y");
}

// llmisvc:G02
TEST(Picker, AddsNothingWhereTheTemplateHasAConfigFlag) {
  for (const std::string flag : {"--config-text", "-config-text", "--configText", "-configText",
                                 "--config-file", "-config-file", "--configFile", "-configFile"}) {
    const Plan p = planned("{router: {scheduler: {template: {containers: [{name: main, args: [" +
                           flag + ", x]}]}}}}");
    EXPECT_THAT(args_of(p), ElementsAre(flag, "x"));
    const Plan joined = planned(
        "{router: {scheduler: {template: {containers: [{name: main, args: [" + flag + "=x]}]}}}}");
    EXPECT_THAT(args_of(joined), ElementsAre(flag + "=x"));
  }
}

// llmisvc:G03
TEST(Picker, ReadsItsConfigurationFromAConfigMapVerbatim) {
  ServiceView v = view("{router: {scheduler: {config: {ref: {name: mine, key: k}}}}}");
  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: mine, namespace: ns}, data: {k: '# text\nkind:   "
           "Y', epp: "
           "'kind: Z'}}"));
  EXPECT_EQ(config_text(planned(v)), "# text kind:   Y");
  v.config_maps[0]["data"]["k"] = "kind: New";
  EXPECT_EQ(config_text(planned(v)), "kind: New");
  v.service["spec"]["router"]["scheduler"]["config"]["ref"].if_object()->erase("key");
  EXPECT_EQ(config_text(planned(v)), "kind: Z");
}

// llmisvc:G04
TEST(Picker, FindsSharedConfigMapsByTheirPrefix) {
  ServiceView v =
      view("{router: {scheduler: {config: {ref: {name: config-scheduler-x, key: k}}}}}");
  EXPECT_THAT(refusal(v),
              HasSubstr("/spec/router/scheduler/config/ref: no ConfigMap 'config-scheduler-x'"));
  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: config-scheduler-x, namespace: kserve}, data: {k: "
           "'kind:   Y'}}"));
  EXPECT_EQ(config_text(planned(v)), "kind:   Y");

  v.service["spec"]["router"]["scheduler"]["config"]["ref"]["key"] = "other";
  EXPECT_THAT(refusal(v), HasSubstr("ConfigMap kserve/config-scheduler-x has no key 'other'"));
  const Attempt tried = attempt(v);
  ASSERT_TRUE(tried.failure);
  EXPECT_EQ(reason(tried.failure->stage), "CombineBaseError");

  ServiceView plain = view("{router: {scheduler: {config: {ref: {name: mine, key: k}}}}}");
  plain.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: mine, namespace: kserve}, data: {k: x}}"));
  EXPECT_THAT(refusal(plain), HasSubstr("no ConfigMap 'mine'"));
}

// A picker as an earlier controller left it.
Value live_picker(std::string_view containers) {
  Value out = yaml("{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: ns}}");
  out["metadata"]["name"] = kPicker;
  out["spec"]["template"]["spec"]["containers"] = yaml(containers);
  return out;
}

// llmisvc:G07
TEST(Picker, KeepsAConfigurationThatSomebodyGaveTheDeployment) {
  const auto args = [](std::string_view containers, std::string_view spec = kRouted) {
    ServiceView v = view(spec);
    v.children = {live_picker(containers)};
    return args_of(planned(v));
  };
  EXPECT_THAT(args("[{name: main, args: [--x, -configText, 'plugins: []']}]"),
              ElementsAre("-configText", "plugins: []"));
  EXPECT_THAT(args("[{name: main, args: [--config-file, /c]}]"),
              ElementsAre("--config-file", "/c"));
  const auto ours = ElementsAre("--config-text", std::string(picker_text("seed-single.yaml")));
  EXPECT_THAT(args("[{name: other, args: [--config-text, 'plugins: []']}, {name: main}]"), ours);
  EXPECT_THAT(args("[{name: main, args: [--config-text]}]"), ours);
  EXPECT_THAT(args("[{name: main, args: [--config-text, 'plugins: []']}]",
                   "{router: {scheduler: {config: {inline: {kind: X}}}}}"),
              ElementsAre("--config-text", "kind: X\n"));

  ServiceView v = view(kRouted);
  v.children = {live_picker("[{name: main, args: [--config-text, 'plugins: []']}]")};
  EXPECT_THAT(warnings(planned(v)), Contains(HasSubstr("which is kept; say it in config.inline")));
  v.children = {child(planned(v), "Deployment", kPicker)};
  EXPECT_THAT(args_of(planned(v)), ElementsAre("--config-text", "plugins: []"));
}

TEST(Picker, PlansTheDefaultConfigurationAnew) {
  ServiceView v = view(kRouted);
  Value live = child(planned(v), "Deployment", kPicker);
  EXPECT_EQ(live.string_at({"metadata", "annotations", kConfigOrigin}), kGenerated);
  v.children = {live};
  v.service["spec"]["prefill"] = yaml("{}");
  EXPECT_EQ(config_text(planned(v)), picker_text("seed-pd.yaml"));

  // What the service said is gone when it says it no more.
  ServiceView said = view("{router: {scheduler: {config: {inline: {kind: X}}}}}");
  said.children = {child(planned(said), "Deployment", kPicker)};
  said.service["spec"]["router"]["scheduler"] = yaml("{}");
  EXPECT_EQ(config_text(planned(said)), picker_text("seed-single.yaml"));

  // Also one that an upstream controller generated and froze, of whatever shape and version.
  for (const std::string_view upstream : {"", "0.10.0"}) {
    for (const std::string_view frozen :
         {"current-single.yaml", "current-pd.yaml", "seed-single.yaml", "seed-pd.yaml"}) {
      ServiceView old = view(kRouted);
      old.settings.picker_version = upstream;
      old.children = {live_picker("[{name: main}]")};
      Value& main = old.children[0]["spec"]["template"]["spec"]["containers"].if_array()->front();
      main["args"] = Array{"--config-text", picker_text(frozen)};
      EXPECT_EQ(child(planned(old), "Deployment", kPicker)
                    .string_at({"metadata", "annotations", kConfigOrigin}),
                kGenerated)
          << frozen << " " << upstream;
    }
  }
}

// llmisvc:G08
TEST(Picker, ElectsALeaderAmongReplicas) {
  const auto count = [](std::string_view scheduler) {
    const auto args = args_of(planned("{router: {scheduler: " + std::string(scheduler) + "}}"));
    return std::ranges::count_if(
        args, [](const std::string& word) { return word.ends_with("-ha-enable-leader-election"); });
  };
  EXPECT_EQ(count("{replicas: 3}"), 1);
  EXPECT_EQ(count("{replicas: 1}"), 0);
  EXPECT_EQ(count("{}"), 0);
  for (const std::string flag : {"--ha-enable-leader-election", "-ha-enable-leader-election"}) {
    EXPECT_EQ(count("{replicas: 3, template: {containers: [{name: main, args: [" + flag + "]}]}}"),
              1);
  }
}

// llmisvc:G09
TEST(Picker, HasTheRightsItNeeds) {
  const Plan p = planned(kRouted);
  const std::string read = R"("verbs":["get","list","watch"])";
  const std::string groups = R"("inference.networking.k8s.io","inference.networking.x-k8s.io")";
  EXPECT_EQ(
      dump(*child(p, "Role", "s-epp-role").find("rules")),
      R"([{"apiGroups":[""],"resources":["pods"],)" + read + R"(},{"apiGroups":[)" + groups +
          R"(],"resources":["inferencepools","inferenceobjectives","inferencemodels"],)" + read +
          R"(},{"apiGroups":["inference.networking.x-k8s.io"],"resources":)"
          R"(["inferencemodelrewrites","inferencepoolimports"],)" +
          read +
          R"(},{"apiGroups":["llm-d.ai"],"resources":["inferenceobjectives",)"
          R"("inferencemodelrewrites"],)" +
          read + R"(},{"apiGroups":["discovery.k8s.io"],"resources":["endpointslices"],)" + read +
          R"(},{"apiGroups":["coordination.k8s.io"],"resources":["leases"],"verbs":["get","list",)"
          R"("watch","create","update","patch","delete"]}])");
  const Value binding = child(p, "ClusterRoleBinding", "ns-s-epp-auth-rb");
  EXPECT_EQ(binding.string_at({"roleRef", "name"}), "system:auth-delegator");
  EXPECT_EQ(dump(*binding.find("subjects")),
            R"([{"kind":"ServiceAccount","name":"s-epp-sa","namespace":"ns"}])");
  EXPECT_EQ(binding.find_path({"metadata", "ownerReferences"}), nullptr);
  EXPECT_EQ(child(p, "RoleBinding", "s-epp-rb").string_at({"roleRef", "name"}), "s-epp-role");
}

// llmisvc:G10
TEST(Picker, HasAnAccountThatCanFetchWhatEnginesCan) {
  ServiceView v = view("{template: {serviceAccountName: engines}, router: {scheduler: {}}}");
  v.accounts = std::vector<Value>{
      yaml("{metadata: {name: default, namespace: ns}, imagePullSecrets: [{name: d}]}"),
      yaml("{metadata: {name: engines, namespace: ns, annotations: {role: r, "
           "kubectl.kubernetes.io/last-applied-configuration: x}}, secrets: [{name: a}], "
           "imagePullSecrets: [{name: b}]}")};
  const auto account = [&] { return child(planned(v), "ServiceAccount", "s-epp-sa"); };
  EXPECT_EQ(dump(*account().find("imagePullSecrets")), R"([{"name":"b"}])");
  EXPECT_EQ(dump(*account().find("secrets")), R"([{"name":"a"}])");
  EXPECT_EQ(dump(*account().find_path({"metadata", "annotations"})), R"({"role":"r"})");

  (*v.accounts)[1]["imagePullSecrets"] = yaml("[{name: c}]");
  EXPECT_EQ(dump(*account().find("imagePullSecrets")), R"([{"name":"c"}])");

  v.service["spec"].if_object()->erase("template");
  EXPECT_EQ(dump(*account().find("imagePullSecrets")), R"([{"name":"d"}])");
  EXPECT_EQ(account().find("secrets"), nullptr);
}

TEST(Picker, UsesTheUsersAccountWhenItIsThere) {
  constexpr std::string_view kOwn = "{router: {scheduler: {template: {serviceAccountName: mine}}}}";
  const Plan own = planned(kOwn);
  EXPECT_TRUE(child(own, "ServiceAccount", "s-epp-sa").is_null());
  EXPECT_EQ(pod(own, kPicker).string_at({"serviceAccountName"}), "mine");
  EXPECT_EQ(dump(*child(own, "RoleBinding", "s-epp-rb").find("subjects")),
            R"([{"kind":"ServiceAccount","name":"mine","namespace":"ns"}])");
  ServiceView v = view(kOwn);
  v.accounts = std::vector<Value>{};
  EXPECT_THAT(refusal(v), HasSubstr("ns/mine"));
}

// llmisvc:G18
TEST(Picker, CarriesItsLabelsAndAnnotationsOnPodsOnly) {
  const Value d = child(planned("{router: {scheduler: {labels: {a: b}, annotations: {c: d}}}}"),
                        "Deployment", kPicker);
  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "labels", "a"}), "b");
  EXPECT_EQ(d.string_at({"spec", "template", "metadata", "annotations", "c"}), "d");
  EXPECT_EQ(d.find_path({"metadata", "labels", "a"}), nullptr);
  EXPECT_EQ(d.find_path({"metadata", "annotations", "c"}), nullptr);
  EXPECT_EQ(d.find_path({"spec", "selector", "matchLabels", "a"}), nullptr);

  const Value plain = child(planned(kRouted), "Deployment", kPicker);
  EXPECT_EQ(plain.find_path({"spec", "template", "metadata"})->if_object()->size(), 1U);
  EXPECT_EQ(plain.find_path({"spec", "template", "metadata", "labels"})->if_object()->size(), 3U);
}

TEST(Picker, KeepsTheLabelsThatSelectorsAskForWhateverTheUserCallsThem) {
  const Plan p = planned(
      "{router: {scheduler: {labels: {app.kubernetes.io/name: x, kserve.io/component: workload}}, "
      "route: {}}}");
  const Value d = child(p, "Deployment", kPicker);
  EXPECT_EQ(at(d, {"spec", "template", "metadata", "labels"}),
            at(d, {"spec", "selector", "matchLabels"}));
  for (const std::string key : {"app.kubernetes.io~1name", "kserve.io~1component"}) {
    EXPECT_THAT(warnings(p), Contains("/spec/router/scheduler/labels/" + key +
                                      ": has no effect: selectors ask for the value that is "
                                      "planned"));
  }
}

// llmisvc:G26
TEST(Picker, TracesWhereTheServiceDoes) {
  const std::string scheduler = ", router: {scheduler: {}}}";
  EXPECT_THAT(args_of(planned("{router: {scheduler: {}}}")), Not(Contains("--tracing=true")));

  const auto value = [](const Value& main, std::string_view name) {
    const Value* found = named(main.find("env"), name);
    return found == nullptr ? std::string("none") : std::string(found->string_at({"value"}));
  };
  const Value main = main_of(planned("{tracing: {}" + scheduler), kPicker);
  EXPECT_THAT(strings(main, "args"), Contains("--tracing=true"));
  EXPECT_EQ(value(main, "OTEL_SERVICE_NAME"), "inference-scheduler");
  EXPECT_EQ(value(main, "OTEL_EXPORTER_OTLP_ENDPOINT"), "http://otel-collector:4317");
  EXPECT_EQ(value(main, "OTEL_TRACES_EXPORTER"), "otlp");
  EXPECT_EQ(value(main, "OTEL_TRACES_SAMPLER"), "parentbased_traceidratio");
  EXPECT_EQ(value(main, "OTEL_TRACES_SAMPLER_ARG"), "0.05");
  EXPECT_THAT(value(main, "OTEL_RESOURCE_ATTRIBUTES"), HasSubstr("llmisvc.name=s"));
  EXPECT_EQ(named(main.find("env"), "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME")
                ->string_at({"valueFrom", "fieldRef", "fieldPath"}),
            "spec.nodeName");

  const Value custom = main_of(
      planned("{tracing: {exporterEndpoint: 'http://mine:1', samplerArg: '1'}, router: {scheduler: "
              "{template: {containers: [{name: main, args: [--tracing=false], env: [{name: "
              "OTEL_SERVICE_NAME, value: own}]}]}}}}"),
      kPicker);
  EXPECT_EQ(value(custom, "OTEL_EXPORTER_OTLP_ENDPOINT"), "http://mine:1");
  EXPECT_EQ(value(custom, "OTEL_TRACES_SAMPLER_ARG"), "1");
  EXPECT_EQ(value(custom, "OTEL_SERVICE_NAME"), "own");
  EXPECT_THAT(strings(custom, "args"), Not(Contains("--tracing=true")));

  ServiceView bare = view("{tracing: {}, router: {scheduler: {}}}");
  bare.configs.push_back(
      config("kserve-config-llm-scheduler",
             "{router: {scheduler: {pool: {spec: {endpointPickerRef: {name: x}}}, template: "
             "{containers: [{name: other, image: i}]}}}}"));
  const Plan without = planned(bare);
  EXPECT_EQ(dump(*pod(without, kPicker).find("containers")), R"([{"name":"other","image":"i"}])");
  EXPECT_THAT(warnings(without), Contains(HasSubstr("no container is called main")));
}

TEST(Picker, IsBatonUnlessTheInstallationWantsUpstreams) {
  const Plan ours = planned(kRouted);
  EXPECT_EQ(main_of(ours, kPicker).string_at({"image"}), Settings().picker_image);
  EXPECT_EQ(config_text(ours), picker_text("seed-single.yaml"));

  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  use_upstream_picker(v.settings);
  v.settings.enable_tls = true;
  const Plan theirs = planned(v);
  EXPECT_EQ(main_of(theirs, kPicker).string_at({"image"}),
            "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.10.0");
  EXPECT_EQ(
      child(theirs, "Deployment", kPicker)
          .string_at({"spec", "template", "metadata", "annotations", "app.kubernetes.io/version"}),
      "0.10.0");
  // The description's threshold of 100 bytes, and the scheme that was a flag.
  const Value config = yaml(config_text(theirs));
  EXPECT_THAT(dump(config), HasSubstr(R"({"type":"prefix-based-pd-decider","parameters":)"
                                      R"({"nonCachedTokens":25}})"));
  EXPECT_THAT(dump(config), HasSubstr(R"({"type":"metrics-data-source","parameters":)"
                                      R"({"scheme":"https"}})"));
  EXPECT_THAT(strings(main_of(theirs, kPicker), "command"),
              Not(Contains(HasSubstr("model-server-metrics-scheme"))));

  v.service["spec"]["router"]["scheduler"]["annotations"] =
      yaml("{app.kubernetes.io/version: 0.6.0}");
  EXPECT_EQ(config_text(planned(v)), picker_text("seed-pd.yaml"));
  v.service["spec"]["router"]["scheduler"]["annotations"] =
      yaml("{app.kubernetes.io/version: new}");
  EXPECT_THAT(refusal(v),
              HasSubstr("/spec/router/scheduler/annotations/app.kubernetes.io~1version: "
                        "expected a version such as 0.10.0, is 'new'"));

  EXPECT_THAT(warnings(planned("{router: {route: {}, scheduler: {template: {containers: [{name: "
                               "main, image: 'r/llm-d-inference-scheduler:v0.2.0'}]}}}}")),
              Contains(HasSubstr("upstream endpoint picker of unknown version")));
}

TEST(Picker, ListensWhereItsServicePoints) {
  const Value svc = child(planned(kRouted), "Service", "s-epp-service");
  std::vector<std::string> ports;
  for (const Value& port : items(svc.find_path({"spec", "ports"}))) {
    ports.push_back(std::string(port.string_at({"name"})) + ":" + dump(*port.find("port")) + ":" +
                    std::string(port.string_at({"targetPort"})));
  }
  EXPECT_THAT(ports, ElementsAre("grpc:9002:grpc", "grpc-health:9003:grpc-health",
                                 "metrics:9090:metrics", "zmq:5557:zmq"));
  EXPECT_EQ(child(planned(kRouted), "Deployment", kPicker).string_at({"spec", "strategy", "type"}),
            "Recreate");
}

// The seed's drawing of a pool, inside a service.
TEST(Pool, OfTargetsBecomesFlat) {
  ServiceView v = view(
      "{router: {scheduler: {pool: {spec: {targets: [{name: prefill, port: 8100, selector: "
      "{matchLabels: {llm-d.ai/role: prefill, serving.kserve.io/inferenceservice: s}}}, {name: "
      "decode, port: 8100, selector: {matchLabels: {llm-d.ai/role: decode, "
      "serving.kserve.io/inferenceservice: s}}}]}}}}}");
  const Plan p = planned(v);
  const Value pool = child(p, "InferencePool", "s-inference-pool");
  EXPECT_EQ(dump(*pool.find_path({"spec", "targetPorts"})), R"([{"number":8100}])");
  EXPECT_EQ(pool.string_at({"spec", "selector", "matchLabels", "app.kubernetes.io/name"}), "s");
  EXPECT_EQ(pool.find_path({"spec", "selector", "matchLabels", "llm-d.ai/role"}), nullptr);
  EXPECT_EQ(pool.find_path({"spec", "targets"}), nullptr);
  EXPECT_THAT(warnings(p), Contains(HasSubstr("/spec/router/scheduler/pool/spec/targets: targets "
                                              "became one flat pool")));
  (*v.service["spec"]["router"]["scheduler"]["pool"]["spec"]["targets"].if_array())[1]["port"] = 1;
  EXPECT_THAT(refusal(v), HasSubstr("targets/1/port: is 1, but the first target has 8100"));
}

}  // namespace
}  // namespace baton::plan
