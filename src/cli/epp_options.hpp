#pragma once
// The flags of `baton epp`: llm-d's endpoint picker's, in kebab case and in the camel case of its
// older releases (picker reference 1.2).

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/log.hpp"
#include "base/core/result.hpp"
#include "net/tls/context.hpp"
#include "routing/epp/predictor_config.hpp"
#include "routing/watch/topology.hpp"

namespace baton::cli {

struct EppOptions {
  std::string host = "0.0.0.0";  // $BATON_POD_IP: where pods share a machine's network
  std::uint16_t grpc_port = 9002, health_port = 9003, metrics_port = 9090;
  std::size_t message_bytes = std::size_t{64} << 20;
  std::string pool_name;  // "" with `selected`
  std::string pool_namespace;
  std::string pool_group;
  std::optional<watch::Target> selected;  // --endpoint-selector and --endpoint-target-ports
  std::string config_file, config_text;   // at most one
  bool secure_serving = true;
  std::string cert_path;
  bool cert_reload = false;
  tls::Version tls_min_version = tls::Version::kTls12;
  std::vector<std::string> cipher_suites;
  bool health_checking = false;
  bool stream_metrics = false;
  bool experimental_plugins = false;  // of level A
  bool leader_election = false;
  std::string pod_name;
  bool subset_hints = true;
  bool emit_scores = false;
  std::string ticket_key_file;  // "": routes are not signed
  Nanos refresh_metrics = Millis(50);
  Nanos refresh_gauges = std::chrono::seconds(5);
  Nanos staleness = std::chrono::seconds(2);
  Nanos drain_timeout = std::chrono::seconds(30);
  bool metrics_auth = true;       // in a cluster
  std::string metrics_cert_dir;   // of tls.crt and tls.key; "": in the clear
  std::string metrics_client_ca;  // who may read metrics shows a certificate of these
  std::size_t threads = 0;        // 0: by the machine
  std::string kubeconfig;
  bool tracing = true;  // when the OTEL_… variables say where to
  log::Level log_level = log::Level::kInfo;
  std::optional<log::Style> log_style;  // unset: by the terminal
  bool print_effective_config = false;
  std::size_t records = 256;  // decisions kept in memory
  std::string record_file;    // "": none are written
  std::string replay_file;    // decide these again and exit; then no pool is named

  epp::PredictorConfig predictor;  // where the configuration asks for one

  // Each flag with its value and where it came from: for --print-effective-config.
  struct Origin {
    std::string flag, value, from;  // "flag", "environment NAMESPACE", "default"
  };
  std::vector<Origin> origins;
  std::vector<std::string> warnings;  // settings that have no effect, or less than they say
};

using EppEnvironment = std::function<std::optional<std::string>(const char*)>;

// Arguments without the program's name. kInvalid: a wrong value or an unknown flag; kUnsupported: a
// flag that means something Baton does not do. nullopt after --help, which is printed.
Result<std::optional<EppOptions>> parse_epp(const std::vector<std::string>& arguments,
                                            const EppEnvironment& environment);

}  // namespace baton::cli
