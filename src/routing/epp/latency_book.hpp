#pragma once
// Latency of one request after the other: what is foretold of it, what it took, what that teaches.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/core/clock.hpp"
#include "routing/epp/latency_metrics.hpp"
#include "routing/epp/pool.hpp"
#include "routing/epp/samples.hpp"
#include "routing/epp/tpot_slos.hpp"
#include "routing/schedule/latency.hpp"

namespace baton::epp {

// Confined to one loop; pool, slos and metrics are shared.
class LatencyBook {
 public:
  struct Deps {
    SharedPool& pool;
    const Clock& clock;
    TpotSlos& slos;
    LatencyMetrics& metrics;
    Samples& samples;
  };
  // Contract: the pool's setup has latency.
  explicit LatencyBook(Deps deps) : deps_(deps), parameters_(*deps.pool.setup().latency) {}

  // What is known of one request. Movable; it may outlive its endpoints.
  struct Entry {
    schedule::Slo slo;
    pick::ServicePool::Survey survey;
    Mono surveyed;
    pick::Predictions predictions;  // empty: none
    // Once picked. The first token comes from the prefill pod, where there is one.
    Mono picked;
    std::optional<schedule::LatencyRow> first, further;
    schedule::Latencies foretold;  // 0: not
    TpotSlos::Held held;
    // Of the answer.
    std::optional<double> ttft_ms;
    std::uint64_t pieces = 0;
  };

  // Whether predictions are asked for; else one only learns.
  bool predicts() const { return parameters_.predicts; }
  Entry survey(const pick::ServicePool::Ask& ask, const schedule::Slo& slo);
  // In the order of the survey's rows.
  void predicted(Entry& entry, std::span<const schedule::Latencies> predicted,
                 const LatencyMetrics::Names& names);
  void picked(Entry& entry, const pick::Route& route);
  // One piece of a good answer.
  void piece(Entry& entry);
  // The good answer is whole. `tokens`: as the engine tells; else pieces count.
  void whole(Entry& entry, std::optional<std::uint64_t> tokens, const LatencyMetrics::Names& names);

 private:
  void learn(const std::optional<schedule::LatencyRow>& row, const schedule::Latencies& took);
  double since(Mono from) const { return seconds(deps_.clock.now() - from) * 1e3; }

  Deps deps_;
  const schedule::LatencyParameters parameters_;
};

}  // namespace baton::epp
