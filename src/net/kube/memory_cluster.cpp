#include "net/kube/memory_cluster.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

constexpr std::size_t kMaxName = 253;  // DNS-1123 subdomain
constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-.";

Status check_name(std::string_view name) {
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  if (name.size() > kMaxName || name.find_first_not_of(kNameCharacters) != std::string_view::npos ||
      edge(name.front()) || edge(name.back())) {
    // RBAC names may hold colons; they come from the planner, never from a user.
    if (name.find(':') != std::string_view::npos) return {};
    return invalid(fmt::format(
        "/metadata/name: '{}': expected at most 253 of a-z, 0-9, '-' and '.', with a letter or "
        "digit at both ends",
        name));
  }
  return {};
}

Status check_version(const Object& wanted, const Object& stored, const ObjectKey& key) {
  const auto version = wanted.string_at({"metadata", "resourceVersion"});
  const auto current = stored.string_at({"metadata", "resourceVersion"});
  if (!version.empty() && version != current) {
    return conflict(fmt::format("{} was changed: it is at version {}, not {}", to_string(key),
                                current, version));
  }
  const auto uid = uid_of(wanted);
  if (!uid.empty() && uid != uid_of(stored)) {
    return conflict(fmt::format("{} was replaced by another of that name", to_string(key)));
  }
  return {};
}

bool has_finalizers(const Object& object) {
  const auto* list = object.find_path({"metadata", "finalizers"});
  return list != nullptr && list->if_array() != nullptr && !list->if_array()->empty();
}

void keep(Object& next, const Object& stored, std::string_view member) {
  const auto* value = stored.find(member);
  if (value != nullptr) {
    next[member] = *value;
  } else if (next.if_object() != nullptr) {
    next.if_object()->erase(member);
  }
}

// Equal but for metadata and status.
bool same_spec(const Object& a, const Object& b) {
  const auto strip = [](Object o) {
    o.if_object()->erase("metadata");
    o.if_object()->erase("status");
    return o;
  };
  return strip(a) == strip(b);
}

Error missing(const ObjectKey& key) { return not_found(to_string(key) + " does not exist"); }

}  // namespace

struct MemoryCluster::Log {
  explicit Log(std::size_t limit) : bound(limit) {}

  std::mutex mutex;  // guards the rest
  std::condition_variable changed;
  std::deque<Change> changes;
  std::uint64_t version = 1;  // of the last change
  std::uint64_t expired = 1;  // of the last change that was dropped
  const std::size_t bound;

  void append(Change change) {
    changes.push_back(std::move(change));
    if (changes.size() > bound) {
      expired = changes.front().version;
      changes.pop_front();
    }
    changed.notify_all();
  }
};

class MemoryCluster::MemoryWatch final : public Watch {
 public:
  MemoryWatch(std::shared_ptr<Log> log, Query query, std::uint64_t from)
      : log_(std::move(log)), query_(std::move(query)), seen_(from) {}

  Result<std::optional<Event>> next(Deadline deadline) override {
    std::unique_lock lock(log_->mutex);
    while (true) {
      if (closed_) return cancelled("watch closed");
      if (seen_ < log_->expired) {
        return conflict(fmt::format("watch of {} expired: list again", query_.type.kind));
      }
      auto at = std::upper_bound(log_->changes.begin(), log_->changes.end(), seen_,
                                 [](std::uint64_t v, const Change& c) { return v < c.version; });
      for (; at != log_->changes.end(); ++at) {
        seen_ = at->version;
        if (auto event = seen_by(query_, *at)) return std::optional<Event>(std::move(event));
      }
      if (deadline.at == Mono::max()) {
        log_->changed.wait(lock);
      } else if (log_->changed.wait_until(lock, deadline.at) == std::cv_status::timeout) {
        return std::optional<Event>();
      }
    }
  }

  void close() override {
    const std::lock_guard lock(log_->mutex);
    closed_ = true;
    log_->changed.notify_all();
  }

 private:
  const std::shared_ptr<Log> log_;
  const Query query_;
  std::uint64_t seen_;   // guarded by log_->mutex
  bool closed_ = false;  // guarded by log_->mutex
};

MemoryCluster::MemoryCluster(const Clock& clock, Random& random, Config config)
    : clock_(clock),
      random_(random),
      version_(config.version),
      log_(std::make_shared<Log>(config.history)) {}
MemoryCluster::~MemoryCluster() = default;

MemoryCluster::Id MemoryCluster::id_of(const ObjectKey& key) {
  return {key.type.group, key.type.kind, key.ns, key.name};
}

Result<ServerVersion> MemoryCluster::server_version(Deadline) { return version_; }

namespace {
bool covers(const Query& query, const Object& object) {
  return (query.ns.empty() || query.ns == namespace_of(object)) && matches(query.labels, object);
}
}  // namespace

std::optional<Event> MemoryCluster::seen_by(const Query& query, const Change& change) {
  if (change.id.group != query.type.group || change.id.kind != query.type.kind) return std::nullopt;
  const bool was = change.before != nullptr && covers(query, *change.before);
  const bool is = change.after != nullptr && covers(query, *change.after);
  if (is) return Event{was ? Event::Kind::kModified : Event::Kind::kAdded, *change.after};
  if (was) return Event{Event::Kind::kDeleted, change.last ? *change.last : *change.after};
  return std::nullopt;
}

Result<Object> MemoryCluster::get(const ObjectKey& key, Deadline) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(id_of(key));
  if (found == objects_.end()) return missing(key);
  return *found->second;
}

Result<List> MemoryCluster::list(const Query& query, Deadline) {
  const std::lock_guard lock(mutex_);
  List out;
  const Id first{query.type.group, query.type.kind, query.ns, ""};
  for (auto at = objects_.lower_bound(first); at != objects_.end(); ++at) {
    if (at->first.group != query.type.group || at->first.kind != query.type.kind) break;
    if (covers(query, *at->second)) out.items.push_back(*at->second);
  }
  const std::lock_guard log_lock(log_->mutex);
  out.version = std::to_string(log_->version);
  return out;
}

Result<Object> MemoryCluster::create(const Object& object, DryRun dry_run, Deadline) {
  const std::lock_guard lock(mutex_);
  return create_locked(object, dry_run);
}

Result<Object> MemoryCluster::create_locked(const Object& object, DryRun dry_run) {
  Object next = object;
  if (name_of(next).empty() && !object.string_at({"metadata", "generateName"}).empty()) {
    next["metadata"]["name"] =
        std::string(object.string_at({"metadata", "generateName"})) + name_suffix(random_.next());
  }
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(next));
  BATON_TRY(check_name(key.name));
  const Id id = id_of(key);
  if (objects_.contains(id)) return conflict(to_string(key) + " already exists");

  next.if_object()->erase("status");
  auto& metadata = next["metadata"];
  for (const auto* member : {"deletionTimestamp", "deletionGracePeriodSeconds"}) {
    metadata.if_object()->erase(member);
  }
  metadata["uid"] = uuid4(random_);
  metadata["generation"] = 1;
  metadata["creationTimestamp"] = timestamp(clock_.wall());
  if (dry_run == DryRun::kYes) return next;
  uids_.emplace(uid_of(next));
  Object made = commit(id, nullptr, std::move(next));
  if (!has_living_owner(made)) remove_locked(id, Grace::kDefault);
  return made;
}

Result<Object> MemoryCluster::apply(const Object& object, const ApplyAs& as, Deadline) {
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(object));
  if (as.manager.empty()) return invalid("apply: a field manager must be named");
  const std::lock_guard lock(mutex_);
  const Id id = id_of(key);
  const auto found = objects_.find(id);
  if (found == objects_.end()) {
    if (!object.string_at({"metadata", "resourceVersion"}).empty()) return missing(key);
    BATON_TRY_ASSIGN(Object made, create_locked(object, as.dry_run));
    if (as.dry_run == DryRun::kNo) owners_[id].created(object, as.manager);
    return made;
  }
  BATON_TRY(check_version(object, *found->second, key));
  FieldOwners owners;
  if (const auto known = owners_.find(id); known != owners_.end()) {
    owners = known->second;
  } else {
    owners.created(*found->second, FieldOwners::kUpdater);
  }
  auto merged = owners.apply(*found->second, object, as);
  if (!merged) return std::move(merged).error().with(fmt::format("apply of {}", to_string(key)));
  BATON_TRY_ASSIGN(Object made, replace(key, *std::move(merged), as.dry_run));
  if (as.dry_run == DryRun::kNo) owners_[id] = std::move(owners);
  return made;
}

// `next` is a complete object whose status is already the stored one.
Result<Object> MemoryCluster::replace(const ObjectKey& key, Object next, DryRun dry_run) {
  const Id id = id_of(key);
  const Stored stored = objects_.at(id);
  BATON_TRY(check_version(next, *stored, key));
  auto& metadata = next["metadata"];
  for (const auto* member : {"uid", "creationTimestamp", "deletionTimestamp",
                             "deletionGracePeriodSeconds", "resourceVersion", "generation"}) {
    keep(metadata, *stored->find("metadata"), member);
  }
  if (next == *stored) return next;
  if (!same_spec(next, *stored)) metadata["generation"] = generation_of(*stored) + 1;
  if (dry_run == DryRun::kYes) return next;
  const bool last_finalizer = is_deleting(next) && has_finalizers(*stored) && !has_finalizers(next);
  Object made = commit(id, stored, std::move(next));
  const bool waits_for_node = made.find_path({"metadata", "deletionGracePeriodSeconds"}) != nullptr;
  if (last_finalizer && !waits_for_node) erase(id);
  return made;
}

Result<Object> MemoryCluster::update(const Object& object, DryRun dry_run, Deadline) {
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(object));
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(id_of(key));
  if (found == objects_.end()) return missing(key);
  Object next = object;
  keep(next, *found->second, "status");
  const Stored before = found->second;
  BATON_TRY_ASSIGN(Object made, replace(key, std::move(next), dry_run));
  note_update(key, *before, made, dry_run);
  return made;
}

Result<Object> MemoryCluster::update_status(const Object& object, Deadline) {
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(object));
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(id_of(key));
  if (found == objects_.end()) return missing(key);
  BATON_TRY(check_version(object, *found->second, key));
  Object next = *found->second;
  keep(next, object, "status");
  if (next == *found->second) return next;
  return commit(found->first, Stored(found->second), std::move(next));
}

Result<Object> MemoryCluster::patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                                    Deadline) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(id_of(key));
  if (found == objects_.end()) return missing(key);
  if (!merge_patch.is_object()) {
    return invalid(fmt::format("merge patch of {}: expected an object, got {}", to_string(key),
                               merge_patch.kind_name()));
  }
  Object changes = merge_patch;
  changes.if_object()->erase("status");
  Object next = *found->second;
  kube::merge_patch(next, changes);
  BATON_TRY_ASSIGN(const ObjectKey patched, key_of(next));
  if (patched.name != key.name || patched.ns != key.ns || patched.type.kind != key.type.kind) {
    return invalid(
        fmt::format("patch of {}: name, namespace and kind cannot change", to_string(key)));
  }
  const Stored before = found->second;
  BATON_TRY_ASSIGN(Object made, replace(key, std::move(next), dry_run));
  note_update(key, *before, made, dry_run);
  return made;
}

Result<Object> MemoryCluster::create_subresource(const ObjectKey& key, std::string_view subresource,
                                                 const Object& body, Deadline deadline) {
  if (!key.type.group.empty() || key.type.kind != "Pod" || subresource != "binding") {
    return Cluster::create_subresource(key, subresource, body, deadline);
  }
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(id_of(key));
  if (found == objects_.end()) return missing(key);
  const auto node = body.string_at({"target", "name"});
  if (node.empty()) return invalid("/target/name: missing");
  const auto bound = found->second->string_at({"spec", "nodeName"});
  if (!bound.empty()) {
    return conflict(fmt::format("{} is on node '{}' already", to_string(key), bound));
  }
  Object next = *found->second;
  next["spec"]["nodeName"] = std::string(node);
  BATON_TRY(replace(key, std::move(next), DryRun::kNo));
  return body;
}

void MemoryCluster::note_update(const ObjectKey& key, const Object& before, const Object& after,
                                DryRun dry_run) {
  const auto owners = owners_.find(id_of(key));
  if (owners != owners_.end() && dry_run == DryRun::kNo) owners->second.updated(before, after);
}

Status MemoryCluster::remove(const ObjectKey& key, const Removal& how, Deadline) {
  if (how.propagation == Propagation::kForeground) {
    return unsupported("foreground deletion is not implemented in process; use background");
  }
  const std::lock_guard lock(mutex_);
  const Id id = id_of(key);
  const auto found = objects_.find(id);
  if (found == objects_.end()) return missing(key);
  const std::string uid(uid_of(*found->second));
  if (!how.uid.empty() && how.uid != uid) {
    return conflict(fmt::format("{} was replaced by another of that name", to_string(key)));
  }
  const auto version = found->second->string_at({"metadata", "resourceVersion"});
  if (!how.version.empty() && how.version != version) {
    return conflict(fmt::format("{} was changed: it is at version {}, not {}", to_string(key),
                                version, how.version));
  }
  if (how.propagation == Propagation::kOrphan) orphan_dependents(uid);
  remove_locked(id, how.grace);
  return {};
}

Result<std::unique_ptr<Watch>> MemoryCluster::watch(const Query& query, const Version& from,
                                                    Deadline) {
  std::uint64_t version = 0;
  const auto [end, ec] = std::from_chars(from.data(), from.data() + from.size(), version);
  if (ec != std::errc{} || end != from.data() + from.size()) {
    return invalid(fmt::format("watch from version '{}': not a version of this store", from));
  }
  const std::lock_guard lock(log_->mutex);
  if (version < log_->expired) {
    return conflict(fmt::format("version {} is too old: list again", from));
  }
  return std::unique_ptr<Watch>(std::make_unique<MemoryWatch>(log_, query, version));
}

void MemoryCluster::remove_locked(const Id& id, Grace grace) {
  const Stored stored = objects_.at(id);
  const bool on_node =
      id.group.empty() && id.kind == "Pod" && !stored->string_at({"spec", "nodeName"}).empty();
  const bool waits = on_node && grace == Grace::kDefault;
  if (!waits && !has_finalizers(*stored)) return erase(id);
  if (is_deleting(*stored)) return;
  Object next = *stored;
  next["metadata"]["deletionTimestamp"] = timestamp(clock_.wall());
  if (waits) {
    const auto* seconds = stored->find_path({"spec", "terminationGracePeriodSeconds"});
    next["metadata"]["deletionGracePeriodSeconds"] =
        seconds == nullptr ? 30 : seconds->if_int().value_or(30);
  }
  commit(id, stored, std::move(next));
}

Object MemoryCluster::commit(const Id& id, const Stored& before, Object after) {
  const std::lock_guard lock(log_->mutex);
  after["metadata"]["resourceVersion"] = std::to_string(++log_->version);
  auto stored = std::make_shared<const Object>(std::move(after));
  objects_[id] = stored;
  log_->append({log_->version, id, before, stored, nullptr});
  return *stored;
}

void MemoryCluster::erase(const Id& id) {
  const Stored stored = objects_.at(id);
  objects_.erase(id);
  owners_.erase(id);
  {
    const std::lock_guard lock(log_->mutex);
    Object last = *stored;
    last["metadata"]["resourceVersion"] = std::to_string(++log_->version);
    log_->append(
        {log_->version, id, stored, nullptr, std::make_shared<const Object>(std::move(last))});
  }
  const std::string uid(uid_of(*stored));
  uids_.erase(uid);
  collect_dependents(uid);
}

bool MemoryCluster::has_living_owner(const Object& object) const {
  const auto* refs = object.find_path({"metadata", "ownerReferences"});
  if (refs == nullptr || refs->if_array() == nullptr || refs->if_array()->empty()) return true;
  for (const auto& ref : *refs->if_array()) {
    if (uids_.contains(ref.string_at({"uid"}))) return true;
  }
  return false;
}

void MemoryCluster::orphan_dependents(const std::string& uid) {
  const auto owned = [&](const Object& ref) { return ref.string_at({"uid"}) == uid; };
  std::vector<Id> dependents;
  for (const auto& [id, object] : objects_) {
    const auto* refs = object->find_path({"metadata", "ownerReferences"});
    if (refs == nullptr || refs->if_array() == nullptr) continue;
    if (std::any_of(refs->if_array()->begin(), refs->if_array()->end(), owned)) {
      dependents.push_back(id);
    }
  }
  for (const auto& id : dependents) {
    const Stored before = objects_.at(id);
    Object next = *before;
    auto& refs = next["metadata"]["ownerReferences"];
    std::erase_if(*refs.if_array(), owned);
    if (refs.if_array()->empty()) next["metadata"].if_object()->erase("ownerReferences");
    commit(id, before, std::move(next));
  }
}

void MemoryCluster::collect_dependents(const std::string& uid) {
  std::vector<Id> orphans;
  for (const auto& [id, object] : objects_) {
    const auto* refs = object->find_path({"metadata", "ownerReferences"});
    if (refs == nullptr || refs->if_array() == nullptr) continue;
    for (const auto& ref : *refs->if_array()) {
      if (ref.string_at({"uid"}) == uid && !has_living_owner(*object)) orphans.push_back(id);
    }
  }
  for (const auto& id : orphans) {
    if (objects_.contains(id)) remove_locked(id, Grace::kDefault);
  }
}

}  // namespace baton::kube
