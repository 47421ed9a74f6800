#pragma once
// The (address, port) pairs of an InferencePool, from the API server.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/kube/cluster.hpp"
#include "routing/sidecar/allowlist.hpp"

namespace baton::sidecar {

struct PoolName {
  std::string ns, name;
  std::string group = "inference.networking.k8s.io";  // or inference.networking.x-k8s.io
  friend bool operator==(const PoolName&, const PoolName&) = default;
};
// "ns/name", or "name" in `fallback_ns`. kInvalid: more slashes, an empty part.
Result<PoolName> parse_pool_name(std::string_view text, std::string_view fallback_ns);
// v1, or v1alpha2 of the experimental group. kInvalid: another group.
Result<kube::Type> pool_type(std::string_view group);

// Every address of the pods that the pool selects and that have not ended, with each of its target
// ports and the `ranks` - 1 ports after it. Pure. kInvalid: a pool without selector or ports.
Result<Published::Endpoints> members_of(const kube::Object& pool,
                                        const std::vector<kube::Object>& pods, int ranks);

// Watches a pool and the pods of its namespace, on two threads, until destroyed. Publishes nothing
// before both were listed, and an empty set when the pool is not there or cannot be read.
class PoolWatch {
 public:
  PoolWatch(kube::Cluster& cluster, const Clock& clock, const PoolName& name, kube::Type type,
            int ranks, std::shared_ptr<Published> into);
  ~PoolWatch();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::sidecar
