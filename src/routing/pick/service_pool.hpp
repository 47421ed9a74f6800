#pragma once
// One pool of pods, behind the gateway or an endpoint picker: its picker, its prefix index, its
// pods.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "routing/index/prefix_chain.hpp"
#include "routing/index/prefix_index.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/watch/pool.hpp"
#include "routing/watch/topology.hpp"

namespace baton::pick {

// Where a request goes.
struct Route {
  schedule::Endpoint decode;
  std::optional<schedule::Endpoint> prefill;
  schedule::NoPrefill no_prefill = schedule::NoPrefill::kNotRequested;
  Nanos pick = {};
};

// What one pod did; confined like its pool. Shared: an answer may outlive its pod.
struct PodTally {
  std::uint64_t requests = 0, tokens = 0, kv_bytes = 0;
  std::uint64_t tokens_before = 0;  // at the last tick
  double tokens_per_second = 0;
};

// Confined to one thread, or guarded by its owner. Shared (std::shared_ptr): a request may outlive
// its service.
class ServicePool {
 public:
  explicit ServicePool(const watch::Service& service);

  // Takes the new endpoints; picker and models must be those of the constructor.
  watch::Pool::Change update(const watch::Service& service);

  const watch::Service& service() const { return service_; }
  // Why nothing can be picked, when the picker's configuration is wrong.
  const std::optional<Error>& broken() const { return broken_; }

  // The chain for a prompt of this service; nullopt when its picker does not ask for one.
  std::optional<index::PrefixChain> chain(std::string_view model) const;

  // A route with its places reserved; moving it keeps them.
  struct Picked {
    Route route;
    schedule::Reservation decode, prefill;
    std::shared_ptr<PodTally> decode_tally, prefill_tally;  // the latter null without prefill
    schedule::Decision decision;                            // its indexes are into `endpoints`
    std::shared_ptr<const std::vector<schedule::Endpoint>> endpoints;
  };
  struct Ask {
    const index::PrefixChain* chain = nullptr;
    std::size_t prompt_bytes = 0;
    std::optional<schedule::Endpoint> refused = {};       // leave this one out
    const std::vector<schedule::Index>* among = nullptr;  // of endpoints(), ascending; null: all
  };
  // kUnavailable: no pod can serve it, or the picker's configuration is wrong.
  Result<Picked> pick(const Ask& ask, Mono now, Random& random);
  // Whether pick() would find a pod for an ordinary request.
  bool serves(Mono now, Random& random) const;

  // The endpoint's pod, and the other's when there is one, now hold the KV of these blocks. A pod
  // that has left is passed over.
  void remember(const schedule::Endpoint& endpoint, std::span<const std::uint64_t> blocks,
                const schedule::Endpoint* other = nullptr);

  // Scrapes.
  bool holds(const schedule::Endpoint& endpoint) const;
  void loaded(const schedule::Endpoint& endpoint, const watch::Scraped& scraped, Mono now);

  std::shared_ptr<PodTally> tally(const schedule::Endpoint& endpoint);
  const std::vector<schedule::Endpoint>& endpoints() const { return *pool_.snapshot().endpoints; }
  const schedule::Snapshot& snapshot() const { return pool_.snapshot(); }

 private:
  watch::Service service_;
  std::optional<schedule::Scheduler> scheduler_;
  std::optional<Error> broken_;
  std::optional<index::PrefixIndex> index_;
  watch::Pool pool_;
  std::map<std::string, std::shared_ptr<PodTally>, std::less<>> tallies_;  // by pod name
  std::vector<std::uint32_t> matched_;  // by slot, scratch of pick()
};

}  // namespace baton::pick
