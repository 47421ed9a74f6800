#pragma once
// Which services a change concerns. Reads the cache, decides nothing else. Controller
// reference 5.8.

#include <set>
#include <string>

#include "control/plan/plan.hpp"
#include "net/kube/cache.hpp"

namespace baton::reconcile {

// "ns/name" of every service that has to be looked at. `before` null: new; `now` null: gone.
std::set<std::string> concerned(const kube::Cache& cache, const plan::Settings& settings,
                                const kube::SnapshotPtr& before, const kube::SnapshotPtr& now);

std::string service_key(const kube::Object& object);

// Whether a living member of the service's group still sends requests to what the service owns.
bool is_in_use_by_group(const kube::Cache& cache, const kube::Object& service);

// Whether the service uses the configuration of that name: as a baseRef, pinned, or as a preset
// that it may not have pinned yet.
bool uses_config(const kube::Object& service, std::string_view config_name,
                 const plan::Settings& settings);

}  // namespace baton::reconcile
