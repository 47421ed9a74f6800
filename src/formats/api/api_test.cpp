#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"
#include "formats/api/quantity.hpp"
#include "formats/api/resource_name.hpp"
#include "formats/api/schema.hpp"
#include "formats/api/validate.hpp"

namespace baton::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::dump;
using text::json::Value;

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

Value service(std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {name: s}}");
  out["spec"] = yaml(spec);
  if (out.find_path({"spec", "model"}) == nullptr) out["spec"]["model"] = yaml("{uri: 'hf://a/b'}");
  return out;
}

std::vector<std::string> messages(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const Finding& finding : findings) out.push_back(finding.pointer + ": " + finding.message);
  return out;
}

std::vector<std::string> errors(std::string_view spec) {
  return messages(validate(service(spec), Completeness::kPartial).errors);
}

std::vector<std::string> warnings(std::string_view spec) {
  return messages(validate(service(spec), Completeness::kPartial).warnings);
}

TEST(Validation, AcceptsWhatIsRight) {
  EXPECT_THAT(errors("{replicas: 0, prefill: {replicas: 2, parallelism: {tensor: 2}}, router: "
                     "{route: {}, gateway: "
                     "{}, scheduler: {pool: {}, replicas: 3}}}"),
              IsEmpty());
  // C07
  EXPECT_THAT(errors("{worker: {}, parallelism: {pipeline: 2, tensor: 4}}"), IsEmpty());
  EXPECT_THAT(errors("{worker: {}, parallelism: {data: 4, dataLocal: 2}}"), IsEmpty());
}

TEST(Validation, NamesTheModelThatIsMissing) {
  Value none = service("{replicas: 1}");
  none["spec"].if_object()->erase("model");

  EXPECT_THAT(messages(validate(none, Completeness::kPartial).errors),
              ElementsAre("/spec/model: is required: model.uri says what to serve"));

  none["spec"]["modle"] = yaml("{uri: 'hf://a/b'}");
  EXPECT_THAT(
      messages(validate(none, Completeness::kPartial).errors),
      ElementsAre("/spec/model: is required: model.uri says what to serve (is 'modle' meant "
                  "to be it?)"));

  none["spec"]["baseRefs"] = yaml("[{name: base}]");
  EXPECT_THAT(validate(none, Completeness::kPartial).errors, IsEmpty());
  EXPECT_FALSE(validate(none, Completeness::kWhole).errors.empty());
}

// C10, C11: all findings at once.
TEST(Validation, ReportsWrongNumbersTogether) {
  EXPECT_THAT(errors("{replicas: -1, parallelism: {tensor: 0, dataRPCPort: 65536}, router: "
                     "{scheduler: {replicas: 0}}}"),
              ElementsAre("/spec/replicas: must be at least 0, is -1",
                          "/spec/parallelism/tensor: must be at least 1, is 0",
                          "/spec/parallelism/dataRPCPort: must be at most 65535, is 65536",
                          "/spec/router/scheduler/replicas: must be at least 1, is 0"));
}

TEST(Validation, SaysWhichTypeIsExpected) {
  EXPECT_THAT(
      errors(
          "{replicas: two, labels: {a: 1}, template: {containers: [{name: main, args: [1]}, {}]}, "
          "model: hf}"),
      ElementsAre("/spec/replicas: expected a whole number, is \"two\"",
                  "/spec/labels/a: expected a string (quote it), is 1",
                  "/spec/template/containers/1: has no name",
                  "/spec/template/containers/0/args/0: expected a string (quote it), is 1",
                  "/spec/model: expected an object, is \"hf\""));
}

TEST(Validation, WarnsOfUnknownFieldsWithTheNearestName) {
  EXPECT_THAT(
      warnings("{replica: 2, prefill: {paralelism: {}}, template: {containers: [{name: main, "
               "comand: []}]}}"),
      ElementsAre(
          "/spec/replica: unknown field, has no effect (did you mean 'replicas'?)",
          "/spec/prefill/paralelism: unknown field, has no effect (did you mean 'parallelism'?)",
          "/spec/template/containers/0/comand: unknown field, has no effect (did you mean "
          "'command'?)"));
}

// C01, C02, C03
TEST(Validation, KeepsRoutesAndGatewaysApart) {
  EXPECT_THAT(errors("{router: {route: {http: {refs: [{name: r}], spec: {rules: []}}}}}"),
              ElementsAre("/spec/router/route/http: refs and spec exclude each other"));
  EXPECT_THAT(errors("{router: {gateway: {}, route: {http: {refs: [{name: r}]}}}}"),
              ElementsAre(HasSubstr("/spec/router/route/http/refs: ")));
  const std::string_view other =
      "{router: {gateway: {refs: [{name: a}]}, route: {http: {spec: {parentRefs: [{name: b}]}}}}}";
  EXPECT_THAT(errors(other), ElementsAre(HasSubstr("name different gateways")));
  const std::string_view same =
      "{router: {gateway: {refs: [{name: a}]}, route: {http: {spec: {parentRefs: [{name: a}]}}}}}";
  EXPECT_THAT(errors(same), IsEmpty());
  EXPECT_THAT(warnings(same), ElementsAre(HasSubstr("says the same")));
}

// C04, C05, C06
TEST(Validation, ChecksParallelismOfBothWorkloads) {
  EXPECT_THAT(errors("{parallelism: {pipeline: 2, data: 2, dataLocal: 1}}"),
              ElementsAre("/spec/parallelism: pipeline excludes data and dataLocal"));
  EXPECT_THAT(errors("{parallelism: {data: 2}}"),
              ElementsAre("/spec/parallelism/dataLocal: is required with data"));
  EXPECT_THAT(errors("{prefill: {parallelism: {dataLocal: 2}}}"),
              ElementsAre("/spec/prefill/parallelism/data: is required with dataLocal"));
  EXPECT_THAT(errors("{worker: {}}"), ElementsAre(HasSubstr("/spec/worker: needs ")));
  EXPECT_THAT(errors("{prefill: {worker: {}, parallelism: {tensor: 2}}}"),
              ElementsAre(HasSubstr("/spec/prefill/worker: needs ")));
}

// C08
TEST(Validation, RefusesAnotherGroupSizeOnUpdate) {
  const Value before = service("{parallelism: {data: 4, dataLocal: 2}}");
  EXPECT_THAT(
      messages(validate_update(before, service("{parallelism: {data: 8, dataLocal: 2}}")).errors),
      ElementsAre("/spec/parallelism: total parallelism size is immutable: was 2, is 4"));
  EXPECT_THAT(validate_update(before, service("{parallelism: {data: 8, dataLocal: 4}}")).errors,
              IsEmpty());
}

// C09
TEST(Validation, WantsExactlyOnePickerConfiguration) {
  EXPECT_THAT(errors("{router: {scheduler: {config: {}}}}"),
              ElementsAre(HasSubstr("exactly one of inline and ref")));
  EXPECT_THAT(errors("{router: {scheduler: {config: {inline: {}}}}}"),
              ElementsAre("/spec/router/scheduler/config/inline: is empty"));
  EXPECT_THAT(errors("{router: {scheduler: {config: {ref: {key: k}}}}}"),
              ElementsAre("/spec/router/scheduler/config/ref/name: is required"));
  EXPECT_THAT(errors("{router: {scheduler: {config: {ref: {name: c, key: k}}}}}"), IsEmpty());
}

// C12, C13, C14, C15
TEST(Validation, ChecksScaling) {
  EXPECT_THAT(errors("{replicas: 1, scaling: {minReplicas: 3, maxReplicas: 2}}"),
              ElementsAre("/spec/scaling: excludes replicas",
                          "/spec/scaling: needs exactly one of wva and keda",
                          "/spec/scaling/minReplicas: is 3, above maxReplicas 2"));
  EXPECT_THAT(
      errors("{scaling: {maxReplicas: 2, wva: {hpa: {}, keda: {}, variantCost: cheap}}}"),
      ElementsAre("/spec/scaling/wva: needs exactly one of hpa and keda",
                  "/spec/scaling/wva/variantCost: expected a number such as 10.0, is 'cheap'"));
  EXPECT_THAT(errors("{scaling: {maxReplicas: 2, keda: {}}}"),
              ElementsAre("/spec/scaling/keda/triggers: needs at least one trigger"));
  EXPECT_THAT(errors("{scaling: {maxReplicas: 2, keda: {triggers: [{}], idleReplicaCount: 0}}}"),
              ElementsAre("/spec/scaling/keda/idleReplicaCount: needs minReplicas"));
  EXPECT_THAT(errors("{scaling: {minReplicas: 1, maxReplicas: 2, keda: {triggers: [{}], "
                     "idleReplicaCount: 0}}}"),
              IsEmpty());
  EXPECT_THAT(
      errors("{scaling: {maxReplicas: 2, wva: {hpa: {}}}, prefill: {scaling: {maxReplicas: 2, wva: "
             "{keda: {}}}}}"),
      ElementsAre(
          "/spec/prefill/scaling: uses wva with keda, but /spec/scaling uses wva with hpa"));
  EXPECT_THAT(
      errors(
          "{scaling: {maxReplicas: 2, wva: {keda: {advanced: {scalingModifiers: {formula: x}}}}}}"),
      ElementsAre("/spec/scaling/wva/keda/advanced/scalingModifiers: must be empty"));
}

// C16
TEST(Validation, ChecksAdapterNames) {
  EXPECT_THAT(errors("{model: {uri: 'hf://a/b', name: m, lora: {maxRank: 0, adapters: [{}, {name: "
                     "..}, {name: m}, "
                     "{name: a}, {name: a}]}}}"),
              ElementsAre("/spec/model/lora/maxRank: must be at least 1, is 0",
                          "/spec/model/lora/adapters/0/name: is required",
                          "/spec/model/lora/adapters/1/name: must not be '..'",
                          "/spec/model/lora/adapters/2/name: 'm' is the base model's name",
                          "/spec/model/lora/adapters/4/name: 'a' is there twice"));
}

// C17
TEST(Validation, ChecksOffloadingTiers) {
  EXPECT_THAT(
      errors("{kvCacheOffloading: {cpu: 0, secondary: [{}, {fileSystem: {}}, {fileSystem: "
             "{emptyDir: {}, pvc: "
             "{}}}, {fileSystem: {pvc: {ref: {}}}}]}}"),
      ElementsAre(
          "/spec/kvCacheOffloading/cpu: must be above zero with secondary tiers",
          "/spec/kvCacheOffloading/secondary/0/fileSystem: is required",
          "/spec/kvCacheOffloading/secondary/1/fileSystem: needs exactly one of emptyDir and pvc",
          "/spec/kvCacheOffloading/secondary/2/fileSystem: needs exactly one of emptyDir and pvc",
          "/spec/kvCacheOffloading/secondary/2/fileSystem/pvc: needs exactly one of spec and ref",
          "/spec/kvCacheOffloading/secondary/3/fileSystem/pvc/ref/name: is required"));
}

// C18
TEST(Validation, ChecksRollouts) {
  EXPECT_THAT(errors("{rolloutStrategy: {maxUnavailable: 0, maxSurge: 0%}}"),
              ElementsAre(HasSubstr("both zero")));
  EXPECT_THAT(
      errors("{rolloutStrategy: {maxUnavailable: -1, maxSurge: 150%}}"),
      ElementsAre("/spec/rolloutStrategy/maxUnavailable: must not be negative, is -1",
                  "/spec/rolloutStrategy/maxSurge: expected a number or 0% to 100%, is \"150%\""));
  EXPECT_THAT(
      errors("{worker: {}, parallelism: {pipeline: 2}, rolloutStrategy: {maxUnavailable: 0}}"),
      ElementsAre("/spec/rolloutStrategy/maxSurge: is required when maxUnavailable is 0"));
  EXPECT_THAT(errors("{rolloutStrategy: {maxUnavailable: 25%, maxSurge: 1%}}"), IsEmpty());
}

// C19
TEST(Validation, ChecksGroups) {
  EXPECT_THAT(errors("{router: {route: {group: g}}}"),
              ElementsAre("/spec/router/route/weight: is required with group"));
  EXPECT_THAT(errors("{router: {route: {weight: 1}}}"),
              ElementsAre("/spec/router/route/group: is required with weight"));
  EXPECT_THAT(errors("{router: {ingress: {}, route: {group: 'A_', weight: 1000001}}}"),
              ElementsAre("/spec/router/route/weight: must be at most 1000000, is 1000001",
                          HasSubstr("/spec/router/route/group: must be"),
                          HasSubstr("works with managed routes only")));
}

// C20
TEST(Validation, ChecksConfidentialModels) {
  EXPECT_THAT(
      errors("{model: {uri: 'hf://a/b', confidential: {enabled: true, resourceId: 'kbs:///a/b'}}}"),
      ElementsAre(HasSubstr("expected kbs:///a/b/c")));
  EXPECT_THAT(
      warnings(
          "{model: {uri: 'oci://a/b', confidential: {enabled: true, resourceId: 'kbs:///a/b/c'}}}"),
      ElementsAre(HasSubstr("has no effect")));
}

TEST(Validation, ChecksDeviceAnnotations) {
  Value s = service("{}");
  s["metadata"]["annotations"] = yaml(
      "{serving.kserve.io/exp-dra-device-count: '0', serving.kserve.io/exp-dra-cel-selector: ' '}");
  EXPECT_THAT(
      messages(validate(s, Completeness::kWhole).errors),
      ElementsAre("/metadata/annotations/serving.kserve.io~1exp-dra-device-class: is required",
                  HasSubstr("must be a number of at least 1, is '0'"),
                  HasSubstr("has no expression")));
}

// B33
TEST(Validation, RefusesConfigsThatReferToConfigs) {
  EXPECT_THAT(messages(validate_config(
                           service("{baseRefs: [{name: a}], router: {scheduler: {replicas: 0}}}"))
                           .errors),
              ElementsAre("/spec/router/scheduler/replicas: must be at least 1, is 0",
                          "/spec/baseRefs: a config cannot refer to others"));
  EXPECT_THAT(validate_config(yaml("{kind: LLMInferenceServiceConfig}")).errors, IsEmpty());
}

TEST(Validation, WantsNamesThatAreDnsLabels) {
  EXPECT_THAT(messages(check_identity(yaml("{metadata: {name: A_b}}")).errors),
              ElementsAre(HasSubstr("/metadata/name: must be 1 to 63 of")));
  EXPECT_THAT(messages(check_identity(yaml("{}")).errors),
              ElementsAre("/metadata/name: is required"));
}

TEST(Schema, ShowsTemplatesEveryFieldUnderItsGoName) {
  const Value view = template_view(service_spec(), yaml("{model: {uri: x}, labels: {a: b}}"));

  EXPECT_EQ(view.string_at({"model", "URI"}), "x");
  EXPECT_TRUE(view.find("prefill")->is_null());
  EXPECT_EQ(view.string_at({"labels", "a"}), "b");
  EXPECT_TRUE(view.find("KVCacheOffloading")->is_null());
}

TEST(Quantity, ReadsDecimalAndBinarySuffixes) {
  EXPECT_EQ(*quantity(Value("10Gi")), 10LL << 30);
  EXPECT_EQ(*quantity(Value("1.5k")), 1500);
  EXPECT_EQ(*quantity(Value("500m")), 1);
  EXPECT_EQ(*quantity(Value(4)), 4);
  EXPECT_EQ(*quantity(Value("1e3")), 1000);
  EXPECT_EQ(*quantity(Value(".55E")), 550'000'000'000'000'000);
  EXPECT_EQ(*quantity(Value("9007199254740993")), 9'007'199'254'740'993);  // 2^53 + 1
  EXPECT_EQ(*quantity(Value("0.1n")), 1);
  for (const char* bad : {"", "Gi", "10GB", "1Ei0", "99E99", "nan"})
    EXPECT_FALSE(quantity(Value(bad))) << bad;
}

TEST(Quantity, SumsAreWrittenAsAnApiServerWritesThem) {
  EXPECT_EQ(*sum_of_quantities(Value("5Gi"), Value("1Gi")), "6Gi");
  EXPECT_EQ(*sum_of_quantities(Value("1Gi"), Value("512Mi")), "1536Mi");
  EXPECT_EQ(*sum_of_quantities(Value(2000), Value("1k")), "3k");
  EXPECT_EQ(*sum_of_quantities(Value("1"), Value("0")), "1");
  EXPECT_EQ(*sum_of_quantities(Value("0"), Value("0")), "0");
  EXPECT_FALSE(sum_of_quantities(Value("7Ei"), Value("7Ei")));
  EXPECT_FALSE(sum_of_quantities(Value("much"), Value("1")));
}

TEST(ResourceName, IsExtendedWhereKubernetesHasNoneOfThatName) {
  EXPECT_TRUE(is_extended_resource("nvidia.com/gpu"));
  for (const char* own :
       {"cpu", "hugepages-2Mi", "kubernetes.io/batch-cpu", "requests.nvidia.com/gpu"}) {
    EXPECT_FALSE(is_extended_resource(own)) << own;
  }
}

}  // namespace
}  // namespace baton::api
