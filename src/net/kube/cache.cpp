#include "net/kube/cache.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "base/core/assert.hpp"
#include "net/kube/digest.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

// Versions are comparable numbers within a kind ("KEP-5504: Comparable Resource Version"; etcd
// revisions before that).
std::optional<std::uint64_t> number(std::string_view version) {
  std::uint64_t out = 0;
  const auto [end, ec] = std::from_chars(version.data(), version.data() + version.size(), out);
  if (ec != std::errc{} || end != version.data() + version.size()) return std::nullopt;
  return out;
}

bool is_at_least(std::string_view seen, std::string_view wanted) {
  const auto a = number(seen);
  const auto b = number(wanted);
  return a && b ? *a >= *b : seen == wanted;
}

}  // namespace

Expectation written(const Object& object) {
  return {{type_of(object), std::string(namespace_of(object)), std::string(name_of(object))},
          Version(object.string_at({"metadata", "resourceVersion"})),
          std::string(uid_of(object))};
}

Expectation removed(const Object& object) {
  auto out = written(object);
  out.version.clear();
  return out;
}

struct Cache::Store {
  using Name = std::pair<std::string, std::string>;  // namespace, name

  explicit Store(Kind k, OnChange on_change) : kind(std::move(k)), tell(std::move(on_change)) {}

  const Kind kind;
  const OnChange tell;
  mutable std::mutex mutex;  // guards the rest but the follower
  mutable std::condition_variable changed;
  std::map<Name, SnapshotPtr> objects;
  using Index = std::map<std::string, std::set<Name>, std::less<>>;
  Index by_controller;  // uid
  // By key, then namespace: names.
  std::map<std::string, std::map<std::string, std::set<std::string>, std::less<>>, std::less<>>
      by_key;
  Version seen;
  bool listed = false;
  bool served = true;
  std::unique_ptr<Follower> follower;

  SnapshotPtr at(const Name& name) const {
    const auto found = objects.find(name);
    return found == objects.end() ? nullptr : found->second;
  }

  void index(const SnapshotPtr& snapshot, const Name& name, bool add) {
    if (!snapshot) return;
    put(by_controller, controller_uid(snapshot->object), name, add);
    if (!kind.keys) return;
    for (const auto& key : kind.keys(snapshot->object)) put_key(key, name, add);
  }

  void put_key(const std::string& key, const Name& name, bool add) {
    if (key.empty()) return;
    if (add) {
      by_key[key][name.first].insert(name.second);
      return;
    }
    const auto of_key = by_key.find(key);
    if (of_key == by_key.end()) return;
    const auto here = of_key->second.find(name.first);
    if (here == of_key->second.end()) return;
    here->second.erase(name.second);
    if (here->second.empty()) of_key->second.erase(here);
    if (of_key->second.empty()) by_key.erase(of_key);
  }

  static void put(Index& index, std::string_view key, const Name& name, bool add) {
    if (key.empty()) return;
    if (add) {
      index[std::string(key)].insert(name);
      return;
    }
    const auto entry = index.find(key);
    if (entry == index.end()) return;
    entry->second.erase(name);
    if (entry->second.empty()) index.erase(entry);
  }

  void take(const Event& event) {
    const Name name{namespace_of(event.object), name_of(event.object)};
    SnapshotPtr now;
    if (event.kind != Event::Kind::kDeleted) {
      const Object kept = kind.trim ? kind.trim(event.object) : event.object;
      // A copy has no room to grow in, which is up to half of what was put together.
      now = std::make_shared<const Snapshot>(Snapshot{kept, digest_of_content(event.object)});
    }
    SnapshotPtr before;
    {
      const std::lock_guard lock(mutex);
      before = at(name);
      index(before, name, false);
      index(now, name, true);
      if (now) {
        objects[name] = now;
      } else {
        objects.erase(name);
      }
      // A list is seen when all of it is there.
      if (!event.of_list) advance(event.object.string_at({"metadata", "resourceVersion"}));
      changed.notify_all();
    }
    if (tell && (before || now)) tell(before, now);
  }

  void advance(std::string_view version) {
    if (seen.empty() || is_at_least(version, seen)) seen = version;
  }

  void take_list(const Result<Version>& version) {
    const bool absent = !version && version.error().code() == Code::kNotFound;
    std::map<Name, SnapshotPtr> gone;
    {
      const std::lock_guard lock(mutex);
      if (version) advance(*version);
      if (absent) {
        gone.swap(objects);
        by_controller.clear();
        by_key.clear();
      }
      if (version || absent) {
        served = !absent;
        listed = true;
      }
      changed.notify_all();
    }
    for (const auto& [name, before] : gone) {
      if (tell) tell(before, nullptr);
    }
  }

  bool has_seen(const Expectation& expected) const {
    if (!served) return true;
    if (!expected.version.empty()) return is_at_least(seen, expected.version);
    const auto now = at({expected.key.ns, expected.key.name});
    return !now || uid_of(now->object) != expected.uid || is_deleting(now->object);
  }
};

Cache::Cache(Cluster& cluster, const Clock& clock, FollowPauses pauses)
    : cluster_(cluster), clock_(clock), pauses_(pauses) {}
Cache::~Cache() { stop(); }

void Cache::stop() {
  // All of them before any is waited for: each may be in a list that takes its time.
  for (auto& [key, store] : stores_) {
    if (store->follower) store->follower->stop();
  }
  for (auto& [key, store] : stores_) store->follower.reset();
}

void Cache::follow(Kind kind, OnChange on_change) {
  BATON_ASSERT(!started_);
  auto& store = stores_[{kind.type.group, kind.type.kind}];
  BATON_ASSERT(!store);
  store = std::make_unique<Store>(std::move(kind), std::move(on_change));
}

void Cache::start() {
  BATON_ASSERT(!started_);
  started_ = true;
  for (auto& [key, store] : stores_) {
    Store* to = store.get();
    to->follower = std::make_unique<Follower>(
        cluster_, clock_, Query{to->kind.type, "", to->kind.labels},
        [to](const Event& event) { to->take(event); },
        [to](const Result<Version>& version) { to->take_list(version); }, Follower::Keep::kVersions,
        pauses_);
  }
}

Cache::Store* Cache::find(const Type& type) const {
  const auto found = stores_.find({type.group, type.kind});
  return found == stores_.end() ? nullptr : found->second.get();
}

SnapshotPtr Cache::get(const ObjectKey& key) const {
  const Store* store = find(key.type);
  if (store == nullptr) return nullptr;
  const std::lock_guard lock(store->mutex);
  auto found = store->at({key.ns, key.name});
  if (found) ++given_;
  return found;
}

std::vector<SnapshotPtr> Cache::counted(std::vector<SnapshotPtr> out) const {
  given_ += out.size();
  return out;
}

std::vector<SnapshotPtr> Cache::list(const Type& type, std::string_view ns) const {
  std::vector<SnapshotPtr> out;
  const Store* store = find(type);
  if (store == nullptr) return out;
  const std::lock_guard lock(store->mutex);
  for (auto at = store->objects.lower_bound({std::string(ns), ""}); at != store->objects.end();
       ++at) {
    if (!ns.empty() && at->first.first != ns) break;
    out.push_back(at->second);
  }
  return counted(std::move(out));
}

std::vector<SnapshotPtr> Cache::indexed(const Type& type, std::string_view ns,
                                        std::string_view key) const {
  std::vector<SnapshotPtr> out;
  const Store* store = find(type);
  if (store == nullptr) return out;
  const std::lock_guard lock(store->mutex);
  const auto found = store->by_key.find(key);
  if (found == store->by_key.end()) return out;
  const auto& places = found->second;
  const auto last = ns.empty() ? places.end() : places.upper_bound(ns);
  for (auto place = places.lower_bound(ns); place != last; ++place) {
    for (const auto& name : place->second) out.push_back(store->objects.at({place->first, name}));
  }
  return counted(std::move(out));
}

std::vector<SnapshotPtr> Cache::controlled(const Type& type, std::string_view uid) const {
  std::vector<SnapshotPtr> out;
  const Store* store = find(type);
  if (store == nullptr) return out;
  const std::lock_guard lock(store->mutex);
  const auto found = store->by_controller.find(uid);
  if (found == store->by_controller.end()) return out;
  for (const auto& name : found->second) out.push_back(store->objects.at(name));
  return counted(std::move(out));
}

bool Cache::serves(const Type& type) const {
  const Store* store = find(type);
  if (store == nullptr) return false;
  const std::lock_guard lock(store->mutex);
  return store->served;
}

bool Cache::synced() const {
  for (const auto& [key, store] : stores_) {
    const std::lock_guard lock(store->mutex);
    if (!store->listed) return false;
  }
  return true;
}

Status Cache::wait_synced(Deadline deadline) const {
  std::string missing;
  for (const auto& [key, store] : stores_) {
    std::unique_lock lock(store->mutex);
    const auto listed = [&] { return store->listed; };
    if (deadline.at == Mono::max()) {
      store->changed.wait(lock, listed);
    } else if (!store->changed.wait_until(lock, deadline.at, listed)) {
      missing += (missing.empty() ? "" : ", ") + key.second;
    }
  }
  if (missing.empty()) return {};
  return timed_out(fmt::format("not listed in time: {}", missing));
}

bool Cache::has_seen(const Expectation& expected, Deadline deadline) const {
  const Store* store = find(expected.key.type);
  if (store == nullptr) return true;
  std::unique_lock lock(store->mutex);
  return store->changed.wait_until(lock, deadline.at, [&] { return store->has_seen(expected); });
}

std::size_t Cache::size() const {
  std::size_t out = 0;
  for (const auto& [key, store] : stores_) {
    const std::lock_guard lock(store->mutex);
    out += store->objects.size();
  }
  return out;
}

std::function<std::vector<std::string>(const Object&)> by_label(std::string key) {
  return [key = std::move(key)](const Object& object) {
    return std::vector<std::string>{std::string(label(object, key))};
  };
}

Object without_bookkeeping(const Object& object) {
  Object out = object;
  auto* metadata = out.find("metadata");
  if (metadata == nullptr || metadata->if_object() == nullptr) return out;
  metadata->if_object()->erase("managedFields");
  if (auto* annotations = metadata->find("annotations");
      annotations != nullptr && annotations->if_object() != nullptr) {
    annotations->if_object()->erase("kubectl.kubernetes.io/last-applied-configuration");
  }
  return out;
}

Object identity_only(const Object& object) {
  Object out;
  for (const auto* member : {"apiVersion", "kind"}) out[member] = object.string_at({member});
  for (const auto* member : {"name", "namespace", "uid", "resourceVersion", "generation", "labels",
                             "ownerReferences", "finalizers", "deletionTimestamp"}) {
    if (const auto* value = object.find_path({"metadata", member}))
      out["metadata"][member] = *value;
  }
  return out;
}

}  // namespace baton::kube
