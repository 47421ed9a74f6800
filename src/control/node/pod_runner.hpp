#pragma once
// Runs one pod on a thread of its own: volumes, init containers in order, sidecars, containers,
// probes, status, and the way down.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/node/container.hpp"
#include "control/node/volumes.hpp"
#include "net/hub/file_lock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// Order: init containers one after the other, each until it succeeds; a sidecar (restartPolicy
// Always) only until it is started, and it stays; then all containers at once. Down: containers get
// SIGTERM (a preStop that only sleeps is cut short when the pod is idle), then sidecars in reverse
// order, then what is left gets SIGKILL at the end of the grace period.
class PodRunner {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
    const Config& config;
    TellGuard tell_guard;
    std::function<void()> on_end;  // on the pod's thread, as its last act
  };
  // `pod` is bound to this node. allowlist_file and gpus as in PodFacts.
  PodRunner(Deps deps, kube::Object pod, std::string address, std::string allowlist_file,
            std::string gpus);
  ~PodRunner();  // kills and joins

  // From any thread: goes down within the grace period; with zero at once.
  void stop(Nanos grace);
  // After stop(): returns when the pod is down.
  void join();
  bool has_ended() const { return ended_.load(); }
  const std::string& gpus() const { return gpus_; }

 private:
  void run();
  Status prepare();
  void renew();
  bool fall_back();
  Result<std::unique_ptr<Container>> make_container(
      const kube::Object& spec, Container::Role role,
      const std::map<std::string, std::string>& volumes);
  Result<Start> start_of(const kube::Object& spec,
                         const std::map<std::string, std::string>& volumes);
  Status initialize_storage(Start& start, const std::vector<Mount>& mounts);
  Result<std::vector<std::string>> probe_command(const kube::Object& spec,
                                                 const std::vector<std::string>& words,
                                                 const Environment& env,
                                                 const std::map<std::string, std::string>& volumes);
  PodFacts facts() const;
  Result<kube::Object> read_object(std::string_view kind, const std::string& name);
  void step();
  bool step_init();
  void write_status();
  void write_failure(const Error& error);
  void publish(kube::Object status);
  void wait(Mono until);
  void go_down();
  void wait_until_idle(Mono limit);
  void tell_skipped_hook(const Container& container) const;
  bool others_ended(Mono kill_at);
  bool is_over() const;

  const Deps deps_;
  kube::Object pod_;
  const std::string address_;
  const std::string allowlist_file_;
  const std::string gpus_;
  const PodFolders folders_;
  std::vector<hub::FileLock> models_used_;              // in the cache, kept while the pod lives
  std::vector<std::unique_ptr<Container>> containers_;  // init and sidecars first, in order
  kube::Object last_status_;
  Mounts mounts_;  // kRewrite from when the machine's kernel refused what the pod needs
  bool initialized_ = false;
  std::optional<Mono> renew_at_;  // none: the pod has nothing that is renewed
  std::string renewal_failure_;

  int wake_;                              // an eventfd
  std::atomic<std::int64_t> grace_ = -1;  // nanoseconds; -1: not asked to stop
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace baton::node
