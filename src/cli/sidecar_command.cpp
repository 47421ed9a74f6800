#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/core/memory.hpp"
#include "base/core/open_files.hpp"
#include "base/observe/build_info.hpp"
#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/print.hpp"
#include "cli/sidecar_options.hpp"
#include "cli/stop_signal.hpp"
#include "cli/tracing.hpp"
#include "net/kube/in_cluster.hpp"
#include "net/kube/rest_cluster.hpp"
#include "net/tls/certificate.hpp"
#include "net/tls/reload.hpp"
#include "routing/watch/endpoint_list.hpp"
#include "routing/watch/pool_watch.hpp"

namespace baton::cli {

namespace {

constexpr Nanos kDrainTime = std::chrono::seconds(60);
constexpr std::string_view kNoEndpoint =
    "--tracing: spans go nowhere, neither OTEL_EXPORTER_OTLP_ENDPOINT nor "
    "OTEL_TRACES_EXPORTER=otlp is set";
constexpr std::chrono::hours kSelfSignedFor{24 * 3650};

using Reloaders = std::vector<std::unique_ptr<tls::Reloader>>;

// Good for clients that do not verify, as llm-d's own.
Result<tls::CertifiedKey> self_signed(const Clock& clock) {
  tls::CertificateSpec spec;
  spec.organization = "Baton routing sidecar";
  spec.not_before = clock.wall();
  spec.not_after = clock.wall() + kSelfSignedFor;
  return tls::make_self_signed(spec);
}

Result<std::shared_ptr<const tls::ServerContext>> open_listener(const SidecarOptions& o,
                                                                const Clock& clock,
                                                                Reloaders& reloaders) {
  tls::ServerContext::Config config;
  // llm-d's choice for TLS 1.2 (reference 5).
  config.cipher_suites = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                          "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                          "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                          "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                          "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                          "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"};
  if (o.cert_path.empty()) {
    BATON_TRY_ASSIGN(const auto pair, self_signed(clock));
    config.certificate = tls::Source::of_text(pair.certificate_pem);
    config.key = tls::Source::of_text(pair.key_pem);
  } else {
    config.certificate = tls::Source::of_file(o.cert_path + "/tls.crt");
    config.key = tls::Source::of_file(o.cert_path + "/tls.key");
  }
  BATON_TRY_ASSIGN(auto context, tls::ServerContext::open(std::move(config), clock));
  if (!o.cert_path.empty()) {
    BATON_TRY_ASSIGN(auto reloader, tls::Reloader::start(context, clock));
    reloaders.push_back(std::move(reloader));
  }
  return context;
}

Result<std::shared_ptr<const tls::ClientContext>> open_dialler(const DialTls& wish,
                                                               const SidecarOptions& o,
                                                               const Clock& clock,
                                                               Reloaders& reloaders) {
  std::shared_ptr<tls::ClientContext> context;
  if (!wish.on) return context;
  tls::ClientContext::Config config;
  if (!wish.verify) config.verify = tls::ClientContext::Verify::kNone;
  if (wish.verify && !o.ca_file.empty()) config.authority = tls::Source::of_file(o.ca_file);
  BATON_TRY_ASSIGN(context, tls::ClientContext::open(std::move(config), clock));
  if (!context->files().empty()) {
    BATON_TRY_ASSIGN(auto reloader, tls::Reloader::start(context, clock));
    reloaders.push_back(std::move(reloader));
  }
  return context;
}

Result<std::unique_ptr<kube::RestCluster>> open_cluster(const SidecarOptions& o, const Clock& clock,
                                                        Random& random, std::string_view flag) {
  kube::AccessHints hints = kube::hints_of_environment();
  hints.kubeconfig = o.kubeconfig;
  auto access = kube::find_access(hints);
  if (!access) return std::move(access).error().with(flag);
  return kube::RestCluster::open({.api = {.access = *access}}, clock, random);
}

// Where prefill pods are found without a picker; what they are is published.
struct Scheduling {
  std::unique_ptr<kube::RestCluster> cluster;
  std::unique_ptr<watch::PoolWatch> pool;
  std::unique_ptr<watch::EndpointListWatch> file;
};

Result<Scheduling> find_prefill_pods(const SidecarOptions& o, const Clock& clock, Random& random,
                                     const std::shared_ptr<sidecar::PoolEndpoints>& into) {
  Scheduling out;
  if (!o.endpoints_file.empty()) {
    BATON_TRY_ASSIGN(out.file, watch::EndpointListWatch::start(
                                   o.endpoints_file, watch::EndpointListWatch::Again::kYes, clock,
                                   [into](const auto& list) { into->publish(list.endpoints); }));
    return out;
  }
  BATON_TRY_ASSIGN(out.cluster, open_cluster(o, clock, random, "--self-schedule"));
  out.pool = std::make_unique<watch::PoolWatch>(
      *out.cluster, clock,
      watch::PoolWatch::Wanted{.ns = o.schedule_pool->ns,
                               .pool = o.schedule_pool->name,
                               .group = o.schedule_pool->group},
      [into](std::optional<watch::PoolWatch::Pool> pool) {
        if (!pool) {
          log::warn("the InferencePool is not there (yet): nothing is prefilled elsewhere");
        }
        into->publish(pool ? std::move(pool->endpoints) : std::vector<schedule::Endpoint>());
      });
  return out;
}

// The pods of the pool, kept up to date.
struct Members {
  std::unique_ptr<kube::RestCluster> cluster;
  std::unique_ptr<sidecar::PoolWatch> watch;  // stops first
};

Result<Members> follow(const SidecarOptions& o, const Clock& clock, Random& random,
                       const std::shared_ptr<sidecar::Published>& into) {
  Members out;
  BATON_TRY_ASSIGN(auto type, sidecar::pool_type(o.pool->group));
  BATON_TRY_ASSIGN(out.cluster, open_cluster(o, clock, random, "--enable-ssrf-protection"));
  out.watch = std::make_unique<sidecar::PoolWatch>(*out.cluster, clock, *o.pool, std::move(type),
                                                   o.config.ranks, into);
  return out;
}

Status serve(const SidecarOptions& options, const StopSignal& stop) {
  SystemClock clock;
  SystemRandom random;
  observe::Registry registry;
  observe::tell_build(registry);
  async::Loop loop("sidecar");
  sidecar::Config config = options.config;
  Reloaders reloaders;
  if (options.serve_tls) {
    BATON_TRY_ASSIGN(config.serve_tls, open_listener(options, clock, reloaders));
  }
  BATON_TRY_ASSIGN(config.prefiller_tls,
                   open_dialler(options.prefiller, options, clock, reloaders));
  BATON_TRY_ASSIGN(config.decoder_tls, open_dialler(options.decoder, options, clock, reloaders));
  BATON_TRY_ASSIGN(config.encoder_tls, open_dialler(options.encoder, options, clock, reloaders));
  std::unique_ptr<otlp::Tracing> tracing;
  if (options.tracing) {
    BATON_TRY_ASSIGN(
        tracing, start_tracing({.service = "llm-d-disagg-sidecar", .ratio = kPickerShare}, clock,
                               random, registry));
    if (tracing == nullptr) log::warn(kNoEndpoint);
  }
  Members members;
  if (options.pool) {
    auto published = std::make_shared<sidecar::Published>();
    config.pool = published;
    BATON_TRY_ASSIGN(members, follow(options, clock, random, published));
  }
  if (!options.ticket_key_file.empty()) {
    BATON_TRY_ASSIGN(config.ticket_key,
                     ticket::KeyFile::open(options.ticket_key_file, clock.now()));
  }
  Scheduling scheduling;
  if (options.self_schedule) {
    auto found = std::make_shared<sidecar::PoolEndpoints>();
    config.self_schedule->pool = found;
    BATON_TRY_ASSIGN(scheduling, find_prefill_pods(options, clock, random, found));
  }
  sidecar::Sidecar sidecar(loop, clock, random, registry, config, tracer_of(tracing));
  BATON_TRY_ASSIGN(http::Endpoint at, sidecar.listen(options.listen));
  if (options.metrics) {
    BATON_TRY(sidecar.listen_metrics(*options.metrics));
  }
  loop.start();
  log::info("sidecar listens", {{"address", http::to_string(at)},
                                {"tls", options.serve_tls},
                                {"ranks", config.ranks},
                                {"decoder", http::to_string(config.decoder)}});
  log::info("sidecar drains", {{"signal", stop.wait()}});
  sidecar.stop(Deadline::in(clock, kDrainTime));
  loop.stop();
  return {};
}

}  // namespace

int run_sidecar(int argc, char** argv) {
  auto options = parse_sidecar(std::vector<std::string>(argv + 1, argv + argc), from_environment);
  if (!options) return fail("sidecar", options.error());
  if (!*options) return 0;
  const SidecarOptions& o = **options;
  if (o.print) {
    cli::print("{}", *o.print);
    return 0;
  }
  log::Style by_terminal = ::isatty(STDERR_FILENO) == 1 ? log::Style::kText : log::Style::kJson;
  log::configure(o.log_level, o.log_style.value_or(by_terminal), "sidecar");
  for (const std::string& flag : o.without_effect) {
    log::info("accepted without effect", {{"flag", flag}});
  }
  keep_freed_memory();
  raise_open_files();
  StopSignal stop;
  Status served = serve(o, stop);
  return served ? 0 : fail("sidecar", served.error());
}

}  // namespace baton::cli
