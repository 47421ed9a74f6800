// `baton gateway`: the front door alone, before a fixed set of engines or the pods of a cluster.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/memory.hpp"
#include "base/core/open_files.hpp"
#include "base/core/random.hpp"
#include "base/observe/build_info.hpp"
#include "base/observe/metrics.hpp"
#include "cli/cluster_options.hpp"
#include "cli/command.hpp"
#include "cli/print.hpp"
#include "cli/stop_signal.hpp"
#include "cli/text_file.hpp"
#include "cli/tracing.hpp"
#include "net/tls/reload.hpp"
#include "routing/gateway/api_keys.hpp"
#include "routing/gateway/gateway.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/watch/endpoint_file.hpp"

namespace baton::cli {
namespace {

constexpr Nanos kDrain = std::chrono::seconds(10);

struct GatewayFlags {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  std::string endpoints;
  ClusterOptions cluster;
  std::string config_file;
  std::string api_key_file;
  std::string ticket_key_file;
  double request_timeout = 600;
  std::size_t body_mib = 64;
  bool proof_headers = false;
  std::string certificate, key;
  bool pod_tls = false;
  bool skip_verify = false;
  std::string ca_file;
  std::string traces_endpoint;
};

Result<watch::Topology> topology_of(const GatewayFlags& options) {
  std::optional<std::string> picker;
  if (!options.config_file.empty()) {
    BATON_TRY_ASSIGN(picker, read_text_file(options.config_file));
    BATON_TRY_ASSIGN(const auto config, schedule::load_picker_config(*picker, options.config_file));
    BATON_TRY(schedule::Scheduler::make(config).with(options.config_file));
    if (config.discovery) {
      return invalid(options.config_file +
                     ": /dataLayer/discovery: the gateway's endpoints come from --endpoints");
    }
  }
  BATON_TRY_ASSIGN(const auto text, read_text_file(options.endpoints));
  return watch::load_endpoint_file(text, options.endpoints, picker, options.config_file);
}

Result<gateway::Config> config_of(const GatewayFlags& options, const Clock& clock) {
  gateway::Config config;
  config.listen = {options.host, options.port};
  config.request_timeout =
      std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(options.request_timeout));
  config.body_bytes = options.body_mib << 20;
  config.proof_headers =
      options.proof_headers ? gateway::ProofHeaders::kOn : gateway::ProofHeaders::kOff;
  if (!options.api_key_file.empty()) {
    BATON_TRY_ASSIGN(const auto text, read_text_file(options.api_key_file));
    BATON_TRY_ASSIGN(config.api_keys, gateway::read_api_keys(text, options.api_key_file));
  }
  if (!options.ticket_key_file.empty()) {
    BATON_TRY_ASSIGN(config.ticket_key,
                     ticket::KeyFile::open(options.ticket_key_file, clock.now()));
  }
  return config;
}

// TLS towards clients and pods, read again when files change.
Status secure(const GatewayFlags& options, const Clock& clock, gateway::Config& config,
              std::vector<std::unique_ptr<tls::Reloader>>& reloaders) {
  if (!options.certificate.empty()) {
    const auto& key = options.key.empty() ? options.certificate : options.key;
    BATON_TRY_ASSIGN(auto context, tls::ServerContext::open(
                                       {.certificate = tls::Source::of_file(options.certificate),
                                        .key = tls::Source::of_file(key)},
                                       clock));
    config.serve_tls = context;
    BATON_TRY_ASSIGN(auto reloader, tls::Reloader::start(std::move(context), clock));
    reloaders.push_back(std::move(reloader));
  }
  if (!options.pod_tls) return {};
  tls::ClientContext::Config dial;
  if (options.skip_verify) dial.verify = tls::ClientContext::Verify::kNone;
  if (!options.ca_file.empty()) dial.authority = tls::Source::of_file(options.ca_file);
  BATON_TRY_ASSIGN(auto context, tls::ClientContext::open(std::move(dial), clock));
  config.dial_tls = context;
  if (options.ca_file.empty()) return {};
  BATON_TRY_ASSIGN(auto reloader, tls::Reloader::start(std::move(context), clock));
  reloaders.push_back(std::move(reloader));
  return {};
}

Status run(const GatewayFlags& options) {
  keep_freed_memory();
  raise_open_files();
  const StopSignal stop;
  const SystemClock clock;
  BATON_TRY_ASSIGN(auto config, config_of(options, clock));
  std::vector<std::unique_ptr<tls::Reloader>> reloaders;
  BATON_TRY(secure(options, clock, config, reloaders));
  const bool https = config.serve_tls != nullptr;
  SystemRandom random;
  observe::Registry registry;
  observe::tell_build(registry);
  BATON_TRY_ASSIGN(const auto tracing,
                   start_tracing({.service = "baton-gateway", .endpoint = options.traces_endpoint},
                                 clock, random, registry));
  async::Loop loop("gateway");
  std::unique_ptr<kube::Cluster> cluster;  // outlives the gateway, which follows it
  std::optional<gateway::Gateway> made;
  const gateway::Gateway::Deps deps{loop, clock, random, registry, tracer_of(tracing)};
  if (options.endpoints.empty()) {
    BATON_TRY_ASSIGN(const auto access, access_of(options.cluster));
    BATON_TRY_ASSIGN(cluster, open_cluster(access, clock, random));
    made.emplace(deps, std::move(config), *cluster);
  } else {
    BATON_TRY_ASSIGN(auto topology, topology_of(options));
    made.emplace(deps, std::move(config), std::move(topology));
  }
  auto& gateway = *made;
  loop.start();
  BATON_TRY_ASSIGN(const auto bound, gateway.start());
  cli::print("ready {}://{}/v1\n", https ? "https" : "http", http::to_string(bound));
  cli::flush();
  stop.wait();
  gateway.stop(Deadline::in(clock, kDrain));
  return {};
}

}  // namespace

int run_gateway(int argc, char** argv) {
  GatewayFlags options;
  CLI::App app(
      "The HTTP front door with the picker inside, before the pods of a cluster or a fixed set of "
      "engines",
      "gateway");
  auto* endpoints = app.add_option(
      "--endpoints", options.endpoints,
      "YAML file: services with their model names and pods (name, address, role); without it the "
      "LLMInferenceServices, pools and pods of the cluster are followed");
  add_cluster_flags(app, options.cluster)->excludes(endpoints);
  app.add_option("--config-file", options.config_file,
                 "EndpointPickerConfig for every service of --endpoints (default: least loaded, "
                 "then prefix); in a cluster each service has its own")
      ->needs(endpoints);
  app.add_option("--host", options.host, "address to listen on")->capture_default_str();
  app.add_option("--port", options.port, "port to listen on; 0 picks one")->capture_default_str();
  app.add_option("--api-key-file", options.api_key_file,
                 "keys that clients must present as Bearer, one a line");
  app.add_option("--routing-ticket-key-file", options.ticket_key_file,
                 "key that sidecars share: routes to prefill pods are signed with it; in a cluster "
                 "the default is each service's Secret")
      ->envname("BATON_ROUTING_TICKET_KEY_FILE");
  auto* certificate = app.add_option("--tls-cert-file", options.certificate,
                                     "serve TLS with this certificate (PEM)");
  app.add_option("--tls-key-file", options.key, "its key (default: in the same file)")
      ->needs(certificate);
  auto* pod_tls = app.add_flag("--pod-tls", options.pod_tls, "dial and scrape pods with TLS");
  app.add_option("--ca-file", options.ca_file,
                 "authorities of the pods' certificates (default: the system's)")
      ->needs(pod_tls);
  app.add_flag("--tls-insecure-skip-verify", options.skip_verify, "do not verify pods")
      ->needs(pod_tls);
  app.add_option("--request-timeout", options.request_timeout, "seconds for a whole request")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86'400.0));
  app.add_option("--max-body-mib", options.body_mib, "larger request bodies get a 413")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_tracing_flag(app, options.traces_endpoint);
  app.add_flag(
      "--proof-headers", options.proof_headers,
      "tell in x-baton-... and Server-Timing headers how each answer was made (default: off)");
  app.footer("Example: baton gateway --endpoints pods.yaml --config-file picker.yaml --port 8080");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto done = run(options);
  return done ? 0 : fail("gateway", done.error());
}

}  // namespace baton::cli
