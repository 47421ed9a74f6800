#pragma once
// What the node writes to the API server about pods and itself.

#include <cstdint>
#include <string>
#include <string_view>

#include "control/node/config.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// Puts `status` onto the pod as it is now, as a kubelet's patch does: conditions of other writers
// and everything outside status stay. kNotFound: the pod is gone, or another one has its name.
Status write_pod_status(kube::Cluster& cluster, const kube::Object& pod, const kube::Object& status,
                        Deadline deadline);

// pods/binding, as a scheduler. kConflict: it is on another node.
Status bind_pod(kube::Cluster& cluster, const kube::Object& pod, const std::string& node,
                Deadline deadline);

// A TokenRequest for the pod's service account, bound to the pod. kUnsupported: no API server.
Result<std::string> request_token(kube::Cluster& cluster, const kube::Object& pod,
                                  std::string_view audience, std::int64_t expires_seconds,
                                  Deadline deadline);

// The Node object with capacity and the Ready condition; one of that name is taken over.
Status register_node(kube::Cluster& cluster, const Config& config, Wall now, Deadline deadline);

}  // namespace baton::node
