#pragma once
// Which services a change concerns. Reads the cache, decides nothing else. Controller
// reference 5.8.

#include <set>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "net/kube/cache.hpp"

namespace baton::reconcile {

// "ns/name" of every service that has to be looked at. `before` null: new; `now` null: gone.
std::set<std::string> concerned(const kube::Cache& cache, const plan::Settings& settings,
                                const kube::SnapshotPtr& before, const kube::SnapshotPtr& now);

std::string service_key(const kube::Object& object);

// Whether a living member of the service's group still sends requests to what the service owns.
bool is_in_use_by_group(const kube::Cache& cache, const kube::Object& service);

// "ns/name" of the configurations that one of the two uses and the other does not: who uses them
// changed. Only those that the cache has; a null service uses none.
std::set<std::string> configs_concerned(const kube::Cache& cache, const plan::Settings& settings,
                                        const kube::SnapshotPtr& before,
                                        const kube::SnapshotPtr& now);

// The services in its scope that use it, by name: its namespace's, or all for what the system
// namespace holds.
std::vector<kube::SnapshotPtr> users_of(const kube::Cache& cache, const plan::Settings& settings,
                                        const kube::Object& config);

}  // namespace baton::reconcile
