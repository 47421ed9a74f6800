#include "control/webhook/context_source.hpp"

#include <utility>

#include "base/core/log.hpp"

namespace baton::webhook {
namespace {

constexpr Nanos kFresh = std::chrono::seconds(10);
constexpr Nanos kRead = std::chrono::seconds(2);   // a review waits no longer for the ConfigMap
constexpr Nanos kFirst = std::chrono::seconds(2);  // nor for the first list of model caches

const kube::Type kConfigMap{"", "v1", "ConfigMap"};

}  // namespace

ContextSource::ContextSource(kube::Cluster& cluster, const Clock& clock, Config config,
                             ReadSettings read)
    : cluster_(cluster),
      clock_(clock),
      config_(std::move(config)),
      read_(std::move(read)),
      settings_(config_.settings) {}

void ContextSource::refresh() {
  if (read_at_ && clock_.now() < *read_at_ + kFresh) return;
  read_at_ = clock_.now();
  const auto map =
      cluster_.get({kConfigMap, config_.ns, config_.config_map}, Deadline::in(clock_, kRead));
  if (!map && map.error().code() == Code::kNotFound) {
    settings_ = config_.settings;
    return follow(false);
  }
  if (!map) return;
  const auto settings = read_(*map);
  const auto local_models = uses_local_models(*map);
  if (settings) settings_ = *settings;
  if (local_models) follow(*local_models);
  if (settings && local_models) return;
  log::warn("installation ConfigMap is wrong: what was known stays",
            {{"config_map", config_.ns + "/" + config_.config_map},
             {"error", (settings ? local_models.error() : settings.error()).message()}});
}

void ContextSource::follow(bool local_models) {
  if (local_models == (local_models_ != nullptr)) return;
  local_models_ = local_models ? std::make_shared<LocalModels>(cluster_, clock_) : nullptr;
}

Context ContextSource::get() {
  Context out;
  out.keep_well_known_configs = config_.keep_well_known_configs;
  std::shared_ptr<LocalModels> caches;
  {
    const std::lock_guard lock(mutex_);
    refresh();
    out.settings = settings_;
    caches = local_models_;
  }
  if (caches != nullptr) {
    if (!caches->wait_synced(Deadline::in(clock_, kFirst))) {
      log::warn("model caches not listed yet: a service is defaulted without them", {});
    }
    out.local_models = caches->now();
  }
  return out;
}

}  // namespace baton::webhook
