#include "control/plan/merge.hpp"

#include <gtest/gtest.h>

#include "base/text/yaml.hpp"

namespace baton::plan {
namespace {

using text::json::dump;

std::string merged(std::string_view base, std::string_view over) {
  return dump(merge(*text::yaml::parse(base, "base"), *text::yaml::parse(over, "over")));
}

// llmisvc:B09
TEST(Merge, MergesContainersByNameAndKeepsWhatIsNotSet) {
  EXPECT_EQ(merged("containers: [{name: main, image: a, tty: true}]",
                   "containers: [{name: main, image: b}]"),
            R"({"containers":[{"name":"main","image":"b","tty":true}]})");
}

// llmisvc:B10
TEST(Merge, PutsNewContainersFirstAndKeepsTheBaseUnderEmptyLists) {
  EXPECT_EQ(merged("containers: [{name: main}]", "containers: [{name: sidecar}]"),
            R"({"containers":[{"name":"sidecar"},{"name":"main"}]})");
  EXPECT_EQ(merged("containers: [{name: main}]", "containers: []"),
            R"({"containers":[{"name":"main"}]})");
  EXPECT_EQ(merged("containers: [{name: main}]", "containers: null"),
            R"({"containers":[{"name":"main"}]})");
}

// llmisvc:B11
TEST(Merge, MergesResourceMapsPerKey) {
  EXPECT_EQ(merged("resources: {requests: {cpu: 1, memory: 1Gi}}",
                   "resources: {requests: {cpu: 2}, limits: {cpu: 4}}"),
            R"({"resources":{"requests":{"cpu":2,"memory":"1Gi"},"limits":{"cpu":4}}})");
  EXPECT_EQ(merged("resources: {requests: {cpu: 1}}", "resources: {limits: {cpu: 4}}"),
            R"({"resources":{"requests":{"cpu":1},"limits":{"cpu":4}}})");
}

// llmisvc:B12
TEST(Merge, ReplacesCommandAndArgs) {
  EXPECT_EQ(merged("{command: [a, b], args: [c]}", "{command: [d]}"),
            R"({"command":["d"],"args":["c"]})");
  EXPECT_EQ(merged("{args: [a, b]}", "{args: [c]}"), R"({"args":["c"]})");
}

// llmisvc:B13
TEST(Merge, KeepsTheOrderOfEnvironmentVariablesInTheBase) {
  EXPECT_EQ(
      merged("env: [{name: A, value: '1'}, {name: B, value: '1'}]",
             "env: [{name: B, value: '2'}, {name: C, value: '2'}]"),
      R"({"env":[{"name":"A","value":"1"},{"name":"B","value":"2"},{"name":"C","value":"2"}]})");
  EXPECT_EQ(merged("env: [{name: A, value: '1'}, {name: B, value: '1'}]",
                   "env: [{name: B, value: '2'}, {name: A, value: '2'}]"),
            R"({"env":[{"name":"A","value":"2"},{"name":"B","value":"2"}]})");
}

// Better than upstream, where false is lost (B14).
TEST(Merge, LetsFalseAndZeroOverride) {
  EXPECT_EQ(merged("parallelism: {expert: true}", "parallelism: {expert: false}"),
            R"({"parallelism":{"expert":false}})");
  // llmisvc:B15
  EXPECT_EQ(merged("replicas: 3", "replicas: 0"), R"({"replicas":0})");
}

TEST(Merge, TreatsEmptyStringsAsUnset) {
  EXPECT_EQ(merged("model: {uri: 'hf://a/b'}", "model: {uri: '', name: x}"),
            R"({"model":{"uri":"hf://a/b","name":"x"}})");
}

// llmisvc:B16
TEST(Merge, ReplacesListsWithoutAMergeKey) {
  EXPECT_EQ(merged("adapters: [{name: a}]", "adapters: [{name: b}]"),
            R"({"adapters":[{"name":"b"}]})");
  EXPECT_EQ(merged("rules: [{name: a}, {name: b}]", "rules: [{name: c}]"),
            R"({"rules":[{"name":"c"}]})");
}

TEST(Merge, UnitesPoolLabels) {
  EXPECT_EQ(merged("selector: {matchLabels: {a: '1'}}", "selector: {matchLabels: {b: '2'}}"),
            R"({"selector":{"matchLabels":{"a":"1","b":"2"}}})");
}

TEST(Merge, TakesEmptyObjectsAsPresence) {
  EXPECT_EQ(merged("a: 1", "router: {route: {}}"), R"({"a":1,"router":{"route":{}}})");
}

// Upstream ends up with both and the API server refuses.
TEST(Merge, ReplacesTheSourceOfAVolumeAndOfAVariableAndTheHandlerOfAProbe) {
  EXPECT_EQ(
      merged("volumes: [{name: v, emptyDir: {}}]", "volumes: [{name: v, configMap: {name: c}}]"),
      R"({"volumes":[{"name":"v","configMap":{"name":"c"}}]})");
  EXPECT_EQ(merged("env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]",
                   "env: [{name: A, value: b}]"),
            R"({"env":[{"name":"A","value":"b"}]})");
  EXPECT_EQ(merged("livenessProbe: {httpGet: {port: 1}, periodSeconds: 5}",
                   "livenessProbe: {exec: {command: [x]}}"),
            R"({"livenessProbe":{"periodSeconds":5,"exec":{"command":["x"]}}})");
}

TEST(Merge, ReplacesAPickerConfigurationAsAWhole) {
  EXPECT_EQ(merged("config: {inline: {plugins: [a], kind: x}}", "config: {inline: {plugins: [b]}}"),
            R"({"config":{"inline":{"plugins":["b"]}}})");
}

}  // namespace
}  // namespace baton::plan
