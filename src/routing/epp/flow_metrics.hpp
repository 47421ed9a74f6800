#pragma once
// Flow control under the names that dashboards read (picker reference 6.4), also under the older
// ones.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/epp/metrics.hpp"
#include "routing/schedule/flow/flow_control.hpp"

namespace baton::epp {

// As Metrics::Series has them: bounded.
struct RequestLabels {
  std::string model, target, fairness;
};

// As a label: "Dispatched", "EvictedTTL".
std::string_view outcome_label(schedule::Outcome outcome);

// Thread-safe.
class FlowMetrics {
  // A flow as its series name it: fairness id and priority. The series end when nobody has held one
  // for schedule::kFlowIdle.
  struct Flow {
    std::size_t holders = 0;
    bool used = true;  // since the last end_idle()
    Mono since{};      // when end_idle() first saw it unused
  };
  using FlowKey = std::pair<std::string, std::int32_t>;
  using Flows = std::map<FlowKey, Flow>;

  // While one lives, the flow's series do not end.
  class Hold {
   public:
    Hold(FlowMetrics& metrics, const std::string& fairness, std::int32_t priority);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    FlowMetrics& metrics_;
    Flows::iterator flow_;
  };

 public:
  FlowMetrics(observe::Registry& registry, std::string_view pool);

  // One request in the queue: its gauges go down when this ends.
  class Waiting {
   public:
    Waiting(FlowMetrics& metrics, const RequestLabels& labels, std::int32_t priority,
            std::int64_t bytes);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    void finished(schedule::Outcome outcome, Nanos waited, Nanos to_enter);

   private:
    FlowMetrics& metrics_;
    const Hold hold_;
    const RequestLabels& labels_;
    const std::int32_t priority_;
    const double bytes_;
    Level size_, queued_bytes_;
    bool told_ = false;
  };
  // `to_enter`: of `waited`, until it stood in the queue.
  void finished(const RequestLabels& labels, std::int32_t priority, schedule::Outcome outcome,
                Nanos waited, Nanos to_enter);
  // Once a second or so: ends the series of flows that are idle. Those of "other", which many flows
  // share, stay.
  void end_idle(Mono now);
  void turned(Nanos took) { observe_in(turn_, seconds(took)); }
  void saturation(const schedule::Saturation& saturation);
  void bands(const std::vector<schedule::FlowControl::BandState>& bands,
             const schedule::FlowConfig& config);
  // Of program-aware fairness; the kMaxLabelValues that were served most, of those whose id is a
  // label.
  void programs(const std::map<std::string, schedule::FlowControl::Program>& programs);
  // Evictions: for whom, of how many; how one of them ended; saturation that they are to free.
  void evicted(const schedule::Demand& demand, std::size_t count);
  void eviction_ended(Nanos took);
  void eviction_given_up();
  void reclaiming(double pending);

 private:
  observe::Counter& evictions(std::string_view outcome);
  Level level(std::string_view name, std::string_view help, const observe::Labels& labels);
  observe::Gauge& share(std::string_view name, const observe::Labels& labels);

  observe::Registry& registry_;
  const std::string pool_;
  Spread turn_;
  Level prefill_, decode_, effective_;
  observe::Gauge& stale_;
  std::mutex mutex_;  // guards flows_
  Flows flows_;
};

}  // namespace baton::epp
