#pragma once
// The endpoints of one service as the gateway's loop sees them.

#include <functional>
#include <memory>
#include <vector>

#include "base/core/clock.hpp"
#include "routing/schedule/snapshot.hpp"
#include "routing/watch/scrape.hpp"

namespace baton::watch {

// Confined to its loop. The snapshot changes between requests, never during one: picking does not
// suspend.
class Pool {
 public:
  Pool();

  struct Change {
    std::vector<schedule::Endpoint> added, removed;
    std::size_t over_limit = 0;  // ready endpoints beyond kMaxEndpoints, left out
  };
  // Endpoints are the same when namespace, name, host and port are. Those that stay keep slot,
  // load and reservations. A pod that came back under another address is a new endpoint.
  Change update(const std::vector<schedule::Endpoint>& ready);

  // Ignored when the endpoint has left.
  void loaded(schedule::Slot slot, const Scraped& scraped, Mono now);
  void serves(schedule::Slot slot, std::vector<std::string> models);

  const schedule::Snapshot& snapshot() const { return snapshot_; }

 private:
  schedule::Snapshot snapshot_;
};

}  // namespace baton::watch
