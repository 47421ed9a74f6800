#pragma once
// Follows the InferenceObjectives and InferenceModelRewrites of a namespace, for an endpoint
// picker.

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/kube/cluster.hpp"
#include "net/kube/follower.hpp"

namespace baton::watch {

// Starts at once; stops and joins when destroyed. A thread per kind and API group.
//
// Group llm-d.ai counts where its definition is installed, else inference.networking.x-k8s.io
// (picker reference 5.4); where neither is, there are no such objects.
class RulesWatch {
 public:
  // All objects of the kind as they are now. On a follower's thread, one call at a time.
  using OnChange = std::function<void(const std::vector<kube::Object>&)>;
  RulesWatch(kube::Cluster& cluster, const Clock& clock, const std::string& ns,
             OnChange on_objectives, OnChange on_rewrites);
  ~RulesWatch();

 private:
  struct Group {
    bool served = false;  // its definition is installed, as far as was seen
    bool listed = false;
    std::map<std::string, kube::Object> objects;  // by name
  };
  struct Kind {
    OnChange on_change;
    std::mutex mutex;  // guards the next two, and is held while on_change runs
    Group current, legacy;
    std::vector<std::unique_ptr<kube::Follower>> followers;
  };

  void follow(kube::Cluster& cluster, const Clock& clock, const std::string& ns, Kind& kind,
              const std::string& name);
  static void take(Kind& kind, Group& group, const kube::Event& event);
  static void listed(Kind& kind, Group& group, const Result<kube::Version>& version);
  static void tell(Kind& kind);

  Kind objectives_, rewrites_;
};

}  // namespace baton::watch
