#pragma once
// Makes the cluster's objects what the plan says: create what is missing, update what differs,
// remove what is no longer planned. Never touches what the service does not control.

#include <functional>
#include <string>
#include <vector>

#include "net/kube/cluster.hpp"

namespace baton::reconcile {

// What was done, for events: "Created", "Updated", "Deleted".
using Tell = std::function<void(std::string_view done, const kube::Object& object)>;

class Applier {
 public:
  Applier(kube::Cluster& cluster, const kube::Object& service, Deadline deadline, Tell tell)
      : cluster_(cluster), service_(service), deadline_(deadline), tell_(std::move(tell)) {}

  // The object as it is now. kConflict: it exists and the service does not control it.
  // Equal: no write (a dry run tells what an update would make of it).
  Result<kube::Object> apply(const kube::Object& wanted);

  // Everything of `kinds` in the service's namespace that it controls and `planned` does not name.
  Status remove_unplanned(const std::vector<kube::Type>& kinds,
                          const std::vector<kube::Object>& planned);

  // Controlled by the service; a cluster-scoped object cannot be owned and is told by its labels.
  bool controls(const kube::Object& object) const;

 private:
  Status remove(const kube::Object& object);

  kube::Cluster& cluster_;
  const kube::Object& service_;
  const Deadline deadline_;
  const Tell tell_;
};

// What the update of `live` to `wanted` writes: all of `wanted`, with the labels and annotations
// that others put on `live`, and with replicas when `wanted` leaves them open. Pure.
kube::Object updated(const kube::Object& live, const kube::Object& wanted);

}  // namespace baton::reconcile
