#include "engine/serve/probe.hpp"

#include <fmt/format.h>
#include "base/observe/build_info.hpp"

namespace baton::serve {
namespace {

using Bounds = std::vector<double>;

const Bounds kFirstToken = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                            1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
const Bounds kPerToken = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                          .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
const Bounds kRequest = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                         30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};

// 1 2 5 10 20 50 … up to the context.
Bounds counts(std::size_t limit) {
  Bounds out;
  for (double unit = 1; unit <= static_cast<double>(limit); unit *= 10) {
    for (const double step : {1.0, 2.0, 5.0}) {
      if (unit * step <= static_cast<double>(limit)) out.push_back(unit * step);
    }
  }
  return out;
}

void follow(observe::Counter& counter, std::uint64_t total) {
  counter.add(static_cast<double>(total) - counter.value());
}
void follow(observe::Gauge& gauge, std::size_t value) { gauge.set(static_cast<double>(value)); }

}  // namespace

observe::Counter& Probe::counter(std::string_view name, std::string_view help,
                                 observe::Labels more) {
  more.insert(more.begin(), labels_.begin(), labels_.end());
  return registry_.counter(name, help, std::move(more));
}
observe::Gauge& Probe::gauge(std::string_view name, std::string_view help, observe::Labels more) {
  more.insert(more.begin(), labels_.begin(), labels_.end());
  return registry_.gauge(name, help, std::move(more));
}
observe::Histogram& Probe::histogram(std::string_view name, std::string_view help, Bounds bounds) {
  return registry_.histogram(name, help, std::move(bounds), labels_);
}

Probe::Probe(const runtime::EngineConfig& config, const Info& info)
    : labels_{{"engine", "0"}, {"model_name", info.model_name}},
      token_bounds_(counts(config.max_model_len)),
      running_(gauge("vllm:num_requests_running", "Requests in the batch.")),
      waiting_(gauge("vllm:num_requests_waiting",
                     "Requests in the queue, also those waiting for KV of another engine.")),
      kv_usage_(gauge("vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.")),
      prompt_tokens_(counter("vllm:prompt_tokens_total", "Prompt tokens answered.")),
      generation_tokens_(counter("vllm:generation_tokens_total", "Tokens generated.")),
      preemptions_(
          counter("vllm:num_preemptions_total", "Requests put back for lack of KV blocks.")),
      prefix_queries_(counter("vllm:prefix_cache_queries_total",
                              "Prompt tokens looked up in the prefix cache.")),
      prefix_hits_(
          counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.")),
      external_queries_(counter("vllm:external_prefix_cache_queries_total",
                                "Prompt tokens asked of other engines.")),
      external_hits_(counter("vllm:external_prefix_cache_hits_total",
                             "Prompt tokens whose KV came from another engine.")),
      waiting_room_(gauge("vllm:num_requests_waiting_by_reason",
                          "Requests in the queue by what they wait for.",
                          {{"reason", "capacity"}})),
      waiting_deferred_(gauge("vllm:num_requests_waiting_by_reason",
                              "Requests in the queue by what they wait for.",
                              {{"reason", "deferred"}})),
      by_compute_(counter("vllm:prompt_tokens_by_source_total",
                          "Prompt tokens by how their KV came about.",
                          {{"source", "local_compute"}})),
      by_cache_(counter("vllm:prompt_tokens_by_source_total",
                        "Prompt tokens by how their KV came about.",
                        {{"source", "local_cache_hit"}})),
      by_transfer_(counter("vllm:prompt_tokens_by_source_total",
                           "Prompt tokens by how their KV came about.",
                           {{"source", "external_kv_transfer"}})),
      cached_(
          counter("vllm:prompt_tokens_cached_total", "Prompt tokens that were not computed here.")),
      recomputed_(counter("vllm:prompt_tokens_recomputed_total",
                          "Last prompt tokens computed though the prompt's KV was there.")),
      ended_stop_(counter("vllm:request_success_total", "Requests by how they ended.",
                          {{"finished_reason", "stop"}})),
      ended_length_(counter("vllm:request_success_total", "Requests by how they ended.",
                            {{"finished_reason", "length"}})),
      ended_abort_(counter("vllm:request_success_total", "Requests by how they ended.",
                           {{"finished_reason", "abort"}})),
      ended_error_(counter("vllm:request_success_total", "Requests by how they ended.",
                           {{"finished_reason", "error"}})),
      first_token_(
          histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", kFirstToken)),
      inter_token_(histogram("vllm:inter_token_latency_seconds",
                             "Between the outputs of a request.", kPerToken)),
      per_token_(histogram("vllm:request_time_per_output_token_seconds",
                           "Decode time by token, of a request.", kPerToken)),
      total_(histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", kRequest)),
      queue_(histogram("vllm:request_queue_time_seconds", "Arrival to first scheduled.", kRequest)),
      inference_(histogram("vllm:request_inference_time_seconds", "First scheduled to last token.",
                           kRequest)),
      prefill_(histogram("vllm:request_prefill_time_seconds", "First scheduled to first token.",
                         kRequest)),
      decode_(histogram("vllm:request_decode_time_seconds", "First to last token.", kRequest)),
      prompt_size_(
          histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", token_bounds_)),
      generation_size_(histogram("vllm:request_generation_tokens", "Generated tokens of a request.",
                                 token_bounds_)),
      asked_size_(
          histogram("vllm:request_params_max_tokens", "max_tokens of a request.", token_bounds_)),
      computed_size_(histogram("vllm:request_prefill_kv_computed_tokens",
                               "Prompt tokens computed here, of a request.", token_bounds_)),
      asked_n_(histogram("vllm:request_params_n", "n of a request.", {1, 2, 5, 10, 20})),
      longest_(histogram("vllm:request_max_num_generation_tokens",
                         "Generated tokens of a request's longest choice.", token_bounds_)),
      step_tokens_(histogram("vllm:iteration_tokens_total", "Tokens of a forward pass.",
                             Bounds(runtime::kStepTokens.begin(), runtime::kStepTokens.end()))),
      blocks_pinned_(gauge("baton_kv_blocks_pinned", "KV blocks held back on behalf of leases.")),
      blocks_leased_(gauge("baton_kv_blocks_leased", "KV blocks in the lease table.")),
      leases_(gauge("baton_kv_leases", "Leases that are out.")),
      waiting_remote_(
          gauge("baton_requests_waiting_remote", "Requests waiting for KV of another engine.")),
      rejected_(
          counter("baton_requests_rejected_total", "Requests refused because the queue was full.")),
      pulls_ok_(
          counter("baton_kv_pulls_total", "Pulls of KV from other engines.", {{"result", "ok"}})),
      pulls_failed_(counter("baton_kv_pulls_total", "Pulls of KV from other engines.",
                            {{"result", "failed"}})),
      pulls_given_up_(counter("baton_kv_pulls_total", "Pulls of KV from other engines.",
                              {{"result", "given_up"}})),
      bytes_pulled_(counter("baton_kv_pulled_bytes_total", "KV bytes pulled from other engines.")),
      bytes_copied_(counter("baton_kv_copied_bytes_total",
                            "Of the KV bytes pulled those copied out of another engine's memory.")),
      bytes_served_(
          counter("baton_kv_served_bytes_total", "KV bytes other engines pulled from here.")),
      bytes_early_(counter("baton_kv_served_early_bytes_total",
                           "Of the KV bytes served those that went while their prompt was still "
                           "being computed.")),
      pulls_resumed_(counter("baton_kv_pulls_resumed_total",
                             "Times a pull went on after its connection broke.")),
      refused_(counter("baton_kv_readers_refused_total",
                       "Requests for KV that were refused: no such lease, another model, or no "
                       "request at all.")),
      unsettled_(counter("baton_kv_settlements_dropped_total",
                         "Renewals and releases of leases that their engine was not told of: it "
                         "does not answer, or too many were due.")),
      granted_(counter("baton_kv_leases_granted_total", "Leases granted.")),
      released_(counter("baton_kv_leases_released_total", "Leases given back.")),
      expired_(counter("baton_kv_leases_expired_total", "Leases that expired.")),
      withdrawn_(counter("baton_kv_leases_withdrawn_total",
                         "Leases on prompts that were not computed to their end.")),
      evictions_(counter("baton_kv_evictions_total", "Cached blocks reused for something else.")),
      event_batches_(counter("baton_kv_event_batches_total", "Batches of KV events published.")),
      events_lost_(
          counter("baton_kv_event_batches_lost_total",
                  "Batches of KV events that a follower did not get: a bound was reached.")),
      event_replays_(counter("baton_kv_event_replays_total", "Requests to repeat KV events.")),
      steps_(counter("baton_engine_steps_total", "Forward passes.")),
      event_followers_(gauge("baton_kv_event_followers", "Subscribers of KV events.")) {
  observe::tell_build(registry_);
  registry_
      .gauge("vllm:cache_config_info", "The KV cache's configuration.",
             {{"block_size", fmt::format("{}", config.block_size)},
              {"cache_dtype", info.kv_dtype},
              {"enable_prefix_caching", config.prefix_caching ? "True" : "False"},
              {"engine", "0"},
              {"num_cpu_blocks", "None"},
              {"num_gpu_blocks", fmt::format("{}", config.blocks)},
              {"sliding_window", "None"}})
      .set(1);
  // There is no sleep mode.
  for (const std::string state : {"awake", "weights_offloaded", "discard_all"})
    gauge("vllm:engine_sleep_state", "1: the state the engine is in.", {{"sleep_state", state}})
        .set(state == "awake" ? 1 : 0);
}

void Probe::first_token(Nanos since_arrival, const runtime::PromptReport& report) {
  first_token_.observe(seconds(since_arrival));
  queue_.observe(seconds(report.queue));
  prefill_.observe(seconds(report.transfer + report.compute));
  computed_size_.observe(static_cast<double>(report.computed));
  prompt_tokens_.add(static_cast<double>(report.prompt));
}

void Probe::finished(const Finished& f) {
  (f.reason == "stop"     ? ended_stop_
   : f.reason == "length" ? ended_length_
   : f.reason == "abort"  ? ended_abort_
                          : ended_error_)
      .add();
  if (f.reason == "error" || f.generated == 0) return;
  total_.observe(seconds(f.total));
  decode_.observe(seconds(f.decode));
  inference_.observe(seconds(f.inference));
  if (f.generated > 1) per_token_.observe(seconds(f.decode) / static_cast<double>(f.generated - 1));
  prompt_size_.observe(static_cast<double>(f.prompt));
  generation_size_.observe(static_cast<double>(f.generated));
  asked_size_.observe(static_cast<double>(f.max_tokens));
  asked_n_.observe(static_cast<double>(f.n));
}

// As so many steps of their mean: buckets and sum are exact.
void Probe::follow_steps(const runtime::Stats& s) {
  for (std::size_t i = 0; i < s.steps_of.size(); ++i) {
    const auto steps = s.steps_of[i].count - steps_told_[i].count;
    const auto tokens = s.steps_of[i].tokens - steps_told_[i].tokens;
    for (std::uint64_t n = 0; n < steps; ++n)
      step_tokens_.observe(static_cast<double>(tokens) / static_cast<double>(steps));
  }
  steps_told_ = s.steps_of;
}

std::string Probe::expose(const runtime::Stats& s) {
  follow(running_, s.running);
  follow(waiting_, s.waiting);
  follow(waiting_remote_, s.waiting_remote);
  follow(waiting_room_, s.waiting - s.waiting_remote);
  follow(waiting_deferred_, s.waiting_remote);
  kv_usage_.set(s.kv_usage());
  follow(generation_tokens_, s.generation_tokens);
  follow(preemptions_, s.preemptions);
  follow(prefix_queries_, s.prefix_query_tokens);
  follow(prefix_hits_, s.prefix_hit_tokens);
  follow(external_queries_, s.prompt_tokens_asked);
  follow(external_hits_, s.prompt_tokens_remote);
  follow(by_compute_, s.prompt_tokens_computed);
  follow(by_cache_, s.prompt_tokens_cached);
  follow(by_transfer_, s.prompt_tokens_remote);
  follow(cached_, s.prompt_tokens_cached + s.prompt_tokens_remote);
  follow(recomputed_, s.prompt_tokens_recomputed);
  follow_steps(s);
  follow(blocks_pinned_, s.blocks_pinned);
  follow(blocks_leased_, s.blocks_leased);
  follow(leases_, s.leases);
  follow(rejected_, s.rejected);
  follow(pulls_ok_, s.transfers_ok);
  follow(pulls_failed_, s.transfers_failed);
  follow(pulls_given_up_, s.transfers_given_up);
  follow(bytes_pulled_, s.transfer_bytes);
  follow(bytes_copied_, s.transfer_bytes_copied);
  follow(pulls_resumed_, s.transfers_resumed);
  follow(refused_, s.readers_refused);
  follow(unsettled_, s.settlements_dropped);
  follow(bytes_served_, s.served_bytes);
  follow(bytes_early_, s.served_bytes_early);
  follow(granted_, s.leases_granted);
  follow(released_, s.leases_released);
  follow(expired_, s.leases_expired);
  follow(withdrawn_, s.leases_withdrawn);
  follow(evictions_, s.evictions);
  follow(event_batches_, s.kv_events.published);
  follow(events_lost_, s.kv_events.lost);
  follow(event_replays_, s.kv_events.replays);
  follow(event_followers_, s.kv_events.followers);
  follow(steps_, s.steps);
  return registry_.expose();
}

}  // namespace baton::serve
