#pragma once
// Keeps every LLMInferenceService's children as planned and its status as observed.

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/core/random.hpp"
#include "base/observe/metrics.hpp"
#include "control/reconcile/apply.hpp"
#include "control/reconcile/image_volumes.hpp"
#include "control/reconcile/installation.hpp"
#include "control/reconcile/memory.hpp"
#include "control/reconcile/observe.hpp"
#include "control/reconcile/prober.hpp"
#include "control/reconcile/recorder.hpp"
#include "control/reconcile/tls_secret.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::reconcile {

// Workers take services from a queue that changes of followed kinds feed; a service is with one
// worker at a time. A pass reads from the cache and never looks at what changed.
class Reconciler {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
    observe::Registry& registry;
  };
  struct Config {
    Installation installation;
    int workers = 1;  // 0: none, somebody else calls reconcile() or work_once()
    DetailPause detail_pause = {};
    // How services with baton.dev/probe are probed; null: not at all. Its timings may be shortened.
    Prober::Config probe = {};
  };
  // Starts following; the workers begin when everything was listed once.
  Reconciler(Deps deps, Config config);
  // Ends after the passes under way.
  ~Reconciler();

  // One pass for one service ("ns/name") or configuration ("config:ns/name"); what the workers
  // call.
  Status reconcile(const std::string& key);

  // What a worker does with one key that is due; false: none is.
  bool work_once();

  kube::Cache& cache() { return cache_; }
  // Secrets and ConfigMaps of which something is remembered; those that are gone are not.
  std::size_t remembered() const { return config_maps_.size() + secrets_.size(); }
  // Everything was listed once.
  bool synced() const { return cache_.synced(); }

 private:
  struct Metrics;
  void tell(const kube::SnapshotPtr& before, const kube::SnapshotPtr& now);
  void work();
  void attempt(const std::string& key);

  const Deps deps_;
  const Config config_;
  Recorder recorder_;
  Ledger ledger_;
  Memory memory_;
  std::unique_ptr<Metrics> metrics_;
  kube::WorkQueue queue_;
  kube::Cache cache_;
  ConfigMapReader config_maps_;
  SecretKeeper secrets_;
  VersionReader versions_;
  SystemRandom random_;
  std::unique_ptr<Prober> prober_;
  std::atomic<int> held_ = 0;                   // services whose new status waits
  std::atomic<Mono> last_report_{Mono::min()};  // Reports::last
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace baton::reconcile
