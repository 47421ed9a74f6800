#pragma once
// The object store of `serve` and of tests: an API server's semantics in process.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>

#include "base/core/random.hpp"
#include "net/kube/cluster.hpp"
#include "net/kube/field_owners.hpp"

namespace baton::kube {

// Thread-safe; calls never block. Objects are kept in the version they were written in: a kind's
// versions share one set of names, and nothing is converted or defaulted.
//
// History is one bounded log that all watches read; a watch that is overtaken by its end expires.
// Owner garbage collection happens within the call that removed the owner, after it.
class MemoryCluster final : public Cluster {
 public:
  struct Config {
    std::size_t history = 8192;       // events kept for watches
    ServerVersion version = {1, 34};  // whose semantics these are
  };
  MemoryCluster(const Clock& clock, Random& random, Config config);
  MemoryCluster(const Clock& clock, Random& random) : MemoryCluster(clock, random, Config{}) {}
  ~MemoryCluster() override;

  Result<Object> get(const ObjectKey& key, Deadline deadline) override;
  Result<List> list(const Query& query, Deadline deadline) override;
  Result<Object> create(const Object& object, DryRun dry_run, Deadline deadline) override;
  Result<Object> update(const Object& object, DryRun dry_run, Deadline deadline) override;
  Result<Object> update_status(const Object& object, Deadline deadline) override;
  Result<Object> patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                       Deadline deadline) override;
  // "binding" of a Pod only.
  Result<Object> create_subresource(const ObjectKey& key, std::string_view subresource,
                                    const Object& body, Deadline deadline) override;
  Result<Object> apply(const Object& object, const ApplyAs& as, Deadline deadline) override;
  Status remove(const ObjectKey& key, const Removal& how, Deadline deadline) override;
  Result<ServerVersion> server_version(Deadline deadline) override;
  Result<std::unique_ptr<Watch>> watch(const Query& query, const Version& from,
                                       Deadline deadline) override;

 private:
  using Stored = std::shared_ptr<const Object>;  // immutable snapshots, shared with the history
  // What an object is known by: versions of a kind are one.
  struct Id {
    std::string group, kind, ns, name;
    friend auto operator<=>(const Id&, const Id&) = default;
  };
  struct Change {
    std::uint64_t version;
    Id id;
    Stored before;  // null: added
    Stored after;   // null: removed
    Stored last;    // for a removal, the last state with the version of the removal
  };
  struct Log;
  class MemoryWatch;

  static Id id_of(const ObjectKey& key);
  static std::optional<Event> seen_by(const Query& query, const Change& change);
  Result<Object> create_locked(const Object& object, DryRun dry_run);
  Result<Object> replace(const ObjectKey& key, Object next, DryRun dry_run);
  void note_update(const ObjectKey& key, const Object& before, const Object& after, DryRun dry_run);
  Object commit(const Id& id, const Stored& before, Object after);
  void erase(const Id& id);
  void collect_dependents(const std::string& uid);
  void orphan_dependents(const std::string& uid);
  bool has_living_owner(const Object& object) const;
  void remove_locked(const Id& id, Grace grace);

  const Clock& clock_;
  Random& random_;
  const ServerVersion version_;
  std::mutex mutex_;  // guards everything below
  std::map<Id, Stored> objects_;
  std::map<Id, FieldOwners> owners_;  // of objects that were applied
  std::set<std::string, std::less<>> uids_;
  std::shared_ptr<Log> log_;  // shared with the watches, which may outlive the cluster
};

}  // namespace baton::kube
