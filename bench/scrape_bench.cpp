// What it costs an endpoint picker to read the metrics of its pods: CPU of its loop while it does
// nothing else, and whether it keeps every tick.
//
//   scrape_bench [--pods N] [--kb N] [--seconds N] [--serve PORT]
//
// `--serve PORT`: only the pods, for another benchmark, until it is ended.
//
// The picker is the one of `baton epp` with its interval of 50 ms, on a thread of its own whose
// clock is read. Its pods are addresses of this machine with one server behind them, which answers
// with a page of N KB as vLLM's (histograms mostly) and counts who was asked how often; its own
// time does not count. Before a number counts: the picker shows what the page says, of every pod.

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/core/log.hpp"
#include "base/core/memory.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "loop_time.hpp"
#include "net/http/server.hpp"
#include "routing/epp/server.hpp"
#include "routing/pick/testing/seed.hpp"
#include "routing/watch/scraper.hpp"

namespace baton::bench {
namespace {

struct Options {
  int pods = 100;
  int kb = 22;
  int seconds = 5;
  int serve = 0;  // port
};

const SystemClock kClock;
constexpr double kKvUsage = 0.25;  // as every pod's page says

// Python's own first, then gauges, then histograms until there are `bytes`.
std::string page(std::size_t bytes) {
  std::string out;
  for (int generation = 0; generation < 3; ++generation) {
    out +=
        fmt::format("python_gc_objects_collected_total{{generation=\"{}\"}} 12345.0\n", generation);
  }
  const auto family = [&](std::string_view name, std::string_view type) {
    out +=
        fmt::format("# HELP vllm:{0} What vLLM says about {0}.\n# TYPE vllm:{0} {1}\n", name, type);
  };
  constexpr std::string_view kLabels = R"(engine="0",model_name="llama")";
  const auto gauge = [&](std::string_view name, double value) {
    family(name, "gauge");
    out += fmt::format("vllm:{}{{{}}} {}\n", name, kLabels, value);
  };
  gauge("num_requests_running", 3);
  gauge("num_requests_waiting", 1);
  gauge("kv_cache_usage_perc", kKvUsage);
  family("cache_config_info", "gauge");
  out += R"(vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",)"
         R"(gpu_memory_utilization="0.9",num_gpu_blocks="27000"} 1.0)"
         "\n";
  for (int family_number = 0; out.size() < bytes; ++family_number) {
    const auto name = fmt::format("request_time_{}_seconds", family_number);
    family(name, "histogram");
    double bound = 0.001;
    for (int bucket = 0; bucket < 20; ++bucket, bound *= 2) {
      out += fmt::format("vllm:{}_bucket{{{},le=\"{}\"}} {}.0\n", name, kLabels, bound,
                         bucket * 1000 + 17);
    }
    out +=
        fmt::format("vllm:{0}_count{{{1}}} 20017.0\nvllm:{0}_sum{{{1}}} 512.25\n", name, kLabels);
  }
  return out;
}

// Every pod's metrics.
class Stand {
 public:
  Stand(std::string text, int port)
      : page_(std::move(text)),
        loop_("stand"),
        server_(loop_, kClock, {}, [this](http::Exchange& exchange) { return answer(exchange); }) {
    port_ = must(server_.listen({"0.0.0.0", static_cast<std::uint16_t>(port)})).port;
    loop_.start();
  }
  ~Stand() { server_.stop({kClock.now()}); }

  std::uint16_t port() const { return port_; }
  std::uint64_t asked() const { return asked_; }
  double cpu() { return cpu_seconds(loop_); }

 private:
  Task<void> answer(http::Exchange& exchange) {
    ++asked_;
    http::ResponseHead head;
    head.status = 200;
    head.headers = {{"content-type", "text/plain; version=0.0.4"}};
    (void)co_await exchange.respond(std::move(head), page_);
  }

  const std::string page_;
  std::atomic<std::uint64_t> asked_ = 0;
  async::Loop loop_;
  http::Server server_;
  std::uint16_t port_ = 0;
};

std::vector<schedule::Endpoint> endpoints(int pods, std::uint16_t port) {
  std::vector<schedule::Endpoint> out;
  for (int i = 0; i < pods; ++i) {
    out.push_back(pick::testing::endpoint(fmt::format("pod-{}", i), "decode",
                                          fmt::format("127.1.{}.{}", i / 250, i % 250 + 1), port));
  }
  return out;
}

// Whether the picker's own gauges say what the pages do: the mean over all pods.
bool all_read(const observe::Registry& registry, int pods) {
  const auto text = registry.expose();
  return text.find(fmt::format("inference_pool_ready_pods{{name=\"pool\"}} {}\n", pods)) !=
             text.npos &&
         text.find(fmt::format("inference_pool_average_kv_cache_utilization{{name=\"pool\"}} {}\n",
                               kKvUsage)) != text.npos;
}

void run(const Options& options) {
  log::configure(log::Level::kWarn, log::Style::kText, "bench");
  keep_freed_memory();  // as the command does
  Stand stand(page(static_cast<std::size_t>(options.kb) << 10), options.serve);
  while (options.serve > 0) ::pause();
  async::Loop loop("epp");
  loop.start();
  observe::Registry registry;
  epp::Server::Config config;
  config.ext_proc = config.health = config.metrics = {"127.0.0.1", 0};
  epp::Server server({.loops = {&loop}, .clock = kClock, .registry = registry}, config,
                     pick::testing::service());
  (void)must(server.start());
  server.update(endpoints(options.pods, stand.port()));
  const auto until = kClock.now() + std::chrono::seconds(20);
  while (!all_read(registry, options.pods)) {
    if (kClock.now() > until) fail("no figure: the picker does not show what its pods say");
    std::this_thread::sleep_for(Millis(50));
  }
  const auto began = kClock.now();
  const auto cpu_before = cpu_seconds(loop);
  const auto stand_before = stand.cpu();
  const auto asked_before = stand.asked();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  const auto asked = static_cast<double>(stand.asked() - asked_before);
  const auto spent = cpu_seconds(loop) - cpu_before;
  const auto stand_spent = stand.cpu() - stand_before;
  const auto wall = seconds(kClock.now() - began);
  const auto ticks = wall / seconds(watch::kScrapeInterval) * options.pods;
  fmt::print(
      "scrape {:>5} pods, {:>3} KB every 50 ms: {:>6.3f} core, {:>6.1f} us a scrape, "
      "{:>6.2f} % of ticks kept (the pods' side: {:.3f} core)\n",
      options.pods, options.kb, spent / wall, spent * 1e6 / asked, asked * 100 / ticks,
      stand_spent / wall);
  server.stop({kClock.now()});
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags("[--pods N] [--kb N] [--seconds N] [--serve PORT]")
      .count("--pods", options.pods)
      .count("--kb", options.kb)
      .count("--seconds", options.seconds)
      .count("--serve", options.serve)
      .read(argc, argv);
  baton::bench::run(options);
}
