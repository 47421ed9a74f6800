// The tokenizer pod and the latency predictor: what a picker's configuration brings along.

#include <gmock/gmock.h>

#include "control/plan/picker_flags.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using text::json::Array;
using text::json::dump;

bool has_tokenizer(const ServiceView& v) {
  const Plan p = planned(v);
  const bool deployment = !child(p, "Deployment", "s-tokenizer").is_null();
  EXPECT_EQ(deployment, !child(p, "Service", "s-tokenizer").is_null());
  return deployment;
}
bool has_tokenizer(std::string_view spec) { return has_tokenizer(view(spec)); }

std::string inlined(std::string_view type) {
  return "{router: {scheduler: {config: {inline: {plugins: [{type: " + std::string(type) +
         "}]}}}}}";
}
std::string in_template(std::string_view flag, std::string_view type) {
  return "{router: {scheduler: {template: {containers: [{name: main, args: [" + std::string(flag) +
         ", '{plugins: [{type: " + std::string(type) + "}]}']}]}}}}";
}

TEST(Tokenizer, IsThereForAFieldOrAPluginThatNeedsIt) {  // llmisvc:G21
  EXPECT_TRUE(has_tokenizer("{router: {scheduler: {tokenizer: {}}}}"));
  for (const std::string_view type : {"token-producer", "precise-prefix-cache-scorer"}) {
    EXPECT_TRUE(has_tokenizer(inlined(type))) << type;
    EXPECT_TRUE(has_tokenizer(in_template("--config-text", type))) << type;
    EXPECT_TRUE(has_tokenizer(in_template("-configText", type))) << type;
    EXPECT_FALSE(has_tokenizer(in_template("--config-file", type))) << type;
  }
  EXPECT_FALSE(has_tokenizer("{router: {scheduler: {}}}"));
  EXPECT_FALSE(has_tokenizer(inlined("prefix-cache-scorer")));

  // A ConfigMap is read before presets are chosen.
  ServiceView v = view("{router: {scheduler: {config: {ref: {name: c, key: k}}}}}");
  v.config_maps.push_back(
      yaml("{kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {k: '{plugins: [{type: "
           "token-producer}]}'}}"));
  EXPECT_TRUE(has_tokenizer(v));
}

TEST(Tokenizer, ServesTheModelOnAServiceOfItsOwn) {
  const Plan p = planned("{router: {route: {}, scheduler: {tokenizer: {}}}}");
  const Value d = child(p, "Deployment", "s-tokenizer");
  EXPECT_EQ(*d.find_path({"spec", "replicas"}), Value(1));
  const Value labels = yaml(
      "{app.kubernetes.io/component: tokenizer, app.kubernetes.io/name: s, "
      "app.kubernetes.io/part-of: llminferenceservice}");
  EXPECT_EQ(*d.find_path({"spec", "selector", "matchLabels"}), labels);
  EXPECT_EQ(*d.find_path({"spec", "template", "metadata", "labels"}), labels);

  const Value main = main_of(p, "s-tokenizer");
  EXPECT_EQ(main.string_at({"image"}), "vllm/vllm-openai-cpu:v0.23.0");
  EXPECT_THAT(strings(main, "command"), Contains("--port=8000"));
  EXPECT_THAT(dump(*main.find("volumeMounts")), HasSubstr(R"("/mnt/models/base")"));
  EXPECT_THAT(
      strings(container(pod(p, "s-tokenizer"), "initContainers", "storage-initializer"), "args"),
      ElementsAre("hf://a/b", "/mnt/models"));
  const Value svc = child(p, "Service", "s-tokenizer");
  EXPECT_EQ(*svc.find("spec"),
            yaml("{selector: " + dump(labels) +
                 ", ports: [{name: render-http, protocol: TCP, port: 8000, targetPort: "
                 "render-http}]}"));
  // The picker asks it as soon as it runs.
  std::vector<std::string> order;
  for (const Value& one : p.children) {
    if (one.string_at({"kind"}) == "Deployment") order.push_back(name_of(one));
  }
  EXPECT_THAT(order, ElementsAre("s-kserve", "s-tokenizer", "s-kserve-router-scheduler"));
}

TEST(Tokenizer, IsCoveredByTheCertificate) {
  ServiceView v = view("{router: {scheduler: {tokenizer: {}}}}");
  v.settings.enable_tls = true;
  const Plan p = planned(v);
  EXPECT_THAT(p.wishes[0].dns_names, Contains("s-tokenizer.ns.svc.cluster.local"));
  EXPECT_THAT(strings(main_of(p, "s-tokenizer"), "command"),
              Contains("--ssl-certfile=/var/run/kserve/tls/tls.crt"));
  EXPECT_EQ(main_of(p, "s-tokenizer").string_at({"readinessProbe", "httpGet", "scheme"}), "HTTPS");
  v.service["spec"]["router"]["scheduler"] = yaml("{}");
  EXPECT_THAT(planned(v).wishes[0].dns_names, Not(Contains("s-tokenizer.ns.svc.cluster.local")));
}

TEST(Tokenizer, IsGoneWithWhatAskedForIt) {  // llmisvc:G22
  EXPECT_FALSE(has_tokenizer("{router: {route: {}}}"));
  EXPECT_FALSE(has_tokenizer("{router: {scheduler: {pool: {ref: {name: p}}, tokenizer: {}}}}"));
  ServiceView stopped = view("{router: {scheduler: {tokenizer: {}}}}");
  stopped.service["metadata"]["annotations"] = yaml("{serving.kserve.io/stop: 'true'}");
  EXPECT_FALSE(has_tokenizer(stopped));
}

TEST(Tokenizer, IsWhereTheConfigurationOfAnUpstreamPickerSays) {
  ServiceView v = view(inlined("precise-prefix-cache-scorer"));
  use_upstream_picker(v.settings);
  const Plan p = planned(v);
  const ConfigFlag flag = config_flag(main_of(p, "s-kserve-router-scheduler"));
  EXPECT_THAT(flag.value, HasSubstr("http://s-tokenizer.ns.svc.cluster.local:8000"));
  EXPECT_THAT(flag.value, Not(HasSubstr("precise-prefix-cache-scorer")));
  ASSERT_FALSE(p.warnings.empty());
  EXPECT_THAT(p.warnings, Contains(testing::Field(&Warning::reason, "DeprecatedPlugin")));

  v.settings.enable_tls = true;
  EXPECT_THAT(config_flag(main_of(planned(v), "s-kserve-router-scheduler")).value,
              HasSubstr("https://s-tokenizer.ns.svc.cluster.local:8000"));
}

TEST(TokenizerSidecar, GetsTheFilesOfTheModel) {
  const Plan p = planned(
      "{router: {scheduler: {config: {inline: {plugins: [{type: queue-scorer}]}}, template: "
      "{containers: [{name: main}, {name: tokenizer, image: t}]}}}}");
  const Value sidecar = container(pod(p, "s-kserve-router-scheduler"), "containers", "tokenizer");
  EXPECT_THAT(dump(*sidecar.find("volumeMounts")), HasSubstr(R"("/mnt/models/base")"));
  const Value init =
      container(pod(p, "s-kserve-router-scheduler"), "initContainers", "storage-initializer");
  EXPECT_THAT(dump(*init.find("env")), HasSubstr("STORAGE_ALLOW_PATTERNS"));
  EXPECT_EQ(dump(main_of(p, "s-kserve-router-scheduler")).find("/mnt/models"), std::string::npos);
}

// llmisvc:G24
TEST(Picker, NeedsNothingOfAModelThatIsAnImage) {
  const Plan p = planned("{model: {uri: 'oci://r/m:1', name: m}, router: {scheduler: {}}}");
  EXPECT_FALSE(child(p, "Deployment", "s-kserve-router-scheduler").is_null());
  EXPECT_TRUE(child(p, "Deployment", "s-tokenizer").is_null());
}

std::vector<std::string> picker_containers(std::string_view spec) {
  std::vector<std::string> out;
  const Plan p = planned(spec);
  for (const Value& one : items(pod(p, "s-kserve-router-scheduler").find("containers"))) {
    out.emplace_back(one.string_at({"name"}));
  }
  std::ranges::sort(out);
  return out;
}

// llmisvc:G25
TEST(LatencyPredictor, RunsBesideAPickerThatAsksIt) {
  constexpr std::string_view kType = "predicted-latency-producer";
  const auto all = ElementsAre("main", "prediction-server", "training-server");
  EXPECT_THAT(picker_containers(inlined(kType)), all);
  EXPECT_THAT(picker_containers(in_template("--config-text", kType)), all);
  EXPECT_THAT(picker_containers(in_template("--config-file", kType)), ElementsAre("main"));
  EXPECT_THAT(picker_containers(inlined("queue-scorer")), ElementsAre("main"));
  EXPECT_THAT(picker_containers("{router: {scheduler: {}}}"), ElementsAre("main"));
  const Value main = main_of(planned(inlined(kType)), "s-kserve-router-scheduler");
  EXPECT_EQ(named(main.find("env"), "PREDICTION_SERVER_URL")->string_at({"value"}),
            "http://localhost:8001");
  EXPECT_THAT(strings(main, "command"), Contains("/app/epp"));
}

}  // namespace
}  // namespace baton::plan
