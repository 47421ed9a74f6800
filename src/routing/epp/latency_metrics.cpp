#include "routing/epp/latency_metrics.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace baton::epp {
namespace {

using observe::Labels;

const std::vector<double> kBounds = {
    .005, .025, .05, .1, .2, .4,  .6,  .8,  1,   1.25, 1.5, 2,   3,   4,    5,    6,    8,   10,
    15,   20,   30,  45, 60, 120, 180, 240, 300, 360,  480, 600, 900, 1200, 1800, 2700, 3600};
const std::vector<double> kToken = {
    .0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4,  .5,  .6,  .8, 1,
    1.5,   2,      3,    4.5, 6,   12,  18,  24,  30, 36,   48,  60, 90, 120, 180, 270, 360};
const std::vector<double> kPredicting = {.0001, .0005, .001, .002, .005, .01, .02,
                                         .05,   .1,    .2,   .5,   1,    2,   5};

std::string older_name(std::string_view name) {
  return fmt::format("inference_objective_{}", name);
}
std::string current_name(std::string_view name) { return fmt::format("llm_d_epp_{}", name); }
Labels older_labels(const LatencyMetrics::Names& names) {
  return {{"model_name", std::string(names.model)},
          {"target_model_name", std::string(names.target)}};
}

}  // namespace

LatencyMetrics::LatencyMetrics(observe::Registry& registry, std::string plugin)
    : registry_(registry),
      plugin_(std::move(plugin)),
      unpredicted_(registry.counter("baton_epp_unpredicted_requests_total",
                                    "requests that went without predictions, by load")),
      taught_(registry.counter("baton_epp_latency_samples_sent_total",
                               "latencies that the training server was told")),
      not_taught_(registry.counter("baton_epp_latency_samples_lost_total",
                                   "latencies that it was not told: too many, or no answer")) {}

Labels LatencyMetrics::labels(const Names& names) const {
  return {{"plugin_name", plugin_},
          {"plugin_type", "predicted-latency-producer"},
          {"model_name", std::string(names.model)},
          {"target_model_name", std::string(names.target)}};
}

void LatencyMetrics::show(std::string_view type, const Names& names, double value) {
  constexpr std::string_view kName = "inference_request_metric";
  constexpr std::string_view kHelp = "the newest request's times in seconds, and violations";
  auto now = labels(names), old = older_labels(names);
  now.emplace_back("type", type);
  old.emplace_back("type", type);
  registry_.gauge(current_name(kName), kHelp, now).set(value);
  registry_.gauge(older_name(kName), kHelp, old).set(value);
}

void LatencyMetrics::observe(std::string_view name, std::string_view help,
                             const std::vector<double>& bounds, const Names& names, double value) {
  registry_.histogram(current_name(name), help, bounds, labels(names)).observe(value);
  registry_.histogram(older_name(name), help, bounds, older_labels(names)).observe(value);
}

void LatencyMetrics::predicted(const Names& names, Nanos took) {
  for (const std::string_view what : {"ttft", "tpot"}) {
    observe(fmt::format("request_{}_prediction_duration_seconds", what), "time to predict",
            kPredicting, names, seconds(took));
    show(fmt::format("{}_prediction_duration", what), names, seconds(took));
  }
}

void LatencyMetrics::came(What what, const Names& names, double actual, double predicted,
                          double slo) {
  const std::string_view word = what == What::kFirstToken ? "ttft" : "tpot";
  const auto& bounds = what == What::kFirstToken ? kBounds : kToken;
  constexpr double kMillis = 1e-3;
  registry_
      .histogram(older_name(fmt::format("request_{}_seconds", word)), "as it came", bounds,
                 older_labels(names))
      .observe(actual * kMillis);
  show(word, names, actual * kMillis);
  if (predicted > 0) {
    observe(fmt::format("request_predicted_{}_seconds", word), "as it was predicted", bounds, names,
            predicted * kMillis);
    show(fmt::format("predicted_{}", word), names, predicted * kMillis);
  }
  if (slo <= 0) return;
  const bool violated = actual > slo;
  show(fmt::format("{}_slo_violation", word), names, violated ? 1 : 0);
  if (!violated) return;
  auto now = labels(names), old = older_labels(names);
  now.emplace_back("type", word);
  old.emplace_back("type", word);
  constexpr std::string_view kHelp = "answers slower than their clients asked for";
  registry_.counter(current_name("request_slo_violation_total"), kHelp, now).add();
  registry_.counter(older_name("request_slo_violation_total"), kHelp, old).add();
}

}  // namespace baton::epp
