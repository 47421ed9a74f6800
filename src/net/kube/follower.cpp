#include "net/kube/follower.hpp"

#include <algorithm>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

constexpr Nanos kCallBudget = std::chrono::seconds(30);

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
                   OnList on_list, Keep keep, FollowPauses pauses)
    : cluster_(cluster),
      clock_(clock),
      query_(std::move(query)),
      on_event_(std::move(on_event)),
      on_list_(std::move(on_list)),
      keep_(keep),
      pauses_(pauses),
      thread_([this] { run(); }) {}

Follower::~Follower() {
  stop();
  thread_.join();
}

void Follower::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  if (watch_) watch_->close();
  wake_.notify_all();
}

void Follower::run() {
  std::string list_trouble, watch_trouble;  // what stands in the log
  Nanos watch_pause = pauses_.watch;
  while (true) {
    const auto from = relist();
    const bool absent = !from && from.error().code() == Code::kNotFound;
    const auto trouble = from ? std::string() : std::string(from.error().message());
    if (!from && trouble != list_trouble) {
      log::warn("list failed, tried again until it works",
                {{"kind", query_.type.kind}, {"error", trouble}});
    }
    if (from && !list_trouble.empty()) log::info("listed again", {{"kind", query_.type.kind}});
    list_trouble = trouble;
    if (on_list_) on_list_(from);
    if (is_stopping()) return;
    if (!from) {
      pause(absent ? pauses_.absent : pauses_.list);
    } else {
      const Mono began = clock_.now();
      const auto [end, told] = follow(*from);
      const bool stood = clock_.now() - began > pauses_.longest;
      // As watches do. One that is too old at once would be so again and again.
      const bool expired = end.code() == Code::kConflict && (told || stood);
      // One that stood for long is no failure in a row.
      if (expired || stood) {
        watch_pause = pauses_.watch;
        watch_trouble.clear();
      }
      if (!expired) {
        const std::string why(end.message());
        if (why != watch_trouble && !is_stopping()) {
          log::warn("watch failed, listed and tried again until it works",
                    {{"kind", query_.type.kind}, {"error", why}});
        }
        watch_trouble = why;
        pause(watch_pause);
        watch_pause = std::min(watch_pause * 2, pauses_.longest);
      }
    }
    if (is_stopping()) return;
  }
}

void Follower::pause(Nanos at_most) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, at_most, [this] { return stopping_; });
}

bool Follower::is_stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

Result<Version> Follower::relist() {
  const auto listed = cluster_.list(query_, Deadline::in(clock_, kCallBudget));
  if (!listed) {
    // As if each had changed by the next list: what it then no longer has is told as deleted.
    if (listed.error().code() == Code::kNotFound) {
      for (auto& [key, one] : known_) one.version.clear();
    }
    return listed.error();
  }
  const List& list = *listed;
  auto before = known_;
  for (const auto& item : list.items) {
    const auto key = key_of(item);
    if (!key) continue;
    const auto old = before.find(*key);
    if (old == before.end()) {
      deliver({Event::Kind::kAdded, item, true});
    } else {
      if (old->second.version != version_of(item)) deliver({Event::Kind::kModified, item, true});
      before.erase(old);
    }
  }
  for (const auto& [key, gone] : before) {
    deliver({Event::Kind::kDeleted, gone.object.is_null() ? stub(key) : gone.object, true});
  }
  return list.version;
}

Follower::Watched Follower::follow(const Version& from) {
  auto opened = cluster_.watch(query_, from, Deadline::in(clock_, kCallBudget));
  if (!opened) return {opened.error()};
  Watch* watch = opened->get();
  {
    const std::lock_guard lock(mutex_);
    watch_ = *std::move(opened);
    if (stopping_) watch->close();
  }
  bool told = false;
  auto event = watch->next(Deadline{});
  for (; event; event = watch->next(Deadline{})) {
    if (!*event) continue;
    deliver(**event);
    told = true;
  }
  const std::lock_guard lock(mutex_);
  watch_.reset();
  return {event.error(), told};
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
