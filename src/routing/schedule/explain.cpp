// Decisions for people and for headers.

#include <fmt/format.h>

#include "routing/schedule/decision.hpp"

namespace baton::schedule {
namespace {

using text::json::Value;

std::string address(const Endpoint& endpoint, std::uint16_t port) {
  const bool six = endpoint.host.find(':') != std::string::npos;
  return six ? fmt::format("[{}]:{}", endpoint.host, port)
             : fmt::format("{}:{}", endpoint.host, port);
}

const std::string& pod(const Snapshot& snapshot, Index i) { return (*snapshot.endpoints)[i].name; }

Value pods(const Snapshot& snapshot, const std::vector<Index>& indexes) {
  Value out{text::json::Array()};
  for (const Index i : indexes) out.push_back(pod(snapshot, i));
  return out;
}

Value explain_run(const ProfileRun& run, const Snapshot& snapshot) {
  Value one;
  one["profile"] = run.profile;
  for (const auto& drop : run.drops) {
    Value dropped;
    dropped["plugin"] = drop.plugin;
    dropped["pods"] = pods(snapshot, drop.endpoints);
    one["dropped"].push_back(std::move(dropped));
  }
  if (!run.drained_by.empty()) one["drainedBy"] = run.drained_by;
  const auto n = run.candidates.size();
  for (std::size_t c = 0; c < n; ++c) {
    Value candidate;
    candidate["pod"] = pod(snapshot, run.candidates[c]);
    candidate["total"] = static_cast<double>(run.totals[c]);
    for (std::size_t s = 0; s < run.scorers.size(); ++s) {
      candidate["scores"][run.scorers[s]] = static_cast<double>(run.scores[s * n + c]);
    }
    one["candidates"].push_back(std::move(candidate));
  }
  one["picked"] = run.picked ? Value(pod(snapshot, *run.picked)) : Value();
  if (run.ranked.size() > 1) one["ranked"] = pods(snapshot, run.ranked);
  return one;
}

}  // namespace

std::string_view Decision::stages() const {
  if (encode.empty()) return prefill ? "prefill-decode" : "decode-only";
  return prefill ? "encode-prefill-decode" : "encode-decode";
}

Value explain(const Decision& decision, const Snapshot& snapshot) {
  Value out;
  out["primary"] = pod(snapshot, decision.primary);
  out["prefill"] = decision.prefill ? Value(pod(snapshot, *decision.prefill)) : Value();
  if (!decision.encode.empty()) out["encode"] = pods(snapshot, decision.encode);
  if (!decision.prefill) out["reason"] = name(decision.no_prefill);
  out["uncachedBytes"] = decision.uncached_bytes;
  for (const auto& run : decision.runs) out["profiles"].push_back(explain_run(run, snapshot));
  return out;
}

RoutingHeaders routing_headers(const Decision& decision, const Snapshot& snapshot) {
  RoutingHeaders out;
  const auto& endpoints = *snapshot.endpoints;
  const auto join = [&](const std::vector<Index>& indexes) {
    std::string text;
    for (const Index i : indexes) {
      if (!text.empty()) text += ',';
      text += address(endpoints[i], endpoints[i].port);
    }
    return text;
  };
  out.remove = {kPrefillHeader, kEncodeHeader, kDataParallelHeader};
  if (decision.stage_headers && decision.prefill) {
    out.set.emplace_back(kPrefillHeader, join(decision.prefill_candidates));
  }
  if (decision.stage_headers && !decision.encode.empty()) {
    out.set.emplace_back(kEncodeHeader, join(decision.encode));
  }
  if (decision.primary_port) {
    const auto& picked = endpoints[decision.primary];
    out.set.emplace_back(kDataParallelHeader, address(picked, picked.port));
  }
  for (const Index i : decision.decode_candidates) {
    out.destinations.push_back(
        address(endpoints[i], decision.primary_port.value_or(endpoints[i].port)));
  }
  return out;
}

}  // namespace baton::schedule
