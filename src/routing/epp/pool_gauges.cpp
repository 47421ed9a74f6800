#include "routing/epp/pool_gauges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace baton::epp {
namespace {

double rounded(double value) { return std::round(value * 100) / 100; }

}  // namespace

PoolGauges::PoolGauges(observe::Registry& registry, std::string_view pool)
    : registry_(registry),
      pool_(pool),
      kinds_{kind("kv_cache_utilization", "average_kv_cache_utilization"),
             kind("queue_size", "average_queue_size"),
             kind("running_requests", "average_running_requests")},
      ready_(registry.gauge("llm_d_epp_ready_endpoints", "endpoints with fresh metrics",
                            {{"name", pool_}})),
      old_ready_(registry.gauge("inference_pool_ready_pods", "endpoints with fresh metrics",
                                {{"name", pool_}})) {}

PoolGauges::Kind PoolGauges::kind(std::string_view what, std::string_view old) {
  const observe::Labels labels = {{"name", pool_}};
  return {.average = &registry_.gauge(fmt::format("llm_d_epp_average_{}", what),
                                      "over the pool's endpoints", labels),
          .old_average = &registry_.gauge(fmt::format("inference_pool_{}", old),
                                          "over the pool's endpoints", labels),
          .deviation = &registry_.gauge(fmt::format("llm_d_epp_std_dev_{}", what),
                                        "over the pool's endpoints", labels)};
}

void PoolGauges::show(const schedule::Snapshot& snapshot, Mono now, Nanos stale_after) {
  std::array<std::vector<double>, 3> values;
  for (const auto& load : snapshot.loads) {
    if (load.updated == Mono::min() || now - load.updated > stale_after) continue;
    values[0].push_back(static_cast<double>(load.kv_usage));
    values[1].push_back(static_cast<double>(load.waiting));
    values[2].push_back(static_cast<double>(load.running));
  }
  const auto n = static_cast<double>(values[0].size());
  ready_.set(n);
  old_ready_.set(n);
  if (values[0].empty()) return;
  for (std::size_t i = 0; i < kinds_.size(); ++i) {
    double sum = 0;
    for (const double value : values[i]) sum += value;
    const double average = sum / n;
    double squares = 0;
    for (const double value : values[i]) squares += (value - average) * (value - average);
    kinds_[i].average->set(rounded(average));
    kinds_[i].old_average->set(rounded(average));
    kinds_[i].deviation->set(rounded(std::sqrt(squares / std::max(1.0, n - 1))));
  }
}

void PoolGauges::show_endpoints(const schedule::Snapshot& snapshot) {
  constexpr std::string_view kHelp = "requests that wait at an endpoint";
  using Samples = std::vector<observe::Registry::Sample>;
  const auto samples = [&](const char* label) {
    Samples out;
    for (std::size_t i = 0; i < snapshot.size(); ++i) {
      out.push_back({.labels = {{"name", pool_}, {label, (*snapshot.endpoints)[i].id()}},
                     .value = static_cast<double>(snapshot.loads[i].waiting)});
    }
    return out;
  };
  registry_.set_gauges("llm_d_epp_per_endpoint_queue_size", kHelp,
                       samples("model_server_endpoint"));
  registry_.set_gauges("inference_pool_per_pod_queue_size", kHelp, samples("model_server_pod"));
}

// In flight are all requests of an endpoint together: what fairness ids and priorities they have is
// not kept by endpoint.
void PoolGauges::show_plugins(const schedule::Setup& setup, const schedule::Snapshot& snapshot,
                              std::span<const std::size_t> remembered) {
  using Samples = std::vector<observe::Registry::Sample>;
  for (const auto& producer : setup.producers) {
    if (producer.data == schedule::Data::kPrefixMatch) {
      constexpr std::string_view kHelp = "blocks of prompts that are remembered, of all endpoints";
      const auto blocks = static_cast<double>(remembered[producer.view]);
      registry_
          .gauge("llm_d_epp_prefix_indexer_size", kHelp,
                 {{"plugin_name", producer.name}, {"plugin_type", producer.type}})
          .set(blocks);
      registry_.gauge("inference_extension_prefix_indexer_size", kHelp).set(blocks);
    }
    if (producer.data != schedule::Data::kInFlight) continue;
    Samples requests, tokens;
    for (std::size_t i = 0; i < snapshot.size(); ++i) {
      const auto& endpoint = (*snapshot.endpoints)[i];
      const observe::Labels labels = {{"endpoint_name", endpoint.id()},
                                      {"namespace", endpoint.ns},
                                      {"producer_name", producer.name},
                                      {"fairness_id", ""},
                                      {"priority", ""}};
      requests.push_back({labels, static_cast<double>(snapshot.reserved(i))});
      tokens.push_back({labels, static_cast<double>(snapshot.tokens(i))});
    }
    registry_.set_gauges("llm_d_epp_inflight_requests", "requests on their way", requests);
    registry_.set_gauges("llm_d_epp_inflight_tokens", "tokens to be computed", tokens);
  }
}

}  // namespace baton::epp
