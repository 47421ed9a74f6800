// The validation scenarios of the controller specification, clause by clause: what is written, and
// the field that refuses it ("" when it is accepted). What the API server's own schema refuses is
// checked against one in tests/e2e/kube; here the same is said offline.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"
#include "formats/api/validate.hpp"

namespace baton::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Value;

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

Value service(std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {name: s}}");
  out["spec"] = yaml(spec);
  if (out.find_path({"spec", "model"}) == nullptr) {
    out["spec"]["model"] = yaml("{uri: 'hf://a/b', name: m}");
  }
  return out;
}

struct Row {
  std::string spec;
  std::string refused_at;
};

std::vector<std::string> paths(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const Finding& finding : findings) out.push_back(field_path(finding.pointer));
  return out;
}

void expect(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const auto refused = paths(validate(service(row.spec), Completeness::kPartial).errors);
    if (row.refused_at.empty()) {
      EXPECT_THAT(refused, IsEmpty()) << row.spec;
    } else {
      EXPECT_THAT(refused, ::testing::Contains(row.refused_at)) << row.spec;
    }
  }
}

TEST(Rules, OfRoutes) {
  // llmisvc:C01
  expect({Row{"{router: {route: {http: {refs: [{name: r}], spec: {}}}}}", "spec.router.route.http"},
          Row{"{router: {route: {http: {refs: [{name: r}]}}}}", ""},
          Row{"{router: {route: {http: {spec: {}}}}}", ""}});
  // llmisvc:C02
  expect({Row{"{router: {gateway: {}, route: {http: {refs: [{name: r}]}}}}",
              "spec.router.route.http.refs"},
          Row{"{router: {gateway: {refs: [{name: g}]}, route: {http: {refs: [{name: r}]}}}}", ""}});
  // llmisvc:C03
  expect({Row{"{router: {gateway: {refs: [{name: g}]}, route: {http: {spec: {rules: []}}}}}", ""},
          Row{"{router: {gateway: {refs: [{name: g}, {name: h, namespace: ns, sectionName: s}]}, "
              "route: {http: {spec: {parentRefs: [{name: h, namespace: ns, sectionName: s}, {name: "
              "g}]}}}}}",
              ""},
          Row{"{router: {gateway: {refs: [{name: g}]}, route: {http: {spec: {parentRefs: [{name: "
              "g, sectionName: s}]}}}}}",
              "spec.router.route.http.spec"}});
}

TEST(Rules, WarnOfParentsNamedTwiceAndRefuseThemInTheOldVersion) {
  const Value twice = service(
      "{router: {gateway: {refs: [{name: g}]}, route: {http: {spec: {parentRefs: [{name: g}]}}}}}");

  EXPECT_THAT(paths(validate(twice, Completeness::kPartial).warnings),
              ElementsAre("spec.router.route.http.spec.parentRefs"));
  EXPECT_THAT(paths(validate_v1alpha1(twice).errors), ElementsAre("spec.router.route.http.spec"));
  EXPECT_THAT(validate_v1alpha1(service("{router: {gateway: {refs: [{name: g}]}}}")).errors,
              IsEmpty());
}

TEST(Rules, OfParallelism) {
  // llmisvc:C04
  expect({Row{"{parallelism: {pipeline: 2, data: 2, dataLocal: 1}}", "spec.parallelism"},
          Row{"{prefill: {parallelism: {pipeline: 2, data: 2, dataLocal: 1}}}",
              "spec.prefill.parallelism"}});
  // llmisvc:C05
  expect({Row{"{parallelism: {data: 2}}", "spec.parallelism.dataLocal"},
          Row{"{parallelism: {dataLocal: 2}}", "spec.parallelism.data"},
          Row{"{prefill: {parallelism: {dataLocal: 2}}}", "spec.prefill.parallelism.data"}});
  // llmisvc:C06
  expect({Row{"{worker: {}}", "spec.worker"}, Row{"{prefill: {worker: {}}}", "spec.prefill.worker"},
          Row{"{worker: {}, parallelism: {tensor: 2}}", "spec.worker"}});
  // llmisvc:C07
  expect({Row{"{worker: {}, parallelism: {pipeline: 2}}", ""},
          Row{"{worker: {}, parallelism: {data: 4, dataLocal: 2}}", ""},
          Row{"{prefill: {parallelism: {pipeline: 2}}}", ""}, Row{"{}", ""}});
}

// llmisvc:C08
TEST(Rules, KeepTheSizeOfAGroup) {
  const Value before = service(
      "{parallelism: {data: 4, dataLocal: 2}, prefill: {parallelism: {data: 4, dataLocal: 2}}}");
  const auto changed = [&](std::string_view spec) {
    return validate_update(before, service(spec)).errors;
  };

  EXPECT_THAT(paths(changed("{parallelism: {data: 8, dataLocal: 2}}")),
              ElementsAre("spec.parallelism"));
  EXPECT_THAT(
      paths(changed("{parallelism: {data: 4, dataLocal: 2}, prefill: {parallelism: {data: 8, "
                    "dataLocal: 2}}}")),
      ElementsAre("spec.prefill.parallelism"));
  EXPECT_THAT(changed("{parallelism: {data: 8, dataLocal: 4}, prefill: {parallelism: {data: 2, "
                      "dataLocal: 1}}}"),
              IsEmpty());
  EXPECT_THAT(changed("{parallelism: {data: 8, dataLocal: 2}}")[0].message,
              HasSubstr("total parallelism size is immutable: was 2, is 4"));
}

TEST(Rules, OfSchedulers) {
  // llmisvc:C09
  expect(
      {Row{"{router: {scheduler: {config: {}}}}", "spec.router.scheduler.config"},
       Row{"{router: {scheduler: {config: {inline: {a: b}, ref: {name: c, key: k}}}}}",
           "spec.router.scheduler.config"},
       Row{"{router: {scheduler: {config: {inline: {}}}}}", "spec.router.scheduler.config.inline"},
       Row{"{router: {scheduler: {config: {ref: {name: '', key: k}}}}}",
           "spec.router.scheduler.config.ref.name"},
       Row{"{router: {scheduler: {config: {inline: {a: b}}}}}", ""},
       Row{"{router: {scheduler: {config: {ref: {name: c, key: k}}}}}", ""},
       Row{"{router: {scheduler: {}}}", ""}});
  // llmisvc:C10
  expect({Row{"{router: {scheduler: {replicas: 0}}}", "spec.router.scheduler.replicas"},
          Row{"{router: {scheduler: {replicas: -1}}}", "spec.router.scheduler.replicas"},
          Row{"{router: {scheduler: {replicas: 1}}}", ""},
          Row{"{router: {scheduler: {replicas: 3}}}", ""}});
  for (const std::string_view replicas : {"0", "-1", "1", "3"}) {
    const Value config =
        service(fmt::format("{{router: {{scheduler: {{replicas: {}}}}}}}", replicas));
    EXPECT_EQ(validate_config(config).errors.empty(), replicas == "1" || replicas == "3");
  }
}

TEST(Rules, OfNumbers) {
  expect({Row{"{replicas: -1}", "spec.replicas"},
          Row{"{parallelism: {tensor: -1}}", "spec.parallelism.tensor"},
          Row{"{parallelism: {pipeline: -1}}", "spec.parallelism.pipeline"},
          Row{"{parallelism: {data: -1, dataLocal: 1}}", "spec.parallelism.data"},
          Row{"{parallelism: {data: 1, dataLocal: 0}}", "spec.parallelism.dataLocal"},
          Row{"{parallelism: {dataRPCPort: 0}}", "spec.parallelism.dataRPCPort"},
          Row{"{parallelism: {dataRPCPort: 65536}}", "spec.parallelism.dataRPCPort"}});
}

TEST(Rules, OfScaling) {
  // llmisvc:C12
  expect(
      {Row{"{replicas: 1, scaling: {maxReplicas: 2, wva: {hpa: {}}}}", "spec.scaling"},
       Row{"{scaling: {minReplicas: 3, maxReplicas: 2, wva: {hpa: {}}}}",
           "spec.scaling.minReplicas"},
       Row{"{scaling: {maxReplicas: 2}}", "spec.scaling"},
       Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}}, keda: {triggers: [{}]}}}", "spec.scaling"},
       Row{"{scaling: {maxReplicas: 2, wva: {}}}", "spec.scaling.wva"},
       Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}, keda: {}}}}", "spec.scaling.wva"},
       Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}}}}", ""}});
  // llmisvc:C13
  expect({Row{"{scaling: {maxReplicas: 2, keda: {}}}", "spec.scaling.keda.triggers"},
          Row{"{scaling: {maxReplicas: 2, keda: {triggers: []}}}", "spec.scaling.keda.triggers"},
          Row{"{scaling: {maxReplicas: 2, wva: {keda: {advanced: {scalingModifiers: {target: "
              "'1'}}}}}}",
              "spec.scaling.wva.keda.advanced.scalingModifiers"},
          Row{"{scaling: {maxReplicas: 2, wva: {keda: {advanced: {scalingModifiers: {formula: "
              "''}}}}}}",
              ""},
          Row{"{scaling: {maxReplicas: 2, wva: {keda: {advanced: {horizontalPodAutoscalerConfig: "
              "{name: h}}}}}}",
              "spec.scaling.wva.keda.advanced.horizontalPodAutoscalerConfig.name"},
          Row{"{scaling: {maxReplicas: 2, keda: {triggers: [{}], advanced: "
              "{horizontalPodAutoscalerConfig: {name: h}}}}}",
              "spec.scaling.keda.advanced.horizontalPodAutoscalerConfig.name"}});
  // llmisvc:C14
  expect(
      {Row{"{scaling: {maxReplicas: 2, wva: {keda: {idleReplicaCount: 0}}}}",
           "spec.scaling.wva.keda.idleReplicaCount"},
       Row{"{scaling: {minReplicas: 1, maxReplicas: 2, wva: {keda: {idleReplicaCount: 1}}}}",
           "spec.scaling.wva.keda.idleReplicaCount"},
       Row{"{scaling: {minReplicas: 1, maxReplicas: 2, wva: {keda: {idleReplicaCount: 0}}}}", ""}});
  // llmisvc:C15
  expect({Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, "
              "wva: {keda: {}}}}}",
              "spec.prefill.scaling"},
          Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, "
              "keda: {triggers: [{}]}}}}",
              "spec.prefill.scaling"},
          Row{"{scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, "
              "wva: {hpa: {}}}}}",
              ""}});
  // A cost is digits, and perhaps a point and digits.
  for (const std::string_view cost : {"-1", "-0", "1.", ".5", "inf", "nan", "1e3", "cheap"}) {
    expect({Row{
        fmt::format("{{scaling: {{maxReplicas: 2, wva: {{hpa: {{}}, variantCost: '{}'}}}}}}", cost),
        "spec.scaling.wva.variantCost"}});
  }
}

// llmisvc:C16
TEST(Rules, OfAdapters) {
  const std::string kName = "spec.model.lora.adapters[0].name";
  expect({Row{"{model: {uri: 'hf://a/b', lora: {adapters: [{uri: 'hf://c/d'}]}}}", kName},
          Row{"{model: {uri: 'hf://a/b', lora: {adapters: [{name: '.'}]}}}", kName},
          Row{"{model: {uri: 'hf://a/b', lora: {adapters: [{name: '..'}]}}}", kName},
          Row{"{model: {uri: 'hf://a/b', name: b, lora: {adapters: [{name: b}]}}}", kName},
          Row{"{model: {uri: 'hf://a/b', lora: {adapters: [{name: x}, {name: x}]}}}",
              "spec.model.lora.adapters[1].name"},
          Row{"{model: {uri: 'hf://a/b', lora: {maxRank: 0}}}", "spec.model.lora.maxRank"},
          Row{"{model: {uri: 'hf://a/b', lora: {maxRank: 1, adapters: [{name: x}]}}}", ""}});
}

// llmisvc:C17
TEST(Rules, OfOffloading) {
  const auto tier = [](std::string_view cpu, std::string_view file_system) {
    return fmt::format("{{kvCacheOffloading: {{cpu: {}, secondary: [{}]}}}}", cpu, file_system);
  };
  const std::string kFiles = "spec.kvCacheOffloading.secondary[0].fileSystem";
  expect({Row{tier("0Gi", "{fileSystem: {emptyDir: {}}}"), "spec.kvCacheOffloading.cpu"},
          Row{tier("1Gi", "{}"), kFiles}, Row{tier("1Gi", "{fileSystem: {}}"), kFiles},
          Row{tier("1Gi", "{fileSystem: {emptyDir: {}, pvc: {spec: {}}}}"), kFiles},
          Row{tier("1Gi", "{fileSystem: {pvc: {}}}"), fmt::format("{}.pvc", kFiles)},
          Row{tier("1Gi", "{fileSystem: {pvc: {spec: {}, ref: {name: c}}}}"),
              fmt::format("{}.pvc", kFiles)},
          Row{tier("1Gi", "{fileSystem: {pvc: {ref: {name: ''}}}}"),
              fmt::format("{}.pvc.ref.name", kFiles)},
          Row{tier("1Gi", "{fileSystem: {pvc: {ref: {name: c}}}}"), ""},
          Row{"{kvCacheOffloading: {cpu: 0}}", ""}});
}

// llmisvc:C18
TEST(Rules, OfRollouts) {
  const std::string kAt = "spec.rolloutStrategy";
  expect({Row{"{rolloutStrategy: {maxUnavailable: 0, maxSurge: 0}}", kAt},
          Row{"{rolloutStrategy: {maxUnavailable: 50%, maxSurge: 0%}}", kAt},
          Row{"{rolloutStrategy: {maxUnavailable: 0, maxSurge: 1%}}", ""},
          Row{"{rolloutStrategy: {maxUnavailable: -1}}", "spec.rolloutStrategy.maxUnavailable"},
          Row{"{rolloutStrategy: {maxSurge: 150%}}", "spec.rolloutStrategy.maxSurge"},
          Row{"{rolloutStrategy: {maxSurge: 'a%'}}", "spec.rolloutStrategy.maxSurge"},
          Row{"{rolloutStrategy: {maxSurge: '5'}}", "spec.rolloutStrategy.maxSurge"},
          Row{"{worker: {}, parallelism: {pipeline: 2}, rolloutStrategy: {maxUnavailable: 0}}",
              "spec.rolloutStrategy.maxSurge"},
          Row{"{prefill: {worker: {}, parallelism: {pipeline: 2}, rolloutStrategy: "
              "{maxUnavailable: 0}}}",
              "spec.prefill.rolloutStrategy.maxSurge"},
          Row{"{rolloutStrategy: {maxUnavailable: 0}}", ""}});
}

// llmisvc:C19
TEST(Rules, OfGroups) {
  const std::string kGroup = "spec.router.route.group";
  expect({Row{"{router: {route: {group: g}}}", "spec.router.route.weight"},
          Row{"{router: {route: {weight: 1}}}", kGroup},
          Row{"{router: {route: {group: 'A_', weight: 1}}}", kGroup},
          Row{"{router: {route: {group: g, weight: 1000001}}}", "spec.router.route.weight"},
          Row{"{router: {ingress: {}, route: {group: g, weight: 1}}}", kGroup},
          Row{"{router: {route: {group: g, weight: 1, http: {refs: [{name: r}]}}}}", kGroup},
          Row{"{router: {route: {group: g, weight: 0}}}", ""}});
}

// llmisvc:C20
TEST(Rules, OfConfidentialModels) {
  const auto model = [](std::string_view uri, std::string_view id) {
    return fmt::format(
        "{{model: {{uri: '{}', confidential: {{enabled: true, resourceId: '{}'}}}}}}", uri, id);
  };
  const std::string kAt = "spec.model.confidential.resourceId";
  for (const std::string_view id : {"kbs:///a/b", "kbs:///a/b/c/d", "kbs:///a//c", "kbs://a/b/c",
                                    "kbs:///a/b/c/", "kbs:///a/b/ü", "x"}) {
    expect({Row{model("hf://a/b", id), kAt}});
  }
  expect({Row{model("hf://a/b", "kbs:///a/b_1/c.d-e"), ""},
          Row{"{model: {uri: 'hf://a/b', confidential: {enabled: false, resourceId: x}}}", ""}});
  for (const std::string_view uri : {"oci://a/b", "pvc://a/b"}) {
    const Findings found = validate(service(model(uri, "kbs:///a/b/c")), Completeness::kPartial);
    EXPECT_THAT(found.errors, IsEmpty());
    EXPECT_THAT(paths(found.warnings), ElementsAre("spec.model.confidential"));
  }
}

TEST(Rules, OfDeviceAnnotations) {
  const auto refused = [](std::string_view annotations) {
    Value s = service("{}");
    s["metadata"]["annotations"] = yaml(annotations);
    return paths(validate(s, Completeness::kPartial).errors);
  };
  const std::string prefix = "metadata.annotations[serving.kserve.io/exp-dra-";

  EXPECT_THAT(refused("{serving.kserve.io/exp-dra-device-count: '1'}"),
              ElementsAre(prefix + "device-class]"));
  EXPECT_THAT(refused("{serving.kserve.io/exp-dra-device-class: ' gpu.example.com '}"), IsEmpty());
  for (const std::string_view name : {"''", "' '", "A", "a_b"}) {
    EXPECT_THAT(refused(fmt::format("{{serving.kserve.io/exp-dra-device-class: {}}}", name)),
                ElementsAre(prefix + "device-class]"));
  }
  for (const std::string_view count : {"'0'", "'-1'", "many", "''", "1.5"}) {
    EXPECT_THAT(refused(fmt::format("{{serving.kserve.io/exp-dra-device-class: g, "
                                    "serving.kserve.io/exp-dra-device-count: {}}}",
                                    count == "1.5" ? "'1.5'" : count)),
                ElementsAre(prefix + "device-count]"))
        << count;
  }
  EXPECT_THAT(refused("{serving.kserve.io/exp-dra-device-class: g, "
                      "serving.kserve.io/exp-dra-cel-selector: \"\\n \\n\", "
                      "serving.kserve.io/exp-dra-container-name: 'a.b'}"),
              ElementsAre(prefix + "cel-selector]", prefix + "container-name]"));
}

TEST(FieldPath, WritesPlacesAsKubernetesDoes) {
  EXPECT_EQ(field_path("/spec/template/containers/0/args/12"),
            "spec.template.containers[0].args[12]");
  EXPECT_EQ(field_path("/metadata/annotations/a.b~1c~0d"), "metadata.annotations[a.b/c~d]");
  EXPECT_EQ(field_path(""), "");
}

}  // namespace
}  // namespace baton::api
