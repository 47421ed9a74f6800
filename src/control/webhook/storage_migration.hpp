#pragma once
// Objects stored as v1alpha1 are written again, so that etcd holds them as v1alpha2 and v1alpha1
// can be dropped from a definition's status.storedVersions (and, one day, from the definition).

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::webhook {

enum class Migration : std::uint8_t {
  kDone,     // only v1alpha2 is stored
  kRewrite,  // new writes are v1alpha2, older ones may not be
  kWait,     // the definition still stores another version
};
Migration migration_of(const kube::Object& definition);

// One attempt for both definitions. Objects that others write or remove meanwhile are as good as
// rewritten. kUnavailable: a definition waits. Errors name the object; the rest is rewritten first.
Status migrate_storage(kube::Cluster& cluster, Deadline deadline);

// Attempts on a thread of its own, every `poll` until one succeeds or `budget` is spent; for the
// leader, from its election on. What it comes to is logged.
class StorageMigrator {
 public:
  struct Config {
    Nanos budget = std::chrono::hours(1);
    Nanos poll = std::chrono::seconds(30);
  };
  StorageMigrator(kube::Cluster& cluster, const Clock& clock, Config config);
  ~StorageMigrator();  // ends after the attempt that runs

 private:
  void run();

  kube::Cluster& cluster_;
  const Clock& clock_;
  const Config config_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace baton::webhook
