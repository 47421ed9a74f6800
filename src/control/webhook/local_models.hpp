#pragma once
// The model caches of the cluster, for defaulting.

#include "control/webhook/review.hpp"
#include "net/kube/cache.hpp"

namespace baton::webhook {

// Whether the ConfigMap inferenceservice-config switches them on: data.localModel is JSON with
// "enabled": true. kInvalid: it is no such JSON.
Result<bool> uses_local_models(const kube::Object& config_map);

// Follows LocalModelCaches and LocalModelNamespaceCaches from construction on; kinds that the
// cluster does not serve have none. Thread-safe.
class LocalModels {
 public:
  LocalModels(kube::Cluster& cluster, const Clock& clock);
  Context::LocalModels now() const;
  Status wait_synced(Deadline deadline) const { return cache_.wait_synced(deadline); }

 private:
  kube::Cache cache_;
};

}  // namespace baton::webhook
