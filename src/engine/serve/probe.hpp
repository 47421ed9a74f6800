#pragma once
// The engine's metrics under vLLM's names (vllm/v1/metrics/loggers.py), and our own for what vLLM
// has no name for.

#include <string>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "engine/runtime/engine.hpp"

namespace baton::serve {

// Confined to the loop.
class Probe {
 public:
  struct Info {
    std::string model_name;
    std::string kv_dtype;  // "bfloat16", "float32"
  };
  Probe(const runtime::EngineConfig& config, const Info& info);

  void first_token(Nanos since_arrival, const runtime::PromptReport& report);
  void next_tokens(Nanos since_last) { inter_token_.observe(seconds(since_last)); }
  struct Finished {
    std::string_view reason;  // stop, length, abort, error
    std::size_t prompt = 0, generated = 0, max_tokens = 0, n = 1;
    Nanos total{}, decode{}, inference{};
  };
  void finished(const Finished& f);
  // The most tokens that a choice of an answered request has.
  void longest_choice(std::size_t tokens) { longest_.observe(static_cast<double>(tokens)); }

  // The exposition with the engine's counts of this moment.
  std::string expose(const runtime::Stats& stats);
  observe::Registry& registry() { return registry_; }

 private:
  observe::Counter& counter(std::string_view name, std::string_view help,
                            observe::Labels more = {});
  observe::Gauge& gauge(std::string_view name, std::string_view help, observe::Labels more = {});
  observe::Histogram& histogram(std::string_view name, std::string_view help,
                                std::vector<double> bounds);

  void follow_steps(const runtime::Stats& stats);

  decltype(runtime::Stats::steps_of) steps_told_{};
  observe::Registry registry_;
  observe::Labels labels_;
  std::vector<double> token_bounds_;

  observe::Gauge &running_, &waiting_, &kv_usage_;
  observe::Counter &prompt_tokens_, &generation_tokens_, &preemptions_, &prefix_queries_,
      &prefix_hits_, &external_queries_, &external_hits_;
  observe::Gauge &waiting_room_, &waiting_deferred_;
  observe::Counter &by_compute_, &by_cache_, &by_transfer_, &cached_, &recomputed_;
  observe::Counter &ended_stop_, &ended_length_, &ended_abort_, &ended_error_;
  observe::Histogram &first_token_, &inter_token_, &per_token_, &total_, &queue_, &inference_,
      &prefill_, &decode_;
  observe::Histogram &prompt_size_, &generation_size_, &asked_size_, &computed_size_, &asked_n_,
      &longest_, &step_tokens_;
  observe::Gauge &blocks_pinned_, &blocks_leased_, &leases_, &waiting_remote_;
  observe::Counter &rejected_, &pulls_ok_, &pulls_failed_, &pulls_given_up_, &bytes_pulled_,
      &bytes_copied_, &bytes_served_, &bytes_early_, &pulls_resumed_, &refused_, &unsettled_,
      &granted_, &released_, &expired_, &withdrawn_, &evictions_, &event_batches_, &events_lost_,
      &event_replays_, &steps_;
  observe::Gauge& event_followers_;
};

}  // namespace baton::serve
