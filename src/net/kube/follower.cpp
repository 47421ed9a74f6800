#include "net/kube/follower.hpp"

#include "base/core/log.hpp"

namespace baton::kube {

namespace {
constexpr Nanos kCallBudget = std::chrono::seconds(30);
constexpr Nanos kPause = std::chrono::seconds(1);  // after a failed list or watch
}  // namespace

Follower::Follower(Cluster& cluster, const Clock& clock, Query query, OnEvent on_event)
    : cluster_(cluster),
      clock_(clock),
      query_(std::move(query)),
      on_event_(std::move(on_event)),
      thread_([this] { run(); }) {}

Follower::~Follower() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (watch_) watch_->close();
  }
  wake_.notify_all();
  thread_.join();
}

void Follower::run() {
  while (true) {
    const Version from = relist();
    if (!from.empty()) follow(from);
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    if (from.empty()) wake_.wait_for(lock, kPause, [this] { return stopping_; });
  }
}

Version Follower::relist() {
  const auto list = cluster_.list(query_, Deadline::in(clock_, kCallBudget));
  if (!list) {
    log::warn("list failed", {{"kind", query_.type.kind}, {"error", list.error().message()}});
    return "";
  }
  auto before = known_;
  for (const auto& item : list->items) {
    const auto key = key_of(item);
    if (!key) continue;
    const auto old = before.find(*key);
    if (old == before.end()) {
      deliver({Event::Kind::kAdded, item});
    } else if (old->second != item) {
      deliver({Event::Kind::kModified, item});
    }
    before.erase(*key);
  }
  for (const auto& [key, gone] : before) deliver({Event::Kind::kDeleted, gone});
  return list->version;
}

void Follower::follow(const Version& from) {
  auto opened = cluster_.watch(query_, from, Deadline::in(clock_, kCallBudget));
  if (!opened) return;
  Watch* watch = opened->get();
  {
    const std::lock_guard lock(mutex_);
    watch_ = *std::move(opened);
    if (stopping_) watch->close();
  }
  while (auto event = watch->next(Deadline{})) {
    if (*event) deliver(**event);
  }
  const std::lock_guard lock(mutex_);
  watch_.reset();
}

void Follower::deliver(const Event& event) {
  const auto key = key_of(event.object);
  if (!key) return;
  if (event.kind == Event::Kind::kDeleted) {
    known_.erase(*key);
  } else {
    known_[*key] = event.object;
  }
  on_event_(event);
}

}  // namespace baton::kube
