#include "formats/api/convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"
#include "formats/api/testing.hpp"
#include "formats/api/validate.hpp"

namespace baton::api {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Array;
using text::json::dump;
using text::json::Object;
using text::json::Value;

constexpr int kRandomObjects = 300;

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

Value old_service(std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha1, kind: LLMInferenceService, metadata: {name: s}}");
  out["spec"] = yaml(spec);
  return out;
}

Value new_service(std::string_view spec) {
  Value out = old_service(spec);
  out["apiVersion"] = kApiVersion;
  return out;
}

Value there_and_back(const Value& v1alpha1) { return *to_v1alpha1(*to_v1alpha2(v1alpha1)); }
Value back_and_there(const Value& v1alpha2) { return *to_v1alpha2(*to_v1alpha1(v1alpha2)); }

// llmisvc:C22
TEST(Conversion, KeepsCriticalitiesInAnnotationsAndLeavesNoneBehind) {
  const Value old = old_service(
      "{model: {uri: 'hf://a/b', criticality: Critical, lora: {adapters: [{name: x}, {name: y, "
      "criticality: Sheddable}]}}}");

  const Value now = *to_v1alpha2(old);

  EXPECT_EQ(now.string_at({"apiVersion"}), kApiVersion);
  EXPECT_EQ(now.string_at({"metadata", "annotations", kCriticality}), "Critical");
  EXPECT_EQ(now.string_at({"metadata", "annotations", kLoraCriticalities}), R"({"1":"Sheddable"})");
  EXPECT_EQ(now.find_path({"spec", "model", "criticality"}), nullptr);
  EXPECT_THAT(validate(now, Completeness::kWhole).warnings, IsEmpty());

  const Value back = *to_v1alpha1(now);
  EXPECT_EQ(back, old);
  EXPECT_EQ(back.find_path({"metadata", "annotations"}), nullptr);
}

TEST(Conversion, KeepsTheUsersAnnotationsBesideItsOwn) {
  Value old = old_service("{model: {criticality: Standard}}");
  old["metadata"]["annotations"] = yaml("{mine: x}");

  EXPECT_EQ(there_and_back(old), old);
}

// llmisvc:C23
TEST(Conversion, FillsAnOldPoolSpecWithItsDefaultsAndKeepsSelectorAndPort) {
  const Value old = old_service(
      "{router: {scheduler: {pool: {spec: {selector: {a: b}, targetPortNumber: 8000, "
      "extensionRef: {name: epp}}}}}}");

  const Value now = *to_v1alpha2(old);

  EXPECT_EQ(dump(*now.find_path({"spec", "router", "scheduler", "pool", "spec"})),
            R"({"selector":{"matchLabels":{"a":"b"}},"targetPorts":[{"number":8000}],)"
            R"("endpointPickerRef":{"name":"epp","kind":"Service","port":{"number":9002},)"
            R"("failureMode":"FailClose"}})");
  const Value back = *to_v1alpha1(now);
  const Value& pool = *back.find_path({"spec", "router", "scheduler", "pool", "spec"});
  EXPECT_EQ(dump(*pool.find("selector")), R"({"a":"b"})");
  EXPECT_EQ(*pool.find("targetPortNumber"), Value(8000));
  EXPECT_EQ(*pool.find_path({"extensionRef", "portNumber"}), Value(9002));
  // What is v1 already stays.
  EXPECT_EQ(*to_v1alpha2(now), now);
}

TEST(Conversion, FillsInWhatAPickerLeavesOutInEitherShape) {
  const auto picker = [](const char* spec) {
    return *pool_spec_to_v1(yaml(spec)).find("endpointPickerRef");
  };
  EXPECT_EQ(picker("{endpointPickerRef: {name: e}}"), picker("{extensionRef: {name: e}}"));
  EXPECT_EQ(picker("{endpointPickerRef: {name: e, port: {number: 7}}}"),
            picker("{extensionRef: {name: e, portNumber: 7}}"));
}

TEST(Conversion, GivesAPickerThatIsNoServiceNoPort) {
  const Value now = pool_spec_to_v1(yaml("{extensionRef: {name: e, kind: Other}}"));

  EXPECT_EQ(now.find_path({"endpointPickerRef", "port"}), nullptr);
}

TEST(Conversion, LosesNothingOfASpecThatIsReadThroughTheOldVersion) {
  const Value now = new_service(
      "{model: {uri: 'hf://a/b', confidential: {enabled: true}}, kvCacheOffloading: {cpu: 1Gi}, "
      "prefill: {kvCacheOffloading: {cpu: 2Gi, evictionPolicy: arc}}, router: {scheduler: {pool: "
      "{spec: {selector: {matchLabels: {a: b}}, appProtocol: kubernetes.io/h2c, targetPorts: "
      "[{number: 8000}, {number: 8001}]}}}}}");

  const Value old = *to_v1alpha1(now);

  EXPECT_EQ(old.find_path({"spec", "kvCacheOffloading"}), nullptr);
  EXPECT_EQ(old.find_path({"spec", "model", "confidential"}), nullptr);
  EXPECT_EQ(*old.find_path({"spec", "router", "scheduler", "pool", "spec", "targetPortNumber"}),
            Value(8000));
  EXPECT_EQ(*to_v1alpha2(old), now);
}

TEST(Conversion, PutsNothingBackThatAnEditRemovedTheGroundOf) {
  Value old = *to_v1alpha1(new_service(
      "{prefill: {kvCacheOffloading: {cpu: 2Gi}}, router: {scheduler: {pool: {spec: {targetPorts: "
      "[{number: 8000}, {number: 8001}]}}}}}"));
  old["spec"].if_object()->erase("prefill");
  old["spec"]["router"]["scheduler"]["pool"]["spec"]["targetPortNumber"] = 9000;

  const Value now = *to_v1alpha2(old);

  EXPECT_EQ(now.find_path({"spec", "prefill"}), nullptr);
  EXPECT_EQ(dump(*now.find_path({"spec", "router", "scheduler", "pool", "spec", "targetPorts"})),
            R"([{"number":9000}])");
  EXPECT_EQ(now.find_path({"metadata", "annotations"}), nullptr);
}

TEST(Conversion, KeepsFurtherPortsBesideAnEditOfTheSelector) {
  Value old = *to_v1alpha1(new_service(
      "{router: {scheduler: {pool: {spec: {selector: {matchLabels: {a: b}}, targetPorts: "
      "[{number: 8000}, {number: 8001}]}}}}}"));
  old["spec"]["router"]["scheduler"]["pool"]["spec"]["selector"]["a"] = "c";

  const Value now = *to_v1alpha2(old);

  EXPECT_EQ(dump(*now.find_path({"spec", "router", "scheduler", "pool", "spec"})),
            R"({"selector":{"matchLabels":{"a":"c"}},"targetPorts":[{"number":8000},)"
            R"({"number":8001}]})");
}

TEST(Conversion, LeavesNothingOfAnEarlierReadingInAnObjectOfTheNewVersion) {
  Value now = new_service("{}");
  now["metadata"]["annotations"][kNewFields] = R"({"/spec/kvCacheOffloading":{"cpu":"1Gi"}})";

  EXPECT_EQ(dump(*back_and_there(now).find("spec")), "{}");
}

// Upstream stops with a panic.
TEST(Conversion, TakesAPoolWithoutPorts) {
  for (const std::string_view ports : {"[]", "null", "[{}]", "7", "{}", "[7]"}) {
    const Value now = new_service(
        fmt::format("{{router: {{scheduler: {{pool: {{spec: {{targetPorts: {}}}}}}}}}}}", ports));
    const Value old = *to_v1alpha1(now);
    EXPECT_EQ(old.find_path({"spec", "router", "scheduler", "pool", "spec", "targetPortNumber"}),
              nullptr)
        << ports;
    EXPECT_EQ(*to_v1alpha2(old), now) << ports;
  }
}

TEST(Conversion, LosesNothingOfAPoolSpecThatMixesTheApis) {
  for (const std::string_view pool :
       {"{selector: {a: b}, targetPortNumber: 7, extensionRef: {name: e}}",
        "{targetPorts: [{number: 8}], targetPortNumber: 7}",
        "{endpointPickerRef: {name: e, portNumber: 3}}", "{endpointPickerRef: 7}",
        "{selector: {matchLabels: 7}}", "{selector: {matchLabels: {a: b}, more: 1}}"}) {
    const Value now =
        new_service(fmt::format("{{router: {{scheduler: {{pool: {{spec: {}}}}}}}}}", pool));
    EXPECT_EQ(back_and_there(now), now) << pool;

    Value old = now;
    old["apiVersion"] = kOldApiVersion;
    const Value first = *to_v1alpha2(old);
    EXPECT_EQ(back_and_there(first), first) << pool;
  }
}

TEST(Conversion, TakesALabelThatIsCalledLikeTheOtherApisSelector) {
  const Value now = pool_spec_to_v1(yaml("{selector: {matchLabels: x}}"));

  EXPECT_EQ(dump(now), R"({"selector":{"matchLabels":{"matchLabels":"x"}}})");
}

TEST(Conversion, DropsAPoolSpecThatIsNone) {
  const Value now = *to_v1alpha2(old_service("{router: {scheduler: {pool: {spec: 7}}}}"));

  EXPECT_EQ(dump(*now.find_path({"spec", "router", "scheduler", "pool"})), "{}");
}

TEST(Conversion, DropsFromTheStatusWhatTheOldVersionHasNot) {
  Value now = new_service("{}");
  now["status"] = yaml(
      "{url: 'http://a', conditions: [{type: Ready, status: 'True'}], annotations: {a: b}, "
      "addresses: [{url: 'http://a', origin: {group: g, kind: k, name: n}, models: [{name: m}]}], "
      "workloads: {primary: {kind: Deployment, name: d}}, appliedConfigs: [{name: c, namespace: n, "
      "source: Preset}], router: {gateways: [{group: g, kind: Gateway, name: gw}], group: {name: "
      "g}}}");

  const Value old = *to_v1alpha1(now);

  EXPECT_EQ(dump(*old.find("status")),
            R"({"url":"http://a","conditions":[{"type":"Ready","status":"True"}],"annotations":)"
            R"({"a":"b"},"addresses":[{"url":"http://a"}],"router":{"gateways":[{"group":"g",)"
            R"("kind":"Gateway","name":"gw"}]}})");
  EXPECT_EQ(old.find_path({"metadata", "annotations"}), nullptr);

  Value config = now;
  config["kind"] = "LLMInferenceServiceConfig";
  config["status"] = yaml("{referencedBy: [{name: a, namespace: b}], conditions: []}");
  EXPECT_EQ(dump(*to_v1alpha1(config)->find("status")), R"({"conditions":[]})");
}

TEST(Conversion, IgnoresHelperAnnotationsThatAreBroken) {
  for (const std::string_view text : {"", "{", "7", "[]", R"({"7": 1, "0": 3})"}) {
    Value now = new_service("{model: {lora: {adapters: [{name: x}, 7]}}}");
    now["metadata"]["annotations"][kLoraCriticalities] = text;
    now["metadata"]["annotations"][kNewFields] = text;
    const Value old = *to_v1alpha1(now);
    EXPECT_EQ(dump(*old.find("spec")), dump(*now.find("spec"))) << text;
    EXPECT_TRUE(to_v1alpha2(old)) << text;
  }
}

TEST(Conversion, RefusesOtherKindsAndVersions) {
  EXPECT_THAT(to_v1alpha2(yaml("{kind: LLMInferenceServices}")).error().message(),
              HasSubstr("did you mean 'LLMInferenceService'?"));
  EXPECT_THAT(to_v1alpha2(yaml("{kind: LLMInferenceService, apiVersion: serving.kserve.io/v2}"))
                  .error()
                  .message(),
              HasSubstr("/apiVersion: expected"));
  EXPECT_THAT(convert(new_service("{}"), "serving.kserve.io/v2").error().message(),
              HasSubstr("nothing is converted to 'serving.kserve.io/v2'"));
  EXPECT_FALSE(to_v1alpha1(yaml("7")));
}

// What conversion would fill in, so that only what it should not touch is compared.
void settle_pool(Value& object) {
  Value* at = &object;
  for (const std::string_view key : {"spec", "router", "scheduler", "pool", "spec"}) {
    at = at->find(key);
    if (at == nullptr) return;
  }
  *at = object.string_at({"apiVersion"}) == kOldApiVersion ? pool_spec_to_x(pool_spec_to_v1(*at))
                                                           : *at;
}

Value random_object(Random& random, Versions version) {
  Value out =
      Object{{"apiVersion", version == Versions::kV1Alpha1 ? kOldApiVersion : kApiVersion},
             {"kind", random.below(2) == 0 ? "LLMInferenceService" : "LLMInferenceServiceConfig"},
             {"metadata", Object{{"name", "x"}}},
             {"spec", testing::Generator(random, version).of(service_spec())}};
  settle_pool(out);
  return out;
}

// llmisvc:C24: every field of the schema that both versions have, scheduler configuration,
// tokenizer, scaling, tracing and rollout among them.
TEST(Conversion, RoundTripsAnyOldObject) {
  SeededRandom random(1);
  for (int i = 0; i < kRandomObjects; ++i) {
    const Value old = random_object(random, Versions::kV1Alpha1);
    ASSERT_EQ(there_and_back(old), old) << dump(old) << "\n" << dump(there_and_back(old));
  }
}

TEST(Conversion, RoundTripsAnyNewObject) {
  SeededRandom random(2);
  for (int i = 0; i < kRandomObjects; ++i) {
    const Value now = random_object(random, Versions::kV1Alpha2);
    ASSERT_EQ(back_and_there(now), now) << dump(now);
  }
}

TEST(Conversion, SpecifiesScalingTracingAndTheRestAlike) {
  const std::string_view spec =
      "{model: {uri: 'hf://a/b'}, router: {scheduler: {config: {inline: {plugins: [{type: a}]}}, "
      "tokenizer: {template: {containers: [{name: main}]}}}}, scaling: {minReplicas: 1, "
      "maxReplicas: 3, wva: {variantCost: '10.0', hpa: {behavior: {scaleUp: {}}}}}, tracing: "
      "{sampler: s}, rolloutStrategy: {maxSurge: 25%, maxUnavailable: 0}}";
  const Value old = old_service(spec);
  EXPECT_EQ(there_and_back(old), old);
  EXPECT_EQ(dump(*to_v1alpha2(old)->find("spec")), dump(*old.find("spec")));
}

}  // namespace
}  // namespace baton::api
