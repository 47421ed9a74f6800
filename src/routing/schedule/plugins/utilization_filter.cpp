// utilization-filter: only endpoints that are below every limit (picker reference 4.5).

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::array<std::string_view, 4> kMetrics = {"active-requests", "running-requests",
                                                      "waiting-queue", "kv-cache-utilization"};

struct Limit {
  std::string_view metric;
  double most = 0;
};

double value_of(std::string_view metric, const Snapshot& snapshot, Index i) {
  if (metric == kMetrics[0]) return snapshot.reserved(i);
  const auto& load = snapshot.loads[i];
  if (metric == kMetrics[1]) return static_cast<double>(load.running);
  return static_cast<double>(metric == kMetrics[2] ? snapshot.queue(i) : load.kv_usage);
}

class LimitsFilter final : public Filter {
 public:
  LimitsFilter(std::vector<Limit> limits, bool falls_back)
      : limits_(std::move(limits)), falls_back_(falls_back) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto fits = [&](Index i) {
      return std::ranges::all_of(limits_, [&](const Limit& limit) {
        return value_of(limit.metric, context.snapshot, i) <= limit.most;
      });
    };
    if (falls_back_ && std::ranges::none_of(candidates, fits)) return;
    std::erase_if(candidates, [&](Index i) { return !fits(i); });
  }
  bool sheds() const override { return true; }

 private:
  std::vector<Limit> limits_;
  bool falls_back_;
};

}  // namespace

Plugin make_utilization_filter(Fields& parameters) {
  constexpr double kMost = 1e12;
  std::vector<Limit> limits;
  const auto& items = parameters.array("conditions");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(parameters.pointer() + "/conditions", i),
                  parameters.settings());
    const auto metric = fields.choice("metric", "", kMetrics);
    const auto* known = std::ranges::find(kMetrics, metric);
    if (!fields.has("maxValue")) fields.fail("maxValue", "a limit is missing");
    const bool share = metric == kMetrics[3];
    limits.push_back({.metric = known == kMetrics.end() ? "" : *known,
                      .most = fields.number("maxValue", 0, 0, share ? 1 : kMost)});
    parameters.take_error(fields);
  }
  if (items.empty()) parameters.fail("conditions", "at least one condition is needed");
  const bool counts = std::ranges::find(limits, kMetrics[0], &Limit::metric) != limits.end();
  const bool falls_back = parameters.boolean("fallbackOnEmpty", false);
  Plugin plugin{.filter = std::make_unique<LimitsFilter>(std::move(limits), falls_back)};
  const auto producer = parameters.text("inFlightLoadProducerName", "");
  if (counts) {
    plugin.needs.push_back({.data = Data::kInFlight,
                            .producer = producer,
                            .pointer = parameters.pointer() + "/inFlightLoadProducerName"});
  }
  return plugin;
}

}  // namespace baton::schedule
