#pragma once
// Keeps every LLMInferenceService's children as planned and its status as observed.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/plan/plan.hpp"
#include "control/reconcile/recorder.hpp"
#include "net/kube/follower.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::reconcile {

// One worker thread; followers of services, configurations, ConfigMaps, gateways and children feed
// it. A pass reads everything, plans, applies, writes the status; it never looks at what changed.
class Reconciler {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
  };
  Reconciler(Deps deps, plan::Settings settings);
  ~Reconciler();

  // One pass for one service; what the worker calls. kNotFound: no such service.
  Status reconcile(const std::string& ns, const std::string& name);

 private:
  struct Pass;
  void follow(const kube::Type& type, std::function<void(const kube::Object&)> on_change);
  void add_all(std::string_view ns);
  void work();
  Result<plan::ServiceView> observe(const kube::Object& service, Deadline deadline);
  Status apply(Pass& pass);
  Status finalize(const kube::Object& service, Deadline deadline);
  Status add_finalizer(const kube::Object& service, Deadline deadline);
  Status write_status(const Pass& pass, Deadline deadline);
  Result<std::vector<kube::Object>> list(const kube::Query& query, Deadline deadline);

  const Deps deps_;
  const plan::Settings settings_;
  Recorder recorder_;
  kube::WorkQueue queue_;
  std::thread worker_;
  std::vector<std::unique_ptr<kube::Follower>> followers_;
};

}  // namespace baton::reconcile
