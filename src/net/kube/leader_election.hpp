#pragma once
// Holds a Lease on a thread of its own, and says when it does and when it no longer does.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/core/random.hpp"
#include "net/kube/cluster.hpp"
#include "net/kube/lease.hpp"

namespace baton::kube {

// Contends from the start until destroyed. Destruction gives the lease back when it is held: stop
// what writes before that.
class LeaderElection {
 public:
  // On the election's thread; they must return soon, for nothing is renewed meanwhile.
  struct Callbacks {
    std::function<void()> on_started;                        // this process leads
    std::function<void(const std::string& why)> on_stopped;  // it does not any more: stop writing
  };
  // kInvalid: as Lease::check.
  static Result<std::unique_ptr<LeaderElection>> start(Lease::Config config, Cluster& cluster,
                                                       const Clock& clock, Random& random,
                                                       Callbacks callbacks);
  ~LeaderElection();
  LeaderElection(const LeaderElection&) = delete;
  LeaderElection& operator=(const LeaderElection&) = delete;

  // Thread-safe. Whether this process leads now, and until when it may write at the latest. A write
  // gets a deadline no later than that.
  bool leads() const;
  Mono until() const;
  // Who leads as far as is known; "" for nobody.
  std::string holder() const;

 private:
  LeaderElection(Lease::Config config, Cluster& cluster, const Clock& clock, Random& random,
                 Callbacks callbacks);
  void run();
  // One attempt to take or renew the lease.
  Status contend();
  void stopped(const std::string& why);
  void give_back();
  Nanos pause();

  Cluster& cluster_;
  const Clock& clock_;
  Random& random_;
  const Callbacks callbacks_;
  bool leading_ = false;  // the thread's: on_started was called last

  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable wake_;
  Lease lease_;
  bool fresh_ = false;  // what lease_ observed is what the server has, as far as is known
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace baton::kube
