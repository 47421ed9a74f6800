// Saturation detectors, which are filters too (picker reference 4.9). How full the pool is as a
// whole: schedule/flow/saturation.hpp.

#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr double kMost = 1e12;

class UtilizationFilter final : public Filter {
 public:
  explicit UtilizationFilter(Detector detector) : d_(detector) {}
  // Nobody below the limits: all stay, the least bad one is the scorers' to find.
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto fits = [&](Index i) {
      const auto& load = context.snapshot.loads[i];
      const bool known =
          load.updated != Mono::min() && context.now - load.updated <= d_.stale_after;
      return known && context.snapshot.queue(i) < d_.queue_depth * (1 + d_.headroom) &&
             load.kv_usage < d_.kv_usage * (1 + d_.headroom);
    };
    bool any = false;
    for (const Index i : candidates) any = any || fits(i);
    if (any) std::erase_if(candidates, [&](Index i) { return !fits(i); });
  }

 private:
  Detector d_;
};

class ConcurrencyFilter final : public Filter {
 public:
  explicit ConcurrencyFilter(Detector detector) : d_(detector) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    std::erase_if(candidates, [&](Index i) {
      const bool requests = context.snapshot.reserved(i) >= d_.max_requests * (1 + d_.headroom);
      const auto in_flight = static_cast<double>(context.snapshot.tokens(i));
      const bool tokens = in_flight >= d_.max_tokens * (1 + d_.headroom);
      return (d_.mode != Detector::Mode::kTokens && requests) ||
             (d_.mode != Detector::Mode::kRequests && tokens);
    });
  }
  bool sheds() const override { return true; }

 private:
  Detector d_;
};

double above_zero(Fields& parameters, std::string_view key, double otherwise) {
  const double value = parameters.number(key, otherwise, -kMost, kMost);
  if (value <= 0) parameters.fail(key, "it must be above 0");
  return value;
}

}  // namespace

Plugin make_utilization_detector(Fields& parameters) {
  Detector d;
  d.queue_depth = above_zero(parameters, "queueDepthThreshold", d.queue_depth);
  d.kv_usage = above_zero(parameters, "kvCacheUtilThreshold", d.kv_usage);
  d.stale_after = parameters.duration("metricsStalenessThreshold", d.stale_after);
  d.headroom = parameters.number("headroom", 0, 0, kMost);
  Plugin plugin{.filter = std::make_unique<UtilizationFilter>(d)};
  plugin.service = d;
  return plugin;
}

Plugin make_concurrency_detector(Fields& parameters) {
  constexpr std::array<std::string_view, 3> kModes = {"requests", "tokens", "hybrid"};
  Detector d;
  d.max_requests = above_zero(parameters, "maxConcurrency", d.max_requests);
  d.max_tokens = above_zero(parameters, "maxTokenConcurrency", d.max_tokens);
  const auto mode = parameters.choice("concurrencyMode", "requests", kModes);
  d.mode = mode == "tokens"   ? Detector::Mode::kTokens
           : mode == "hybrid" ? Detector::Mode::kHybrid
                              : Detector::Mode::kRequests;
  d.headroom = parameters.number("headroom", 0, 0, kMost);
  Plugin plugin{.filter = std::make_unique<ConcurrencyFilter>(d)};
  plugin.service = d;
  plugin.needs.push_back({.data = Data::kInFlight,
                          .producer = parameters.text("inFlightLoadProducerName", ""),
                          .pointer = parameters.pointer() + "/inFlightLoadProducerName"});
  return plugin;
}

}  // namespace baton::schedule
