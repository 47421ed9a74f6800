// `baton epp`: the endpoint picker behind an Envoy gateway.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <list>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/log.hpp"
#include "base/core/memory.hpp"
#include "base/core/open_files.hpp"
#include "base/core/random.hpp"
#include "base/observe/build_info.hpp"
#include "base/observe/metrics.hpp"
#include "cli/cluster_options.hpp"
#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/epp_options.hpp"
#include "cli/epp_replay.hpp"
#include "cli/print.hpp"
#include "cli/stop_signal.hpp"
#include "cli/text_file.hpp"
#include "cli/tracing.hpp"
#include "net/kube/access_review.hpp"
#include "net/kube/leader_election.hpp"
#include "net/tls/certificate.hpp"
#include "net/tls/reload.hpp"
#include "routing/epp/server.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/watch/endpoint_list.hpp"
#include "routing/watch/pool_watch.hpp"
#include "routing/watch/rules_watch.hpp"

namespace baton::cli {
namespace {

constexpr std::size_t kMostThreads = 8;
constexpr Nanos kLastStreams = std::chrono::minutes(5);  // from taking no more to cutting off
constexpr Nanos kReview = std::chrono::seconds(5);       // of who reads metrics
constexpr auto kValidity = std::chrono::hours(24 * 365 * 10);

struct Configuration {
  std::optional<std::string> text;  // nullopt: the default
  std::string source = "the default configuration";
  schedule::PickerConfig parsed;
  schedule::Setup setup;
};

Result<Configuration> load_configuration(const EppOptions& options) {
  Configuration out;
  if (!options.config_file.empty()) {
    out.source = options.config_file;
    BATON_TRY_ASSIGN(out.text, read_text_file(options.config_file));
  } else if (!options.config_text.empty()) {
    out.source = "--config-text";
    out.text = options.config_text;
  }
  if (out.text) {
    BATON_TRY_ASSIGN(out.parsed, schedule::load_picker_config(*out.text, out.source));
  } else {
    out.parsed = schedule::default_picker_config();
  }
  if (!options.experimental_plugins) {
    BATON_TRY(schedule::refuse_experimental(out.parsed).with(out.source));
  }
  BATON_TRY_ASSIGN(const auto made, schedule::Scheduler::make(out.parsed).with(out.source));
  out.setup = made.setup();
  return out;
}

void print_effective(const EppOptions& options, const Configuration& configuration) {
  cli::print("flags:\n");
  for (const auto& each : options.origins) {
    if (each.flag == "config-text" && !each.value.empty()) {
      cli::print("  config-text: ({} bytes)  # {}\n", each.value.size(), each.from);
      continue;
    }
    cli::print("  {}: {}  # {}\n", each.flag, text::json::dump(text::json::Value(each.value)),
               each.from);
  }
  cli::print("configuration:  # {}\n", configuration.source);
  for (const auto& profile : configuration.parsed.profiles) {
    cli::print("profile {}:", profile.name);
    for (const auto& ref : profile.plugins) cli::print(" {}={}", ref.plugin, ref.weight);
    cli::print("\n");
  }
  cli::print("{}", schedule::describe(configuration.setup));
  for (const auto& warning : options.warnings) cli::print("warning: {}\n", warning);
  for (const auto& plugin : configuration.parsed.plugins) {
    const auto named = [&](const schedule::ProfileSpec& profile) {
      return std::ranges::any_of(profile.plugins,
                                 [&](const auto& ref) { return ref.plugin == plugin.name; });
    };
    const bool scores = plugin.type.ends_with("-scorer") || plugin.type.ends_with("-filter");
    if (scores && !configuration.parsed.profiles.empty() &&
        std::ranges::none_of(configuration.parsed.profiles, named)) {
      cli::print("no effect: plugin {}: no profile names it\n", plugin.name);
    }
  }
}

Status replay(const EppOptions& options, const Configuration& configuration) {
  std::ifstream file(options.replay_file);
  if (!file) return not_found(options.replay_file + ": cannot be read");
  BATON_TRY_ASSIGN(const auto scheduler, schedule::Scheduler::make(configuration.parsed));
  std::ostringstream told;
  const auto done = replay_records(file, options.replay_file, scheduler, told);
  cli::print("{}", told.str());
  if (!done) return done.error();
  return {};
}

// The certificate of the ext_proc port; null without TLS.
Result<std::shared_ptr<tls::ServerContext>> certificate_of(const EppOptions& options,
                                                           const Clock& clock) {
  if (!options.secure_serving) return std::shared_ptr<tls::ServerContext>();
  tls::ServerContext::Config config;
  config.alpn = {tls::kHttp2};
  config.min_version = options.tls_min_version;
  config.cipher_suites = options.cipher_suites;
  if (!options.cert_path.empty()) {
    config.certificate = tls::Source::of_file(options.cert_path + "/tls.crt");
    config.key = tls::Source::of_file(options.cert_path + "/tls.key");
    return tls::ServerContext::open(std::move(config), clock);
  }
  tls::CertificateSpec spec;
  spec.organization = "Inference Ext";
  spec.not_before = clock.wall() - std::chrono::hours(1);
  spec.not_after = clock.wall() + kValidity;
  BATON_TRY_ASSIGN(const auto pair, tls::make_self_signed(spec));
  config.certificate = tls::Source::of_text(pair.certificate_pem);
  config.key = tls::Source::of_text(pair.key_pem);
  return tls::ServerContext::open(std::move(config), clock);
}

// That of the metrics port; null without TLS.
Result<std::shared_ptr<tls::ServerContext>> metrics_certificate_of(const EppOptions& options,
                                                                   const Clock& clock) {
  if (options.metrics_cert_dir.empty()) return std::shared_ptr<tls::ServerContext>();
  tls::ServerContext::Config config;
  config.certificate = tls::Source::of_file(options.metrics_cert_dir + "/tls.crt");
  config.key = tls::Source::of_file(options.metrics_cert_dir + "/tls.key");
  if (!options.metrics_client_ca.empty()) {
    config.client_authority = tls::Source::of_file(options.metrics_client_ca);
  }
  auto opened = tls::ServerContext::open(std::move(config), clock);
  if (!opened) return std::move(opened).error().with("--metrics-cert-dir");
  return opened;
}

Result<epp::Server::Config> server_config(const EppOptions& options, const Clock& clock,
                                          std::shared_ptr<const tls::ServerContext> certificate) {
  epp::Server::Config out;
  out.ext_proc.host = out.health.host = out.metrics.host = options.host;
  out.ext_proc.port = options.grpc_port;
  out.health.port = options.health_port;
  out.metrics.port = options.metrics_port;
  out.tls = std::move(certificate);
  out.health_on_ext_proc = options.health_checking;
  out.stream_metrics = options.stream_metrics;
  out.elects_leader = options.leader_election;
  out.message_bytes = options.message_bytes;
  out.scrape_interval = options.refresh_metrics;
  out.gauge_interval = options.refresh_gauges;
  out.stale_after = options.staleness;
  out.pool_group = options.pool_group;
  out.records = options.records;
  out.record_file = options.record_file;
  out.predictor = options.predictor;
  out.desk.subset_hints = options.subset_hints;
  out.desk.emit_scores = options.emit_scores;
  if (!options.ticket_key_file.empty()) {
    BATON_TRY_ASSIGN(out.desk.ticket_key,
                     ticket::KeyFile::open(options.ticket_key_file, clock.now()));
  }
  return out;
}

// The pool's name; with a selector, the picker's own Deployment (its pod's name without the last
// two groups).
std::string identity_of(const EppOptions& options) {
  if (!options.selected) return options.pool_name;
  auto name = options.pod_name;
  for (int i = 0; i < 2; ++i) name = name.substr(0, name.rfind('-'));
  return name;
}

// Where endpoints come from, and who leads. Members end in reverse order.
struct Discovery {
  std::unique_ptr<kube::LeaderElection> election;
  std::unique_ptr<watch::PoolWatch> pool;
  std::unique_ptr<watch::RulesWatch> rules;
  std::unique_ptr<watch::EndpointListWatch> file;
};

Status discover_file(const schedule::FileDiscovery& source, const EppOptions& options,
                     const Clock& clock, epp::Server& server, Discovery& out) {
  using Again = watch::EndpointListWatch::Again;
  const auto take = [&server](const watch::EndpointList& list) {
    server.set_objectives(list.objectives);
    server.set_rewrites(list.rewrites);
    server.update(list.endpoints);
  };
  BATON_TRY_ASSIGN(out.file, watch::EndpointListWatch::start(
                                 source.path, source.watch ? Again::kYes : Again::kNo, clock, take,
                                 {.group = options.pool_group, .name = identity_of(options)}));
  return {};
}

Result<std::unique_ptr<kube::Cluster>> open_cluster_of(const EppOptions& options,
                                                       const Clock& clock, Random& random) {
  ClusterOptions where;
  where.kubeconfig = options.kubeconfig;
  BATON_TRY_ASSIGN(const auto access, access_of(where));
  BATON_TRY_ASSIGN(std::unique_ptr<kube::Cluster> opened, open_cluster(access, clock, random));
  return opened;
}

Status discover_cluster(const EppOptions& options, const Clock& clock, Random& random,
                        kube::Cluster& cluster, epp::Server& server, Discovery& out) {
  if (options.leader_election) {
    kube::Lease::Config lease;
    lease.ns = options.pool_namespace;
    lease.name = fmt::format("epp-{}-{}.llm-d.ai", options.pool_namespace, identity_of(options));
    lease.identity = fmt::format("{}_{}", options.pod_name, uuid4(random));
    BATON_TRY_ASSIGN(out.election,
                     kube::LeaderElection::start(
                         lease, cluster, clock, random,
                         {.on_started = [&server] { server.lead(true); },
                          .on_stopped = [&server](const std::string&) { server.lead(false); }}));
  }
  using Objects = std::vector<kube::Object>;
  out.rules = std::make_unique<watch::RulesWatch>(
      cluster, clock, options.pool_namespace,
      [&server](const Objects& objects) { server.set_objectives(objects); },
      [&server](const Objects& objects) { server.set_rewrites(objects); });
  const watch::PoolWatch::Wanted wanted{.ns = options.pool_namespace,
                                        .pool = options.pool_name,
                                        .group = options.pool_group,
                                        .selected = options.selected};
  out.pool = std::make_unique<watch::PoolWatch>(
      cluster, clock, wanted, [&server](const std::optional<watch::PoolWatch::Pool>& pool) {
        if (pool) {
          server.speak(pool->app_protocol);
          server.update(pool->endpoints);
        } else {
          log::warn("the InferencePool is not there (yet): requests get a 503", {});
          server.clear();
        }
      });
  return {};
}

Status serve(const EppOptions& options, const Configuration& configuration,
             const StopSignal& stop) {
  const bool in_cluster = !configuration.parsed.discovery;
  const bool reviews = in_cluster && options.metrics_auth;
  if (!options.metrics_cert_dir.empty() && options.metrics_client_ca.empty() && !reviews) {
    return invalid(
        "--metrics-cert-dir: nobody would be asked who they are; give --metrics-client-ca-file, or "
        "in a cluster --metrics-endpoint-auth");
  }
  if (!in_cluster && options.leader_election) {
    return invalid("--ha-enable-leader-election needs a cluster, endpoints come from a file");
  }
  for (const auto& warning : options.warnings) log::warn(warning, {});
  for (const auto& warning : configuration.setup.warnings) log::warn(warning, {});
  const SystemClock clock;
  SystemRandom random;
  observe::Registry registry;
  observe::tell_build(registry);
  BATON_TRY_ASSIGN(const auto certificate, certificate_of(options, clock));
  std::unique_ptr<tls::Reloader> reloader;
  if (certificate && options.cert_reload && !options.cert_path.empty()) {
    BATON_TRY_ASSIGN(reloader, tls::Reloader::start(certificate, clock));
  }
  BATON_TRY_ASSIGN(const auto metrics_certificate, metrics_certificate_of(options, clock));
  std::unique_ptr<tls::Reloader> metrics_reloader;
  if (metrics_certificate) {
    BATON_TRY_ASSIGN(metrics_reloader, tls::Reloader::start(metrics_certificate, clock));
  }
  std::unique_ptr<kube::Cluster> cluster;
  std::unique_ptr<kube::AccessReview> access;
  if (in_cluster) {
    BATON_TRY_ASSIGN(cluster, open_cluster_of(options, clock, random));
    access = std::make_unique<kube::AccessReview>(*cluster, clock);
  }
  epp::Review review;
  if (reviews) {
    review = [&](std::string_view token, std::string_view verb, std::string_view path) {
      return access->ask(token, verb, path, Deadline::in(clock, kReview));
    };
  }
  std::unique_ptr<otlp::Tracing> tracing;
  if (options.tracing) {
    BATON_TRY_ASSIGN(tracing, start_tracing({.service = "baton-epp", .ratio = kPickerShare}, clock,
                                            random, registry));
  }
  const auto cores = std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
  std::list<async::Loop> loops;
  std::vector<async::Loop*> pointers;
  for (std::size_t i = 0;
       i < (options.threads > 0 ? options.threads : std::min(cores, kMostThreads)); ++i) {
    pointers.push_back(&loops.emplace_back(fmt::format("epp-{}", i)));
  }
  watch::Service picker;
  picker.ns = options.pool_namespace;
  picker.name = identity_of(options);
  picker.picker = configuration.text;
  picker.picker_source = configuration.source;
  BATON_TRY_ASSIGN(auto config, server_config(options, clock, certificate));
  config.metrics_tls = metrics_certificate;
  epp::Server server({.loops = pointers,
                      .clock = clock,
                      .registry = registry,
                      .seed = random.next(),
                      .tracer = tracer_of(tracing),
                      .review = review},
                     std::move(config), picker);
  for (auto* loop : pointers) loop->start();
  BATON_TRY_ASSIGN(const auto bound, server.start());
  {
    Discovery discovery;
    const auto found =
        in_cluster
            ? discover_cluster(options, clock, random, *cluster, server, discovery)
            : discover_file(*configuration.parsed.discovery, options, clock, server, discovery);
    if (!found) return found.error();
    cli::print("ready ext_proc {} health {} metrics {}\n", http::to_string(bound.ext_proc),
               http::to_string(bound.health), http::to_string(bound.metrics));
    cli::flush();
    log::info("picker drains", {{"signal", stop.wait()}});
    server.drain();
    discovery.election.reset();  // another picker may lead at once
    // The proxies that look at the health port go elsewhere meanwhile; a second signal ends it.
    if (in_cluster) (void)stop.wait_for(options.drain_timeout, -1);
  }
  server.stop(Deadline::in(clock, kLastStreams));
  return {};
}

}  // namespace

int run_epp(int argc, char** argv) {
  const auto options = parse_epp(std::vector<std::string>(argv + 1, argv + argc), from_environment);
  if (!options) return fail("epp", options.error());
  if (!*options) return 0;
  const EppOptions& o = **options;
  const auto by_terminal = ::isatty(STDERR_FILENO) == 1 ? log::Style::kText : log::Style::kJson;
  log::configure(o.log_level, o.log_style.value_or(by_terminal), "epp");
  const auto configuration = load_configuration(o);
  if (!configuration) return fail("epp", configuration.error());
  if (o.print_effective_config) {
    print_effective(o, *configuration);
    return 0;
  }
  if (!o.replay_file.empty()) {
    const auto done = replay(o, *configuration);
    return done ? 0 : fail("epp", done.error());
  }
  keep_freed_memory();
  raise_open_files();
  const StopSignal stop;
  const auto served = serve(o, *configuration, stop);
  return served ? 0 : fail("epp", served.error());
}

}  // namespace baton::cli
