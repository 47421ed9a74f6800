#pragma once
// What a Deployment's controller does next, and the Deployment's status. Pure.

#include <string>
#include <vector>

#include "net/kube/cluster.hpp"

namespace baton::local {

// Identifies a pod template: ten characters, the same for equal templates.
std::string template_hash(const kube::Object& pod_template);

// A pod of the Deployment's current template, without a name (generateName).
kube::Object pod_of(const kube::Object& deployment);

struct Rollout {
  int create = 0;                   // pods of the current template
  std::vector<std::string> remove;  // pod names
};
// `pods` are those the Deployment controls, whether they are going or not.
// RollingUpdate: one pod more than wanted, never a ready pod less. Recreate: old ones are gone
// before new ones begin.
Rollout next_step(const kube::Object& deployment, const std::vector<kube::Object>& pods);

kube::Object deployment_status(const kube::Object& deployment,
                               const std::vector<kube::Object>& pods, Wall now);

// Why the pod is not ready, in a few words; "" when it is or nothing is known.
std::string trouble_of(const kube::Object& pod);

}  // namespace baton::local
