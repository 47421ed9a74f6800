#include "routing/watch/cluster_watch.hpp"

#include <array>
#include <chrono>
#include <optional>

namespace baton::watch {
namespace {

// Changes come in bursts (a Deployment scales, many pods turn ready): wait this long for more.
constexpr auto kSettle = std::chrono::milliseconds(2);

enum Kind : std::size_t { kServices, kPools, kDeployments, kCores, kPods, kKinds };

std::array<kube::Type, kKinds> types() {
  return {kube::Type{"serving.kserve.io", "v1alpha2", "LLMInferenceService"},
          kube::Type{"inference.networking.k8s.io", "v1", "InferencePool"},
          kube::Type{"apps", "v1", "Deployment"}, kube::Type{"", "v1", "Service"},
          kube::Type{"", "v1", "Pod"}};
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
  const auto followed = types();
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    const kube::Query query{.type = followed[kind], .ns = "", .labels = {}};
    followers_.push_back(std::make_unique<kube::Follower>(
        cluster, clock, query, [this, kind](const kube::Event& event) { take(kind, event); }));
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

Objects ClusterWatch::copy_locked() const {
  return {.services = values(known_[kServices]),
          .pools = values(known_[kPools]),
          .deployments = values(known_[kDeployments]),
          .cores = values(known_[kCores]),
          .pods = values(known_[kPods])};
}

void ClusterWatch::build() {
  std::optional<Topology> last;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return dirty_ || stopping_; });
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
