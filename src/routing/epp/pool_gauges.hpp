#pragma once
// What the endpoints tell about themselves, summed up for dashboards (picker reference 6.2).

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/schedule/setup.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::epp {

// Confined to one thread; the registry may be read from any.
class PoolGauges {
 public:
  PoolGauges(observe::Registry& registry, std::string_view pool);
  // Averages and sample deviations over endpoints that told something since `now - stale_after`,
  // rounded to two decimals; with none, only the number of ready ones (0) changes.
  void show(const schedule::Snapshot& snapshot, Mono now, Nanos stale_after);

  // The queue of each endpoint; those that left are gone.
  void show_endpoints(const schedule::Snapshot& snapshot);

  // What producers know: requests and tokens on their way, blocks of prompts that are remembered,
  // by Setup::views.
  void show_plugins(const schedule::Setup& setup, const schedule::Snapshot& snapshot,
                    std::span<const std::size_t> remembered);

 private:
  struct Kind {
    observe::Gauge *average, *old_average, *deviation;
  };
  Kind kind(std::string_view what, std::string_view old);

  observe::Registry& registry_;
  const std::string pool_;
  std::array<Kind, 3> kinds_;  // KV usage, queue, running
  observe::Gauge &ready_, &old_ready_;
};

}  // namespace baton::epp
