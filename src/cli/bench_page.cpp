#include "cli/bench_page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/svg_chart.hpp"

namespace baton::cli {

namespace {

constexpr std::size_t kMaxDots = 2000;  // of a distribution; more are not seen

constexpr std::string_view kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>baton bench</title><style>
:root{color-scheme:light dark;--s0:#1f6fb2;--s1:#c2571a;--s2:#2f8f4e;--s3:#8a4fb0}
@media(prefers-color-scheme:dark){:root{--s0:#6db3f2;--s1:#f2a76d;--s2:#7fd69b;--s3:#c79be8}}
body{font:15px system-ui,sans-serif;margin:2em auto;max-width:1180px;padding:0 1em}
svg{width:100%;max-width:560px;font:12px system-ui,sans-serif;fill:currentColor}
svg .title{font-size:14px;font-weight:600}.grid{stroke:currentColor;opacity:.15}
polyline{fill:none;stroke-width:2}.plots{display:flex;flex-wrap:wrap;gap:1em}
polyline.s0{stroke:var(--s0)}polyline.s1{stroke:var(--s1)}polyline.s2{stroke:var(--s2)}polyline.s3{stroke:var(--s3)}
circle.s0{fill:var(--s0)}circle.s1{fill:var(--s1)}circle.s2{fill:var(--s2)}circle.s3{fill:var(--s3)}
table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:right}th:first-child,td:first-child{text-align:left}
tr+tr{border-top:1px solid #8884}code{font-size:13px}
</style></head><body><h1>baton bench</h1>
)";

using Measure = double (*)(const Outcome&);

bool counts(const Outcome& outcome) { return outcome.failure.empty(); }
double ttft(const Outcome& outcome) { return millis(outcome.first.value_or(outcome.last)); }
double e2e(const Outcome& outcome) { return millis(outcome.last); }

// The share of values up to each, in percent.
Series distribution(std::string name, std::vector<double> values) {
  std::ranges::sort(values);
  Series out{std::move(name), {}};
  const std::size_t step = std::max<std::size_t>(1, values.size() / kMaxDots);
  for (std::size_t i = 0; i < values.size(); i += step) {
    out.points.emplace_back(
        values[i], 100.0 * static_cast<double>(i + 1) / static_cast<double>(values.size()));
  }
  return out;
}

std::vector<double> values_of(const BenchPoint& point, Measure value) {
  std::vector<double> out;
  for (const auto& outcome : point.outcomes) {
    if (counts(outcome)) out.push_back(value(outcome));
  }
  return out;
}

std::vector<double> gaps_of(const BenchPoint& point) {
  std::vector<double> out;
  for (const auto& outcome : point.outcomes) {
    if (!counts(outcome)) continue;
    for (const auto gap : outcome.gaps) out.push_back(millis(gap));
  }
  return out;
}

Chart distributions(std::string title, const std::vector<BenchPoint>& points,
                    std::vector<double> (*of)(const BenchPoint&)) {
  Chart out{std::move(title), "ms", "% of requests", Chart::Style::kLines, {}};
  for (const auto& point : points) out.series.push_back(distribution(point.name, of(point)));
  return out;
}

Chart over_load(std::string title, std::string y, const std::vector<BenchPoint>& points,
                std::vector<std::pair<std::string, double (*)(const Report&)>> lines) {
  Chart out{std::move(title), "load", std::move(y), Chart::Style::kLines, {}};
  for (const auto& [name, value] : lines) {
    Series series{name, {}};
    for (const auto& point : points) {
      if (point.report.completed > 0) series.points.emplace_back(point.load, value(point.report));
    }
    out.series.push_back(std::move(series));
  }
  return out;
}

double per_second(std::size_t count, const Report& report) {
  return report.seconds > 0 ? static_cast<double>(count) / report.seconds : 0;
}

std::string row(const BenchPoint& point, const Limits& limits) {
  const Report& r = point.report;
  std::string out = fmt::format("<tr><td>{}</td><td>{} of {}</td><td>{:.2f}</td><td>{:.1f}</td>",
                                escaped(point.name), r.completed, r.requests,
                                per_second(r.completed, r), per_second(r.output_tokens, r));
  for (const auto* spread : {&r.ttft, &r.tpot, &r.itl, &r.e2e}) {
    out += spread->count == 0
               ? "<td>–</td><td>–</td>"
               : fmt::format("<td>{:.1f}</td><td>{:.1f}</td>", spread->p50, spread->p99);
  }
  if (limits.any()) out += fmt::format("<td>{:.2f}</td>", per_second(r.good, r));
  return out + "</tr>\n";
}

}  // namespace

std::string bench_page(const std::vector<BenchPoint>& points, const Limits& limits,
                       const std::string& about) {
  std::string out(kHead);
  out += fmt::format(
      "<p><code>{}</code></p>\n<table><tr><th>load</th><th>answered</th>"
      "<th>requests/s</th><th>tokens/s</th>",
      escaped(about));
  for (const char* name : {"TTFT", "TPOT", "ITL", "E2E"}) {
    out += fmt::format("<th>{0} p50, ms</th><th>p99</th>", name);
  }
  if (limits.any()) out += fmt::format("<th>within {}, /s</th>", escaped(to_string(limits)));
  out += "</tr>\n";
  for (const auto& point : points) out += row(point, limits);
  out += "</table>\n<div class=\"plots\">\n";
  if (points.size() > 1) {
    out += svg(over_load("Time to first token", "ms", points,
                         {{"p50", [](const Report& r) { return r.ttft.p50; }},
                          {"p99", [](const Report& r) { return r.ttft.p99; }}}));
    out += svg(over_load("Between tokens", "ms", points,
                         {{"p50", [](const Report& r) { return r.itl.p50; }},
                          {"p99", [](const Report& r) { return r.itl.p99; }}}));
    out +=
        svg(over_load("Throughput", "requests/s", points,
                      {{"answered", [](const Report& r) { return per_second(r.completed, r); }},
                       {"within limits", [](const Report& r) { return per_second(r.good, r); }}}));
  }
  out += svg(
      distributions("Time to first token", points,
                    [](const BenchPoint& p) -> std::vector<double> { return values_of(p, ttft); }));
  out += svg(distributions("Between tokens", points,
                           [](const BenchPoint& p) -> std::vector<double> { return gaps_of(p); }));
  out += svg(distributions("Whole answer", points, [](const BenchPoint& p) -> std::vector<double> {
    return values_of(p, e2e);
  }));
  return out + "</div></body></html>\n";
}

}  // namespace baton::cli
