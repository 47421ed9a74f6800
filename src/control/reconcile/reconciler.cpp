#include "control/reconcile/reconciler.hpp"

#include <time.h>

#include "base/core/log.hpp"
#include "control/reconcile/config_pass.hpp"
#include "control/reconcile/kinds.hpp"
#include "control/reconcile/references.hpp"
#include "control/reconcile/service_pass.hpp"
#include "control/reconcile/service_status.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

constexpr Nanos kPassBudget = std::chrono::seconds(60);
constexpr std::string_view kQueueDepth = "baton_controller_queue_depth";
constexpr std::string_view kCacheObjects = "baton_controller_cache_objects";
const std::string kConfigPrefix = "config:";  // before the key of an LLMInferenceServiceConfig
constexpr Nanos kSyncPoll = std::chrono::seconds(1);

double cpu_seconds() {
  timespec at{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) * 1e-9;
}

}  // namespace

struct Reconciler::Metrics {
  explicit Metrics(observe::Registry& registry)
      : passes(registry.counter("baton_controller_reconcile_total",
                                "Passes over a service that ended well.", {{"result", "ok"}})),
        errors(registry.counter("baton_controller_reconcile_total",
                                "Passes over a service that ended well.", {{"result", "error"}})),
        seconds(registry.histogram("baton_controller_reconcile_seconds",
                                   "Time of a pass over a service.",
                                   {0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30})),
        cpu(registry.counter("baton_controller_reconcile_cpu_seconds_total",
                             "CPU time of passes over services.")) {}

  observe::Counter& passes;
  observe::Counter& errors;
  observe::Histogram& seconds;
  observe::Counter& cpu;
};

Reconciler::Reconciler(Deps deps, Config config)
    : deps_(deps),
      config_(std::move(config)),
      recorder_(deps.cluster, deps.clock, deps.registry,
                config_.workers > 0 ? Recorder::Write::kLater : Recorder::Write::kAtOnce),
      metrics_(std::make_unique<Metrics>(deps.registry)),
      queue_(deps.clock),
      cache_(deps.cluster, deps.clock),
      config_maps_(deps.cluster, cache_),
      secrets_(deps.cluster, deps.clock),
      versions_(deps.cluster, deps.clock) {
  if (config_.probe.send) {
    prober_ = std::make_unique<Prober>(config_.probe, deps.clock, deps.registry,
                                       [this](const std::string& key) { queue_.add(key); });
  }
  for (auto& kind : followed_kinds(config_.installation.plan.config_prefix)) {
    cache_.follow(std::move(kind), [this](const kube::SnapshotPtr& before,
                                          const kube::SnapshotPtr& now) { tell(before, now); });
  }
  cache_.start();
  deps_.registry.gauge_callback(
      kQueueDepth,
      "Services and configurations that are due or being looked at, or whose new status waits.", {},
      [this] { return static_cast<double>(queue_.depth()) + static_cast<double>(held_.load()); });
  deps_.registry.gauge_callback(kCacheObjects, "Objects in the cache.", {},
                                [this] { return static_cast<double>(cache_.size()); });
  for (int i = 0; i < config_.workers; ++i) workers_.emplace_back([this] { work(); });
}

Reconciler::~Reconciler() {
  // Who reads the figures now would read what is going.
  for (const auto name : {kQueueDepth, kCacheObjects}) deps_.registry.end_series(name, {});
  stopping_ = true;
  queue_.close();
  for (auto& worker : workers_) worker.join();
  prober_.reset();
  cache_.stop();
}

void Reconciler::tell(const kube::SnapshotPtr& before, const kube::SnapshotPtr& now) {
  if (before && now && !has_reported(before->object) && has_reported(now->object)) {
    last_report_ = deps_.clock.now();
  }
  const auto& settings = config_.installation.plan;
  for (const auto& key : concerned(cache_, settings, before, now)) queue_.add(key);
  const auto& object = (now ? now : before)->object;
  if (const auto key = kube::key_of(object); key && !now) {
    config_maps_.forget(*key);
    secrets_.forget(*key);
  }
  const auto kind = object.string_at({"kind"});
  if (kind == kServiceConfig.kind) queue_.add(kConfigPrefix + service_key(object));
  if (kind != kService.kind) return;
  for (const auto& config : configs_concerned(cache_, settings, before, now)) {
    queue_.add(kConfigPrefix + config);
  }
}

void Reconciler::work() {
  while (!stopping_ && !cache_.wait_synced(Deadline::in(deps_.clock, kSyncPoll))) {
  }
  while (const auto key = queue_.next()) {
    attempt(*key);
    queue_.done(*key);
  }
}

bool Reconciler::work_once() {
  const auto key = queue_.next_if_due();
  if (!key) return false;
  attempt(*key);
  queue_.done(*key);
  return true;
}

void Reconciler::attempt(const std::string& key) {
  const auto done = reconcile(key);
  if (done) {
    queue_.forget(key);
  } else {
    // Also where nothing may be written just now: a lease that somebody deleted is soon ours again.
    log::debug("pass repeats", {{"service", key}, {"error", done.error().message()}});
    queue_.retry(key);
  }
}

Status Reconciler::reconcile(const std::string& key) {
  const auto deadline = Deadline::in(deps_.clock, kPassBudget);
  if (key.starts_with(kConfigPrefix)) {
    const auto slash = key.find('/');
    const auto config =
        cache_.get({kServiceConfig, key.substr(kConfigPrefix.size(), slash - kConfigPrefix.size()),
                    key.substr(slash + 1)});
    if (!config) return {};
    return reconcile_config({deps_.cluster, cache_, deps_.clock, recorder_},
                            config_.installation.plan, config->object, deadline);
  }
  const auto slash = key.find('/');
  const auto service = cache_.get({kService, key.substr(0, slash), key.substr(slash + 1)});
  if (!service) {
    if (memory_.of(key).status.held_since) --held_;
    memory_.forget(key);
    if (prober_) prober_->forget(key);
    return {};
  }
  const auto started = deps_.clock.now();
  const auto cpu = cpu_seconds();
  const ServicePass::Deps deps{
      .cluster = deps_.cluster,
      .cache = cache_,
      .clock = deps_.clock,
      .recorder = recorder_,
      .ledger = ledger_,
      .config_maps = config_maps_,
      .secrets = secrets_,
      .versions = versions_,
      .random = random_,
      .prober = prober_.get(),
      .detail_pause = config_.detail_pause,
      .last_report = last_report_,
  };
  auto& memory = memory_.of(key);
  const bool held = memory.status.held_since.has_value();
  ServicePass pass(deps, config_.installation, memory, deadline);
  const auto done = pass.run(service);
  held_ += static_cast<int>(memory.status.held_since.has_value()) - static_cast<int>(held);
  metrics_->seconds.observe(seconds(deps_.clock.now() - started));
  metrics_->cpu.add(cpu_seconds() - cpu);
  (done ? metrics_->passes : metrics_->errors).add();
  if (!done) {
    const auto& error = done.error();
    if (error.code() != Code::kConflict && error.code() != Code::kCancelled) {
      recorder_.record(service->object, EventType::kWarning, "Error",
                       "Reconciliation failed: " + error.message());
    }
    return error;
  }
  if (*done) queue_.add_after(key, **done);
  return {};
}

}  // namespace baton::reconcile
