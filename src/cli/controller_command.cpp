// `baton controller`: keeps LLMInferenceServices of a Kubernetes cluster.

#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/async/loop.hpp"
#include "base/core/log.hpp"
#include "base/core/random.hpp"
#include "base/observe/build_info.hpp"
#include "base/observe/metrics.hpp"
#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/print.hpp"
#include "cli/stop_signal.hpp"
#include "control/reconcile/metered_cluster.hpp"
#include "control/reconcile/reconciler.hpp"
#include "control/webhook/context_source.hpp"
#include "control/webhook/server.hpp"
#include "control/webhook/storage_migration.hpp"
#include "net/http/server.hpp"
#include "net/kube/in_cluster.hpp"
#include "net/kube/leader_election.hpp"
#include "net/kube/rest_cluster.hpp"

namespace baton::cli {
namespace {

constexpr int kArenas = 2;
constexpr Nanos kDrain = std::chrono::seconds(5);
constexpr Nanos kWebhookStart = std::chrono::seconds(60);
constexpr Nanos kLook = Millis(200);  // how often the main thread looks after the others
// The KServe controller's: while both are installed, only one of them writes.
constexpr const char* kLease = "llminferenceservice-kserve-controller-manager";
constexpr std::string_view kFooter =
    "The installation is described by the ConfigMap inferenceservice-config of the system "
    "namespace,\n"
    "which is read again whenever it changes.\n"
    "Presets are compiled in; an LLMInferenceServiceConfig of a preset's name in the system\n"
    "namespace replaces it.\n"
    "Example: baton controller --kubeconfig ~/.kube/config --system-namespace kserve\n"
    "Exit codes: 0 stopped by a signal, 2 a flag or kubeconfig is wrong, 3 the API server "
    "refuses,\n"
    "4 no cluster is configured, 7 it cannot be reached or leadership was lost.";

struct ControllerFlags {
  std::string kubeconfig, context;
  std::string metrics = "0.0.0.0:8443";
  std::string health = "0.0.0.0:8081";
  int workers = 16;
  int webhook_port = 9443;
  double migration_timeout = 1;  // hours
  bool leader_elect = false;
  std::string leader_namespace;  // "": the system namespace
  reconcile::Installation installation;
};

// "0.0.0.0:8081", ":8081"; nullopt for "0": not served.
Result<std::optional<http::Endpoint>> listen_address(const std::string& text,
                                                     std::string_view flag) {
  if (text == "0") return std::optional<http::Endpoint>();
  const auto colon = text.rfind(':');
  std::uint16_t port = 0;
  const char* first = text.data() + (colon == std::string::npos ? 0 : colon + 1);
  const char* last = text.data() + text.size();
  const auto [end, ec] = std::from_chars(first, last, port);
  if (colon == std::string::npos || ec != std::errc{} || end != last) {
    return invalid(fmt::format("{}: '{}': expected HOST:PORT, :PORT or 0", flag, text));
  }
  const auto host = colon == 0 ? std::string("0.0.0.0") : text.substr(0, colon);
  return std::optional(http::Endpoint{host, port});
}

// /metrics, /healthz and /readyz. Ready once everything was listed, in an election from the start;
// and only while the webhooks, where there are any, can be called.
class Pages {
 public:
  Pages(async::Loop& loop, const Clock& clock, const observe::Registry& registry)
      : registry_(registry),
        metrics_(loop, clock, {{}, "baton-controller"},
                 [this](http::Exchange& exchange) { return answer(exchange); }),
        health_(loop, clock, {{}, "baton-controller"},
                [this](http::Exchange& exchange) { return answer(exchange); }) {}

  Status listen(const ControllerFlags& options) {
    BATON_TRY_ASSIGN(const auto metrics, listen_address(options.metrics, "--metrics-bind-address"));
    BATON_TRY_ASSIGN(const auto health,
                     listen_address(options.health, "--health-probe-bind-address"));
    if (metrics) {
      BATON_TRY_ASSIGN(const auto bound, metrics_.listen(*metrics));
      cli::print("metrics http://{}/metrics\n", http::to_string(bound));
    }
    if (health) {
      BATON_TRY_ASSIGN(const auto bound, health_.listen(*health));
      cli::print("health http://{}/healthz\n", http::to_string(bound));
    }
    cli::flush();
    return {};
  }

  void set_ready(bool ready) { ready_ = ready; }
  // Must outlive the pages.
  void ask(const webhook::Server& hooks) { hooks_ = &hooks; }
  void stop(Deadline deadline) {
    metrics_.stop(deadline);
    health_.stop(deadline);
  }

 private:
  Task<void> answer(http::Exchange& exchange) {
    const auto path = exchange.head().path();
    int status = 200;
    std::string body = "ok\n";
    if (path == "/metrics") {
      body = registry_.expose();
    } else if (path == "/readyz" && !ready_) {
      status = 503;
      body = "not ready: the cluster's objects are still being listed\n";
    } else if (path == "/readyz" && !webhooks_work()) {
      status = 503;
      body = "not ready: the webhooks' certificate is not valid now\n";
    } else if (path != "/healthz" && path != "/readyz") {
      status = 404;
      body = "expected /metrics, /healthz or /readyz\n";
    }
    (void)co_await exchange.respond(
        {status, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}}, body);
  }

  bool webhooks_work() const {
    const auto* hooks = hooks_.load();
    return hooks == nullptr || hooks->ready();
  }

  const observe::Registry& registry_;
  std::atomic<bool> ready_ = false;
  std::atomic<const webhook::Server*> hooks_ = nullptr;
  http::Server metrics_;
  http::Server health_;
};

// Reconciles while it leads, or from the start without an election. kUnavailable: it led and does
// not any more; a fresh process contends again.
Status lead(const ControllerFlags& options, kube::Cluster& server, const Clock& clock,
            Random& random, observe::Registry& registry, const StopSignal& stop, Pages& pages) {
  reconcile::MeteredCluster cluster(server, registry);
  std::atomic<bool> leads = !options.leader_elect;
  std::atomic<bool> lost = false;
  std::unique_ptr<kube::LeaderElection> election;
  if (options.leader_elect) {
    kube::Lease::Config lease;
    const auto& system = options.installation.plan.system_namespace;
    lease.ns = options.leader_namespace.empty() ? system : options.leader_namespace;
    lease.name = kLease;
    lease.identity = fmt::format("{}_{}", from_environment_or("HOSTNAME", "baton"), uuid4(random));
    cluster.fence([&] { return election ? election->until() : Mono::min(); }, clock);
    BATON_TRY_ASSIGN(election, kube::LeaderElection::start(std::move(lease), server, clock, random,
                                                           {[&] { leads = true; },
                                                            [&](const std::string& why) {
                                                              cluster.stop_writing();
                                                              log::warn("leads no more",
                                                                        {{"why", why}});
                                                              lost = true;
                                                            }}));
    cli::print("standing by\n");
    cli::flush();
    // One that waits to lead is as it should be. One that begins to lead stays ready while it
    // lists: Services send webhooks to ready pods only, and to list objects that are stored in the
    // other version the API server has to call this pod's /convert.
    pages.set_ready(true);
  }
  std::optional<webhook::StorageMigrator> migrator;
  std::optional<reconcile::Reconciler> reconciler;
  bool told = false;
  while (!lost && !stop.wait_for(kLook, -1)) {
    if (leads && !reconciler) {
      reconciler.emplace(
          reconcile::Reconciler::Deps{cluster, clock, registry},
          reconcile::Reconciler::Config{options.installation,
                                        options.workers,
                                        reconcile::kDetailPause,
                                        {.send = reconcile::probe_by_http(clock, random)}});
      if (options.migration_timeout > 0) {
        migrator.emplace(
            cluster, clock,
            webhook::StorageMigrator::Config{
                .budget = std::chrono::duration_cast<Nanos>(
                    std::chrono::duration<double, std::ratio<3600>>(options.migration_timeout))});
      }
    }
    if (told || !reconciler || !reconciler->synced()) continue;
    pages.set_ready(true);
    cli::print("ready\n");
    cli::flush();
    told = true;
  }
  pages.set_ready(false);
  cluster.stop_writing();
  migrator.reset();
  reconciler.reset();
  if (lost) return unavailable("another controller may lead now; a restart contends again");
  return {};
}

webhook::ContextSource::Config context_config(const ControllerFlags& options) {
  webhook::ContextSource::Config out;
  out.ns = options.installation.plan.system_namespace;
  out.config_map = reconcile::kInstallationConfigMap;
  out.settings = options.installation.plan;
  out.keep_well_known_configs =
      from_environment_or("PREVENT_WELL_KNOWN_CONFIG_DELETION", "true") != "false";
  return out;
}

Status run(const ControllerFlags& options) {
  const StopSignal stop;
  const SystemClock clock;
  SystemRandom random;
  auto hints = kube::hints_of_environment();
  hints.kubeconfig = options.kubeconfig;
  hints.context = options.context;
  BATON_TRY_ASSIGN(auto access, kube::find_access(hints));
  log::info("cluster", {{"server", kube::server_url(access)}, {"from", access.source}});
  kube::RestCluster::Config rest;
  rest.api.access = std::move(access);
  BATON_TRY_ASSIGN(const auto server, kube::RestCluster::open(std::move(rest), clock, random));

  observe::Registry registry;
  observe::tell_build(registry);
  webhook::ContextSource settings(
      *server, clock, context_config(options),
      [&](const kube::Object& config_map) -> Result<plan::Settings> {
        BATON_TRY_ASSIGN(auto read, reconcile::read_installation(config_map, options.installation));
        return read.plan;
      });
  std::unique_ptr<webhook::Server> hooks;
  async::Loop loop("pages");
  loop.start();
  Pages pages(loop, clock, registry);
  BATON_TRY(pages.listen(options));
  if (options.webhook_port > 0) {
    webhook::Server::Config config;
    config.listen.port = static_cast<std::uint16_t>(options.webhook_port);
    config.ns = options.installation.plan.system_namespace;
    config.cluster_domain = options.installation.plan.cluster_domain;
    BATON_TRY_ASSIGN(hooks, webhook::Server::start(
                                {*server, clock, registry, [&settings] { return settings.get(); }},
                                std::move(config), Deadline::in(clock, kWebhookStart)));
    pages.ask(*hooks);
    cli::print("webhooks https://{}\n", http::to_string(hooks->address()));
    cli::flush();
  }
  const auto done = lead(options, *server, clock, random, registry, stop, pages);
  if (hooks) hooks->stop(Deadline::in(clock, kDrain));
  pages.stop(Deadline::in(clock, kDrain));
  return done;
}

}  // namespace

int run_controller(int argc, char** argv) {
  // One arena a thread, as is the default, would keep what a burst needed once in each of dozens.
  mallopt(M_ARENA_MAX, kArenas);
  ControllerFlags options;
  auto& settings = options.installation.plan;
  settings.system_namespace =
      from_environment_or("POD_NAMESPACE", settings.system_namespace.c_str());
  settings.config_prefix =
      from_environment_or("LLM_INFERENCE_SERVICE_CONFIG_PREFIX", settings.config_prefix.c_str());
  settings.pin_configs =
      from_environment_or("LLM_INFERENCE_SERVICE_VERSIONED_CONFIG", "true") != "false";
  options.installation.wildcard_label = from_environment_or(
      "GATEWAY_API_WILDCARD_HOSTNAME", options.installation.wildcard_label.c_str());

  CLI::App app("Keep the LLMInferenceServices of a Kubernetes cluster", "controller");
  app.footer(std::string(kFooter));
  app.add_option("--kubeconfig", options.kubeconfig,
                 "kubeconfig file (default: $KUBECONFIG, the pod's service account, "
                 "~/.kube/config)");
  app.add_option("--context", options.context, "context of the kubeconfig");
  app.add_option("--system-namespace", settings.system_namespace,
                 "where the controller, its ConfigMap and shared configurations live "
                 "[$POD_NAMESPACE]")
      ->capture_default_str();
  app.add_option("--config-prefix", settings.config_prefix,
                 "what names of presets begin with [$LLM_INFERENCE_SERVICE_CONFIG_PREFIX]")
      ->capture_default_str();
  app.add_option("--versioned-config", settings.pin_configs,
                 "services keep the presets they were made with "
                 "[$LLM_INFERENCE_SERVICE_VERSIONED_CONFIG]")
      ->capture_default_str();
  app.add_option("--wildcard-hostname", options.installation.wildcard_label,
                 "what stands for '*' of a gateway's host name [$GATEWAY_API_WILDCARD_HOSTNAME]")
      ->capture_default_str();
  app.add_option("--cluster-domain", settings.cluster_domain, "of the cluster's DNS")
      ->capture_default_str();
  app.add_option("--workers", options.workers, "services looked at at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--metrics-bind-address", options.metrics,
                 "HOST:PORT of /metrics; 0 to not serve it")
      ->capture_default_str();
  app.add_option("--health-probe-bind-address", options.health,
                 "HOST:PORT of /healthz and /readyz; 0 to not serve them")
      ->capture_default_str();
  app.add_option("--webhook-port", options.webhook_port,
                 "port of the webhooks, with a certificate of their own; 0 to not serve them")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  app.add_option("--storage-migration-timeout", options.migration_timeout,
                 "hours in which stored v1alpha1 objects are rewritten; 0 to leave them")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_flag(
      "--leader-elect", options.leader_elect,
      "work only while holding the Lease " + std::string(kLease) + " (default: off, work at once)");
  app.add_option("--leader-election-namespace", options.leader_namespace,
                 "where that Lease is (default: the system namespace)");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto done = run(options);
  return done ? 0 : fail("controller", done.error());
}

}  // namespace baton::cli
