#pragma once
// The kubelet with processes: takes the cluster's pods, gives each an address and runs it.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/core/random.hpp"
#include "control/node/accelerators.hpp"
#include "control/node/addresses.hpp"
#include "control/node/group_guard.hpp"
#include "control/node/pod_runner.hpp"
#include "net/kube/follower.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::node {

// Every pod without a node is bound to this one. One thread decides; each pod has a runner with a
// thread of its own.
class NodeAgent {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
    Random& random;  // used in start() only
  };
  // Makes <state>/bin, registers the node beside a real API server, and starts. kNotFound: --engine
  // vllm without such a program in PATH. kUnsupported: mount namespaces are demanded and not
  // possible.
  static Result<std::unique_ptr<NodeAgent>> start(Deps deps, Config config);
  ~NodeAgent();  // kills what still runs

  // From any thread, once. Every pod goes down within its grace period, at most until the deadline.
  // Blocks. Pods that appear later are not started.
  void stop(Deadline deadline);

 private:
  struct Pod {
    std::string uid;
    std::string address;
    std::string service_key;  // "ns/app.kubernetes.io/name"
    bool is_prefill;
    std::uint16_t port;
    std::unique_ptr<PodRunner> runner;  // null: hosted elsewhere
    bool stopping = false;
  };

  NodeAgent(Deps deps, Config config, std::unique_ptr<GroupGuard> guard, std::uint64_t seed);
  void work();
  void sync(const std::string& key);
  void admit(const std::string& key, const kube::Object& pod);
  void host(const std::string& key, const kube::Object& pod);
  void refuse(const std::string& key, const kube::Object& pod, const Error& error);
  void release(const std::string& key);
  void let_go(const std::string& key, const kube::Object& pod);
  void write_allowlist(const std::string& service_key);
  std::string allowlist_file(const std::string& service_key) const;
  Deadline soon() const;

  const Deps deps_;
  const Config config_;
  std::unique_ptr<GroupGuard> guard_;
  AddressPool addresses_;
  Accelerators accelerators_;
  kube::WorkQueue queue_;
  std::map<std::string, Pod> pods_;  // the worker's, until it has been joined
  std::set<std::string> pending_;    // likewise
  std::thread worker_;
  std::unique_ptr<kube::Follower> follower_;
};

}  // namespace baton::node
