#include "routing/watch/pool_watch.hpp"

#include "net/kube/object.hpp"

namespace baton::watch {
namespace {

// Pods come and go in bursts: wait this long for more.
constexpr auto kBurst = std::chrono::milliseconds(2);
constexpr std::string_view kAlphaGroup = "inference.networking.x-k8s.io";

}  // namespace

PoolWatch::PoolWatch(kube::Cluster& cluster, const Clock& clock, Wanted wanted, OnChange on_change)
    : wanted_(std::move(wanted)),
      on_change_(std::move(on_change)),
      target_(wanted_.selected),
      pool_listed_(wanted_.selected.has_value()) {
  if (!wanted_.selected) {
    const kube::Type type{wanted_.group, wanted_.group == kAlphaGroup ? "v1alpha2" : "v1",
                          "InferencePool"};
    followers_.push_back(std::make_unique<kube::Follower>(
        cluster, clock, kube::Query{.type = type, .ns = wanted_.ns, .labels = {}},
        [this](const kube::Event& event) { take_pool(event); },
        [this](const Result<kube::Version>& version) {
          if (version) listed(pool_listed_);
        },
        kube::Follower::Keep::kObjects));
  }
  const kube::Query pods{.type = kube::Type{"", "v1", "Pod"}, .ns = wanted_.ns, .labels = {}};
  followers_.push_back(std::make_unique<kube::Follower>(
      cluster, clock, pods, [this](const kube::Event& event) { take_pod(event); },
      [this](const Result<kube::Version>& version) {
        if (version) listed(pods_listed_);
      },
      kube::Follower::Keep::kObjects));
  builder_ = std::thread([this] { build(); });
}

PoolWatch::~PoolWatch() {
  followers_.clear();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  builder_.join();
}

void PoolWatch::take_pool(const kube::Event& event) {
  if (kube::name_of(event.object) != wanted_.pool) return;
  {
    const std::lock_guard lock(mutex_);
    target_.reset();
    if (event.kind != kube::Event::Kind::kDeleted) target_ = target_of_pool(event.object);
    dirty_ = true;
  }
  changed_.notify_all();
}

void PoolWatch::take_pod(const kube::Event& event) {
  {
    const std::lock_guard lock(mutex_);
    const std::string name(kube::name_of(event.object));
    if (event.kind == kube::Event::Kind::kDeleted) {
      pods_.erase(name);
    } else {
      pods_.insert_or_assign(name, event.object);
    }
    dirty_ = true;
  }
  changed_.notify_all();
}

void PoolWatch::listed(bool& what) {
  {
    const std::lock_guard lock(mutex_);
    what = true;
    dirty_ = true;
  }
  changed_.notify_all();
}

void PoolWatch::build() {
  std::optional<Pool> last;
  bool told = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return (dirty_ && pods_listed_ && pool_listed_) || stopping_; });
    changed_.wait_for(lock, kBurst, [&] { return stopping_; });
    if (stopping_) return;
    dirty_ = false;
    const auto target = target_;
    std::vector<kube::Object> pods;
    for (const auto& [name, pod] : pods_) pods.push_back(pod);
    lock.unlock();
    std::optional<Pool> next;
    if (target) next = {endpoints_of(*target, wanted_.ns, pods), target->app_protocol};
    if (!told || next != last) {
      told = true;
      last = next;
      on_change_(std::move(next));
    }
    lock.lock();
  }
}

}  // namespace baton::watch
