#pragma once
// A pod's status as the kubelet writes it. Pure.

#include <memory>
#include <vector>

#include "control/node/container.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// From the containers' states; `pod.status` carries the addresses and the start time.
kube::Object pod_status(const kube::Object& pod,
                        const std::vector<std::unique_ptr<Container>>& containers, bool initialized,
                        Wall now);
// The pod cannot start: every container waits with the error.
kube::Object failed_status(const kube::Object& pod, const Error& error, Wall now);
// No process of its own: every container is said to run since `status.startTime`.
kube::Object hosted_status(const kube::Object& pod, Wall now);
// `next`, with the conditions of types that only `current` has: those of other writers.
kube::Object keep_foreign_conditions(kube::Object next, const kube::Object& current);
// The pod is not on a node: condition PodScheduled False.
kube::Object unscheduled_status(const kube::Object& pod, std::string_view message, Wall now);

Nanos grace_of(const kube::Object& pod);

}  // namespace baton::node
