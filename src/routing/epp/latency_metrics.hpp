#pragma once
// Predicted latency and what came, under the names that dashboards read (picker reference 6.8),
// also under the older ones.

#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"

namespace baton::epp {

// Thread-safe.
class LatencyMetrics {
 public:
  // `plugin`: the producer's name.
  LatencyMetrics(observe::Registry& registry, std::string plugin);

  // Of one request; the names as Metrics::Series has them: bounded.
  struct Names {
    std::string_view model, target;
  };
  // How long the predictions took.
  void predicted(const Names& names, Nanos took);
  void unpredicted() { unpredicted_.add(); }
  // Milliseconds; `predicted`, `slo`: 0 when there is none.
  enum class What : bool { kFirstToken, kFurtherToken };
  void came(What what, const Names& names, double actual, double predicted, double slo);
  void taught(std::size_t samples) { taught_.add(static_cast<double>(samples)); }
  void not_taught(std::size_t samples) { not_taught_.add(static_cast<double>(samples)); }

 private:
  observe::Labels labels(const Names& names) const;
  void show(std::string_view type, const Names& names, double value);
  void observe(std::string_view name, std::string_view help, const std::vector<double>& bounds,
               const Names& names, double value);

  observe::Registry& registry_;
  const std::string plugin_;
  observe::Counter &unpredicted_, &taught_, &not_taught_;
};

}  // namespace baton::epp
