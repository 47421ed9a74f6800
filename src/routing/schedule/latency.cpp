#include "routing/schedule/latency.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <utility>

#include "base/text/json.hpp"

namespace baton::schedule {
namespace {

// Below, an endpoint's cache is cold and predictions about it mean little.
constexpr float kCold = 0.02F;

// What predictions and samples have in common; without braces.
void append_features(const LatencyRow& row, std::uint32_t generated, std::string& out) {
  fmt::format_to(std::back_inserter(out),
                 R"("kv_cache_percentage":{},"input_token_length":{},"num_request_waiting":{},)"
                 R"("num_request_running":{},"num_tokens_generated":{},"prefix_cache_score":{},)"
                 R"("encoder_input_size":0,"encoder_matched_size":0,)",
                 row.kv_usage, row.prompt_tokens, row.waiting, row.in_flight, generated,
                 row.prefix_share);
  if (!row.pod_type.empty()) {
    out += R"("pod_type":)" + text::json::dump(text::json::Value(row.pod_type)) + ',';
  }
  fmt::format_to(std::back_inserter(out),
                 R"("prefill_tokens_in_flight":{},"decode_tokens_in_flight":0)",
                 row.prefill_tokens);
}

std::optional<double> finite(const text::json::Value& item, std::string_view key) {
  const auto* member = item.find(key);
  const auto value = member == nullptr ? std::nullopt : member->if_double();
  if (!value || !std::isfinite(*value)) return std::nullopt;
  return value;
}

}  // namespace

std::vector<LatencyRow> latency_rows(const Request& request, const Snapshot& snapshot,
                                     const LatencyParameters& parameters) {
  SeededRandom unused(0);
  const Context context{request, snapshot, Mono(), unused};
  std::vector<LatencyRow> rows;
  rows.reserve(snapshot.size());
  for (Index i = 0; i < snapshot.size(); ++i) {
    const auto& load = snapshot.loads[i];
    auto& row = rows.emplace_back();
    row.kv_usage = std::clamp(static_cast<double>(load.kv_usage), 0.0, 1.0);
    row.prompt_tokens = request.tokens();
    row.waiting = static_cast<std::uint32_t>(std::max(load.waiting, 0.0F));
    row.in_flight = static_cast<std::uint32_t>(std::max(snapshot.reserved(i), 0));
    if (request.prompt_blocks > 0) {
      row.prefix_share = std::min(1.0, static_cast<double>(context.matched(i)) /
                                           static_cast<double>(request.prompt_blocks));
    }
    row.prefill_tokens = std::max<std::int64_t>(snapshot.tokens(i), 0);
    if (!parameters.role_label.empty()) {
      row.pod_type = (*snapshot.endpoints)[i].label(parameters.role_label);
    }
  }
  return rows;
}

void PredictionBody::add(const LatencyRow& row) {
  rows_json_ += rows_++ == 0 ? "{" : ",{";
  append_features(row, 1, rows_json_);
  rows_json_ += '}';
}

std::string PredictionBody::finish() {
  auto out = R"({"requests":[)" + std::exchange(rows_json_, {}) + "]}";
  rows_ = 0;
  return out;
}

Result<std::vector<Latencies>> read_predictions(std::string_view json, std::size_t rows) {
  BATON_TRY_ASSIGN(const auto answer, text::json::parse(json));
  const auto* list = answer.find("predictions");
  const auto* items = list == nullptr ? nullptr : list->if_array();
  if (items == nullptr || items->size() != rows) {
    return invalid(fmt::format("/predictions: {} of {} rows are predicted",
                               items == nullptr ? 0 : items->size(), rows));
  }
  std::vector<Latencies> out;
  out.reserve(rows);
  for (const auto& item : *items) {
    const auto ttft = finite(item, "ttft_ms");
    const auto tpot = finite(item, "tpot_ms");
    if (!ttft || !tpot) {
      return invalid(
          fmt::format("/predictions/{}: ttft_ms and tpot_ms are no numbers", out.size()));
    }
    out.push_back({.ttft_ms = *ttft, .tpot_ms = *tpot});
  }
  return out;
}

std::string training_body(std::span<const LatencySample> samples) {
  std::string out = R"({"entries":[)";
  for (const auto& sample : samples) {
    out += &sample == samples.data() ? "{" : ",{";
    append_features(sample.row, 0, out);
    const auto millis = std::chrono::duration_cast<Millis>(sample.at.time_since_epoch()).count();
    fmt::format_to(std::back_inserter(out),
                   R"(,"actual_ttft_ms":{},"actual_tpot_ms":{},"timestamp":"{:%FT%T}.{:03}Z"}})",
                   sample.took.ttft_ms, sample.took.tpot_ms,
                   fmt::gmtime(static_cast<std::time_t>(millis / 1000)), millis % 1000);
  }
  return out + "]}";
}

Prediction judge(const Latencies& predicted, const LatencyRow& row, const Slo& slo,
                 double least_tpot_ms, bool prefills, const LatencyParameters& parameters) {
  Prediction out{.known = true,
                 .idle = row.in_flight == 0,
                 .ttft_ms = predicted.ttft_ms,
                 .tpot_ms = predicted.tpot_ms,
                 .ttft_headroom = slo.ttft_ms - predicted.ttft_ms};
  // Elsewhere no time of a further token is learnt.
  const bool generates = parameters.streaming && !prefills;
  if (generates) {
    double wanted = slo.tpot_ms;
    if (least_tpot_ms > 0) wanted = std::min(wanted, least_tpot_ms);
    out.tpot_headroom = wanted * parameters.slo_buffer - predicted.tpot_ms;
  }
  out.meets = out.ttft_headroom > 0 && (!generates || out.tpot_headroom > 0);
  return out;
}

bool admits(const Slo& slo, const Request& request, const Snapshot& snapshot) {
  if (request.priority >= 0 || (slo.ttft_ms <= 0 && slo.tpot_ms <= 0)) return true;
  SeededRandom unused(0);
  const Context context{request, snapshot, Mono(), unused};
  bool any = false;
  for (Index i = 0; i < snapshot.size(); ++i) {
    const auto& load = snapshot.loads[i];
    if (load.kv_usage < kCold || load.running == 0) return true;
    const auto* prediction = context.prediction(i);
    any = any || prediction != nullptr;
    if (prediction != nullptr && prediction->meets) return true;
  }
  return !any;
}

}  // namespace baton::schedule
