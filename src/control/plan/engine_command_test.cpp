// Command lines of engines and sidecars.

#include <gmock/gmock.h>

#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// llmisvc:B31
TEST(Command, CarriesTheTensorParallelSize) {
  const Plan p = planned("{parallelism: {tensor: 4}, prefill: {parallelism: {tensor: 2}}}");
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"), Contains("--tensor-parallel-size=4"));
  EXPECT_THAT(strings(main_of(p, "s-kserve-prefill"), "command"),
              Contains("--tensor-parallel-size=2"));
  EXPECT_THAT(strings(main_of(planned("{parallelism: {tensor: 4}}"), "s-kserve"), "command"),
              Contains("--tensor-parallel-size=4"));
  const Plan none = planned("{prefill: {}}");
  for (const Value& main : {main_of(planned("{}"), "s-kserve"), main_of(none, "s-kserve"),
                            main_of(none, "s-kserve-prefill")}) {
    EXPECT_THAT(strings(main, "command"), Not(Contains(HasSubstr("tensor-parallel"))));
  }
}

// Upstream's presets let P/D run without any transfer of KV.
TEST(Command, NamesTheConnectorOfEachRole) {
  const Plan p = planned("{prefill: {}}");
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "command"),
      Contains(R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_consumer"})"));
  EXPECT_THAT(
      strings(main_of(p, "s-kserve-prefill"), "command"),
      Contains(R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_producer"})"));
  EXPECT_EQ(
      at(main_of(p, "s-kserve-prefill"), {"env"}).substr(0, 94),
      R"([{"name":"VLLM_NIXL_SIDE_CHANNEL_HOST","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},)");
  EXPECT_THAT(strings(main_of(planned("{}"), "s-kserve"), "command"),
              Not(Contains(StartsWith("--kv-transfer-config"))));
}

TEST(Command, LeavesTheConnectorToTheUser) {
  const Plan by_args = planned(
      "{prefill: {template: {containers: [{name: main, args: [--kv_transfer_config, x]}]}}}");
  EXPECT_THAT(strings(main_of(by_args, "s-kserve-prefill"), "command"),
              Not(Contains(StartsWith("--kv-transfer"))));
  EXPECT_THAT(strings(main_of(by_args, "s-kserve-prefill"), "args"),
              ElementsAre("--kv_transfer_config", "x"));

  const Plan by_env = planned(
      "{prefill: {}, template: {containers: [{name: main, env: [{name: VLLM_ADDITIONAL_ARGS, "
      "value: "
      "'--kv-transfer-config x'}]}]}}");
  EXPECT_THAT(strings(main_of(by_env, "s-kserve"), "command"),
              Not(Contains(StartsWith("--kv-transfer"))));
}

// Seed example 2: the configs replace the preset's command and forget the model and the connector.
TEST(Command, ThatReplacesThePresetsGetsWhatItForgot) {
  const Plan p = planned(
      "{prefill: {parallelism: {tensor: 4}, template: {containers: [{name: main, command: [vllm, "
      "serve, '{{ "
      ".Spec.Model.Name }}']}]}}, template: {containers: [{name: main, command: [vllm, serve], "
      "args: [--port=8001]}]}}");

  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"),
              ElementsAre("vllm", "serve", "/mnt/models"));
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "args"),
      ElementsAre(
          "--port=8001", "--served-model-name", "m", "publishers/ns/models/m",
          R"(--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_consumer"})"));
  EXPECT_THAT(strings(main_of(p, "s-kserve-prefill"), "command"),
              ElementsAre("vllm", "serve", "/mnt/models"));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("`vllm serve` names no model: /mnt/models added")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("'m' is the served name, not a place")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("NixlConnector added")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("/spec/prefill/parallelism/tensor: has no effect")));
}

// The decode fragment of the description: the engine would take the sidecar's port.
TEST(Command, StaysBehindTheSidecar) {
  const Plan silent =
      planned("{prefill: {}, template: {containers: [{name: main, command: [vllm, serve]}]}}");
  EXPECT_THAT(strings(main_of(silent, "s-kserve"), "args"), Contains("--port=8001"));

  const Plan wrong = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [vllm, serve], args: [--port, "
      "'8000']}]}}");
  EXPECT_THAT(warnings(wrong),
              Contains(HasSubstr("listens on 8000, but port 8001 of the pod is what is asked")));
}

TEST(Command, ThatReplacesThePresetsGetsTheOffloadingConnectorToo) {
  const Plan p = planned(
      "{kvCacheOffloading: {cpu: 1k}, template: {containers: [{name: main, command: [vllm, "
      "serve]}]}}");
  EXPECT_THAT(
      strings(main_of(p, "s-kserve"), "args"),
      Contains(StartsWith(R"(--kv-transfer-config={"kv_connector":"OffloadingConnector")")));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("OffloadingConnector added")));

  const Plan own = planned(
      "{kvCacheOffloading: {cpu: 1k}, template: {containers: [{name: main, args: "
      "[--kv-transfer-config, x]}]}}");
  EXPECT_THAT(warnings(own), ElementsAre(HasSubstr("/spec/kvCacheOffloading: has no effect")));
}

TEST(Command, OfAnotherProgramIsLeftAloneWithAWarning) {
  const Plan p = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [python3, serve.py]}]}}");
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "command"), ElementsAre("python3", "serve.py"));
  EXPECT_THAT(warnings(p), Contains(HasSubstr("prefill results would never reach decode")));

  const Plan plain = planned(
      "{template: {containers: [{name: main, command: [vllm, serve, /my/model, "
      "--served_model_name=m]}]}}");
  EXPECT_THAT(strings(main_of(plain, "s-kserve"), "command"),
              ElementsAre("vllm", "serve", "/my/model", "--served_model_name=m"));
  EXPECT_THAT(warnings(plain), IsEmpty());
}

// In the words of KServe's presets, whose objects stay in force where Baton takes KServe's place.
ServiceView scripted(std::string_view spec, std::string_view end) {
  ServiceView out = view(spec);
  for (const std::string_view name :
       {"kserve-config-llm-template", "kserve-config-llm-decode-template"}) {
    Value preset = config(name, "{template: {containers: [{name: main}]}}");
    preset["metadata"]["namespace"] = "kserve";
    preset["spec"]["template"]["containers"] =
        yaml("[{name: main, image: 'x:1', command: [/bin/bash, -c, SCRIPT, --]}]");
    (*preset["spec"]["template"]["containers"].if_array())[0]["command"].if_array()->at(2) =
        "# --kv-transfer-config with OffloadingConnector requires vLLM 0.22.0+\n"
        "KV_TRANSFER_ARGS=\"\"\n"
        "if [[ \"$*\" != *\"--kv-transfer-config\"* ]]; then\n"
        "  KV_TRANSFER_ARGS=\"{{ kvTransferConfig .Spec.KVCacheOffloading }}\"\n"
        "fi\n" +
        std::string(end);
    out.configs.push_back(std::move(preset));
  }
  return out;
}

constexpr std::string_view kEvaluated =
    "eval \"exec vllm serve /mnt/models ${KV_TRANSFER_ARGS} ${VLLM_ADDITIONAL_ARGS} $@\"\n";
constexpr std::string_view kTiered = "kvCacheOffloading: {cpu: 1k}";

TEST(Command, OfAScriptGetsTheTransferThatItLacks) {
  const Plan p = planned(scripted("{prefill: {}}", kEvaluated));
  const Value main = main_of(p, "s-kserve");
  EXPECT_THAT(
      strings(main, "args"),
      ElementsAre(
          R"(--kv-transfer-config='{"kv_connector":"NixlConnector","kv_role":"kv_consumer"}')"));
  EXPECT_EQ(at(*named(main.find("env"), "VLLM_NIXL_SIDE_CHANNEL_HOST"), {"valueFrom"}),
            R"({"fieldRef":{"fieldPath":"status.podIP"}})");
  EXPECT_THAT(warnings(p), ElementsAre(HasSubstr("NixlConnector added")));

  // The script's own offloading moves nothing between pods.
  const Plan both = planned(scripted("{prefill: {}, " + std::string(kTiered) + "}", kEvaluated));
  EXPECT_THAT(strings(main_of(both, "s-kserve"), "args"),
              ElementsAre(StartsWith(R"(--kv-transfer-config='{"kv_connector":"MultiConnector")")));
  EXPECT_THAT(warnings(both), ElementsAre(HasSubstr("NixlConnector added")));

  // Where the arguments do not go through `eval` quotes would stay.
  for (const std::string_view before :
       {"", "eval \"$(conda shell.bash hook)\"; conda activate vllm; "}) {
    const Plan once = planned(scripted(
        "{prefill: {}}", std::string(before) + "exec vllm serve /mnt/models \\\n  \"$@\""));
    EXPECT_THAT(strings(main_of(once, "s-kserve"), "args"),
                ElementsAre(StartsWith(R"(--kv-transfer-config={"kv_connector":"NixlConnector")")))
        << before;
  }
  const Plan tab = planned(scripted("{prefill: {}}", "eval\t\"vllm serve /mnt/models $@\""));
  EXPECT_THAT(strings(main_of(tab, "s-kserve"), "args"),
              ElementsAre(StartsWith("--kv-transfer-config='{")));

  // To look for the flag is not to pass it.
  for (const std::string_view asks :
       {"echo \"$*\" | grep -q -- '--kv-transfer-config' || echo none\n",
        "case \"$*\" in\n  *\" --kv-transfer-config \"*|*--kv_transfer_config=*) ;;\nesac\n"}) {
    const Plan asking =
        planned(scripted("{prefill: {}}", std::string(asks) + std::string(kEvaluated)));
    EXPECT_THAT(warnings(asking), ElementsAre(HasSubstr("NixlConnector added"))) << asks;
  }
}

TEST(Command, OfAScriptGetsTheTransferWithAnyOptionsOfTheShell) {
  ServiceView strict = scripted("{prefill: {}}", kEvaluated);
  for (Value& preset : strict.configs) {
    Value& main = (*preset["spec"]["template"]["containers"].if_array())[0];
    text::json::Array& command = *main["command"].if_array();
    command.insert(command.begin() + 1, {Value("-euo"), Value("pipefail")});
  }
  const Plan p = planned(strict);
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "args"),
              ElementsAre(StartsWith("--kv-transfer-config='{")));
  EXPECT_THAT(warnings(p), ElementsAre(HasSubstr("NixlConnector added")));
}

TEST(Command, OfAScriptThatStartsAnotherProgramIsLeftAloneWithAWarning) {
  for (const std::string_view script :
       {"exec python3 -m sglang.launch_server --model-path /mnt/models \"$@\"",
        "vllm serve --help\nexec /my/proxy \"$@\""}) {
    const Plan p = planned(scripted("{prefill: {}}", script));
    EXPECT_THAT(strings(main_of(p, "s-kserve"), "args"), IsEmpty()) << script;
    EXPECT_THAT(warnings(p), ElementsAre(HasSubstr("prefill results would never reach decode")))
        << script;
  }
  const Plan beside = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [/bin/bash, -c, 'exec "
      "\"$@\"', --], args: [vllm, serve, /m]}]}}");
  EXPECT_THAT(strings(main_of(beside, "s-kserve"), "args"),
              Contains(StartsWith(R"(--kv-transfer-config={"kv_connector":"NixlConnector")")));
}

TEST(Command, OfAScriptThatTakesNoArgumentsIsLeftAloneWithAWarning) {
  const Plan p = planned(scripted("{prefill: {}}", "exec vllm serve /mnt/models --port=8001"));
  EXPECT_THAT(strings(main_of(p, "s-kserve"), "args"), IsEmpty());
  EXPECT_THAT(warnings(p), ElementsAre(HasSubstr("prefill results would never reach decode")));

  // In args, there is no place for more: what is added would be the shell's name.
  const Plan in_args = planned(
      "{prefill: {}, template: {containers: [{name: main, command: [/bin/bash, -c], args: ['eval "
      "\"vllm serve /m $@\"']}]}}");
  EXPECT_THAT(strings(main_of(in_args, "s-kserve"), "args"), ElementsAre(HasSubstr("vllm serve")));
  EXPECT_THAT(warnings(in_args), Contains(HasSubstr("prefill results would never reach decode")));
}

TEST(Command, OfAScriptThatNamesAConnectorStays) {
  const Plan offloads = planned(scripted("{" + std::string(kTiered) + "}", kEvaluated));
  EXPECT_THAT(strings(main_of(offloads, "s-kserve"), "args"), IsEmpty());
  EXPECT_THAT(warnings(offloads), IsEmpty());

  for (const std::string_view connector : {R"({\"kv_connector\":\"LMCacheConnectorV1\"})",
                                           R"({\"kv_connector\":\"$MINE\"})", "$KV_TRANSFER"}) {
    const Plan own =
        planned(scripted("{prefill: {}}", "exec vllm serve /mnt/models --kv-transfer-config \"" +
                                              std::string(connector) + "\" \"$@\""));
    EXPECT_THAT(strings(main_of(own, "s-kserve"), "args"), IsEmpty()) << connector;
    EXPECT_THAT(warnings(own), IsEmpty()) << connector;
  }
  const Plan array = planned(scripted("{prefill: {}}",
                                      "EXTRA=(--kv_transfer_config=\"$(cat /etc/kv.json)\")\n"
                                      "exec vllm serve /mnt/models \"${EXTRA[@]}\" \"$@\""));
  EXPECT_THAT(strings(main_of(array, "s-kserve"), "args"), IsEmpty());
  const Plan hard = planned(scripted(
      "{prefill: {}}",
      "exec vllm serve /m --kv-transfer-config '{\"kv_connector\":\"OffloadingConnector\"}' $@"));
  EXPECT_THAT(strings(main_of(hard, "s-kserve"), "args"), IsEmpty());
  EXPECT_THAT(warnings(hard), ElementsAre(HasSubstr("moves nothing to the other role")));
  const Plan by_args = planned(scripted(
      "{prefill: {}, template: {containers: [{name: main, args: [--kv_transfer_config, x]}]}}",
      kEvaluated));
  EXPECT_THAT(strings(main_of(by_args, "s-kserve"), "args"),
              ElementsAre("--kv_transfer_config", "x"));
}

TEST(Sidecar, FallsBackWhenPrefillFailsAndKnowsItsPool) {
  const Value sidecar = container(pod(planned("{prefill: {}, router: {}}"), "s-kserve"),
                                  "initContainers", "llm-d-routing-sidecar");

  EXPECT_EQ(sidecar.string_at({"restartPolicy"}), "Always");
  EXPECT_EQ(sidecar.string_at({"readinessProbe", "httpGet", "path"}), "/readyz");
  EXPECT_EQ(sidecar.string_at({"livenessProbe", "httpGet", "path"}), "/health");
  ServiceView upstream = view("{prefill: {}, router: {}}");
  use_upstream_engine_and_sidecar(upstream.settings);
  EXPECT_EQ(container(pod(planned(upstream), "s-kserve"), "initContainers", "llm-d-routing-sidecar")
                .string_at({"readinessProbe", "httpGet", "path"}),
            "/health");
  EXPECT_EQ(named(sidecar.find("env"), "BATON_PREFILL_FAILURE_POLICY")->string_at({"value"}),
            "fallback");
  EXPECT_EQ(named(sidecar.find("env"), "INFERENCE_POOL_NAME")->string_at({"value"}),
            "s-inference-pool");
  EXPECT_THAT(strings(sidecar, "command"), Contains("--inference-pool=ns/s-inference-pool"));
}

TEST(Sidecar, ServesItsOwnMetricsWhereMonitorsLookForThem) {
  const auto sidecar = [](const ServiceView& v) {
    return container(pod(planned(v), "s-kserve"), "initContainers", "llm-d-routing-sidecar");
  };
  const auto given = [](const std::string& line) {
    return view(
        "{prefill: {}, router: {}, template: {initContainers: [{name: llm-d-routing-sidecar, " +
        line + "}]}}");
  };

  const Value ours = sidecar(view("{prefill: {}, router: {}}"));
  EXPECT_THAT(strings(ours, "command"), Contains("--metrics-port=9190"));
  EXPECT_EQ(dump(*ours.find("ports")),
            R"([{"containerPort":8000,"protocol":"TCP"},)"
            R"({"name":"sidecar-metrics","containerPort":9190,"protocol":"TCP"}])");

  // Flags of the user's own beside it.
  const Value more = sidecar(given("args: [--prefill-max-retries=2]"));
  EXPECT_THAT(strings(more, "command"), Contains("--metrics-port=9190"));

  ServiceView upstream = view("{prefill: {}, router: {}}");
  use_upstream_engine_and_sidecar(upstream.settings);
  ServiceView serve = view("{prefill: {}, router: {}}");
  serve.settings.runs_baton = true;  // nobody asks there, and every port speaks TLS or none
  for (const ServiceView& v : {upstream, serve, given("args: [--metrics-port=9999]"),
                               given("args: [--configuration, 'metrics-port: 9999']"),
                               given("args: [--configuration-file=/etc/sidecar.yaml]")}) {
    const Value other = sidecar(v);
    EXPECT_THAT(strings(other, "command"), Not(Contains("--metrics-port=9190")));
    EXPECT_EQ(named(other.find("ports"), "sidecar-metrics"), nullptr);
  }
}

TEST(Sidecar, WithoutACommandGetsThePortInItsArguments) {
  ServiceView v = view("{prefill: {}, router: {}}");
  v.configs.push_back(config("kserve-config-llm-decode-template",
                             "{template: {containers: [{name: main}], initContainers: [{name: "
                             "llm-d-routing-sidecar, args: [--port=8000]}]}}"));
  const Value sidecar =
      container(pod(planned(v), "s-kserve"), "initContainers", "llm-d-routing-sidecar");
  EXPECT_EQ(sidecar.find("command"), nullptr);
  EXPECT_THAT(strings(sidecar, "args"), ElementsAre("--port=8000", "--metrics-port=9190"));
}

// llmisvc:B24
TEST(Tls, TurnsOnFlagsProbesVolumesAndTheWishForACertificate) {
  ServiceView v = view("{prefill: {}, router: {route: {}, scheduler: {}}}");
  const Plan off = planned(v);
  v.settings.enable_tls = true;
  const Plan on = planned(v);

  EXPECT_THAT(strings(main_of(on, "s-kserve"), "command"),
              Contains("--ssl-keyfile=/var/run/kserve/tls/tls.key"));
  EXPECT_EQ(main_of(on, "s-kserve").string_at({"livenessProbe", "httpGet", "scheme"}), "HTTPS");
  EXPECT_THAT(
      strings(container(pod(on, "s-kserve"), "initContainers", "llm-d-routing-sidecar"), "command"),
      Contains("--enable-tls=prefiller"));
  EXPECT_THAT(strings(main_of(on, "s-kserve-router-scheduler"), "command"),
              Contains("--secure-serving=true"));
  EXPECT_EQ(child(on, "Service", "s-kserve-workload-svc")
                .find_path({"spec", "ports"})
                ->if_array()
                ->front()
                .string_at({"name"}),
            "https");
  ASSERT_EQ(on.wishes.size(), 2U);
  EXPECT_EQ(on.wishes[0].name, "s-kserve-self-signed-certs");
  EXPECT_THAT(on.wishes[0].dns_names, Contains("s-epp-service.ns.svc.cluster.local"));
  EXPECT_NE(named(pod(on, "s-kserve").find("volumes"), "tls-certs"), nullptr);

  ASSERT_EQ(off.wishes.size(), 1U);
  EXPECT_EQ(off.wishes[0].kind, Wish::Kind::kRoutingKey);
  EXPECT_EQ(main_of(off, "s-kserve").string_at({"livenessProbe", "httpGet", "scheme"}), "HTTP");
  EXPECT_EQ(named(pod(off, "s-kserve").find("volumes"), "tls-certs"), nullptr);
  EXPECT_THAT(strings(main_of(off, "s-kserve"), "command"), Not(Contains(HasSubstr("ssl"))));
  EXPECT_THAT(strings(main_of(off, "s-kserve-router-scheduler"), "command"), Not(Contains("")));
}

}  // namespace
}  // namespace baton::plan
