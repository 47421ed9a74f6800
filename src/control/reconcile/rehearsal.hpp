#pragma once
// What applying manifests to a cluster would change, without changing it: the server's dry runs say
// what becomes of the manifests, and one pass of the reconciler over each service, on a cluster
// whose writes are dry runs too, what becomes of the rest.

#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "control/reconcile/installation.hpp"
#include "net/kube/cluster.hpp"

namespace baton::reconcile {

// Before or after is null where the object is not there.
struct Change {
  kube::ObjectKey key;
  kube::Object before, after;
};

// The server as it is, but for objects that are put over it; it does not change while it is looked
// at. Writes are dry runs and remembered. Thread-safe.
class Rehearsal final : public kube::Cluster {
 public:
  explicit Rehearsal(kube::Cluster& server) : server_(server) {}

  // From now on `object` is there as the server would store it: its members replace those of the
  // live one, its labels and annotations are added to that one's.
  Status put(const kube::Object& object, Deadline deadline);

  // One for each object of which more than status would change, in the order of the first write.
  std::vector<Change> changes() const;
  // What the last pass would write as status; null: none.
  kube::Object status(const kube::ObjectKey& key) const;

  Result<kube::Object> get(const kube::ObjectKey& key, Deadline deadline) override;
  Result<kube::List> list(const kube::Query& query, Deadline deadline) override;
  Result<kube::Object> create(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override;
  Result<kube::Object> update(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override;
  Result<kube::Object> update_status(const kube::Object& object, Deadline deadline) override;
  Result<kube::Object> patch(const kube::ObjectKey& key, const kube::Object& merge_patch,
                             kube::DryRun dry_run, Deadline deadline) override;
  Status remove(const kube::ObjectKey& key, const kube::Removal& how, Deadline deadline) override;
  Result<kube::ServerVersion> server_version(Deadline deadline) override;
  // Tells nothing until it is closed.
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& query, const kube::Version& from,
                                             Deadline deadline) override;

 private:
  void note(const kube::ObjectKey& key, kube::Object before, kube::Object after);

  kube::Cluster& server_;
  mutable std::mutex mutex_;
  std::map<kube::ObjectKey, kube::Object> shown_, statuses_;
  std::vector<Change> changes_;
};

struct Rehearsed {
  std::vector<Change> changes;
  // "ns/name: why a pass would not get to its end", one for each such service.
  std::vector<Error> failures;
};

// `manifests` are objects with namespaces; services and configurations of v1alpha2. An error: a
// manifest that the server refuses, or the cluster cannot be read.
Result<Rehearsed> rehearse(kube::Cluster& server, const Clock& clock,
                           const Installation& installation,
                           std::span<const kube::Object> manifests, Deadline deadline);

}  // namespace baton::reconcile
