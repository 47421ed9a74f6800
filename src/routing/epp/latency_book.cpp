#include "routing/epp/latency_book.hpp"

#include <algorithm>
#include <utility>

namespace baton::epp {

using schedule::Latencies;
using schedule::LatencyRow;
using What = LatencyMetrics::What;

LatencyBook::Entry LatencyBook::survey(const pick::ServicePool::Ask& ask,
                                       const schedule::Slo& slo) {
  Entry entry;
  entry.slo = slo;
  entry.survey = deps_.pool.survey(ask);
  entry.surveyed = deps_.clock.now();
  return entry;
}

void LatencyBook::predicted(Entry& entry, std::span<const Latencies> predicted,
                            const LatencyMetrics::Names& names) {
  const auto& endpoints = *entry.survey.endpoints;
  entry.predictions.endpoints = entry.survey.endpoints;
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    const bool prefills =
        !parameters_.role_label.empty() && endpoints[i].label(parameters_.role_label) == "prefill";
    entry.predictions.each.push_back(schedule::judge(predicted[i], entry.survey.rows[i], entry.slo,
                                                     deps_.slos.least(endpoints[i].slot), prefills,
                                                     parameters_));
  }
  deps_.metrics.predicted(names, deps_.clock.now() - entry.surveyed);
}

void LatencyBook::picked(Entry& entry, const pick::Route& route) {
  entry.picked = deps_.clock.now();
  const auto& endpoints = *entry.survey.endpoints;
  const auto place_of = [&](const schedule::Endpoint& wanted) -> std::optional<std::size_t> {
    const auto it = std::ranges::find_if(endpoints, [&](const schedule::Endpoint& e) {
      return e.slot == wanted.slot && e.name == wanted.name;
    });
    if (it == endpoints.end()) return std::nullopt;
    return static_cast<std::size_t>(it - endpoints.begin());
  };
  const auto& foretold = entry.predictions.each;
  if (const auto i = place_of(route.decode)) {
    entry.first = entry.further = entry.survey.rows[*i];
    if (!foretold.empty()) entry.foretold = {foretold[*i].ttft_ms, foretold[*i].tpot_ms};
  }
  if (route.prefill) {
    const auto i = place_of(*route.prefill);
    entry.first = i ? std::optional(entry.survey.rows[*i]) : std::nullopt;
    entry.foretold.ttft_ms = i && !foretold.empty() ? foretold[*i].ttft_ms : 0;
  }
  entry.held = deps_.slos.hold(route.decode.slot, entry.slo.tpot_ms);
}

void LatencyBook::learn(const std::optional<LatencyRow>& row, const Latencies& took) {
  if (row) deps_.samples.add({.row = *row, .took = took, .at = deps_.clock.wall()});
}

void LatencyBook::piece(Entry& entry) {
  ++entry.pieces;
  if (!parameters_.streaming || entry.ttft_ms) return;
  entry.ttft_ms = since(entry.picked);
  learn(entry.first, {.ttft_ms = *entry.ttft_ms, .tpot_ms = 0});
}

// Without streaming the whole answer counts as its first token.
void LatencyBook::whole(Entry& entry, std::optional<std::uint64_t> tokens,
                        const LatencyMetrics::Names& names) {
  const double took = since(entry.picked);
  if (!parameters_.streaming) {
    entry.ttft_ms = took;
    learn(entry.first, {.ttft_ms = took, .tpot_ms = 0});
  }
  if (!entry.ttft_ms) return;
  deps_.metrics.came(What::kFirstToken, names, *entry.ttft_ms, entry.foretold.ttft_ms,
                     entry.slo.ttft_ms);
  const auto count = tokens.value_or(entry.pieces);
  if (!parameters_.streaming || count <= 1 || took <= *entry.ttft_ms) return;
  const double each = (took - *entry.ttft_ms) / static_cast<double>(count - 1);
  deps_.metrics.came(What::kFurtherToken, names, each, entry.foretold.tpot_ms, entry.slo.tpot_ms);
  if (entry.further) entry.further->prefix_share = 0;  // it has no part in further tokens
  learn(entry.further, {.ttft_ms = 0, .tpot_ms = each});
}

}  // namespace baton::epp
