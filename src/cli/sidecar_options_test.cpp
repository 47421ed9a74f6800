#include "cli/sidecar_options.hpp"

#include <gtest/gtest.h>

#include <map>

namespace baton::cli {
namespace {

using Strings = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

Result<std::optional<SidecarOptions>> parsed(Strings arguments, Variables variables = {}) {
  arguments.insert(arguments.begin(), "--secure-proxy=false");
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
  EXPECT_EQ(o.config.request_timeout, std::chrono::seconds(600));
  EXPECT_FALSE(o.metrics);
}

TEST(SidecarOptions, ReadBothGenerationsOfFlags) {
  SidecarOptions old = good({"-port", "9000", "-vllm-port=8001", "-connector=nixlv2",
                             "-prefiller-use-tls=false", "--cert-path=", "",
                             "--decoder-use-tls"
                             "=false",
                             "-enable-ssrf-protection=false"});
  SidecarOptions recent =
      good({"--model-server-port=8001", "--vllm-port", "7", "--kv-connector", "nixlv2",
            "--enable-tls=", "--tracing=false", "--data-parallel-size=1", "--metrics-port=9090",
            "--enable-prefiller-sampling", "--zap-log-level=debug", "--allowlist-file=/x",
            "--enable-ssrf-protection=true"});

  EXPECT_EQ(old.listen.port, 9000);
  EXPECT_EQ(old.config.decoder.port, 8001);
  EXPECT_EQ(recent.config.decoder.port, 8001);
  EXPECT_EQ(recent.metrics->port, 9090);
  EXPECT_EQ(recent.config.allowlist_file, "/x");
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

TEST(SidecarOptions, RefuseWhatTheyCannotDoInOneSentence) {
  EXPECT_EQ(refusal({"--kv-connector=mooncake"}),
            "--kv-connector=mooncake: the one connector so far is nixlv2");
  EXPECT_EQ(refusal({"--enable-ssrf-protection=true"}),
            "--enable-ssrf-protection=true: the pods of an InferencePool are not watched yet: name "
            "the allowed endpoints with --allowlist-file");
  EXPECT_EQ(refusal({"--cert-path=/etc/ssl/certs"}),
            "--cert-path=/etc/ssl/certs: TLS is not built yet: the sidecar serves and dials plain "
            "HTTP");
  EXPECT_EQ(refusal({"--prefill-failure-policy=falback"}),
            "--prefill-failure-policy=falback: relay, fallback or strict (did you mean "
            "'fallback'?)");
  for (const char* flag :
       {"--secure-proxy=true", "--decoder-use-tls=true", "--enable-tls=decoder", "--port=0",
        "--port=70000", "--kv-connector=x", "--data-parallel-size=2", "--decode-chunk-size=8",
        "--prefill-max-retries=1", "--inference-pool=a/b", "--request-timeout=5",
        "--request-timeout=-1s", "--max-idle-conns-per-host=x", "--no-such-flag", "stray",
        "--zap-encoder=xml", "--mooncake-bootstrap-port=8998"}) {
    EXPECT_NE(refusal({flag}), "") << flag;
  }
  EXPECT_FALSE(parse_sidecar({}, [](const char*) { return std::nullopt; }));  // TLS by default
}

}  // namespace
}  // namespace baton::cli
