#include "routing/watch/cluster_watch.hpp"

#include <array>
#include <chrono>
#include <optional>

namespace baton::watch {
namespace {

// Changes come in bursts (a Deployment scales, many pods turn ready): wait this long for more.
constexpr auto kSettle = std::chrono::milliseconds(2);

enum Kind : std::size_t { kServices, kPools, kDeployments, kCores, kPods, kKeys, kKinds };

std::array<kube::Query, kKinds> queries() {
  return {kube::Query{{"serving.kserve.io", "v1alpha2", "LLMInferenceService"}, "", {}},
          kube::Query{{"inference.networking.k8s.io", "v1", "InferencePool"}, "", {}},
          kube::Query{{"apps", "v1", "Deployment"}, "", {}},
          kube::Query{{"", "v1", "Service"}, "", {}},
          kube::Query{{"", "v1", "Pod"}, "", {}},
          kube::Query{{"", "v1", "Secret"}, "", {{std::string(kRoutingKeyLabel), "true"}}}};
}

std::vector<kube::Object> values(const std::map<kube::ObjectKey, kube::Object>& known) {
  std::vector<kube::Object> objects;
  objects.reserve(known.size());
  for (const auto& [key, object] : known) objects.push_back(object);
  return objects;
}

}  // namespace

ClusterWatch::ClusterWatch(kube::Cluster& cluster, const Clock& clock, OnChange on_change)
    : on_change_(std::move(on_change)), known_(kKinds) {
  for (std::size_t kind = 0; kind < kKinds; ++kind) awaited_.insert(kind);
  const auto followed = queries();
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    followers_.push_back(std::make_unique<kube::Follower>(
        cluster, clock, followed[kind],
        [this, kind](const kube::Event& event) { take(kind, event); },
        [this, kind](const Result<kube::Version>&) { listed(kind); },
        kube::Follower::Keep::kObjects));
  }
  builder_ = std::thread([this] { build(); });
}

ClusterWatch::~ClusterWatch() {
  followers_.clear();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  builder_.join();
}

void ClusterWatch::take(std::size_t kind, const kube::Event& event) {
  const auto key = kube::key_of(event.object);
  if (!key) return;
  {
    const std::lock_guard lock(mutex_);
    if (event.kind == kube::Event::Kind::kDeleted) {
      known_[kind].erase(*key);
    } else {
      known_[kind].insert_or_assign(*key, event.object);
    }
    dirty_ = true;
  }
  changed_.notify_all();
}

// Also when it could not be listed: a kind that is not served must not keep the others waiting.
void ClusterWatch::listed(std::size_t kind) {
  {
    const std::lock_guard lock(mutex_);
    awaited_.erase(kind);
  }
  changed_.notify_all();
}

Objects ClusterWatch::copy_locked() const {
  return {.services = values(known_[kServices]),
          .pools = values(known_[kPools]),
          .deployments = values(known_[kDeployments]),
          .cores = values(known_[kCores]),
          .pods = values(known_[kPods]),
          .keys = values(known_[kKeys])};
}

void ClusterWatch::build() {
  std::optional<Topology> last;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return (dirty_ && awaited_.empty()) || stopping_; });
    changed_.wait_for(lock, kSettle, [&] { return stopping_; });
    if (stopping_) return;
    dirty_ = false;
    const auto objects = copy_locked();
    lock.unlock();
    auto topology = topology_of(objects);
    if (topology != last) {
      last = topology;
      on_change_(std::move(topology));
    }
    lock.lock();
  }
}

}  // namespace baton::watch
