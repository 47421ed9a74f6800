#pragma once
// What is known of a cluster, kept up to date by watches: a controller reads here and writes to the
// Cluster. Of each object only what is used is kept.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "net/kube/follower.hpp"

namespace baton::kube {

// An object as it was at one moment. Immutable and shared.
struct Snapshot {
  Object object;              // trimmed
  std::uint64_t content = 0;  // digest_of_content of the whole object
  std::string_view version() const { return object.string_at({"metadata", "resourceVersion"}); }
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;  // null: there is none

// Something a writer did and wants to see in the cache before it acts on it again.
struct Expectation {
  ObjectKey key;
  Version version;  // written: the cache has seen this version or a later one of the kind
  std::string uid;  // removed (version is empty): that object, once seen, is deleting or gone
};
Expectation written(const Object& object);
Expectation removed(const Object& object);

// Thread-safe. One follower, and so one thread, per kind.
class Cache {
 public:
  struct Kind {
    Type type;
    LabelSelector labels;                       // only these objects; {}: all
    std::function<Object(const Object&)> trim;  // null: keep everything
    // By what it is found (indexed()), from what is kept of it; null: by nothing.
    std::function<std::vector<std::string>(const Object&)> keys = {};
  };
  // On the kind's thread, after the cache has it. `before` null: new; `now` null: gone. A first
  // list tells every object as new.
  using OnChange = std::function<void(const SnapshotPtr& before, const SnapshotPtr& now)>;

  Cache(Cluster& cluster, const Clock& clock, FollowPauses pauses = {});
  ~Cache();

  // Registers the kind. Contract: once per group and kind, and all of them before start().
  void follow(Kind kind, OnChange on_change);
  // Starts the followers of all kinds: from now on the kinds do not change, so that each may read
  // what the others know. Contract: once.
  void start();
  // Ends all followers; what is known stays readable.
  void stop();

  // Of kinds that are not followed or not served there is nothing. The version of `type` does not
  // matter.
  SnapshotPtr get(const ObjectKey& key) const;
  // In the namespace ("" for all, or for cluster-scoped kinds), by name.
  std::vector<SnapshotPtr> list(const Type& type, std::string_view ns) const;
  // Those that Kind::keys gives that key, in the namespace ("" for all). Others are not looked at.
  std::vector<SnapshotPtr> indexed(const Type& type, std::string_view ns,
                                   std::string_view key) const;
  // Controlled by the object of that uid.
  std::vector<SnapshotPtr> controlled(const Type& type, std::string_view uid) const;

  // Whether the API server knows the kind, as far as the last list told.
  bool serves(const Type& type) const;
  // Every kind was listed, or is known not to be served.
  bool synced() const;
  // kTimeout, naming the kinds that are missing.
  Status wait_synced(Deadline deadline) const;

  // Whether the cache has caught up with it by the deadline. True for kinds not followed.
  bool has_seen(const Expectation& expected, Deadline deadline) const;

  std::size_t size() const;  // objects
  // Snapshots given out so far by the readers above: what the work of whoever reads is counted by.
  std::uint64_t given() const { return given_; }

 private:
  struct Store;
  Store* find(const Type& type) const;
  std::vector<SnapshotPtr> counted(std::vector<SnapshotPtr> out) const;

  Cluster& cluster_;
  const Clock& clock_;
  const FollowPauses pauses_;
  // By group and kind. Not guarded: it does not change once there are followers.
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Store>> stores_;
  bool started_ = false;
  mutable std::atomic<std::uint64_t> given_ = 0;
};

// Kind::keys: the label's value, when it has one.
std::function<std::vector<std::string>(const Object&)> by_label(std::string label);

// Drops metadata.managedFields and the annotation of `kubectl apply`, which are large and unused.
Object without_bookkeeping(const Object& object);
// apiVersion, kind and metadata only (labels, owners, finalizers, deletion; no annotations).
Object identity_only(const Object& object);

}  // namespace baton::kube
