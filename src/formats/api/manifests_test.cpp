#include "formats/api/manifests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace baton::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string read(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<Manifests> loaded(std::string text) {
  const Source source{"m.yaml", std::move(text)};
  return read_manifests({&source, 1});
}

std::string refusal(std::string text) {
  const auto result = loaded(std::move(text));
  return result ? "accepted" : result.error().message();
}

Manifests seed(const std::string& name) {
  const std::string file = std::string(BATON_SOURCE_DIR) + "/examples/seed/" + name;
  const Source source{name, read(file)};
  return *read_manifests({&source, 1});
}

TEST(Manifests, SortsTheDocumentsOfAFileByKindAndKeepsTheirPlaces) {
  const auto all = *loaded(
      "kind: LLMInferenceService\napiVersion: serving.kserve.io/v1alpha1\nmetadata: {name: a}\n"
      "---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\n"
      "---\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: c}\n"
      "---\nkind: Gateway\napiVersion: gateway.networking.k8s.io/v1\nmetadata: {name: d}\n");

  ASSERT_EQ(all.services.size(), 1U);
  EXPECT_EQ(all.services[0].where, "m.yaml:1");
  ASSERT_EQ(all.config_maps.size(), 1U);
  EXPECT_EQ(all.config_maps[0].where, "m.yaml:5");
  EXPECT_EQ(all.others.size(), 1U);
  EXPECT_EQ(all.gateways.size(), 1U);
  EXPECT_TRUE(all.notes.empty());
}

TEST(Manifests, TakesListsApart) {
  const auto all = *loaded(
      "kind: List\napiVersion: v1\nitems:\n"
      "- {kind: ConfigMap, apiVersion: v1, metadata: {name: a}}\n"
      "- {kind: Secret, apiVersion: v1, metadata: {name: b}, stringData: {k: hello, l: ab, m: "
      "abc}}\n");

  EXPECT_EQ(all.config_maps.size(), 1U);
  ASSERT_EQ(all.secrets.size(), 1U);
  EXPECT_EQ(all.secrets[0].object.string_at({"data", "k"}), "aGVsbG8=");
  EXPECT_EQ(all.secrets[0].object.string_at({"data", "l"}), "YWI=");
  EXPECT_EQ(all.secrets[0].object.string_at({"data", "m"}), "YWJj");
}

TEST(Manifests, NamesTheLineThatAMessageIsAbout) {
  const auto all = *loaded(
      "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\n---\n"
      "kind: List\napiVersion: v1\nitems:\n"
      "- {kind: Secret, apiVersion: v1,\n   metadata: {name: b}}\n");

  EXPECT_EQ(all.config_maps.at(0).where_is("/metadata/name: is odd; /data: too"), "m.yaml:4");
  EXPECT_EQ(all.config_maps.at(0).where_is("/data: is required"), "m.yaml:1");
  EXPECT_EQ(all.config_maps.at(0).where_is("odd as a whole"), "m.yaml:1");
  EXPECT_EQ(all.secrets.at(0).where, "m.yaml:6: /items/0");
  EXPECT_EQ(all.secrets.at(0).where_is("/metadata/name: is odd"), "m.yaml:10");
}

TEST(Manifests, RefusesWithThePlace) {
  EXPECT_THAT(refusal("a: [\n"), HasSubstr("m.yaml:"));
  EXPECT_EQ(refusal("- a\n"), "m.yaml:1: expected an object, is array");
  EXPECT_EQ(refusal("a: 1\n"), "m.yaml:1: /kind is required");
  EXPECT_EQ(
      refusal("{kind: LLMInferenceServise, apiVersion: serving.kserve.io/v1alpha1, metadata: "
              "{name: a}}"),
      "m.yaml:1: kind 'LLMInferenceServise' of serving.kserve.io is not supported (did you mean "
      "'LLMInferenceService'?)");
  EXPECT_EQ(refusal("{kind: ConfigMap, apiVersion: v1, metadata: {name: n}}"),
            "m.yaml:1: ConfigMap: /metadata/name: expected a string (quote it), is false");
  EXPECT_EQ(refusal("{kind: ConfigMap, apiVersion: v1}"),
            "m.yaml:1: ConfigMap: /metadata/name: is required");
  EXPECT_EQ(refusal("{kind: ConfigMap, apiVersion: v1, metadata: {name: a}}\n---\n"
                    "{kind: ConfigMap, apiVersion: v1, metadata: {name: a}}"),
            "m.yaml:3: ConfigMap default/a is there already at m.yaml:1");
}

TEST(Manifests, RefusesAKeyThatIsNoFileNameWithItsLine) {
  const std::string head =
      "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata:\n  ok_1-x.y: z\n";
  EXPECT_EQ(refusal(head), "accepted");
  EXPECT_EQ(refusal(head + "  ../../x: y\n"),
            "m.yaml:6: ConfigMap: /data/..~1..~1x: expected a key of letters, digits, '-', '_' and "
            "'.' that does not begin with '..'");
  for (const auto* key : {"/home/me/.bashrc", "..", ".", "..data", "a b", "''"}) {
    EXPECT_THAT(refusal(head + "  " + key + ": y\n"), HasSubstr("m.yaml:6: ConfigMap: /data/"))
        << key;
    EXPECT_THAT(refusal("kind: Secret\napiVersion: v1\nmetadata: {name: a}\nstringData:\n  " +
                        std::string(key) + ": y\n"),
                HasSubstr("m.yaml:5: Secret: /stringData/"))
        << key;
  }
}

TEST(Manifests, RefusesANameThatIsAPath) {
  EXPECT_EQ(
      refusal("{kind: Pod, apiVersion: v1, metadata: {name: x/../../y}}"),
      "m.yaml:1: Pod: /metadata/name: 'x/../../y' is no name: expected no '/', '%' or control "
      "character, and not '.' or '..'");
  EXPECT_THAT(refusal("{kind: Pod, apiVersion: v1, metadata: {name: x, namespace: ..}}"),
              HasSubstr("/metadata/namespace: '..' is no name"));
  for (const std::string ns : {R"("..\0")", R"(".\0.")", R"("a\tb")", R"("\x7f")"}) {
    EXPECT_THAT(refusal("{kind: Pod, apiVersion: v1, metadata: {name: x, namespace: " + ns + "}}"),
                HasSubstr("is no name"))
        << ns;
  }
}

TEST(Manifests, AcceptsThePickerConfigurationAndThePoolFormOfTheDescription) {
  const Manifests picker = seed("endpoint-picker-config.yaml");
  EXPECT_EQ(picker.picker_configs.size(), 1U);

  const Manifests pool = seed("inferencepool-targets.yaml");
  ASSERT_EQ(pool.pools.size(), 1U);
  EXPECT_EQ(text::json::dump(*pool.pools[0].object.find("spec")),
            R"({"selector":{"matchLabels":{"app.kubernetes.io/name":"my-llm"}},)"
            R"("targetPorts":[{"number":8000}]})");
  EXPECT_THAT(pool.notes, ElementsAre(HasSubstr("targets became one flat pool")));
}

TEST(Manifests, RefusesTargetsThatAreNoPool) {
  const std::string head =
      "kind: InferencePool\napiVersion: inference.networking.x-k8s.io/v1alpha2\n"
      "metadata: {name: p}\nspec:\n  targets:\n";
  EXPECT_THAT(refusal(head + "  - {selector: {matchLabels: {a: b}}, port: 1}\n"
                             "  - {selector: {matchLabels: {a: b}}, port: 2}\n"),
              HasSubstr("/spec/targets/1/port: is 2, but the first target has 1"));
  EXPECT_THAT(refusal(head + "  - {selector: {matchLabels: {a: b}}, port: 1}\n"
                             "  - {selector: {matchLabels: {a: c}}, port: 1}\n"),
              HasSubstr("select nothing in common"));
}

}  // namespace
}  // namespace baton::api
