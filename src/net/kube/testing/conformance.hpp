#pragma once
// What every Cluster must do. Called from a gtest test; failures are reported through gtest.

#include "base/core/clock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube::testing {

// Works in namespace `ns`, which exists and holds no ConfigMaps or Ingresses but those of
// a control plane.
void run_conformance(Cluster& cluster, const Clock& clock, const std::string& ns);

Object config_map(const std::string& ns, const std::string& name);
Object deployment(const std::string& ns, const std::string& name, int replicas);

}  // namespace baton::kube::testing
