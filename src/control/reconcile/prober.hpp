#pragma once
// Probes services that ask for it, on threads of its own: no pass over a service ever waits for
// one.

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/observe/metrics.hpp"
#include "control/reconcile/probe_request.hpp"
#include "control/reconcile/transfer_proof.hpp"
#include "net/kube/work_queue.hpp"

namespace baton::reconcile {

// Thread-safe. At most `threads` probes run at a time, and one of a service; what waits is bounded
// by the number of services. A verdict that is not True is looked at again after `retry`, doubled
// each time up to `again`; a True one after `again`.
class Prober {
 public:
  struct Config {
    SendProbe send;
    int threads = 2;
    Nanos timeout = std::chrono::seconds(20);  // of one probe
    Nanos retry = std::chrono::seconds(5);
    Nanos again = std::chrono::minutes(5);
  };
  // Called on a thread of the prober with the key of a service whose verdict is a new one.
  using OnVerdict = std::function<void(const std::string& key)>;

  Prober(Config config, const Clock& clock, observe::Registry& registry, OnVerdict on_verdict);
  // Waits for probes under way, at most `timeout`.
  ~Prober();

  // The last verdict; nullopt: there is none yet. Probes soon when the service is new, or when
  // `identity` (of the pods that take part) is another than before.
  std::optional<kube::Condition> verdict(const std::string& key, const ProbeTarget& target,
                                         std::uint64_t identity);
  void forget(const std::string& key);
  // Changes with the verdict; 0: none.
  std::uint64_t revision(const std::string& key) const;

 private:
  struct Entry {
    ProbeTarget target;
    std::uint64_t identity = 0;
    std::uint64_t serial = 0;  // another one whenever what is to be probed is another
    std::optional<kube::Condition> verdict;
    std::uint64_t revision = 0;
  };
  void work();
  void probe(const std::string& key, const ProbeTarget& target, std::uint64_t serial);

  const Config config_;
  const Clock& clock_;
  observe::Registry& registry_;
  const OnVerdict on_verdict_;
  kube::WorkQueue queue_;
  mutable std::mutex mutex_;  // guards the rest but the threads
  std::map<std::string, Entry> entries_;
  std::uint64_t revisions_ = 0, serials_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace baton::reconcile
