#pragma once
// Read, change, write, and again when somebody else wrote in between.

#include <functional>

#include "net/kube/cluster.hpp"

namespace baton::kube {

enum class Part : bool { kObject, kStatus };

// Reads the object, lets `change` edit it and writes what came of it, at most kConflictRetries
// times; nothing is written when nothing changed. `change` may run several times, each time on what
// the server has then, and may give up with an error. kConflict: somebody else was always faster.
Result<Object> modify(Cluster& cluster, const ObjectKey& key, Part part,
                      const std::function<Status(Object&)>& change, Deadline deadline);

}  // namespace baton::kube
