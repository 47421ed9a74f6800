#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"
#include "formats/api/local_model.hpp"
#include "formats/api/validate.hpp"

namespace baton::api {
namespace {

using text::json::dump;
using text::json::Value;

Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

Value service(std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {name: s, "
      "namespace: ns}}");
  out["spec"] = yaml(spec);
  return out;
}

std::string_view label(const Value& s, std::string_view key) {
  return s.string_at({"metadata", "labels", key});
}
std::string_view annotation(const Value& s, std::string_view key) {
  return s.string_at({"metadata", "annotations", key});
}

// llmisvc:C25
TEST(Defaults, NameTheModelAfterTheServiceAndLabelTheGroup) {
  for (const std::string_view model : {"{uri: x}", "{uri: x, name: ''}"}) {
    Value s = service("{router: {route: {group: g, weight: 1}}}");
    s["spec"]["model"] = yaml(model);
    set_defaults(s);
    EXPECT_EQ(s.string_at({"spec", "model", "name"}), "s");
    EXPECT_EQ(label(s, "serving.kserve.io/routing-group"), "g");

    s["spec"]["router"] = yaml("{route: {}}");
    s["metadata"]["labels"]["mine"] = "x";
    set_defaults(s);
    EXPECT_EQ(dump(*s.find_path({"metadata", "labels"})), R"({"mine":"x"})");
  }
  Value named = service("{model: {uri: x, name: m}}");
  set_defaults(named);
  EXPECT_EQ(named.string_at({"spec", "model", "name"}), "m");
}

// llmisvc:C27
TEST(Defaults, GivePodsAnEmptyListOfContainers) {
  Value s = service(
      "{template: {}, worker: {containers: null}, prefill: {template: {}, worker: {}}, router: "
      "{scheduler: {template: {}, tokenizer: {template: {}}}}}");

  set_defaults(s);

  const auto containers = [&](std::initializer_list<std::string_view> path) {
    const Value* found = s.find_path(path);
    return found == nullptr ? "absent" : dump(*found);
  };
  EXPECT_EQ(containers({"spec", "template", "containers"}), "[]");
  EXPECT_EQ(containers({"spec", "worker", "containers"}), "[]");
  EXPECT_EQ(containers({"spec", "prefill", "template", "containers"}), "[]");
  EXPECT_EQ(containers({"spec", "prefill", "worker", "containers"}), "[]");
  EXPECT_EQ(containers({"spec", "router", "scheduler", "template", "containers"}), "[]");
  EXPECT_EQ(containers({"spec", "router", "scheduler", "tokenizer", "template", "containers"}),
            "absent");
}

const std::vector<Value> kClusterCaches{
    yaml("{metadata: {name: big}, spec: {sourceModelUri: 'hf://a/bee', nodeGroups: [g1]}}"),
    yaml("{metadata: {name: all}, spec: {sourceModelUri: 'hf://a/b', nodeGroups: [g1, g2]}}")};
const std::vector<Value> kNamespaceCaches{
    yaml("{metadata: {name: own, namespace: ns}, spec: {sourceModelUri: 'hf://a/b/', nodeGroups: "
         "[g3]}}")};

// llmisvc:C26
TEST(LocalModel, MarksTheServiceWithItsCache) {
  Value s = service("{model: {uri: 'hf://a/b'}}");

  set_local_model(s, {{}, kClusterCaches});
  EXPECT_EQ(label(s, kLocalModel), "all");
  EXPECT_EQ(label(s, kLocalModelNamespace), "");
  EXPECT_EQ(annotation(s, kLocalModelSource), "hf://a/b");
  EXPECT_EQ(annotation(s, kLocalModelClaim), "all-g1");

  // The namespace's own wins.
  set_local_model(s, {kNamespaceCaches, kClusterCaches});
  EXPECT_EQ(label(s, kLocalModel), "own");
  EXPECT_EQ(label(s, kLocalModelNamespace), "ns");
  EXPECT_EQ(annotation(s, kLocalModelClaim), "own-g3");

  const Value once = s;
  set_local_model(s, {kNamespaceCaches, kClusterCaches});
  EXPECT_EQ(s, once);

  // Nothing matches, or the service opts out: no mark is left.
  for (const bool opts_out : {false, true}) {
    Value other = once;
    if (opts_out) {
      other["metadata"]["annotations"][kNoLocalModel] = "true";
    } else {
      other["spec"]["model"]["uri"] = "hf://x";
    }
    set_local_model(other, {kNamespaceCaches, kClusterCaches});
    EXPECT_EQ(label(other, kLocalModel), "");
    EXPECT_EQ(label(other, kLocalModelNamespace), "");
    EXPECT_EQ(annotation(other, kLocalModelSource), "");
    EXPECT_EQ(annotation(other, kLocalModelClaim), "");
  }
}

TEST(LocalModel, TakesTheNodeGroupThatTheServiceNames) {
  Value s = service("{model: {uri: 'hf://a/b/part'}}");
  s["metadata"]["annotations"][kNodeGroup] = "g2";

  set_local_model(s, {kNamespaceCaches, kClusterCaches});
  EXPECT_EQ(annotation(s, kLocalModelClaim), "all-g2");

  s["metadata"]["annotations"][kNodeGroup] = "nowhere";
  set_local_model(s, {kNamespaceCaches, kClusterCaches});
  EXPECT_EQ(label(s, kLocalModel), "");
}

TEST(LocalModel, DoesNotTakeANeighbourForAFolder) {
  Value s = service("{model: {uri: 'hf://a/bees'}}");
  set_local_model(s, {{}, kClusterCaches});
  EXPECT_EQ(label(s, kLocalModel), "");
}

}  // namespace
}  // namespace baton::api
