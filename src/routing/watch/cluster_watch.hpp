#pragma once
// Follows the objects of a cluster and hands over a topology whenever it has changed.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "net/kube/cluster.hpp"
#include "net/kube/follower.hpp"
#include "routing/watch/topology.hpp"

namespace baton::watch {

// One thread per kind followed and one that builds. Starts at once; stops and joins when destroyed.
class ClusterWatch {
 public:
  // On the builder's thread; at most one call at a time, only when something differs.
  using OnChange = std::function<void(Topology)>;
  ClusterWatch(kube::Cluster& cluster, const Clock& clock, OnChange on_change);
  ~ClusterWatch();

 private:
  void take(std::size_t kind, const kube::Event& event);
  void listed(std::size_t kind);
  void build();
  Objects copy_locked() const;

  const OnChange on_change_;
  std::mutex mutex_;  // guards the next five
  std::condition_variable changed_;
  std::vector<std::map<kube::ObjectKey, kube::Object>> known_;  // by kind
  std::set<std::size_t> awaited_;  // kinds not listed yet: half a topology is none
  bool dirty_ = false;
  bool stopping_ = false;
  std::vector<std::unique_ptr<kube::Follower>> followers_;
  std::thread builder_;
};

}  // namespace baton::watch
