#include "routing/epp/flow_metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

namespace baton::epp {
namespace {

using observe::Labels;

const std::vector<double> kQueued = {.0001, .0005, .001, .005, .01, .025, .05, .1,
                                     .25,   .5,    1,    2.5,  5,   10,   30,  60};
const std::vector<double> kTurn = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1};
const std::vector<double> kEnded = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

// Families whose series name a flow.
constexpr std::array<std::string_view, 4> kOfFlows = {"request_queue_duration_seconds",
                                                      "request_enqueue_duration_seconds",
                                                      "queue_size", "queue_bytes"};

std::string current_flow(std::string_view name) {
  return fmt::format("llm_d_epp_flow_control_{}", name);
}
std::string older(std::string_view name) {
  return fmt::format("inference_extension_flow_control_{}", name);
}

}  // namespace

std::string_view outcome_label(schedule::Outcome outcome) {
  using schedule::Outcome;
  switch (outcome) {
    case Outcome::kDispatched:
      return "Dispatched";
    case Outcome::kRejectedCapacity:
      return "RejectedCapacity";
    case Outcome::kRejectedNoEndpoints:
      return "RejectedNoEndpoints";
    case Outcome::kExpired:
      return "EvictedTTL";
    case Outcome::kExpiredNoEndpoints:
      return "EvictedNoEndpoints";
    case Outcome::kCancelled:
      return "EvictedContextCancelled";
    case Outcome::kShuttingDown:
      return "EvictedOther";
  }
  return "RejectedOther";
}

FlowMetrics::FlowMetrics(observe::Registry& registry, std::string_view pool)
    : registry_(registry),
      pool_(pool),
      turn_{.now = &registry.histogram(current_flow("dispatch_cycle_duration_seconds"),
                                       "looking whether a request may go", kTurn),
            .old = &registry.histogram(older("dispatch_cycle_duration_seconds"),
                                       "looking whether a request may go", kTurn)},
      stale_(registry.gauge(current_flow("stale_endpoints"), "endpoints without fresh metrics",
                            {{"detector", "utilization-detector"}})) {
  const auto stage = [&](std::string_view name) {
    return level("pool_saturation", "how full the pool is; 1: full",
                 {{"inference_pool", pool_}, {"stage", std::string(name)}});
  };
  prefill_ = stage("prefill");
  decode_ = stage("decode");
  effective_ = stage("effective");
}

Level FlowMetrics::level(std::string_view name, std::string_view help, const Labels& labels) {
  return {.now = &registry_.gauge(current_flow(name), help, labels),
          .old = &registry_.gauge(older(name), help, labels)};
}

observe::Gauge& FlowMetrics::share(std::string_view name, const Labels& labels) {
  return registry_.gauge(current_flow(name), "of what may wait, what does", labels);
}

void FlowMetrics::saturation(const schedule::Saturation& saturation) {
  const auto set = [](const Level& level, double value) {
    level.each([&](observe::Gauge& gauge) { gauge.set(value); });
  };
  set(prefill_, saturation.prefill);
  set(decode_, saturation.decode);
  set(effective_, saturation.effective);
  stale_.set(static_cast<double>(saturation.stale));
}

void FlowMetrics::bands(const std::vector<schedule::FlowControl::BandState>& bands,
                        const schedule::FlowConfig& config) {
  const auto of = [](std::int64_t used, std::int64_t most) {
    return most > 0 ? static_cast<double>(used) / static_cast<double>(most) : 0;
  };
  std::int64_t requests = 0;
  std::int64_t bytes = 0;
  for (const auto& band : bands) {
    const Labels labels = {{"priority", fmt::to_string(band.priority)}, {"inference_pool", pool_}};
    share("capacity_utilization_requests", labels).set(of(band.requests, band.max_requests));
    share("capacity_utilization_bytes", labels).set(of(band.bytes, band.max_bytes));
    requests += band.requests;
    bytes += band.bytes;
  }
  const Labels all = {{"inference_pool", pool_}};
  if (config.max_requests > 0) {
    share("global_capacity_utilization_requests", all).set(of(requests, config.max_requests));
  }
  if (config.max_bytes > 0) {
    share("global_capacity_utilization_bytes", all).set(of(bytes, config.max_bytes));
  }
}

void FlowMetrics::programs(const std::map<std::string, schedule::FlowControl::Program>& programs) {
  if (programs.empty()) return;
  std::vector<std::pair<std::string_view, const schedule::FlowControl::Program*>> most;
  double sum = 0;
  double squares = 0;
  for (const auto& [id, program] : programs) {
    if (id.size() <= kMaxLabelBytes) most.emplace_back(id, &program);
    sum += program.service;
    squares += program.service * program.service;
  }
  // Jain's index: 1 when all were served alike, 1/n when one has everything.
  const auto n = static_cast<double>(programs.size());
  registry_
      .gauge("llm_d_epp_program_aware_jains_fairness_index",
             "how evenly programs were served; 1: alike")
      .set(squares > 0 ? sum * sum / (n * squares) : 1);
  std::ranges::sort(most, std::greater<>(), [](const auto& one) { return one.second->service; });
  if (most.size() > kMaxLabelValues) most.resize(kMaxLabelValues);
  std::vector<observe::Registry::Sample> waits, services;
  for (const auto& [id, program] : most) {
    const Labels labels = {{"program_id", std::string(id)}};
    const auto requests = static_cast<double>(std::max<std::uint64_t>(1, program->requests));
    waits.push_back({labels, millis(program->waited) / requests});
    services.push_back({labels, program->service});
  }
  registry_.set_gauges("llm_d_epp_program_aware_avg_wait_time_milliseconds",
                       "time in the queue by request", waits);
  registry_.set_gauges("llm_d_epp_program_aware_attained_service_tokens",
                       "prompt tokens and twice the generated ones, of late", services);
}

FlowMetrics::Hold::Hold(FlowMetrics& metrics, const std::string& fairness, std::int32_t priority)
    : metrics_(metrics) {
  const std::lock_guard lock(metrics_.mutex_);
  flow_ = metrics_.flows_.try_emplace(FlowKey(fairness, priority)).first;
  ++flow_->second.holders;
  flow_->second.used = true;
}

FlowMetrics::Hold::~Hold() {
  const std::lock_guard lock(metrics_.mutex_);
  --flow_->second.holders;
  flow_->second.used = true;
}

void FlowMetrics::end_idle(Mono now) {
  const std::lock_guard lock(mutex_);
  for (auto it = flows_.begin(); it != flows_.end();) {
    const auto& [fairness, priority] = it->first;
    auto& flow = it->second;
    if (flow.holders > 0 || std::exchange(flow.used, false)) {
      flow.since = now;
      ++it;
    } else if (now - flow.since < schedule::kFlowIdle || fairness == kOtherLabel) {
      ++it;
    } else {
      const Labels labels = {{"fairness_id", fairness}, {"priority", fmt::to_string(priority)}};
      for (const std::string_view name : kOfFlows) {
        registry_.end_series(current_flow(name), labels);
        registry_.end_series(older(name), labels);
      }
      it = flows_.erase(it);
    }
  }
}

void FlowMetrics::finished(const RequestLabels& labels, std::int32_t priority,
                           schedule::Outcome outcome, Nanos waited, Nanos to_enter) {
  const Hold hold(*this, labels.fairness, priority);
  const std::string outcome_name(outcome_label(outcome));
  const auto rank = fmt::to_string(priority);
  const auto observe = [&](std::string_view name, std::string_view help, const Labels& with,
                           const std::vector<double>& bounds, Nanos took) {
    registry_.histogram(current_flow(name), help, bounds, with).observe(seconds(took));
    registry_.histogram(older(name), help, bounds, with).observe(seconds(took));
  };
  observe("request_queue_duration_seconds", "time in the queue",
          {{"fairness_id", labels.fairness},
           {"priority", rank},
           {"outcome", outcome_name},
           {"inference_pool", pool_},
           {"model_name", labels.model},
           {"target_model_name", labels.target}},
          kQueued, waited);
  observe("request_enqueue_duration_seconds", "time to get into the queue",
          {{"fairness_id", labels.fairness}, {"priority", rank}, {"outcome", outcome_name}}, kTurn,
          to_enter);
  registry_
      .counter(current_flow("requests_total"), "requests that came to the queue, by outcome",
               {{"outcome", outcome_name}, {"priority", rank}, {"inference_pool", pool_}})
      .add();
}

void FlowMetrics::evicted(const schedule::Demand& demand, std::size_t count) {
  registry_
      .counter(current_flow("revocations_issued_total"),
               "running requests told to end, by the priority they end for",
               {{"priority", fmt::to_string(demand.priority)}, {"inference_pool", pool_}})
      .add(static_cast<double>(count));
  registry_
      .gauge(current_flow("reclaim_target"),
             "saturation over the limit when requests were last evicted",
             {{"inference_pool", pool_}})
      .set(demand.saturation - demand.ceiling);
}

observe::Counter& FlowMetrics::evictions(std::string_view outcome) {
  return registry_.counter(current_flow("revocations_total"), "evicted requests by how they ended",
                           {{"outcome", std::string(outcome)}, {"inference_pool", pool_}});
}

void FlowMetrics::eviction_ended(Nanos took) {
  evictions("confirmed").add();
  registry_
      .histogram(current_flow("revocation_confirmation_seconds"),
                 "until an evicted request's stream ended", kEnded, {{"inference_pool", pool_}})
      .observe(seconds(took));
}

void FlowMetrics::eviction_given_up() { evictions("timed_out").add(); }

void FlowMetrics::reclaiming(double pending) {
  registry_
      .gauge(current_flow("pending_reclaim"),
             "saturation that evictions free and that may not show yet",
             {{"inference_pool", pool_}})
      .set(pending);
}

FlowMetrics::Waiting::Waiting(FlowMetrics& metrics, const RequestLabels& labels,
                              std::int32_t priority, std::int64_t bytes)
    : metrics_(metrics),
      hold_(metrics, labels.fairness, priority),
      labels_(labels),
      priority_(priority),
      bytes_(static_cast<double>(bytes)) {
  const Labels all = {{"fairness_id", labels.fairness},
                      {"priority", fmt::to_string(priority)},
                      {"inference_pool", metrics.pool_},
                      {"model_name", labels.model},
                      {"target_model_name", labels.target}};
  size_ = metrics.level("queue_size", "requests that wait", all);
  queued_bytes_ = metrics.level("queue_bytes", "bytes of bodies that wait", all);
  size_.each([](observe::Gauge& gauge) { gauge.add(1); });
  queued_bytes_.each([&](observe::Gauge& gauge) { gauge.add(bytes_); });
}

FlowMetrics::Waiting::~Waiting() {
  size_.each([](observe::Gauge& gauge) { gauge.add(-1); });
  queued_bytes_.each([&](observe::Gauge& gauge) { gauge.add(-bytes_); });
  if (told_) return;
  metrics_.finished(labels_, priority_, schedule::Outcome::kCancelled, Nanos(0), Nanos(0));
}

void FlowMetrics::Waiting::finished(schedule::Outcome outcome, Nanos waited, Nanos to_enter) {
  told_ = true;
  metrics_.finished(labels_, priority_, outcome, waited, to_enter);
}

}  // namespace baton::epp
