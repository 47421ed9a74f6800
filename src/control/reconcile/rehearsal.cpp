#include "control/reconcile/rehearsal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/observe/metrics.hpp"
#include "control/reconcile/apply.hpp"
#include "control/reconcile/kinds.hpp"
#include "control/reconcile/reconciler.hpp"
#include "net/kube/object.hpp"
#include "net/kube/quiet_watch.hpp"

namespace baton::reconcile {

namespace {

using kube::DryRun;
using kube::Object;
using kube::ObjectKey;

bool is_event(std::string_view kind) { return kind == "Event"; }

// Versions apart: an object is the same in each of them.
bool same_object(const ObjectKey& a, const ObjectKey& b) {
  return a.type.group == b.type.group && a.type.kind == b.type.kind && a.ns == b.ns &&
         a.name == b.name;
}

// `live` with all that `wanted` says.
Object replaced(const Object& live, const Object& wanted) {
  Object next = wanted;
  next["metadata"] = *live.find("metadata");
  for (const auto* member : {"labels", "annotations"}) {
    const auto* added = wanted.find_path({"metadata", member});
    if (added == nullptr || added->if_object() == nullptr) continue;
    for (const auto& entry : *added->if_object()) {
      next["metadata"][member][entry.key] = entry.value;
    }
  }
  if (const auto* status = live.find("status")) next["status"] = *status;
  return next;
}

// Why the pass that left this status did not get to its end, "" if it did.
std::string unmet(const Object& service) {
  const auto* presets = kube::find_condition(service, "PresetsCombined");
  if (presets == nullptr || presets->string_at({"status"}) == "True") return "";
  return fmt::format("{}: {}", presets->string_at({"reason"}), presets->string_at({"message"}));
}

}  // namespace

void Rehearsal::note(const ObjectKey& key, Object before, Object after) {
  if (!before.is_null() && !after.is_null() && same_content(before, after)) return;
  const std::lock_guard lock(mutex_);
  const auto known = std::ranges::find_if(
      changes_, [&](const Change& change) { return same_object(change.key, key); });
  if (known == changes_.end()) {
    changes_.push_back({key, std::move(before), std::move(after)});
  } else {
    known->after = std::move(after);
  }
}

Status Rehearsal::put(const Object& object, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  const auto live = server_.get(key, deadline);
  if (!live && live.error().code() != Code::kNotFound) return live.error();
  auto stored = live ? server_.update(replaced(*live, object), DryRun::kYes, deadline)
                     : server_.create(object, DryRun::kYes, deadline);
  if (!stored) return std::move(stored).error().with(kube::to_string(key));
  note(key, live ? *live : Object(), *stored);
  // With its finalizer, that the controller writes before anything else.
  if (key.type.kind == kService.kind) {
    auto& finalizers = (*stored)["metadata"]["finalizers"];
    const Object ours = plan::kServiceFinalizer;
    const auto* list = finalizers.if_array();
    if (list == nullptr || std::ranges::find(*list, ours) == list->end()) {
      finalizers.push_back(ours);
    }
  }
  const std::lock_guard lock(mutex_);
  shown_[key] = *std::move(stored);
  return {};
}

std::vector<Change> Rehearsal::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

Object Rehearsal::status(const ObjectKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = statuses_.find(key);
  return found == statuses_.end() ? Object() : found->second;
}

Result<Object> Rehearsal::get(const ObjectKey& key, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = shown_.find(key); found != shown_.end()) return found->second;
  }
  return server_.get(key, deadline);
}

Result<kube::List> Rehearsal::list(const kube::Query& query, Deadline deadline) {
  BATON_TRY_ASSIGN(auto out, server_.list(query, deadline));
  const std::lock_guard lock(mutex_);
  for (const auto& [key, object] : shown_) {
    if (key.type.group != query.type.group || key.type.kind != query.type.kind) continue;
    std::erase_if(out.items, [&](const Object& item) {
      return kube::name_of(item) == key.name && kube::namespace_of(item) == key.ns;
    });
    const bool here = query.ns.empty() || query.ns == key.ns;
    if (here && kube::matches(query.labels, object)) out.items.push_back(object);
  }
  return out;
}

Result<Object> Rehearsal::create(const Object& object, DryRun dry_run, Deadline deadline) {
  if (is_event(object.string_at({"kind"}))) return object;
  BATON_TRY_ASSIGN(auto made, server_.create(object, DryRun::kYes, deadline));
  if (dry_run == DryRun::kNo) {
    BATON_TRY_ASSIGN(const auto key, kube::key_of(made));
    note(key, Object(), made);
  }
  return made;
}

Result<Object> Rehearsal::update(const Object& object, DryRun dry_run, Deadline deadline) {
  if (dry_run == DryRun::kYes) return server_.update(object, DryRun::kYes, deadline);
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  BATON_TRY_ASSIGN(auto before, server_.get(key, deadline));
  BATON_TRY_ASSIGN(auto after, server_.update(object, DryRun::kYes, deadline));
  note(key, std::move(before), after);
  return after;
}

Result<Object> Rehearsal::update_status(const Object& object, Deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  const std::lock_guard lock(mutex_);
  statuses_[key] = object;
  return object;
}

Result<Object> Rehearsal::patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                                Deadline deadline) {
  if (is_event(key.type.kind)) return merge_patch;
  BATON_TRY_ASSIGN(auto before, server_.get(key, deadline));
  BATON_TRY_ASSIGN(auto after, server_.patch(key, merge_patch, DryRun::kYes, deadline));
  if (dry_run == DryRun::kNo) note(key, std::move(before), after);
  return after;
}

Status Rehearsal::remove(const ObjectKey& key, const kube::Removal&, Deadline deadline) {
  BATON_TRY_ASSIGN(auto before, server_.get(key, deadline));
  note(key, std::move(before), Object());
  return {};
}

Result<kube::ServerVersion> Rehearsal::server_version(Deadline deadline) {
  return server_.server_version(deadline);
}

Result<std::unique_ptr<kube::Watch>> Rehearsal::watch(const kube::Query&, const kube::Version&,
                                                      Deadline) {
  return std::unique_ptr<kube::Watch>(std::make_unique<kube::QuietWatch>());
}

Result<Rehearsed> rehearse(kube::Cluster& server, const Clock& clock,
                           const Installation& installation, std::span<const Object> manifests,
                           Deadline deadline) {
  Rehearsal stage(server);
  for (const auto& manifest : manifests) {
    BATON_TRY(stage.put(manifest, deadline));
  }
  observe::Registry registry;
  Reconciler reconciler({stage, clock, registry}, {installation, 0});
  BATON_TRY(reconciler.cache().wait_synced(deadline));
  Rehearsed out;
  for (const auto& manifest : manifests) {
    BATON_TRY_ASSIGN(const auto key, kube::key_of(manifest));
    if (key.type.kind != kService.kind) continue;
    const auto service = fmt::format("{}/{}", key.ns, key.name);
    if (auto done = reconciler.reconcile(service); !done) {
      out.failures.push_back(std::move(done).error().with(service));
    } else if (auto why = unmet(stage.status(key)); !why.empty()) {
      out.failures.push_back(invalid(fmt::format("{}: {}", service, why)));
    }
  }
  out.changes = stage.changes();
  return out;
}

}  // namespace baton::reconcile
