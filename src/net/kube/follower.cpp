#include "net/kube/follower.hpp"

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

constexpr Nanos kCallBudget = std::chrono::seconds(30);
constexpr Nanos kPause = std::chrono::seconds(1);         // after a failed list or watch
constexpr Nanos kAbsentPause = std::chrono::seconds(30);  // while the kind is not served

std::string_view version_of(const Object& object) {
  return object.string_at({"metadata", "resourceVersion"});
}

Object stub(const ObjectKey& key) {
  Object out;
  out["apiVersion"] = key.type.api_version();
  out["kind"] = key.type.kind;
  out["metadata"]["name"] = key.name;
  if (!key.ns.empty()) out["metadata"]["namespace"] = key.ns;
  return out;
}

}  // namespace

Follower::Follower(Cluster& cluster, const Clock& clock, Query query, OnEvent on_event,
                   OnList on_list, Keep keep)
    : cluster_(cluster),
      clock_(clock),
      query_(std::move(query)),
      on_event_(std::move(on_event)),
      on_list_(std::move(on_list)),
      keep_(keep),
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
  std::string told;  // the trouble that stands in the log
  while (true) {
    const auto from = relist();
    const bool absent = !from && from.error().code() == Code::kNotFound;
    const auto trouble = from ? std::string() : std::string(from.error().message());
    if (!from && trouble != told) {
      log::warn("list failed, tried again until it works",
                {{"kind", query_.type.kind}, {"error", trouble}});
    }
    if (from && !told.empty()) log::info("listed again", {{"kind", query_.type.kind}});
    told = trouble;
    if (on_list_) on_list_(from);
    if (from) follow(*from);
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    if (!from) {
      wake_.wait_for(lock, absent ? kAbsentPause : kPause, [this] { return stopping_; });
    }
  }
}

Result<Version> Follower::relist() {
  BATON_TRY_ASSIGN(const auto list, cluster_.list(query_, Deadline::in(clock_, kCallBudget)));
  auto before = known_;
  for (const auto& item : list.items) {
    const auto key = key_of(item);
    if (!key) continue;
    const auto old = before.find(*key);
    if (old == before.end()) {
      deliver({Event::Kind::kAdded, item});
    } else {
      if (old->second.version != version_of(item)) deliver({Event::Kind::kModified, item});
      before.erase(old);
    }
  }
  for (const auto& [key, gone] : before) {
    deliver({Event::Kind::kDeleted, gone.object.is_null() ? stub(key) : gone.object});
  }
  return list.version;
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
    known_[*key] = {Version(version_of(event.object)),
                    keep_ == Keep::kObjects ? event.object : Object()};
  }
  on_event_(event);
}

}  // namespace baton::kube
