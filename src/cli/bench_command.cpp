// `baton bench`: load for an OpenAI-compatible server, with the metric definitions of vLLM's bench.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <csignal>
#include <fstream>

#include "cli/bench_page.hpp"
#include "cli/bench_run.hpp"
#include "cli/command.hpp"
#include "cli/print.hpp"
#include "cli/progress_view.hpp"
#include "cli/text_file.hpp"

namespace baton::cli {
namespace {

struct BenchFlags {
  std::string url = "http://127.0.0.1:8080/v1";
  BenchTarget target;
  SyntheticLoad load;
  std::vector<std::string> rates = {"inf"}, goodput;
  std::vector<double> trace_scales = {1};
  std::string trace, output = "text", page;
  TraceLoad traced;
  Limits limits;
  std::size_t concurrency = 0;
  int timeout_seconds = 600;
  bool chat = false;
};

void add_target_flags(CLI::App& app, BenchFlags& o) {
  app.add_option("--url", o.url, "the server's base address, with /v1")
      ->envname("OPENAI_BASE_URL")
      ->capture_default_str();
  app.add_option("--api-key", o.target.api_key, "sent as a bearer token")
      ->envname("OPENAI_API_KEY");
  app.add_option("--model", o.target.model, "default: the first model the server lists");
  app.add_flag("--chat", o.chat, "ask /chat/completions; default: /completions");
  app.add_option("--timeout", o.timeout_seconds, "longest wait for one answer, seconds")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_option("-o,--output", o.output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_option("--html", o.page, "also write a page with plots to this file");
  app.add_option("--goodput", o.goodput,
                 "count requests within limits, ms: ttft:500 tpot:50 e2e:3000");
}

void add_load_flags(CLI::App& app, BenchFlags& o) {
  app.add_option("--num-prompts", o.load.count, "how many requests; of a trace, its first ones")
      ->check(CLI::Range(std::size_t{1}, kMaxAsks))
      ->capture_default_str();
  auto* rate = app.add_option("--request-rate", o.rates,
                              "requests a second, as a Poisson process; inf: all at once; 1,2,4: "
                              "one run after the other")
                   ->delimiter(',')
                   ->capture_default_str();
  app.add_option("--concurrency", o.concurrency, "most requests at a time; default: no limit")
      ->check(CLI::Range(std::size_t{1}, kMaxAsks));
  auto* input = app.add_option("--input-len", o.load.input, "prompt, tokens (about)")
                    ->check(CLI::Range(std::size_t{1}, kMaxTokens))
                    ->capture_default_str();
  auto* output = app.add_option("--output-len", o.load.output, "answer, tokens (exactly)")
                     ->check(CLI::Range(std::size_t{1}, kMaxTokens))
                     ->capture_default_str();
  auto* shared = app.add_option("--shared-prefix-len", o.load.shared_prefix,
                                "of the prompt, tokens that all requests have in common")
                     ->capture_default_str();
  app.add_option("--seed", o.load.seed, "of arrivals and words")->capture_default_str();
  auto* trace =
      app.add_option("--trace", o.trace, "replay a file: Mooncake's JSON lines, or Azure's CSV")
          ->excludes(rate)
          ->excludes(input)
          ->excludes(output)
          ->excludes(shared);
  app.add_option("--trace-scale", o.trace_scales,
                 "arrivals come that many times as fast; 1,2,4: one run after the other")
      ->delimiter(',')
      ->check(CLI::Range(1e-6, 1e6))
      ->needs(trace)
      ->capture_default_str();
  app.add_option("--trace-length-scale", o.traced.length_scale, "times all lengths of the trace")
      ->check(CLI::Range(1e-6, 1e3))
      ->needs(trace)
      ->capture_default_str();
}

// One run of the command.
struct Planned {
  BenchPoint point;
  std::vector<Ask> asks;
};

Result<std::vector<Planned>> planned_traces(BenchFlags& o) {
  o.traced.count = o.load.count;
  o.traced.seed = o.load.seed;
  BATON_TRY_ASSIGN(const std::string text, read_text_file(o.trace));
  std::vector<Planned> out;
  for (const double scale : o.trace_scales) {
    o.traced.scale = scale;
    Planned run{{.name = fmt::format("trace x {:g}", scale), .load = scale}, {}};
    BATON_TRY_ASSIGN(run.asks, trace_load(text, o.traced).with(o.trace));
    out.push_back(std::move(run));
    ++o.traced.seed;  // the prompts of one run are not in the caches of the next
  }
  return out;
}

Result<std::vector<Planned>> planned_rates(BenchFlags& o) {
  if (o.load.shared_prefix >= o.load.input) {
    return invalid(fmt::format("--shared-prefix-len {}: expected less than --input-len {}",
                               o.load.shared_prefix, o.load.input));
  }
  std::vector<Planned> out;
  for (const auto& word : o.rates) {
    double rate = 0;
    const bool at_once = word == "inf";
    if (!at_once && (!CLI::detail::lexical_cast(word, rate) || !std::isfinite(rate) || rate <= 0)) {
      return invalid(fmt::format("--request-rate {}: expected a number above 0, or inf", word));
    }
    o.load.rate = rate;
    out.push_back(
        {{.name = at_once ? "at once" : fmt::format("{:g} requests/s", rate), .load = rate},
         synthetic_load(o.load)});
    ++o.load.seed;  // the prompts of one run are not in the caches of the next
  }
  return out;
}

void print_points(const BenchFlags& o, const std::vector<BenchPoint>& points) {
  if (o.output == "json") {
    text::json::Array list;
    for (const auto& point : points) {
      auto report = report_json(point.report);
      report["load"] = point.name;
      list.push_back(std::move(report));
    }
    cli::print("{}", text::json::pretty(points.size() == 1 ? list.front() : list));
    return;
  }
  for (const auto& point : points) {
    if (points.size() > 1) cli::print("{}{}\n", &point == points.data() ? "" : "\n", point.name);
    cli::print("{}", report_text(point.report));
  }
}

Status write_page(const BenchFlags& o, const std::vector<BenchPoint>& points) {
  const auto about = fmt::format("{} {}", o.url, o.trace.empty() ? "" : o.trace);
  std::ofstream out(o.page, std::ios::binary | std::ios::trunc);
  out << bench_page(points, o.limits, about);
  out.close();
  if (!out) return denied(fmt::format("cannot write {}", o.page));
  return {};
}

// With a bar on a terminal; elsewhere the report alone.
Result<BenchRun> send_shown(const BenchTarget& target, const Planned& run, std::size_t concurrency,
                            const Clock& clock) {
  if (!ProgressView::standard_error_draws()) {
    return send_load(target, run.asks, concurrency, clock);
  }
  auto view = ProgressView::of_standard_error(run.point.name, clock, Unit::kCount);
  view.expect(run.asks.size());
  view.have(0);
  return send_load(target, run.asks, concurrency, clock,
                   [&](std::size_t requests) { view.have(requests); });
}

Status bench(BenchFlags& o) {
  BATON_TRY_ASSIGN(o.target.server, parse_server_url(o.url));
  BATON_TRY_ASSIGN(o.limits, parse_limits(o.goodput));
  BATON_TRY_ASSIGN(auto runs, o.trace.empty() ? planned_rates(o) : planned_traces(o));
  if (o.chat) o.target.endpoint = BenchEndpoint::kChat;
  o.target.timeout = std::chrono::seconds(o.timeout_seconds);
  const SystemClock clock;
  std::vector<BenchPoint> points;
  std::size_t failed = 0, requests = 0;
  for (auto& run : runs) {
    if (runs.size() > 1) cli::print(stderr, "{}: {} requests\n", run.point.name, run.asks.size());
    const std::size_t concurrency = o.concurrency > 0 ? o.concurrency : run.asks.size();
    BATON_TRY_ASSIGN(BenchRun done, send_shown(o.target, run, concurrency, clock));
    run.point.report = summarize(done.outcomes, done.took, o.limits);
    run.point.outcomes = std::move(done.outcomes);
    failed += run.point.report.requests - run.point.report.completed;
    requests += run.point.report.requests;
    points.push_back(std::move(run.point));
  }
  print_points(o, points);
  if (!o.page.empty()) {
    BATON_TRY(write_page(o, points));
  }
  if (failed == 0) return {};
  return unavailable(fmt::format("{} of {} requests were not answered as asked", failed, requests));
}

}  // namespace

int run_bench(int argc, char** argv) {
  BenchFlags options;
  CLI::App app("Load an OpenAI-compatible server and measure its answers", "bench");
  add_target_flags(app, options);
  add_load_flags(app, options);
  app.footer(
      "Every answer is checked (status, number of tokens) before it counts; exits 7 when one was "
      "not as asked.\nExample: baton bench --num-prompts 50 --request-rate 1,2,4 --input-len 1500 "
      "--goodput ttft:500 "
      "--html bench.html");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  std::signal(SIGPIPE, SIG_IGN);  // a closed connection is a failed request
  const Status done = bench(options);
  return done ? 0 : fail("bench", done.error());
}

}  // namespace baton::cli
