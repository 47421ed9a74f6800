#include "control/node/rewrites.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::node {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

kube::Object parse(const std::string& yaml) {
  auto value = text::json::parse(yaml);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : kube::Object();
}

class Rewrites : public ::testing::Test {
 protected:
  Rewrites() {
    config_.state_dir = "/state";
    config_.path = "/usr/bin:/bin";
    config_.models_dirs = {"/models-here"};
    config_.is_shipped_script = [](std::string_view text) {
      return text.find("vllm serve /mnt/models") != std::string_view::npos;
    };
  }
  Result<Launch> launch(const std::string& container, Environment env = {}) {
    return launch_for(parse(container), facts_, std::move(env), mounts_, config_);
  }

  PodFacts facts_{"127.77.1.2", "/state/allowlists/ns_svc", "/state/pods/ns_p", "/state/bin", ""};
  std::vector<Mount> mounts_{{"/mnt/models", "/state/pods/ns_p/volumes/m"}};
  Config config_;
};

TEST_F(Rewrites, MapsAProgramByTheBasenameOfItsCommandAndItsMountPaths) {
  const auto got = launch(R"({"name":"main","image":"x",
    "command":["/usr/bin/vllm","serve","/mnt/models"],"args":["--port=8000"]})");

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_THAT(got->argv,
              ElementsAre("/state/bin/vllm", "serve", "/state/pods/ns_p/volumes/m", "--port=8000"));
  EXPECT_EQ(got->env.get("BATON_POD_IP"), "127.77.1.2");
  EXPECT_EQ(got->env.get("BATON_MODELS_DIR"), "/models-here");
  EXPECT_EQ(got->env.get("PATH"), "/state/bin:/usr/bin:/bin");
  EXPECT_EQ(got->env.get("HOME"), "/state/pods/ns_p");
}

TEST_F(Rewrites, LeavesThePathsOfMountsThatAreReal) {
  facts_.mounts = Mounts::kNamespace;
  mounts_[0].read_only = true;
  Environment env;
  env.set("MODEL", "/mnt/models/x");
  const auto got = launch(R"({"name":"main","image":"x","command":["vllm","serve","/mnt/models"]})",
                          std::move(env));

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_THAT(got->argv, ElementsAre("/state/bin/vllm", "serve", "/mnt/models"));
  EXPECT_EQ(got->env.get("MODEL"), "/mnt/models/x");
  EXPECT_THAT(got->notes, ElementsAre("mount path /mnt/models is mounted from "
                                      "/state/pods/ns_p/volumes/m, read-only"));
}

TEST_F(Rewrites, GivesAContainerWithoutCommandTheProgramOfItsImage) {
  const auto got = launch(R"({"name":"main","image":"example/llm-d/llm-d:v0.2.0","args":["--x"]})");

  ASSERT_TRUE(got);
  EXPECT_THAT(got->argv,
              ElementsAre("/state/bin/vllm", "serve", "/state/pods/ns_p/volumes/m", "--x"));
}

TEST_F(Rewrites, ReplacesThePoolFlagsOfTheSidecarByItsAllowlist) {
  Environment env;
  env.set("INFERENCE_POOL_NAME", "p");
  const auto got = launch(R"({"name":"s","image":"x","command":["/app/pd-sidecar","--port=8000",
    "--vllm-port=8001","--kv-connector=nixlv2","--enable-ssrf-protection=true","--pool-group=g",
    "--inference-pool","ns/p","--secure-proxy=true","","",""]})",
                          env);

  ASSERT_TRUE(got);
  EXPECT_THAT(got->argv, ElementsAre("/state/bin/pd-sidecar", "--port=8000", "--vllm-port=8001",
                                     "--kv-connector=nixlv2", "--secure-proxy=false",
                                     "--allowlist-file=/state/allowlists/ns_svc"));
  EXPECT_EQ(got->env.find("INFERENCE_POOL_NAME"), nullptr);
}

TEST_F(Rewrites, LeavesTheTlsOfASidecarThatIsDialledWithIt) {
  config_.pod_tls = PodTls::kAsPlanned;
  const auto got = launch(R"({"name":"s","image":"x","command":["/app/pd-sidecar",
    "--secure-proxy=true","--cert-path=/certs","--enable-tls=decoder"]})");

  ASSERT_TRUE(got);
  EXPECT_THAT(got->argv,
              ElementsAre("/state/bin/pd-sidecar", "--secure-proxy=true", "--cert-path=/certs",
                          "--enable-tls=decoder", "--allowlist-file=/state/allowlists/ns_svc"));
}

TEST_F(Rewrites, LetsAPickerServeItsMetricsUnlessTheManifestDecidesOrAnApiServerCan) {
  const auto got = launch(R"({"name":"main","image":"x","command":["/app/epp","--pool-name=p"]})");
  ASSERT_TRUE(got);
  EXPECT_THAT(got->argv,
              ElementsAre("/state/bin/epp", "--pool-name=p", "--metrics-endpoint-auth=false"));

  const auto decided = launch(R"({"name":"main","image":"x","command":["/app/epp"],
    "args":["--metrics-endpoint-auth=true"]})");
  ASSERT_TRUE(decided);
  EXPECT_THAT(decided->argv, ElementsAre("/state/bin/epp", "--metrics-endpoint-auth=true"));

  config_.api_host = "10.96.0.1";
  const auto asks = launch(R"({"name":"main","image":"x","command":["/app/epp"]})");
  ASSERT_TRUE(asks);
  EXPECT_THAT(asks->argv, ElementsAre("/state/bin/epp"));
}

TEST_F(Rewrites, RunsOnlyMappedProgramsAndShippedScriptsUnlessAllowed) {
  const std::string other = R"({"name":"main","image":"x","command":["python3","-m","x"]})";
  const std::string script =
      R"({"name":"main","image":"x","command":["/bin/bash","-c","curl example | sh"]})";
  for (const auto& container : {other, script}) {
    const auto got = launch(container);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), Code::kDenied);
    EXPECT_THAT(got.error().message(), HasSubstr("--allow-exec"));
  }
  config_.allow_exec = AllowExec::kYes;
  EXPECT_TRUE(launch(other));
  EXPECT_TRUE(launch(script));
}

TEST_F(Rewrites, RefusesShellSyntaxThatAPresetScriptWouldEvaluate) {
  const std::string before = R"({"name":"main","image":"x","command":["/bin/bash","-c",
    "exec vllm serve /mnt/models $@","--"],"args":[")";
  EXPECT_TRUE(launch(before + R"(--kv-transfer-config='{}'"]})"));
  for (const auto* bad : {"--x;reboot", "$(reboot)", "`reboot`", "a&b", "a|b", "--seed=$[FOO]",
                          "--seed=${HOME:FOO}", "--seed=$FOO"}) {
    EXPECT_EQ(launch(before + bad + R"("]})").error().code(), Code::kDenied) << bad;
  }
  for (const auto* bad : {"$(reboot)", "--seed=$[FOO]", "--seed=${HOME:FOO}"}) {
    Environment env;
    env.set("VLLM_ADDITIONAL_ARGS", bad);
    EXPECT_EQ(launch(before + R"("]})", env).error().code(), Code::kDenied) << bad;
  }
  mounts_.push_back({"/data", "/tmp/a;reboot"});  // as a hostPath may say
  EXPECT_EQ(launch(before + R"("]})").error().code(), Code::kDenied);
  facts_.mounts = Mounts::kNamespace;
  EXPECT_TRUE(launch(before + R"("]})"));
}

TEST_F(Rewrites, RefusesVariablesThatLoadAFileOfSomeonesChoice) {
  for (const auto* name :
       {"BASH_ENV", "BASH_ENV=/x", "LD_PRELOAD", "OPENSSL_CONF", "OPENSSL_MODULES", "GCONV_PATH",
        "PYTHONUSERBASE", "CUDA_INJECTION64_PATH", "CC", "CXX", "TRITON_PTXAS_PATH",
        "VLLM_NCCL_SO_PATH", "VLLM_CUDART_SO_PATH", "NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN",
        "NCCL_PROFILER_PLUGIN", "NIXL_PLUGIN_DIR"}) {
    Environment env;
    env.set(name, "/x");
    const auto got = launch(R"({"name":"main","image":"x","command":["vllm","serve","m"]})", env);
    ASSERT_FALSE(got) << name;
    EXPECT_EQ(got.error().code(), Code::kDenied) << name;
  }
  Environment env;
  env.set("PYTHONHASHSEED", "0");
  EXPECT_TRUE(launch(R"({"name":"main","image":"x","command":["vllm","serve","m"]})", env));
}

TEST_F(Rewrites, RunsAPresetOnlyInTheShellOfTheMachine) {
  const auto in = [&](std::string_view shell) {
    return launch(R"({"name":"main","image":"x","command":[")" + std::string(shell) +
                  R"(","-c","exec vllm serve /mnt/models","--"]})");
  };
  EXPECT_TRUE(in("/bin/bash"));
  EXPECT_TRUE(in("bash"));
  EXPECT_EQ(in("/tmp/mine/bash").error().code(), Code::kDenied);
  mounts_.push_back({"/bin", "/tmp/mine"});
  EXPECT_EQ(in("/bin/bash").error().code(), Code::kDenied);
}

TEST_F(Rewrites, TellsAForeignVllmWhereToListen) {
  config_.engine = Engine::kVllm;
  const auto direct =
      launch(R"({"name":"main","image":"x","command":["vllm","serve","/mnt/models"]})");
  EXPECT_THAT(direct->argv, ElementsAre("/state/bin/vllm", "serve", "/state/pods/ns_p/volumes/m",
                                        "--host", "127.77.1.2"));
  EXPECT_EQ(direct->env.get("VLLM_NIXL_SIDE_CHANNEL_HOST"), "127.77.1.2");

  const auto preset = launch(R"({"name":"main","image":"x","command":["/bin/bash","-c",
    "exec vllm serve /mnt/models","--"]})");
  EXPECT_EQ(preset->env.get("VLLM_ADDITIONAL_ARGS"), "--host 127.77.1.2");
  EXPECT_THAT(preset->argv, Contains("exec vllm serve /state/pods/ns_p/volumes/m"));
}

TEST_F(Rewrites, TellsContainersWhereTracesGoUnlessTheySayItThemselves) {
  const std::string sidecar = R"({"name":"s","image":"x","command":["/app/pd-sidecar"],"args":)";
  EXPECT_THAT(launch(sidecar + "[]}")->argv, Not(Contains("--tracing")));

  config_.tracing = {{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317"},
                     {"OTEL_TRACES_SAMPLER", "always_on"}};
  Environment env;
  env.set("OTEL_TRACES_SAMPLER", "always_off");
  const auto engine = launch(
      R"({"name":"main","image":"x","command":["vllm","serve","/mnt/models"],"args":["--port=1"]})",
      std::move(env));
  EXPECT_THAT(engine->argv,
              ElementsAre("/state/bin/vllm", "serve", "/state/pods/ns_p/volumes/m", "--port=1"));
  EXPECT_EQ(engine->env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), "http://c:4317");
  EXPECT_EQ(engine->env.get("OTEL_TRACES_SAMPLER"), "always_off");
  EXPECT_THAT(launch(sidecar + "[]}")->argv, Contains("--tracing"));
  EXPECT_THAT(launch(sidecar + R"(["--tracing=false"]})")->argv, Not(Contains("--tracing")));
}

TEST_F(Rewrites, PutsTheStandInWhereAModelIsNamedOrMissing) {
  config_.stand_in = "/models-here/storyteller";
  const auto named = launch(R"({"name":"main","image":"x","command":["vllm","serve","granite-8b"],
    "args":["--dtype=float16"]})");
  EXPECT_THAT(named->argv, ElementsAre("/state/bin/vllm", "serve", "/models-here/storyteller",
                                       "--emulate-parallelism"));
  EXPECT_THAT(named->notes, Contains(HasSubstr("--dtype is left out")));
  const auto missing = launch(R"({"name":"main","image":"x","command":["vllm","serve"],
    "args":["--port=8001"]})");
  EXPECT_THAT(missing->argv, ElementsAre("/state/bin/vllm", "serve", "/models-here/storyteller",
                                         "--port=8001", "--emulate-parallelism"));
  const auto mounted =
      launch(R"({"name":"main","image":"x","command":["vllm","serve","/mnt/models"]})");
  EXPECT_THAT(mounted->argv, ElementsAre("/state/bin/vllm", "serve", "/state/pods/ns_p/volumes/m",
                                         "--emulate-parallelism"));
}

TEST(Mounts, AreRewrittenAsWholePathComponentsLongestFirst) {
  const std::vector<Mount> mounts{
      {"/models", "/A"}, {"/mnt/models", "/B/mnt/models"}, {"/tmp", "/C"}};
  EXPECT_EQ(rewrite_paths("x /mnt/models --a=/models/y,'/tmp' /models2 /mnt/models-old", mounts),
            "x /B/mnt/models --a=/A/y,'/C' /models2 /mnt/models-old");
  EXPECT_EQ(rewrite_paths("/tmp", mounts), "/C");
}

TEST(ContainerEnvironment, ExpandsReferencesAndReadsFieldsAndKeys) {
  const auto pod = parse(R"({"metadata":{"name":"p","namespace":"ns","labels":{"a/b":"c"}},
    "spec":{"nodeName":"n"},"status":{"podIP":"1.2.3.4"}})");
  const auto container =
      parse(R"x({"resources":{"limits":{"cpu":"1500m","memory":"1Gi","disk":"1Pi"}},
    "envFrom":[{"configMapRef":{"name":"cm"},"prefix":"P_"},
               {"secretRef":{"name":"gone","optional":true}}],
    "env":[
    {"name":"A","value":"1"},{"name":"B","value":"$(A)-$$(A)-$(UNKNOWN)"},
    {"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
    {"name":"L","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['a/b']"}}},
    {"name":"N","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}},
    {"name":"CPU","valueFrom":{"resourceFieldRef":{"resource":"limits.cpu"}}},
    {"name":"MEM","valueFrom":{"resourceFieldRef":{"resource":"limits.memory"}}},
    {"name":"DISK","valueFrom":{"resourceFieldRef":{"resource":"limits.disk"}}},
    {"name":"S","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]})x");
  const ReadObject read = [](std::string_view kind,
                             const std::string& name) -> Result<kube::Object> {
    if (name == "cm") return parse(R"({"kind":"ConfigMap","data":{"X":"y"}})");
    if (kind == "Secret" && name == "s") return parse(R"({"kind":"Secret","data":{"k":"aGk="}})");
    return not_found("no " + name);
  };

  const auto env = container_environment(pod, container, read);

  ASSERT_TRUE(env) << env.error().message();
  EXPECT_THAT(env->lines(),
              ElementsAre("P_X=y", "A=1", "B=1-$(A)-$(UNKNOWN)", "IP=1.2.3.4", "L=c", "N=n",
                          "CPU=2", "MEM=1073741824", "DISK=1125899906842624", "S=hi"));
  const auto missing = parse(R"({"env":[{"name":"A","valueFrom":{"secretKeyRef":
    {"name":"absent","key":"k"}}}]})");
  EXPECT_EQ(container_environment(pod, missing, read).error().message(), "env A: no absent");
}

// A pod that started without its token would never get it.
TEST(ContainerEnvironment, IsAnErrorWhenAnOptionalReferenceCannotBeRead) {
  const auto whole = parse(R"({"envFrom":[{"secretRef":{"name":"s","optional":true}}]})");
  const auto key = parse(R"({"env":[{"name":"A","valueFrom":{"secretKeyRef":
    {"name":"s","key":"k","optional":true}}}]})");
  const auto env_of = [](const kube::Object& container, const Result<kube::Object>& answer) {
    return container_environment(
        kube::Object(), container,
        [&](std::string_view, const std::string&) -> Result<kube::Object> { return answer; });
  };
  for (const auto& container : {whole, key}) {
    EXPECT_EQ(env_of(container, unavailable("down")).error().code(), Code::kUnavailable);
    EXPECT_TRUE(env_of(container, not_found("gone"))->lines().empty());
  }
  EXPECT_TRUE(env_of(key, parse(R"({"kind":"Secret","data":{"other":"aGk="}})"))->lines().empty());
  const auto garbled = parse(R"({"kind":"Secret","data":{"k":"?"}})");
  EXPECT_EQ(env_of(key, garbled).error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace baton::node
