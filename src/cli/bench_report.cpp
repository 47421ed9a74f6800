#include "cli/bench_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/core/assert.hpp"

namespace baton::cli {
namespace {

using text::json::Object;
using text::json::Value;

double per_second(double count, const Report& r) { return r.seconds > 0 ? count / r.seconds : 0; }

Value spread_json(const Spread& s) {
  if (s.count == 0) return nullptr;
  return Object{
      {"count", s.count}, {"mean", s.mean}, {"p50", s.p50}, {"p90", s.p90}, {"p99", s.p99}};
}

std::string spread_row(std::string_view name, const Spread& s) {
  if (s.count == 0) return fmt::format("  {:<8} none\n", name);
  return fmt::format("  {:<8} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f}\n", name, s.mean, s.p50, s.p90,
                     s.p99);
}

}  // namespace

double percentile(const std::vector<double>& sorted, double share) {
  BATON_ASSERT(!sorted.empty());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {values.size(), sum / static_cast<double>(values.size()), percentile(values, 0.5),
          percentile(values, 0.9), percentile(values, 0.99)};
}

Result<Limits> parse_limits(const std::vector<std::string>& words) {
  Limits out;
  for (const auto& word : words) {
    const auto colon = word.find(':');
    const auto name = word.substr(0, colon);
    auto* limit = name == "ttft"                    ? &out.ttft
                  : name == "tpot"                  ? &out.tpot
                  : name == "e2e" || name == "e2el" ? &out.e2e
                                                    : nullptr;
    double value = 0;
    const char* end = word.data() + word.size();
    const auto read = colon == std::string::npos
                          ? std::from_chars_result{end, std::errc::invalid_argument}
                          : std::from_chars(word.data() + colon + 1, end, value);
    const bool is_number = read.ec == std::errc() && read.ptr == end && value > 0 && value < 1e12;
    if (limit == nullptr || *limit || !is_number) {
      return invalid(fmt::format(
          "--goodput {}: expected ttft:MS, tpot:MS or e2e:MS, each at most once", word));
    }
    *limit = value;
  }
  return out;
}

std::string to_string(const Limits& limits) {
  std::string out;
  for (const auto& [name, limit] : {std::pair("ttft", limits.ttft), std::pair("tpot", limits.tpot),
                                    std::pair("e2e", limits.e2e)}) {
    if (limit) out += fmt::format("{}{} {:g} ms", out.empty() ? "" : ", ", name, *limit);
  }
  return out;
}

Report summarize(const std::vector<Outcome>& outcomes, Nanos took, const Limits& limits) {
  Report out;
  out.limits = limits;
  out.requests = outcomes.size();
  out.seconds = seconds(took);
  std::vector<double> ttft, tpot, itl, e2e;
  for (const Outcome& o : outcomes) {
    if (!o.failure.empty()) {
      if (out.failures[o.failure]++ == 0) out.details[o.failure] = o.detail;
      continue;
    }
    ++out.completed;
    out.prompt_tokens += o.prompt;
    out.output_tokens += o.completion;
    const Nanos first = o.first.value_or(o.last);
    ttft.push_back(millis(first));
    e2e.push_back(millis(o.last));
    double each = 0;  // an answer of one token keeps every limit between tokens
    if (o.completion > 1) {
      each = millis(o.last - first) / static_cast<double>(o.completion - 1);
      tpot.push_back(each);
    }
    const bool is_good = !(ttft.back() > limits.ttft.value_or(ttft.back())) &&
                         !(each > limits.tpot.value_or(each)) &&
                         !(e2e.back() > limits.e2e.value_or(e2e.back()));
    out.good += is_good ? 1 : 0;
    for (const Nanos gap : o.gaps) itl.push_back(millis(gap));
    if (!o.computed) continue;
    ++out.told;
    out.prefilled += o.prefilled ? 1 : 0;
    out.remote += o.remote.value_or(0);
    out.cached += o.cached.value_or(0);
    out.computed += *o.computed;
  }
  out.ttft = spread(std::move(ttft));
  out.tpot = spread(std::move(tpot));
  out.itl = spread(std::move(itl));
  out.e2e = spread(std::move(e2e));
  return out;
}

std::string report_text(const Report& r) {
  std::string out = fmt::format("{} of {} requests answered as asked in {:.2f} s\n", r.completed,
                                r.requests, r.seconds);
  for (const auto& [kind, count] : r.failures) {
    out += fmt::format("  failed: {} × {} ({})\n", count, kind, r.details.at(kind));
  }
  if (r.completed == 0) return out;
  out += fmt::format("{} prompt tokens, {} answer tokens\n", r.prompt_tokens, r.output_tokens);
  out += fmt::format("{:.2f} requests/s, {:.1f} answer tokens/s, {:.1f} tokens/s in all\n",
                     per_second(static_cast<double>(r.completed), r),
                     per_second(static_cast<double>(r.output_tokens), r),
                     per_second(static_cast<double>(r.prompt_tokens + r.output_tokens), r));
  out += fmt::format("\n  {:<8} {:>9} {:>9} {:>9} {:>9}\n", "ms", "mean", "p50", "p90", "p99");
  out += spread_row("TTFT", r.ttft) + spread_row("TPOT", r.tpot) + spread_row("ITL", r.itl) +
         spread_row("E2E", r.e2e);
  if (r.limits.any()) {
    out += fmt::format("\ngoodput: {:.2f} requests/s ({} of {} within {})\n",
                       per_second(static_cast<double>(r.good), r), r.good, r.requests,
                       to_string(r.limits));
  }
  if (r.told == 0) return out + "\nThe server does not tell how prompts were computed.\n";
  out += fmt::format(
      "\n{} of {} through a prefill pod; prompt tokens: {} from remote KV, {} from "
      "own cache, {} computed\n",
      r.prefilled, r.told, r.remote, r.cached, r.computed);
  return out;
}

Value report_json(const Report& r) {
  Object failures;
  for (const auto& [kind, count] : r.failures) failures.set(kind, count);
  Value proof;
  if (r.told > 0) {
    proof = Object{{"requests", r.told},
                   {"prefilled", r.prefilled},
                   {"remote_tokens", r.remote},
                   {"cached_tokens", r.cached},
                   {"computed_tokens", r.computed}};
  }
  const auto output = static_cast<double>(r.output_tokens);
  Value goodput;
  if (r.limits.any()) {
    const auto limit = [](std::optional<double> ms) { return ms ? Value(*ms) : Value(nullptr); };
    goodput = Object{{"ttft_ms", limit(r.limits.ttft)},
                     {"tpot_ms", limit(r.limits.tpot)},
                     {"e2e_ms", limit(r.limits.e2e)},
                     {"requests", r.good},
                     {"requests_per_second", per_second(static_cast<double>(r.good), r)}};
  }
  return Object{
      {"requests", r.requests},
      {"completed", r.completed},
      {"failures", std::move(failures)},
      {"seconds", r.seconds},
      {"prompt_tokens", r.prompt_tokens},
      {"output_tokens", r.output_tokens},
      {"requests_per_second", per_second(static_cast<double>(r.completed), r)},
      {"output_tokens_per_second", per_second(output, r)},
      {"total_tokens_per_second", per_second(output + static_cast<double>(r.prompt_tokens), r)},
      {"ttft_ms", spread_json(r.ttft)},
      {"tpot_ms", spread_json(r.tpot)},
      {"itl_ms", spread_json(r.itl)},
      {"e2e_ms", spread_json(r.e2e)},
      {"goodput", std::move(goodput)},
      {"proof", std::move(proof)}};
}

}  // namespace baton::cli
