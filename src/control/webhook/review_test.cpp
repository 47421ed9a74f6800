#include "control/webhook/review.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/base64.hpp"
#include "base/text/yaml.hpp"
#include "control/plan/presets.hpp"
#include "control/webhook/configurations.hpp"
#include "control/webhook/json_patch.hpp"
#include "formats/api/convert.hpp"

namespace baton::webhook {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Array;
using text::json::dump;
using text::json::Object;
using text::json::Value;

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

Value object(std::string_view kind, std::string_view version, std::string_view spec) {
  return Object{{"apiVersion", fmt::format("serving.kserve.io/{}", version)},
                {"kind", kind},
                {"metadata", Object{{"name", "s"}, {"namespace", "llm"}}},
                {"spec", yaml(spec)}};
}
Value service(std::string_view spec, std::string_view version = "v1alpha2") {
  return object("LLMInferenceService", version, spec);
}
Value config(std::string_view spec, std::string_view version = "v1alpha2") {
  return object("LLMInferenceServiceConfig", version, spec);
}

Value review(std::string_view operation, const Value& now, const Value& before = {}) {
  Object request{{"uid", "u-1"},       {"operation", operation}, {"name", "s"},
                 {"namespace", "llm"}, {"object", now},          {"oldObject", before}};
  return Object{
      {"apiVersion", "admission.k8s.io/v1"}, {"kind", "AdmissionReview"}, {"request", request}};
}

// The response to a review.
Value response(std::string_view path, const Value& asked, const Context& context = {}) {
  const Answer given = answer(path, dump(asked), context);
  EXPECT_EQ(given.status, 200) << given.body;
  Value out = *text::json::parse(given.body);
  EXPECT_EQ(out.string_at({"apiVersion"}), asked.string_at({"apiVersion"}));
  EXPECT_EQ(out.string_at({"kind"}), asked.string_at({"kind"}));
  EXPECT_EQ(out.string_at({"response", "uid"}), "u-1");
  return *out.find("response");
}

constexpr std::string_view kMutate = "/mutate-serving-kserve-io-v1alpha2-llminferenceservice";
constexpr std::string_view kMutateOld = "/mutate-serving-kserve-io-v1alpha1-llminferenceservice";
constexpr std::string_view kValidate = "/validate-serving-kserve-io-v1alpha2-llminferenceservice";
constexpr std::string_view kValidateOld =
    "/validate-serving-kserve-io-v1alpha1-llminferenceservice";
constexpr std::string_view kValidateConfig =
    "/validate-serving-kserve-io-v1alpha2-llminferenceserviceconfig";

bool allowed(const Value& given) { return *given.find("allowed") == Value(true); }

std::vector<std::string> fields(const Value& given) {
  std::vector<std::string> out;
  const Value* causes = given.find_path({"status", "details", "causes"});
  if (causes == nullptr) return out;
  for (const Value& cause : *causes->if_array()) out.emplace_back(cause.string_at({"field"}));
  return out;
}

std::string patch_of(const Value& given) {
  const std::string_view encoded = given.string_at({"patch"});
  return encoded.empty() ? "" : *text::parse_base64(encoded);
}

TEST(Defaulting, IsAPatch) {
  const Value given = response(
      kMutate,
      review("CREATE", service("{model: {uri: 'hf://a/b'}, template: {}, router: {route: {group: "
                               "g, weight: 1}}}")));

  EXPECT_TRUE(allowed(given));
  EXPECT_EQ(given.string_at({"patchType"}), "JSONPatch");
  EXPECT_EQ(patch_of(given),
            R"([{"op":"add","path":"/metadata/labels","value":{"serving.kserve.io/routing-group":)"
            R"("g"}},{"op":"add","path":"/metadata/finalizers","value":)"
            R"(["serving.kserve.io/llmisvc-finalizer"]},)"
            R"({"op":"add","path":"/spec/model/name","value":"s"},)"
            R"({"op":"add","path":"/spec/template/containers","value":[]}])");
}

TEST(Defaulting, PatchesNothingWhenNothingIsMissing) {
  const Value given =
      response(kMutate, review("UPDATE", service("{model: {uri: 'hf://a/b', name: m}}")));

  EXPECT_TRUE(allowed(given));
  EXPECT_EQ(given.find("patch"), nullptr);
}

TEST(Defaulting, AnswersTheOldVersionInTheOldVersion) {
  const Value given =
      response(kMutateOld, review("CREATE", service("{model: {uri: 'hf://a/b', criticality: "
                                                    "Critical}}",
                                                    "v1alpha1")));

  EXPECT_EQ(patch_of(given), R"([{"op":"add","path":"/metadata/finalizers","value":)"
                             R"(["serving.kserve.io/llmisvc-finalizer"]},)"
                             R"({"op":"add","path":"/spec/model/name","value":"s"}])");
}

TEST(Defaulting, PutsTheFinalizerOnWhatIsNewAndOnNothingElse) {
  Value one = service("{model: {uri: 'hf://a/b', name: m}}");
  EXPECT_EQ(patch_of(response(kMutate, review("UPDATE", one, one))), "");
  one["metadata"]["finalizers"] = yaml("[theirs]");
  EXPECT_EQ(patch_of(response(kMutate, review("CREATE", one))),
            R"([{"op":"replace","path":"/metadata/finalizers","value":)"
            R"(["theirs","serving.kserve.io/llmisvc-finalizer"]}])");
  one["metadata"]["finalizers"] = yaml("[serving.kserve.io/llmisvc-finalizer]");
  EXPECT_EQ(patch_of(response(kMutate, review("CREATE", one))), "");
}

TEST(Defaulting, LooksUpLocalModelsOfTheClusterAndOfTheNamespaceOnly) {
  Context context;
  context.local_models = Context::LocalModels{
      {yaml("{metadata: {name: c}, spec: {sourceModelUri: 'hf://a/b', nodeGroups: [g]}}")},
      {yaml(
          "{metadata: {name: o, namespace: other}, spec: {sourceModelUri: 'hf://a/b', nodeGroups: "
          "[g]}}")}};
  const Value asked = review("UPDATE", service("{model: {uri: 'hf://a/b', name: m}}"));

  EXPECT_THAT(patch_of(response(kMutate, asked, context)),
              HasSubstr(R"({"internal.serving.kserve.io/localmodel":"c"})"));
  context.local_models.reset();
  EXPECT_EQ(patch_of(response(kMutate, asked, context)), "");
}

TEST(Patch, TurnsOneObjectIntoTheOther) {
  EXPECT_EQ(dump(json_patch(yaml("{a: 1, b: {c: [1, 2], d/e: x}}"),
                            yaml("{b: {c: [1, 3], f~g: z}, h: [1]}"))),
            R"([{"op":"remove","path":"/a"},{"op":"remove","path":"/b/d~1e"},)"
            R"({"op":"replace","path":"/b/c/1","value":3},)"
            R"({"op":"add","path":"/b/f~0g","value":"z"},{"op":"add","path":"/h","value":[1]}])");
  EXPECT_EQ(dump(json_patch(yaml("[1]"), yaml("[1, 2]"))),
            R"([{"op":"replace","path":"","value":[1,2]}])");
}

TEST(Validating, TellsEveryFindingAtOnceAsTheApiServerWould) {
  const Value given = response(
      kValidate,
      review("CREATE", service("{model: {uri: 'hf://a/b', lora: {adapters: [{name: x}, {name: "
                               "x}]}}, replicas: -1, router: {route: {group: g}}, scaling: "
                               "{maxReplicas: 2, wva: {keda: {advanced: "
                               "{horizontalPodAutoscalerConfig: {name: h}}}}}}")));

  EXPECT_FALSE(allowed(given));
  EXPECT_EQ(*given.find_path({"status", "code"}), Value(422));
  EXPECT_EQ(given.string_at({"status", "reason"}), "Invalid");
  EXPECT_EQ(given.string_at({"status", "details", "kind"}), "LLMInferenceService");
  EXPECT_EQ(given.string_at({"status", "details", "group"}), "serving.kserve.io");
  EXPECT_EQ(
      dump((*given.find_path({"status", "details", "causes"})->if_array())[0]),
      R"({"reason":"FieldValueInvalid","message":"Invalid value: -1: must be at least 0, is -1",)"
      R"("field":"spec.replicas"})");
  EXPECT_THAT(fields(given),
              ElementsAre("spec.replicas", "spec.router.route.weight",
                          "spec.model.lora.adapters[1].name", "spec.scaling",
                          "spec.scaling.wva.keda.advanced.horizontalPodAutoscalerConfig.name"));
  EXPECT_THAT(std::string(given.string_at({"status", "message"})),
              HasSubstr("LLMInferenceService.serving.kserve.io \"s\" is invalid: [spec.replicas: "
                        "Invalid value: -1: must be at least 0, is -1, spec.router.route.weight: "
                        "Required value: is required with group, "
                        "spec.model.lora.adapters[1].name: Duplicate value: \"x\": "));
}

TEST(Validating, ComparesWithThePredecessor) {
  const Value before = service("{model: {uri: 'hf://a/b'}, parallelism: {data: 4, dataLocal: 2}}");
  const Value after = service("{model: {uri: 'hf://a/b'}, parallelism: {data: 8, dataLocal: 2}}");

  EXPECT_THAT(fields(response(kValidate, review("UPDATE", after, before))),
              ElementsAre("spec.parallelism"));
  EXPECT_TRUE(allowed(response(kValidate, review("CREATE", after))));
}

TEST(Validating, RefusesANameThatNoServiceCanHaveWhenItIsNew) {
  Value dotted = service("{model: {uri: 'hf://a/b'}}");
  dotted["metadata"]["name"] = "llama-3.1";

  EXPECT_THAT(fields(response(kValidate, review("CREATE", dotted))), ElementsAre("metadata.name"));
  EXPECT_TRUE(allowed(response(kValidate, review("UPDATE", dotted, dotted))));
}

// llmisvc:C21
TEST(Validating, LeavesObjectsAloneThatAreBeingDeleted) {
  Value going = service("{model: {uri: 'hf://a/b'}, replicas: -1}");
  EXPECT_FALSE(allowed(response(kValidate, review("UPDATE", going, going))));

  going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_TRUE(allowed(response(kValidate, review("UPDATE", going, going))));
  EXPECT_TRUE(allowed(response(kValidate, review("DELETE", {}, going))));
}

TEST(Validating, WarnsOfSlipsInPods) {
  const Value given = response(
      kValidate, review("CREATE", service("{model: {uri: 'hf://a/b'}, template: {containers: "
                                          "[{name: main, comand: [x]}], replica: 1}}")));

  EXPECT_TRUE(allowed(given));
  EXPECT_EQ(dump(*given.find("warnings")),
            R"~(["spec.template.containers[0].comand: unknown field, has no effect (did you mean )~"
            R"~('command'?)","spec.template.replica: unknown field, has no effect"])~");
}

TEST(Validating, RefusesParentsNamedTwiceInTheOldVersionOnly) {
  const std::string_view spec =
      "{model: {uri: 'hf://a/b'}, router: {gateway: {refs: [{name: g}]}, route: {http: {spec: "
      "{parentRefs: [{name: g}]}}}}}";
  const Value now = response(kValidate, review("CREATE", service(spec)));
  EXPECT_TRUE(allowed(now));
  EXPECT_EQ(now.find("warnings")->if_array()->size(), 1U);
  EXPECT_THAT(fields(response(kValidateOld, review("CREATE", service(spec, "v1alpha1")))),
              ElementsAre("spec.router.route.http.spec"));
}

// llmisvc:B33
TEST(Configs, MustRenderAndStandAlone) {
  const auto refused_at = [](std::string_view spec, std::string_view operation) {
    return fields(response(kValidateConfig, review(operation, config(spec), config("{}"))));
  };
  for (const std::string_view operation : {"CREATE", "UPDATE"}) {
    EXPECT_THAT(refused_at("{template: {containers: [{name: main, args: ['{{ .Spec.Nothing.At "
                           "}}']}]}}",
                           operation),
                ElementsAre("spec.template.containers[0].args[0]"));
    EXPECT_THAT(
        refused_at("{template: {containers: [{name: main, args: ['{{ if }}']}]}}", operation),
        ElementsAre("spec.template.containers[0].args[0]"));
    EXPECT_THAT(refused_at("{baseRefs: [{name: other}]}", operation), ElementsAre("spec.baseRefs"));
    for (const std::string_view replicas : {"0", "-1"}) {
      EXPECT_THAT(refused_at(fmt::format("{{router: {{scheduler: {{replicas: {}}}}}}}", replicas),
                             operation),
                  ElementsAre("spec.router.scheduler.replicas"));
    }
    EXPECT_THAT(refused_at("{template: {containers: [{name: main, args: ['{{ .Spec.Model.Name }}', "
                           "'{{ ChildName .Name \"-x\" }}']}]}}",
                           operation),
                IsEmpty());
  }
}

TEST(Configs, OfEveryShippedPresetAreAccepted) {
  for (const std::string_view name : plan::preset_names()) {
    Value preset = config("{}");
    preset["spec"] = *plan::preset_spec(name);
    const Value given = response(kValidateConfig, review("CREATE", preset));
    EXPECT_TRUE(allowed(given)) << name << ": " << dump(given);
  }
}

TEST(Configs, ThatAreWellKnownAreKept) {
  Value known = config("{template: {containers: [{name: main}]}}");
  known["metadata"] = yaml("{name: kserve-config-llm-template, namespace: kserve}");
  Value asked = review("DELETE", {}, known);
  asked["request"]["name"] = "kserve-config-llm-template";
  asked["request"]["namespace"] = "kserve";

  const Value kept = response(kValidateConfig, asked);
  EXPECT_FALSE(allowed(kept));
  EXPECT_EQ(*kept.find_path({"status", "code"}), Value(403));

  Context lenient;
  lenient.keep_well_known_configs = false;
  const Value let_go = response(kValidateConfig, asked, lenient);
  EXPECT_TRUE(allowed(let_go));
  EXPECT_EQ(let_go.find("warnings")->if_array()->size(), 1U);

  asked["request"]["namespace"] = "llm";
  EXPECT_TRUE(allowed(response(kValidateConfig, asked)));

  Value changed = known;
  changed["spec"] = yaml("{template: {containers: [{name: other}]}}");
  const Value warned = response(kValidateConfig, review("UPDATE", changed, known));
  EXPECT_TRUE(allowed(warned));
  EXPECT_EQ(warned.find("warnings")->if_array()->size(), 1U);
  EXPECT_EQ(response(kValidateConfig, review("UPDATE", known, known)).find("warnings"), nullptr);
}

Value conversion(std::string_view version, std::string_view to, Array objects) {
  return Object{
      {"apiVersion", fmt::format("apiextensions.k8s.io/{}", version)},
      {"kind", "ConversionReview"},
      {"request",
       Object{{"uid", "u-1"}, {"desiredAPIVersion", to}, {"objects", std::move(objects)}}}};
}

TEST(Converting, TurnsEveryObjectOfTheListInEitherReviewVersion) {
  for (const std::string_view version : {"v1", "v1beta1"}) {
    const Value given =
        response("/convert", conversion(version, api::kApiVersion,
                                        {service("{model: {criticality: Critical}}", "v1alpha1"),
                                         config("{}", "v1alpha1"), service("{}")}));
    EXPECT_EQ(given.string_at({"result", "status"}), "Success");
    const Array& converted = *given.find("convertedObjects")->if_array();
    ASSERT_EQ(converted.size(), 3U);
    for (const Value& one : converted) EXPECT_EQ(one.string_at({"apiVersion"}), api::kApiVersion);
    EXPECT_EQ(converted[0].string_at({"metadata", "annotations", api::kCriticality}), "Critical");
  }
}

TEST(Converting, FailsAsAWholeAndSaysWhich) {
  const Value given = response(
      "/convert", conversion("v1", api::kOldApiVersion, {service("{}"), yaml("{kind: Pod}")}));

  EXPECT_EQ(given.string_at({"result", "status"}), "Failure");
  EXPECT_THAT(std::string(given.string_at({"result", "message"})),
              HasSubstr("/request/objects/1: /kind: expected"));
  EXPECT_TRUE(given.find("convertedObjects")->if_array()->empty());
  EXPECT_EQ(response("/convert", conversion("v1", "serving.kserve.io/v9", {service("{}")}))
                .string_at({"result", "status"}),
            "Failure");
}

TEST(Reviews, ThatAreNoneGetAStatusAndAReason) {
  const Context context;
  const std::string good = dump(review("CREATE", service("{}")));
  EXPECT_EQ(answer("/nothing", good, context).status, 404);
  EXPECT_EQ(answer("/mutate-serving-kserve-io-v1-llminferenceservice", good, context).status, 404);
  EXPECT_EQ(answer(kMutate, "{", context).status, 400);
  EXPECT_EQ(answer(kMutate, "{}", context).status, 400);
  EXPECT_EQ(answer(kMutate, dump(conversion("v1", "x", {})), context).status, 400);
  EXPECT_EQ(answer(kMutate, std::string(kMaxAdmission + 1, ' '), context).status, 413);
  EXPECT_EQ(
      answer(kMutate, R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"})", context)
          .status,
      400);
  EXPECT_EQ(answer(kMutate, std::string(200, '[') + std::string(200, ']'), context).status, 400);
}

TEST(Reviews, OfAnotherVersionOrKindThanThePathsAreRefused) {
  const Value given = response(kValidate, review("CREATE", service("{}", "v1alpha1")));
  EXPECT_FALSE(allowed(given));
  EXPECT_EQ(*given.find_path({"status", "code"}), Value(400));
  EXPECT_FALSE(allowed(response(kValidate, review("CREATE", config("{}")))));
  EXPECT_FALSE(allowed(response(kValidate, review("CREATE", 7))));
  EXPECT_FALSE(allowed(response(kMutate, review("CREATE", {}))));
}

TEST(Configurations, NameTheWebhooksThatAreAnswered) {
  for (const Value& one : configurations({})) {
    for (const Value& hook : *one.find("webhooks")->if_array()) {
      const std::string_view path = hook.string_at({"clientConfig", "service", "path"});
      EXPECT_TRUE(body_limit(path)) << path;
      EXPECT_EQ(hook.string_at({"failurePolicy"}), "Fail");
      EXPECT_EQ(hook.string_at({"matchPolicy"}), "Exact");
    }
  }
  EXPECT_TRUE(body_limit("/convert"));
}

// They have their defaults and our validation behind them; everything else is reviewed.
TEST(Configurations, LeaveOutDryRunsOfMergedServices) {
  int hooks = 0;
  for (const Value& one : configurations({})) {
    for (const Value& hook : *one.find("webhooks")->if_array()) {
      const bool of_configs = one.string_at({"metadata", "name"}) == kConfigHooks;
      const Value* conditions = hook.find("matchConditions");
      ASSERT_EQ(conditions == nullptr, of_configs);
      if (of_configs) continue;
      ASSERT_EQ(conditions->if_array()->size(), 1U);
      EXPECT_THAT(std::string(conditions->if_array()->front().string_at({"expression"})),
                  HasSubstr("request.dryRun && has(object.metadata.generateName) && "
                            "object.metadata.generateName.endsWith('-validation-')"));
      ++hooks;
    }
  }
  EXPECT_EQ(hooks, 4);
}

}  // namespace
}  // namespace baton::webhook
