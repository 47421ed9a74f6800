#include "cli/sidecar_options.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/text/yaml.hpp"

namespace baton::cli {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

Result<std::optional<SidecarOptions>> parsed(Strings arguments, Variables variables = {}) {
  return parse_sidecar(std::move(arguments), [=](const char* name) {
    auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

SidecarOptions good(Strings arguments, Variables variables = {}) {
  auto result = parsed(std::move(arguments), std::move(variables));
  EXPECT_TRUE(result) << result.error().message();
  return result && *result ? **result : SidecarOptions();
}

std::string refusal(Strings arguments) {
  auto result = parsed(std::move(arguments));
  return result ? "" : result.error().message();
}

TEST(SidecarOptions, HaveLlmdsDefaults) {
  SidecarOptions o = good({});

  EXPECT_EQ(http::to_string(o.listen), "0.0.0.0:8000");
  EXPECT_EQ(http::to_string(o.config.decoder), "localhost:8200");
  EXPECT_EQ(o.config.tactics.policy, sidecar::Policy::kRelay);
  EXPECT_EQ(o.config.tactics.retries, 0);
  EXPECT_EQ(o.config.request_timeout, std::chrono::seconds(600));
  EXPECT_FALSE(o.metrics);
  EXPECT_TRUE(o.serve_tls);
  EXPECT_EQ(o.cert_path, "");
  EXPECT_FALSE(o.prefiller.on);
  EXPECT_FALSE(o.decoder.on);
}

TEST(SidecarOptions, StartWithTheFlagsOfTheSeed) {
  SidecarOptions o =
      good({"-port=8000", "-vllm-port=8001", "-connector=nixlv2", "--cert-path=/etc/ssl/certs",
            "--decoder-use-tls=true", "--prefiller-use-tls=true", "--enable-ssrf-protection=true"},
           {{"INFERENCE_POOL_NAMESPACE", "llm"}, {"INFERENCE_POOL_NAME", "pool"}});

  EXPECT_EQ(o.cert_path, "/etc/ssl/certs");
  EXPECT_EQ(o.prefiller, (DialTls{true, true}));
  EXPECT_EQ(o.decoder, (DialTls{true, true}));
  EXPECT_EQ(o.config.decoder.port, 8001);
  ASSERT_TRUE(o.pool);
  EXPECT_EQ(*o.pool, (sidecar::PoolName{"llm", "pool"}));
}

TEST(SidecarOptions, ReadTheStagesOfTls) {
  SidecarOptions both = good({"--enable-tls=prefiller,decoder", "--tls-insecure-skip-verify",
                              "decoder", "--ca-file=/ca.pem", "--secure-proxy=false"});
  SidecarOptions repeated =
      good({"--enable-tls=decoder", "--enable-tls=prefiller", "--secure-proxy"});
  SidecarOptions old = good({"--decoder-use-tls", "--decoder-tls-insecure-skip-verify=true"});

  EXPECT_EQ(both.prefiller, (DialTls{true, true}));
  EXPECT_EQ(both.decoder, (DialTls{true, false}));
  EXPECT_EQ(both.ca_file, "/ca.pem");
  EXPECT_FALSE(both.serve_tls);
  EXPECT_TRUE(repeated.prefiller.on && repeated.decoder.on && repeated.serve_tls);
  EXPECT_EQ(old.decoder, (DialTls{true, false}));
  EXPECT_EQ(refusal({"--enable-tls=prefill"}),
            "--enable-tls=prefill: prefiller, decoder or encoder (did you mean 'prefiller'?)");
}

TEST(SidecarOptions, ReadBothGenerationsOfFlags) {
  SidecarOptions old =
      good({"-port", "9000", "-vllm-port=8001", "-connector=nixlv2", "-prefiller-use-tls=false",
            "--cert-path=", "", "-enable-ssrf-protection=false"});
  SidecarOptions recent =
      good({"--model-server-port=8001", "--vllm-port", "7", "--kv-connector", "nixlv2",
            "--enable-tls=", "--tracing", "--data-parallel-size=2", "--metrics-port=9090",
            "--enable-prefiller-sampling", "--zap-log-level=debug", "--allowlist-file=/x",
            "--enable-ssrf-protection=true", "--prefill-max-retries=2",
            "--prefill-retry-backoff=1s", "--fallback-budget=0.25"},
           {{"POD_IP", "10.0.0.9"}});

  EXPECT_EQ(old.listen.port, 9000);
  EXPECT_EQ(old.config.decoder.port, 8001);
  EXPECT_EQ(recent.config.decoder.port, 8001);
  EXPECT_EQ(recent.metrics->port, 9090);
  EXPECT_EQ(recent.config.allowlist_file, "/x");
  EXPECT_EQ(recent.config.ranks, 2);
  EXPECT_TRUE(recent.tracing && !old.tracing);
  EXPECT_EQ(recent.config.pod_ip, "10.0.0.9");
  EXPECT_TRUE(recent.config.sample_prefillers);
  EXPECT_EQ(recent.config.tactics.retries, 2);
  EXPECT_EQ(recent.config.tactics.backoff, std::chrono::seconds(1));
  EXPECT_EQ(recent.config.fallback_share, 0.25);
}

TEST(SidecarOptions, LetFlagsBeatTheEnvironment) {
  Variables variables = {{"BATON_POD_IP", "127.77.1.2"},
                         {"BATON_PREFILL_FAILURE_POLICY", "fallback"}};

  SidecarOptions from_environment = good({}, variables);
  SidecarOptions from_flags =
      good({"--host=1.2.3.4", "--prefill-failure-policy=strict"}, variables);

  EXPECT_EQ(from_environment.listen.host, "127.77.1.2");
  EXPECT_EQ(from_environment.config.decoder.host, "127.77.1.2");
  EXPECT_EQ(from_environment.config.tactics.policy, sidecar::Policy::kFallback);
  EXPECT_EQ(from_flags.listen.host, "1.2.3.4");
  EXPECT_EQ(from_flags.config.tactics.policy, sidecar::Policy::kStrict);
}

// sidecar:41
TEST(SidecarOptions, TakeYamlUnderTheFlags) {
  const std::string yaml =
      "port: 9000\nvllm-port: 8001\nmetrics-port: 0\nenable-tls: [prefiller]\n"
      "secure-proxy: false\nprefill-max-retries: 3\n";
  auto file = std::filesystem::temp_directory_path() /
              ("baton-sidecar-options-" + std::to_string(::getpid()));
  std::ofstream(file) << yaml;

  for (const std::string& source :
       {"--configuration=" + yaml, "--configuration-file=" + file.string()}) {
    SidecarOptions o = good({source});
    EXPECT_EQ(o.listen.port, 9000);
    EXPECT_EQ(o.config.decoder.port, 8001);
    EXPECT_EQ(o.prefiller.on, true);
    EXPECT_EQ(o.serve_tls, false);
    EXPECT_EQ(o.config.tactics.retries, 3);
    SidecarOptions over =
        good({source, "--port=7000", "--secure-proxy=true", "--enable-tls=decoder"});
    EXPECT_EQ(over.listen.port, 7000);
    EXPECT_TRUE(over.serve_tls);
    EXPECT_FALSE(over.prefiller.on);
  }
  EXPECT_THAT(refusal({"--configuration={"}), HasSubstr("--configuration:"));
  EXPECT_EQ(refusal({"--configuration=prot: 1"}),
            "--configuration: /prot: no such setting (did you mean 'port'?)");
  EXPECT_THAT(refusal({"--configuration=connector: nixlv2"}), HasSubstr("/connector: no such"));
  EXPECT_THAT(refusal({"--configuration=[1]"}), HasSubstr("expected a mapping"));
  EXPECT_THAT(refusal({"--configuration=port: {a: 1}"}), HasSubstr("/port: expected a value"));
  EXPECT_EQ(refusal({"--configuration=port: 1", "--configuration-file=" + file.string()}),
            "--configuration and --configuration-file exclude each other");
  EXPECT_THAT(refusal({"--configuration-file=/no/such"}), HasSubstr("cannot read /no/such"));
  std::filesystem::remove(file);
}

// sidecar:42 (reference 3.2) flag of the new name, of the old one, YAML of the new one, of the old
// one, 8200.
TEST(SidecarOptions, FindTheEnginesPortInItsOrder) {
  const Strings order = {"--model-server-port=1", "--vllm-port=2"};
  auto port = [](Strings arguments) { return good(std::move(arguments)).config.decoder.port; };
  const std::string new_yaml = "--configuration=model-server-port: 3";
  const std::string both_yaml = "--configuration={model-server-port: 3, vllm-port: 4}";
  const std::string old_yaml = "--configuration=vllm-port: 4";

  EXPECT_EQ(port({order[1], order[0], both_yaml}), 1);
  EXPECT_EQ(port({order[1], both_yaml}), 2);
  EXPECT_EQ(port({both_yaml}), 3);
  EXPECT_EQ(port({new_yaml}), 3);
  EXPECT_EQ(port({old_yaml}), 4);
  EXPECT_EQ(port({}), 8200);
}

TEST(SidecarOptions, SayWhatIsInEffectAndWhereItComesFrom) {
  SidecarOptions o =
      good({"--print-effective-config", "--port=9000", "--configuration=metrics-port: 9090"},
           {{"INFERENCE_POOL", "a/b"}});
  ASSERT_TRUE(o.print);
  EXPECT_THAT(*o.print, HasSubstr("port: \"9000\"  # flag\n"));
  EXPECT_THAT(*o.print, HasSubstr("metrics-port: \"9090\"  # configuration\n"));
  EXPECT_THAT(*o.print, HasSubstr("inference-pool: a/b  # environment\n"));
  EXPECT_THAT(*o.print, HasSubstr("kv-connector: nixlv2  # default\n"));
  EXPECT_TRUE(text::yaml::parse(*o.print, "print"));
  EXPECT_TRUE(good({"-print-config"}).print);

  SidecarOptions old = good({"-print-config", "-connector=lmcache", "-vllm-port=8001",
                             "-decoder-use-tls", "-inference-pool-name=p", "--enable-tls=encoder"},
                            {{"INFERENCE_POOL_NAMESPACE", "llm"}});
  EXPECT_THAT(*old.print, HasSubstr("kv-connector: shared-storage  # flag\n"));
  EXPECT_THAT(*old.print, HasSubstr("model-server-port: \"8001\"  # flag\n"));
  EXPECT_THAT(*old.print, HasSubstr("enable-tls: encoder,decoder  # flag\n"));
  EXPECT_THAT(*old.print, HasSubstr("inference-pool: llm/p  # flag\n"));
}

TEST(SidecarOptions, ReadTicketsPairsAndScheduling) {
  SidecarOptions o = good({"--routing-ticket-key-file=/key", "--prefill-warm-up",
                           "--prove-transfers=true", "--self-schedule", "--inference-pool=n/p"},
                          {{"POD_IP", "10.0.0.9"}});
  EXPECT_EQ(o.ticket_key_file, "/key");
  EXPECT_EQ(o.config.unsigned_routes, sidecar::Unsigned::kRefused);
  EXPECT_TRUE(o.config.warm_up && o.config.prove_transfers && o.self_schedule);
  EXPECT_EQ(*o.schedule_pool, (sidecar::PoolName{"n", "p"}));
  EXPECT_TRUE(o.without_effect.empty());
  EXPECT_EQ(good({"--routing-ticket-key-file=/key", "--require-routing-ticket=false"})
                .config.unsigned_routes,
            sidecar::Unsigned::kAllowed);
  SidecarOptions file =
      good({"--self-schedule", "--self-schedule-endpoints=/e", "--host=10.0.0.9"});
  EXPECT_EQ(file.endpoints_file, "/e");
  EXPECT_EQ(file.config.pod_ip, "10.0.0.9");
  EXPECT_FALSE(good({}).config.self_schedule);
  for (const Strings& wrong :
       {Strings{"--self-schedule"}, Strings{"--self-schedule", "--inference-pool=n/p"},
        Strings{"--self-schedule-endpoints=/e"}, Strings{"--require-routing-ticket"},
        Strings{"--prefill-warm-up", "--kv-connector=sglang"},
        Strings{"--self-schedule", "--self-schedule-endpoints=/e", "--host=10.0.0.9",
                "--self-schedule-config=/no/such"}}) {
    EXPECT_NE(refusal(wrong), "") << wrong.front();
  }
}

TEST(SidecarOptions, RefuseAPickersConfigurationThatCannotBeFollowed) {
  const std::string path =
      std::filesystem::temp_directory_path() / fmt::format("baton-picker-{}.yaml", ::getpid());
  const auto with = [&](std::string_view text) {
    std::ofstream(path) << text;
    return parsed({"--self-schedule", "--self-schedule-endpoints=/e", "--host=10.0.0.9",
                   "--self-schedule-config=" + path});
  };
  EXPECT_TRUE(with(sidecar::own_picker()));
  for (const char* wrong : {"nonsense: true", "", "a: ["}) {
    const auto refused = with(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code(), Code::kInvalid) << wrong;
    EXPECT_THAT(refused.error().message(), HasSubstr("--self-schedule-config=" + path + ":"));
  }
  std::filesystem::remove(path);
}

// sidecar:42
TEST(SidecarOptions, NeedAPoolOrAFileForTheProtection) {
  EXPECT_THAT(refusal({"--enable-ssrf-protection=true"}),
              HasSubstr("--inference-pool=namespace/name"));
  EXPECT_EQ(*good({"--enable-ssrf-protection", "--inference-pool=p"}).pool,
            (sidecar::PoolName{"default", "p"}));
  EXPECT_EQ(*good({"--enable-ssrf-protection", "--inference-pool=a/p",
                   "--pool-group=inference.networking.x-k8s.io"})
                 .pool,
            (sidecar::PoolName{"a", "p", "inference.networking.x-k8s.io"}));
  EXPECT_EQ(
      *good({"--enable-ssrf-protection", "--inference-pool-namespace=n", "--inference-pool-name=p"})
           .pool,
      (sidecar::PoolName{"n", "p"}));
  EXPECT_FALSE(
      good({"--enable-ssrf-protection", "--inference-pool=p", "--allowlist-file=/x"}).pool);
  EXPECT_EQ(good({"--inference-pool=p"}).without_effect.size(), 1U);
  EXPECT_NE(refusal({"--enable-ssrf-protection", "--inference-pool=a/b/c"}), "");
  EXPECT_NE(refusal({"--enable-ssrf-protection", "--inference-pool=a", "--pool-group=x"}), "");
}

// sidecar:42
TEST(SidecarOptions, ReadConnectorsAndTheirPorts) {
  EXPECT_EQ(good({}).config.connector, "nixlv2");
  EXPECT_EQ(good({"-connector=lmcache"}).config.connector, "shared-storage");
  EXPECT_EQ(good({"--kv-connector=sglang"}, {{"SGLANG_BOOTSTRAP_PORT", "9000"}})
                .config.ports.sglang_bootstrap,
            9000);
  EXPECT_EQ(good({"--kv-connector=offloading"}, {{"P2P_CONNECTOR_PORT", "7000"}}).config.ports.p2p,
            7000);
  EXPECT_EQ(good({"--enable-p2p-pull"}).config.pull, sidecar::Pull::kYes);
  EXPECT_EQ(refusal({"--enable-p2p-pull", "--kv-connector=sglang"}),
            "--enable-p2p-pull is for --kv-connector=nixlv2");
  EXPECT_NE(refusal({"--p2p-connector-port=65535", "--data-parallel-size=2"}), "");
  EXPECT_NE(refusal({"--p2p-connector-port=0"}), "");
  EXPECT_FALSE(parsed({}, {{"SGLANG_BOOTSTRAP_PORT", "x"}}));
}

// sidecar:42 environment, ports and their ranges, names of connectors and stages.
TEST(SidecarOptions, ReadWhatTheEnvironmentAndTheListsSay) {
  EXPECT_TRUE(good({}, {{"ENABLE_PREFILLER_SAMPLING", "T"}}).config.sample_prefillers);
  EXPECT_FALSE(good({}, {{"ENABLE_PREFILLER_SAMPLING", "0"}}).config.sample_prefillers);
  EXPECT_FALSE(parsed({}, {{"ENABLE_PREFILLER_SAMPLING", "yes"}}));
  auto bootstrap = [](Strings arguments, Variables variables) {
    return good(std::move(arguments), std::move(variables)).config.ports.mooncake_bootstrap;
  };
  EXPECT_EQ(bootstrap({}, {}), 8998);
  EXPECT_EQ(bootstrap({}, {{"MOONCAKE_BOOTSTRAP_PORT", "9000"}}), 9000);
  EXPECT_EQ(bootstrap({"--mooncake-bootstrap-port=1"}, {{"MOONCAKE_BOOTSTRAP_PORT", "9000"}}), 1);
  EXPECT_FALSE(parsed({}, {{"MOONCAKE_BOOTSTRAP_PORT", "65536"}}));
  EXPECT_FALSE(parsed({}, {{"P2P_CONNECTOR_PORT", "x"}}));
  EXPECT_EQ(good({"--port=65534", "--data-parallel-size=2"}).config.ranks, 2);
  EXPECT_NE(refusal({"--port=65535", "--data-parallel-size=2"}), "");
  EXPECT_NE(refusal({"--model-server-port=65535", "--data-parallel-size=2"}), "");
  for (const char* name : {"nixlv2", "shared-storage", "sglang", "mooncake", "offloading"}) {
    EXPECT_EQ(good({std::string("--kv-connector=") + name}).config.connector, name);
  }
  EXPECT_EQ(good({"--ec-connector=ec-example"}).config.ec_connector,
            sidecar::EcConnector::kExample);
  EXPECT_EQ(good({"--configuration=ec-connector: ec-nixl"}).config.ec_connector,
            sidecar::EcConnector::kNixl);
  EXPECT_EQ(good({"--decode-chunk-size=8"}).config.decode_chunk_size, 8);
  SidecarOptions all = good({"--enable-tls=prefiller", "--enable-tls=decoder,encoder",
                             "--tls-insecure-skip-verify=encoder"});
  EXPECT_TRUE(all.prefiller.on && all.decoder.on && all.encoder.on);
  EXPECT_TRUE(all.prefiller.verify && all.decoder.verify && !all.encoder.verify);
}

// sidecar:24 sizes alone turn nothing on. sidecar:25 the checks of MoRI-IO's flags.
TEST(SidecarOptions, ReadMoriio) {
  const Variables pod = {{"POD_IP", "10.0.0.2"}};
  EXPECT_FALSE(good({"--moriio-dp-size=8"}, pod).config.moriio);
  SidecarOptions o =
      good({"--moriio-write-mode", "--moriio-parallel-dispatch", "--moriio-dp-size=16",
            "--moriio-dp-size-local=8", "--moriio-remote-hosts=10.1.0.1,10.1.0.2",
            "--moriio-parallel-decode-wait-timeout=5s"},
           pod);
  ASSERT_TRUE(o.config.moriio);
  EXPECT_EQ(o.config.moriio->pod_address, "10.0.0.2");
  EXPECT_EQ(o.config.moriio->dispatch, sidecar::Dispatch::kParallel);
  EXPECT_EQ(o.config.moriio->decode_wait, std::chrono::seconds(5));
  EXPECT_EQ(o.config.moriio->remote_hosts.size(), 2U);
  for (const Strings& wrong :
       {Strings{"--moriio-parallel-dispatch"},
        Strings{"--moriio-write-mode", "--kv-connector=sglang"},
        Strings{"--moriio-write-mode", "--moriio-decode-hosts=10.0.0.1,10.0.0.2"},
        Strings{"--moriio-write-mode", "--moriio-decode-hosts=pod-0.engine"},
        Strings{"--moriio-write-mode", "--moriio-dp-size=3", "--moriio-dp-size-local=2",
                "--moriio-decode-hosts=10.0.0.1,10.0.0.2"},
        Strings{"--moriio-write-mode", "--moriio-prefill-notify-port=0"}}) {
    EXPECT_FALSE(parsed(wrong, pod)) << wrong.back();
  }
  EXPECT_FALSE(parsed({"--moriio-write-mode"}));  // without an address of its own
  EXPECT_THAT(refusal({"--configuration=moriio-write-mode: true"}), HasSubstr("no such setting"));
}

// sidecar:42
TEST(SidecarOptions, RefuseWhatTheyCannotDoInOneSentence) {
  EXPECT_EQ(refusal({"--prefill-failure-policy=falback"}),
            "--prefill-failure-policy=falback: relay, fallback or strict (did you mean "
            "'fallback'?)");
  for (const char* flag : {"--secure-proxy=maybe",
                           "--port=0",
                           "--port=70000",
                           "--kv-connector=x",
                           "--data-parallel-size=0",
                           "--data-parallel-size=65000",
                           "--decode-chunk-size=-1",
                           "--ec-connector=x",
                           "--prefill-max-retries=-1",
                           "--prefill-retry-backoff=x",
                           "--request-timeout=5",
                           "--request-timeout=-1s",
                           "--request-timeout=0s",
                           "--max-idle-conns-per-host=x",
                           "--no-such-flag",
                           "stray",
                           "--zap-encoder=xml",
                           "--mooncake-bootstrap-port=0",
                           "--kv-lease=0s",
                           "--kv-lease-margin=30s",
                           "--fallback-budget=1.5",
                           "--decode-capacity=0",
                           "--zap-log-level=loud"}) {
    EXPECT_NE(refusal({flag}), "") << flag;
  }
}

}  // namespace
}  // namespace baton::cli
