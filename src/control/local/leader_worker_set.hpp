#pragma once
// What a LeaderWorkerSet's controller does next, its pods, and its status. Pure.
//
// Names, labels, annotations and environment are those of leaderworkerset.x-k8s.io 0.8: pods
// <set>-<group> (the leader) and <set>-<group>-<index>. One thing differs: names of pods resolve
// nowhere here, so LWS_LEADER_ADDRESS is the leader's address.

#include <string>
#include <vector>

#include "net/kube/cluster.hpp"

namespace baton::local {

struct GroupStep {
  std::vector<kube::Object> create;  // complete pods
  std::vector<std::string> remove;   // pod names
};

// `pods` are those the set controls, whether they are going or not.
//   * Leaders first; workers once their leader has an address (LeaderCreated) or is ready
//     (LeaderReady).
//   * A group with a pod that failed, restarted or is going is removed as a whole, and made anew
//   when
//     all of it is gone; with restartPolicy None only missing pods are made.
//   * A new template replaces groups from the highest index down: those that are not ready at once,
//     ready ones while at least replicas - maxUnavailable stay ready. maxSurge groups more are made
//     meanwhile.
GroupStep next_group_step(const kube::Object& set, const std::vector<kube::Object>& pods);

// A group counts as ready when every pod of it is.
kube::Object leader_worker_set_status(const kube::Object& set,
                                      const std::vector<kube::Object>& pods, Wall now);

}  // namespace baton::local
