#pragma once
// Makes the cluster's objects what the plan says: creates what is missing, updates what differs,
// removes what is no longer planned. Never touches what the service does not control.
// Controller reference 4.16.

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "net/kube/cache.hpp"

namespace baton::reconcile {

// What is remembered of children between passes, so that an unchanged one costs no request: the
// fingerprints of what was wanted and of what was there when the two were last found equal.
// In memory only: after a restart a dry run tells, once. Thread-safe.
class Ledger {
 public:
  struct Entry {
    std::uint64_t wanted = 0, observed = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  bool has(std::string_view uid, const kube::ObjectKey& child, const Entry& entry) const;
  void put(std::string_view uid, const kube::ObjectKey& child, const Entry& entry);
  void forget(std::string_view uid);

 private:
  mutable std::mutex mutex_;
  // By the service's uid and the child's digest_of(): a key in full would be most of the entry.
  std::map<std::string, std::map<std::uint64_t, Entry>, std::less<>> entries_;
};

// What was done, for events: "Created", "Updated", "Deleted".
using Tell = std::function<void(std::string_view done, const kube::Object& object)>;

// One pass over one service.
class Applier {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const kube::Cache& cache;
    Ledger& ledger;
  };
  Applier(Deps deps, const kube::Object& service, Deadline deadline, Tell tell)
      : deps_(deps), service_(service), deadline_(deadline), tell_(std::move(tell)) {}

  // The object as it is now: from the cache when nothing was to do. kConflict: it exists and the
  // service does not control it. kNotFound: its kind is not served.
  Result<kube::SnapshotPtr> apply(const kube::Object& wanted);

  // Makes it without a look at what is there. kConflict: something of that name is.
  Result<kube::SnapshotPtr> make(const kube::Object& wanted);

  // An object of the cache. An absent one is fine; one that another controls is kConflict.
  Status remove(const kube::Object& object);

  // Controlled by the service; a cluster-scoped object cannot be owned and is told by its labels
  // and subjects.
  bool controls(const kube::Object& object) const;

  // What the cache must have seen before another pass may rely on it.
  const std::vector<kube::Expectation>& expectations() const { return expectations_; }

 private:
  Result<kube::SnapshotPtr> make(const kube::ObjectKey& key, const kube::Object& wanted);
  Result<kube::SnapshotPtr> reconcile(const kube::ObjectKey& key, const kube::Object& wanted);
  Result<kube::SnapshotPtr> settled(const kube::ObjectKey& key, const kube::Object& live,
                                    const kube::Object& wanted);

  const Deps deps_;
  const kube::Object& service_;
  const Deadline deadline_;
  const Tell tell_;
  std::vector<kube::Expectation> expectations_;
};

// What the update of `live` to `wanted` writes: all of `wanted`, with what others may decide: their
// labels and annotations, replicas that `wanted` leaves open, further members of a Deployment's
// spec, a selector (it is immutable) that the wanted pods match, rules that a gateway's controller
// appended to a route without a group (annotation baton.dev/rules tells how many are ours), Secrets
// of a ServiceAccount. Pure.
kube::Object updated(const kube::Object& live, const kube::Object& wanted);

// Equal but for status and what the server keeps. Pure.
bool same_content(const kube::Object& a, const kube::Object& b);

}  // namespace baton::reconcile
