#pragma once
// Predicted latency: what the servers that predict and learn it are told and answer, and what that
// means for a request (picker reference 4.5). Pure. Names on the wire are those of llm-d's latency
// predictor.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

// One endpoint as a request finds it.
struct LatencyRow {
  double kv_usage = 0;  // 0..1
  std::uint64_t prompt_tokens = 0;
  std::uint32_t waiting = 0;        // as the engine tells
  std::uint32_t in_flight = 0;      // requests of ours there
  double prefix_share = 0;          // of the prompt that it holds, 0..1
  std::int64_t prefill_tokens = 0;  // in flight there, still to be computed
  std::string pod_type;             // its role, by the configured label; "" for none
  friend bool operator==(const LatencyRow&, const LatencyRow&) = default;
};
// By endpoint.
std::vector<LatencyRow> latency_rows(const Request& request, const Snapshot& snapshot,
                                     const LatencyParameters& parameters);

// Body of a bulk prediction, made row by row.
class PredictionBody {
 public:
  void add(const LatencyRow& row);
  std::size_t rows() const { return rows_; }
  std::string finish();  // leaves it empty

 private:
  std::string rows_json_;
  std::size_t rows_ = 0;
};

struct Latencies {
  double ttft_ms = 0, tpot_ms = 0;  // to the first token; a further one
  friend bool operator==(const Latencies&, const Latencies&) = default;
};
// Of a bulk prediction's answer, in the order of its rows. kInvalid: not JSON, not as many as were
// asked, or one without finite numbers.
Result<std::vector<Latencies>> read_predictions(std::string_view json, std::size_t rows);

// What one answer took: teaches the first token's time, or a further one's (the other is 0).
struct LatencySample {
  LatencyRow row;
  Latencies took;
  Wall at;
};
// Body of a batch of them.
std::string training_body(std::span<const LatencySample> samples);

// What the client asks for; 0: nothing.
struct Slo {
  double ttft_ms = 0, tpot_ms = 0;
};
// `least_tpot_ms`: what running requests of the endpoint ask for at least; 0: nothing. `prefills`:
// the endpoint generates no tokens.
Prediction judge(const Latencies& predicted, const LatencyRow& row, const Slo& slo,
                 double least_tpot_ms, bool prefills, const LatencyParameters& parameters);

// Whether latency-slo-admitter lets the request through: priority 0 and more, and whenever it
// cannot be said that nobody meets what the client asks for.
bool admits(const Slo& slo, const Request& request, const Snapshot& snapshot);

}  // namespace baton::schedule
