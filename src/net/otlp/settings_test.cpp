#include "net/otlp/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "net/otlp/resource.hpp"

namespace baton::otlp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

using Variables = std::map<std::string, std::string>;

Result<std::optional<Settings>> read(const Variables& variables, Defaults defaults = {"baton"}) {
  const Environment environment = [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return read_settings(environment, defaults);
}

Settings settings(const Variables& variables, const Defaults& defaults = {"baton"}) {
  auto out = read(variables, defaults);
  if (!out || !*out) {
    ADD_FAILURE() << (out ? "nothing is exported" : out.error().message());
    return {};
  }
  return **std::move(out);
}

std::string refusal(const Variables& variables) {
  const auto out = read(variables);
  return out ? "not refused" : out.error().message();
}

constexpr const char* kEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";

TEST(OtlpSettings, ExportsNothingUnlessAsked) {
  EXPECT_FALSE(*read({}));
  EXPECT_FALSE(*read({{kEndpoint, ""}, {"OTEL_TRACES_EXPORTER", ""}}));
  EXPECT_FALSE(*read({{kEndpoint, "http://c:4317"}, {"OTEL_TRACES_EXPORTER", "none"}}));
  EXPECT_FALSE(*read({{kEndpoint, "http://c:4317"}, {"OTEL_SDK_DISABLED", "True"}}));
}

// epp:C017 defaults plaintext loopback
TEST(OtlpSettings, GoesToThisMachineInTheClearWhenAnExporterIsAskedForWithoutAnEndpoint) {
  const auto out = settings({{"OTEL_TRACES_EXPORTER", "otlp"}});
  EXPECT_EQ(out.url(), "http://localhost:4317");
  EXPECT_EQ(out.protocol, Protocol::kGrpc);
  EXPECT_EQ(
      settings({{"OTEL_TRACES_EXPORTER", "otlp"}, {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"}})
          .url(),
      "http://localhost:4318/v1/traces");
}

// epp:C017 env endpoint, insecure, certificate, headers respected
TEST(OtlpSettings, ReadsEndpointSecurityAndHeaders) {
  const auto out = settings({{kEndpoint, "https://collector.obs:4317"},
                             {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"},
                             {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/me.pem"},
                             {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/me.key"},
                             {"OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b,tenant=7"},
                             {"OTEL_EXPORTER_OTLP_TIMEOUT", "1500"}});
  EXPECT_TRUE(out.tls);
  EXPECT_EQ(out.collector, (http::Endpoint{"collector.obs", 4317}));
  EXPECT_EQ(out.authority_file, "/ca.pem");
  EXPECT_EQ(out.certificate_file, "/me.pem");
  EXPECT_EQ(out.key_file, "/me.key");
  EXPECT_EQ(out.headers.get("api-key"), "a b");
  EXPECT_EQ(out.headers.get("tenant"), "7");
  EXPECT_EQ(out.timeout, Millis(1500));

  // Without a scheme, which gRPC permits, INSECURE decides.
  EXPECT_TRUE(settings({{kEndpoint, "collector:55"}}).tls);
  EXPECT_FALSE(settings({{kEndpoint, "collector"}, {"OTEL_EXPORTER_OTLP_INSECURE", "true"}}).tls);
  EXPECT_FALSE(settings({{kEndpoint, "http://c"}, {"OTEL_EXPORTER_OTLP_INSECURE", "false"}}).tls);
}

TEST(OtlpSettings, AppendsThePathToACommonEndpointOnly) {
  const Variables http{{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"}};
  const auto url = [&](const char* name, const char* value) {
    Variables variables = http;
    variables[name] = value;
    return settings(variables).url();
  };
  EXPECT_EQ(url(kEndpoint, "http://c:4318"), "http://c:4318/v1/traces");
  EXPECT_EQ(url(kEndpoint, "http://c:4318/base/"), "http://c:4318/base/v1/traces");
  EXPECT_EQ(url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318"), "http://c:4318/");
  EXPECT_EQ(url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]/x"), "https://[::1]:4318/x");
}

TEST(OtlpSettings, PrefersAFlagToTheVariableOfTracesAndThatToTheCommonOne) {
  Variables variables{{kEndpoint, "http://common:1"}};
  variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://traces:2";
  EXPECT_EQ(settings(variables).url(), "http://traces:2");
  EXPECT_EQ(settings(variables, {.service = "x", .endpoint = "http://flag:3"}).url(),
            "http://flag:3");
}

TEST(OtlpSettings, SamplesAsTheVariablesSay) {
  const auto sampler = [](const char* name, const char* arg, double ratio = 1) {
    return settings({{kEndpoint, "http://c"},
                     {"OTEL_TRACES_SAMPLER", name},
                     {"OTEL_TRACES_SAMPLER_ARG", arg}},
                    {.service = "x", .ratio = ratio})
        .sampler;
  };
  EXPECT_EQ(sampler("", ""), (observe::Sampler{1, true}));
  EXPECT_EQ(sampler("", "", 0.1), (observe::Sampler{0.1, true}));
  EXPECT_EQ(sampler("parentbased_traceidratio", "0.05"), (observe::Sampler{0.05, true}));
  EXPECT_EQ(sampler("traceidratio", "1"), (observe::Sampler{1, false}));
  EXPECT_EQ(sampler("always_on", ""), (observe::Sampler{1, false}));
  EXPECT_EQ(sampler("parentbased_always_off", ""), (observe::Sampler{0, true}));
}

// epp:C017 resource attributes degrade, not fail
TEST(OtlpSettings, NamesTheProcessByItsVariablesAndLeavesOutBrokenOnes) {
  const auto out =
      settings({{kEndpoint, "http://c"},
                {"OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1, service.name=other,a=b%2Cc"}});
  EXPECT_EQ(out.resource[0], (std::pair<std::string, std::string>("service.name", "other")));
  EXPECT_THAT(out.resource, Contains(Pair("k8s.pod.name", "pod-1")));
  EXPECT_THAT(out.resource, Contains(Pair("a", "b,c")));
  EXPECT_TRUE(out.warnings.empty());

  const auto broken = settings({{kEndpoint, "http://c"},
                                {"OTEL_SERVICE_NAME", "mine"},
                                {"OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=p,nonsense"}});
  EXPECT_EQ(broken.resource[0], (std::pair<std::string, std::string>("service.name", "mine")));
  EXPECT_THAT(broken.resource, Not(Contains(Pair("k8s.pod.name", "p"))));
  EXPECT_THAT(broken.warnings, ElementsAre(HasSubstr("member 2 is not key=value")));
}

TEST(OtlpSettings, BoundsBatchesAndTimes) {
  const auto out = settings({{kEndpoint, "http://c"},
                             {"OTEL_BSP_SCHEDULE_DELAY", "100"},
                             {"OTEL_BSP_MAX_QUEUE_SIZE", "64"}});
  EXPECT_EQ(out.delay, Millis(100));
  EXPECT_EQ(out.queue, 64U);
  EXPECT_EQ(out.batch, 64U);
}

TEST(OtlpSettings, RefusesWhatItDoesNotKnowNamingVariableAndValue) {
  const auto with = [](const char* name, const char* value) {
    return refusal({{kEndpoint, "http://c:4317"}, {name, value}});
  };
  EXPECT_EQ(with("OTEL_TRACES_EXPORTER", "console"),
            "OTEL_TRACES_EXPORTER=console: spans are sent as otlp, or not at all (none)");
  EXPECT_EQ(with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: expected grpc or http/protobuf");
  EXPECT_EQ(with("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            "OTEL_TRACES_SAMPLER=jaeger_remote: expected always_on, always_off or traceidratio, "
            "alone or after parentbased_");
  EXPECT_EQ(with("OTEL_TRACES_SAMPLER_ARG", "1.5"),
            "OTEL_TRACES_SAMPLER_ARG=1.5: expected a number from 0 to 1");
  EXPECT_THAT(with("OTEL_TRACES_SAMPLER_ARG", "nan"), HasSubstr("from 0 to 1"));
  EXPECT_EQ(with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            "OTEL_EXPORTER_OTLP_COMPRESSION=gzip: spans are sent uncompressed (none)");
  EXPECT_THAT(with("OTEL_PROPAGATORS", "b3"), HasSubstr("expected tracecontext,baggage"));
  EXPECT_THAT(with("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), HasSubstr("from 1 to 600000"));
  EXPECT_THAT(with("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"), HasSubstr("at most"));
  EXPECT_THAT(with("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k"), HasSubstr("both or neither"));
  for (const auto* url : {"ftp://c", "http://", "http://user@c", "http://c:99999", "http://c:"}) {
    EXPECT_THAT(refusal({{kEndpoint, url}}), HasSubstr("expected http://HOST:PORT")) << url;
  }
}

TEST(OtlpSettings, NeverRepeatsAHeadersValue) {
  EXPECT_THAT(refusal({{kEndpoint, "http://c"}, {"OTEL_EXPORTER_OTLP_HEADERS", "secret%zz=a"}}),
              Not(HasSubstr("secret")));
}

TEST(Pairs, AreBounded) {
  std::string many;
  for (std::size_t i = 0; i <= kMaxPairs; ++i) many += "k" + std::to_string(i) + "=v,";
  EXPECT_FALSE(parse_pairs(many));
  EXPECT_TRUE(parse_pairs(" a = b , c= ")->size() == 2);
  EXPECT_FALSE(parse_pairs("a=%4"));
}

}  // namespace
}  // namespace baton::otlp
