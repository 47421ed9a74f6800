// `baton bench`: load for an OpenAI-compatible server, with the metric definitions of vLLM's bench.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <csignal>

#include "cli/bench_run.hpp"
#include "cli/command.hpp"
#include "cli/text_file.hpp"

namespace baton::cli {
namespace {

struct Options {
  std::string url = "http://127.0.0.1:8080/v1";
  BenchTarget target;
  SyntheticLoad load;
  std::string rate = "inf", trace, output = "text";
  TraceLoad traced;
  std::size_t concurrency = 0;
  int timeout_seconds = 600;
  bool chat = false;
};

void add_target_flags(CLI::App& app, Options& o) {
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
}

void add_load_flags(CLI::App& app, Options& o) {
  app.add_option("--num-prompts", o.load.count, "how many requests; of a trace, its first ones")
      ->check(CLI::Range(std::size_t{1}, kMaxAsks))
      ->capture_default_str();
  auto* rate = app.add_option("--request-rate", o.rate,
                              "requests a second, as a Poisson process; inf: all at once")
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
  app.add_option("--trace-scale", o.traced.scale, "arrivals come that many times as fast")
      ->check(CLI::Range(1e-6, 1e6))
      ->needs(trace)
      ->capture_default_str();
  app.add_option("--trace-length-scale", o.traced.length_scale, "times all lengths of the trace")
      ->check(CLI::Range(1e-6, 1e3))
      ->needs(trace)
      ->capture_default_str();
}

Result<std::vector<Ask>> load_of(Options& o) {
  if (!o.trace.empty()) {
    o.traced.count = o.load.count;
    o.traced.seed = o.load.seed;
    BATON_TRY_ASSIGN(const std::string text, read_text_file(o.trace));
    return trace_load(text, o.traced).with(o.trace);
  }
  if (o.rate != "inf") {
    double rate = 0;
    if (!CLI::detail::lexical_cast(o.rate, rate) || !std::isfinite(rate) || rate <= 0) {
      return invalid(fmt::format("--request-rate {}: expected a number above 0, or inf", o.rate));
    }
    o.load.rate = rate;
  }
  if (o.load.shared_prefix >= o.load.input) {
    return invalid(fmt::format("--shared-prefix-len {}: expected less than --input-len {}",
                               o.load.shared_prefix, o.load.input));
  }
  return synthetic_load(o.load);
}

Status bench(Options& o) {
  BATON_TRY_ASSIGN(o.target.server, parse_server_url(o.url));
  BATON_TRY_ASSIGN(const auto asks, load_of(o));
  if (o.chat) o.target.endpoint = BenchEndpoint::kChat;
  o.target.timeout = std::chrono::seconds(o.timeout_seconds);
  const SystemClock clock;
  const std::size_t concurrency = o.concurrency > 0 ? o.concurrency : asks.size();
  BATON_TRY_ASSIGN(const BenchRun run, send_load(o.target, asks, concurrency, clock));
  const Report report = summarize(run.outcomes, run.took);
  fmt::print("{}",
             o.output == "json" ? text::json::pretty(report_json(report)) : report_text(report));
  if (report.completed == report.requests) return {};
  return unavailable(fmt::format("{} of {} requests were not answered as asked",
                                 report.requests - report.completed, report.requests));
}

}  // namespace

int run_bench(int argc, char** argv) {
  Options options;
  CLI::App app("Load an OpenAI-compatible server and measure its answers", "bench");
  add_target_flags(app, options);
  add_load_flags(app, options);
  app.footer(
      "Every answer is checked (status, number of tokens) before it counts; exits 7 when one was "
      "not as asked.\nExample: baton bench --num-prompts 50 --request-rate 4 --input-len 1500");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  std::signal(SIGPIPE, SIG_IGN);  // a closed connection is a failed request
  const Status done = bench(options);
  return done ? 0 : fail("bench", done.error());
}

}  // namespace baton::cli
