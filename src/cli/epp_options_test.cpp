#include "cli/epp_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::optional<EppOptions>> parse(const std::vector<std::string>& words,
                                        const std::optional<std::string>& ns = std::nullopt) {
  return parse_epp(words, [&](const char* name) {
    if (std::string_view(name) == "BATON_ROUTING_TICKET_KEY_FILE")
      return std::optional<std::string>("/key");
    return std::string_view(name) == "NAMESPACE" ? ns : std::nullopt;
  });
}
EppOptions parsed(const std::vector<std::string>& words,
                  const std::optional<std::string>& ns = std::nullopt) {
  const auto options = parse(words, ns);
  if (!options) {
    ADD_FAILURE() << options.error().message();
    return {};
  }
  return **options;
}
std::string problem(std::vector<std::string> words) {
  words.emplace_back("--pool-name=p");
  const auto options = parse(words);
  return options ? "" : std::string(options.error().message());
}
std::string bare_problem(const std::vector<std::string>& words) {
  const auto options = parse(words);
  return options ? "" : std::string(options.error().message());
}

TEST(EppOptions, TakesBothSpellingsWithOneDashOrTwo) {
  const auto kebab = parsed({"--pool-name", "p", "--grpc-port=1", "--secure-serving=false"});
  const auto camel = parsed({"-poolName", "p", "--grpcPort", "1", "--secureServing=false"});
  for (const auto& options : {kebab, camel}) {
    EXPECT_EQ(options.pool_name, "p");
    EXPECT_EQ(options.grpc_port, 1);
    EXPECT_FALSE(options.secure_serving);
  }
}

TEST(EppOptions, ABooleanAloneIsTrueAndTakesNoWord) {
  const auto options = parsed({"--emit-endpoint-scores", "--pool-name", "p"});
  EXPECT_TRUE(options.emit_scores);
  EXPECT_EQ(options.pool_name, "p");
}

TEST(EppOptions, ListensOnThePodsAddressWhereThereIsOne) {
  const auto in_pod = parse_epp({"--pool-name=p"}, [](const char* name) {
    return std::string_view(name) == "BATON_POD_IP" ? std::optional<std::string>("10.244.0.7")
                                                    : std::nullopt;
  });
  ASSERT_TRUE(in_pod);
  EXPECT_EQ((*in_pod)->host, "10.244.0.7");
  EXPECT_EQ(parsed({"--pool-name=p"}).host, "0.0.0.0");
}

TEST(EppOptions, TheNamespaceIsTheFlagsTheEnvironmentsOrDefault) {
  EXPECT_EQ(parsed({"--pool-name=p"}).pool_namespace, "default");
  EXPECT_EQ(parsed({"--pool-name=p", "--kubeconfig=/k"}).kubeconfig, "/k");
  EXPECT_EQ(parsed({"--pool-name=p"}, "env").pool_namespace, "env");
  EXPECT_EQ(parsed({"--pool-name=p", "--pool-namespace=flag"}, "env").pool_namespace, "flag");
}

TEST(EppOptions, RoutesAreSignedWithTheFlagsOrTheEnvironmentsKey) {
  EXPECT_EQ(parsed({"--pool-name=p"}).ticket_key_file, "/key");
  EXPECT_EQ(parsed({"--pool-name=p", "--routing-ticket-key-file=/other"}).ticket_key_file,
            "/other");
  EXPECT_EQ(parsed({"--pool-name=p", "--routing-ticket-key-file="}).ticket_key_file, "");
}

TEST(EppOptions, PortsSizesAndIntervalsAreChecked) {  // epp:C011
  const auto selected = [](const std::string& ports) {
    return parsed({"--endpoint-selector=app=x", "--endpoint-target-ports=" + ports});
  };
  EXPECT_THAT(selected("3,1,3,2").selected->ports, ElementsAre(3, 1, 2));
  EXPECT_THAT(parsed({"--endpoint-selector=app=x", "--endpoint-target-ports=2",
                      "--endpoint-target-ports=1"})
                  .selected->ports,
              ElementsAre(2, 1));
  for (const auto* ports : {"-1", "65536", "", "x", "1,2,3,4,5,6,7,8,9"}) {
    EXPECT_THAT(bare_problem(
                    {"--endpoint-selector=app=x", std::string("--endpoint-target-ports=") + ports}),
                HasSubstr("--endpoint-target-ports"))
        << ports;
  }
  for (const auto& [text, bytes] : {std::pair("10MiB", 10 << 20), std::pair("25MB", 25'000'000),
                                    std::pair("1048576", 1 << 20), std::pair("7b", 7)}) {
    EXPECT_EQ(
        parsed({"--pool-name=p", std::string("--grpc-max-recv-msg-size=") + text}).message_bytes,
        bytes);
  }
  for (const auto* size : {"x", "-1", "9999999999999Gi", "1.5Mi", ""}) {
    EXPECT_THAT(problem({std::string("--grpc-max-recv-msg-size=") + size}), HasSubstr("recv"))
        << size;
  }
  const auto hasty = parsed({"--pool-name=p", "--refresh-metrics-interval=1ms"});
  EXPECT_EQ(hasty.refresh_metrics, Millis(50));
  EXPECT_THAT(hasty.warnings, ElementsAre(HasSubstr("50ms")));
  EXPECT_EQ(parsed({"--pool-name=p", "--drain-timeout=1m30s"}).drain_timeout,
            std::chrono::seconds(90));
  EXPECT_THAT(problem({"--drain-timeout=soon"}), HasSubstr("a duration such as"));
  EXPECT_THAT(problem({"--config-file=a", "--config-text=b"}), HasSubstr("exclude each other"));
  EXPECT_THAT(problem({"--endpoint-selector=a=b"}), HasSubstr("exclude each other"));
  EXPECT_THAT(bare_problem({}), HasSubstr("--pool-name or --endpoint-selector is needed"));
}

TEST(EppOptions, TlsNamesAreChecked) {  // epp:C012
  EXPECT_EQ(parsed({"--pool-name=p", "--tls-min-version=VersionTLS13"}).tls_min_version,
            tls::Version::kTls13);
  EXPECT_THAT(problem({"--tls-min-version=SSL3"}), HasSubstr("VersionTLS12"));
  EXPECT_THAT(parsed({"--pool-name=p", "--tls-cipher-suites=A,B"}).cipher_suites,
              ElementsAre("A", "B"));
}

TEST(EppOptions, WhatIsNotOfferedIsRefusedWithAReason) {
  EXPECT_THAT(problem({"--tracing=maybe"}), HasSubstr("true or false"));
  EXPECT_EQ(problem({"--tracing", "--enable-pprof=false", "--zap-devel=false"}), "");
  EXPECT_THAT(problem({"--enable-pprof=maybe"}), HasSubstr("true or false"));
  EXPECT_TRUE(parsed({"--pool-name=p", "--allow-experimental-plugins"}).experimental_plugins);
  EXPECT_FALSE(parsed({"--pool-name=p"}).experimental_plugins);
  EXPECT_THAT(problem({"--metrics-client-ca-file=/x"}), HasSubstr("--metrics-cert-dir"));
  EXPECT_THAT(problem({"--lora-info-metric=x"}), HasSubstr("data layer"));
  EXPECT_THAT(problem({"--endpoint-selectr=a"}), HasSubstr("endpoint-selector"));
  EXPECT_THAT(problem({"word"}), HasSubstr("'word' is no flag"));
  EXPECT_THAT(bare_problem({"--pool-name"}), HasSubstr("needs a value"));
}

// KServe's presets of 2025 have them in camel case.
TEST(EppOptions, FlagsThatBecameConfigurationSayWhere) {
  for (const auto* flag :
       {"--modelServerMetricsScheme=https", "--modelServerMetricsPath=/other",
        "--modelServerMetricsPort=9000", "--modelServerMetricsHttpsInsecureSkipVerify=false",
        "--model-server-metrics-scheme=https"}) {
    EXPECT_THAT(problem({flag}), HasSubstr("metrics-data-source say this now")) << flag;
  }
  const auto refused = parse({"--pool-name=p", "--modelServerMetricsScheme=https"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_THAT(refused.error().message(), HasSubstr("--model-server-metrics-scheme=https: "));

  EXPECT_EQ(problem({"--modelServerMetricsScheme", "http", "--modelServerMetricsPath=/metrics",
                     "--modelServerMetricsPort=0", "--modelServerMetricsHttpsInsecureSkipVerify"}),
            "");
}

TEST(EppOptions, DecisionsAreKeptWrittenAndReplayed) {
  const auto kept = parsed({"--pool-name=p", "--decision-records=7", "--record=/tmp/x"});
  EXPECT_EQ(kept.records, 7);
  EXPECT_EQ(kept.record_file, "/tmp/x");
  const auto replayed = parsed({"--replay=/tmp/x", "--config", "other.yaml"});  // without a pool
  EXPECT_EQ(replayed.replay_file, "/tmp/x");
  EXPECT_EQ(replayed.config_file, "other.yaml");
  EXPECT_THAT(problem({"--decision-records=many"}), HasSubstr("--decision-records"));
  EXPECT_THAT(problem({"--decision-records=-1"}), HasSubstr("--decision-records"));
  EXPECT_THAT(problem({"--config=x"}), HasSubstr("--config goes with --replay"));
  EXPECT_THAT(problem({"--replay=a", "--record=b"}), HasSubstr("exclude each other"));
  EXPECT_THAT(problem({"--replay=a", "--config=b", "--config-file=c"}),
              HasSubstr("exclude each other"));
}

TEST(EppOptions, EachValueTellsWhereItCameFrom) {
  const auto options = parsed({"--pool-name=p"}, "env");
  const auto from = [&](std::string_view flag) {
    for (const auto& each : options.origins) {
      if (each.flag == flag) return each.from;
    }
    return std::string();
  };
  EXPECT_EQ(from("pool-name"), "flag");
  EXPECT_EQ(from("pool-namespace"), "environment NAMESPACE");
  EXPECT_EQ(from("grpc-port"), "default");
}

}  // namespace
}  // namespace baton::cli
