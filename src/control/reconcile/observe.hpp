#pragma once
// Everything a pass needs to know about one service, from the cache. No requests but for the data
// of ConfigMaps that the cache does not keep.

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "control/reconcile/installation.hpp"
#include "control/reconcile/router_view.hpp"
#include "net/kube/cache.hpp"

namespace baton::reconcile {

struct Observation {
  kube::SnapshotPtr service;
  Installation installation;
  std::vector<kube::SnapshotPtr> configs, config_maps, accounts, secrets;
  std::vector<kube::SnapshotPtr> children;  // controlled by the service
  std::vector<kube::SnapshotPtr> pods;      // with its name label
  std::vector<kube::SnapshotPtr> peers;     // the other services of its namespace
  // Routes and pools of its namespace, gateways anywhere, Services of theirs and its own namespace.
  std::vector<kube::SnapshotPtr> routes, pools, gateways, services;

  // Changes whenever anything above does, but for the status of configs.
  std::uint64_t fingerprint() const;
  plan::ServiceView view() const;
  // What of it the router part of the status needs. `merged` and this outlive the view.
  RouterView router(const kube::Object& merged) const;
};

// What the cache has that the service controls, its ClusterRoleBinding included (by name: anybody
// may have made one of that name).
std::vector<kube::SnapshotPtr> children_of(const kube::Cache& cache, const kube::Object& service);

// Data of ConfigMaps that are referred to, fetched once per version. Thread-safe.
class ConfigMapReader {
 public:
  ConfigMapReader(kube::Cluster& cluster, const kube::Cache& cache)
      : cluster_(cluster), cache_(cache) {}
  // Null when there is none.
  Result<kube::SnapshotPtr> read(const std::string& ns, const std::string& name, Deadline deadline);
  // It is gone.
  void forget(const kube::ObjectKey& key) {
    const std::lock_guard lock(mutex_);
    known_.erase(key);
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return known_.size();
  }

 private:
  kube::Cluster& cluster_;
  const kube::Cache& cache_;
  mutable std::mutex mutex_;  // guards known_
  std::map<kube::ObjectKey, kube::SnapshotPtr> known_;
};

// The names of ConfigMaps that picker configurations of these specs refer to.
std::set<std::string> config_map_refs(const kube::Object& service,
                                      const std::vector<kube::SnapshotPtr>& configs);

// `base` is what environment and flags say. kInvalid: the installation's ConfigMap is wrong
// and the service is not stopped.
Result<Observation> observe(const kube::Cache& cache, ConfigMapReader& config_maps,
                            const Installation& base, kube::SnapshotPtr service, Deadline deadline);

}  // namespace baton::reconcile
