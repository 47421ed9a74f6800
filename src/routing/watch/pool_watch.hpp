#pragma once
// Follows one InferencePool and its pods, or the pods of a selector, for an endpoint picker.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "net/kube/cluster.hpp"
#include "net/kube/follower.hpp"
#include "routing/watch/topology.hpp"

namespace baton::watch {

// Starts at once; stops and joins when destroyed. A thread per kind followed and one that builds.
class PoolWatch {
 public:
  struct Wanted {
    std::string ns;
    std::string pool;  // InferencePool of that name; "" with `selected`
    std::string group = "inference.networking.k8s.io";  // or inference.networking.x-k8s.io
    std::optional<Target> selected = {};
  };
  struct Pool {
    std::vector<schedule::Endpoint> endpoints;
    std::string app_protocol;  // "": none is said
    bool operator==(const Pool&) const = default;
  };
  // On the builder's thread: first what there is, then only when something differs. nullopt: there
  // is no such pool (yet).
  using OnChange = std::function<void(std::optional<Pool>)>;
  PoolWatch(kube::Cluster& cluster, const Clock& clock, Wanted wanted, OnChange on_change);
  ~PoolWatch();

 private:
  void take_pool(const kube::Event& event);
  void take_pod(const kube::Event& event);
  void listed(bool& what);
  void build();

  const Wanted wanted_;
  const OnChange on_change_;
  std::mutex mutex_;  // guards the next six
  std::condition_variable changed_;
  std::optional<Target> target_;
  std::map<std::string, kube::Object> pods_;  // by name
  bool pods_listed_ = false;
  bool pool_listed_;  // from the start with a selector
  bool dirty_ = false;
  bool stopping_ = false;
  std::vector<std::unique_ptr<kube::Follower>> followers_;
  std::thread builder_;
};

}  // namespace baton::watch
