// CPU time of an endpoint picker per request over ext_proc, beside echoes on the same net/grpc: of
// the body alone, and of the same messages in the same order, which is what the transport costs.
//
//   epp_bench [--kb N] [--streams N] [--connections N] [--rate N] [--chunks N] [--seconds N]
//             [--runs N] [--per-chunk 1] [--pods PORT] [--only body|echo|baton|peer]
//             [--peer PORT --pid PID]
//
// Each in turn, as often as `--runs` says: the median, and the least and the most. Echoes and our
// picker run in this process, each on a thread of its own whose clock is read; a peer listens on
// PORT of this machine and is measured by the clock of PID. `--per-chunk 1`: what one more piece of
// an answer costs, from answers of 2 and of 202 pieces. `--pods PORT`: where pods answer when their
// metrics are read (127.1.0.1 and on; `scrape_bench --serve`); without it they refuse. See
// epp_load.hpp for the load.

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/log.hpp"
#include "base/core/memory.hpp"
#include "epp_load.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "grpc_echo.hpp"
#include "loop_time.hpp"
#include "routing/epp/server.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton::bench {
namespace {

struct Options {
  LoadShape shape;
  int seconds = 5;
  int runs = 1;
  bool per_chunk = false;
  std::string only;  // "": all
  int pods = 9;      // port
  int peer = 0;      // port
  int pid = 0;
};

const SystemClock kClock;

double process_cpu(int pid) {
  clockid_t clock{};
  if (::clock_getcpuclockid(pid, &clock) != 0) fail(fmt::format("there is no process {}", pid));
  return cpu_seconds(clock);
}

double process_rss_mib(int pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::size_t pages = 0;
  std::size_t resident = 0;
  file >> pages >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::shared_ptr<tls::ServerContext> server_tls() {
  return grpc_server_tls(tls::testing::Credentials::make("bench", kClock), kClock);
}

Figure load_echo(const Options& options, Sends what) {
  EchoServer server(kClock, server_tls());
  return load({.at = server.at(), .cpu = [&] { return cpu_seconds(server.loop()); }}, options.shape,
              what, options.seconds);
}

Figure load_ours(const Options& options) {
  async::Loop loop("epp");
  loop.start();
  observe::Registry registry;
  epp::Server::Config config;
  config.ext_proc = config.health = config.metrics = {"127.0.0.1", 0};
  config.tls = server_tls();
  epp::Server server({.loops = {&loop}, .clock = kClock, .registry = registry}, config,
                     pick::testing::service());
  const auto bound = must(server.start());
  std::vector<schedule::Endpoint> endpoints;
  for (const std::string_view name : {"decode-0", "decode-1", "prefill-0", "prefill-1"}) {
    endpoints.push_back(pick::testing::endpoint(name, name.substr(0, name.size() - 2),
                                                fmt::format("127.1.0.{}", endpoints.size() + 1),
                                                static_cast<std::uint16_t>(options.pods)));
  }
  server.update(endpoints);
  const auto figure = load({.at = bound.ext_proc, .cpu = [&] { return cpu_seconds(loop); }},
                           options.shape, Sends::kRequests, options.seconds);
  server.stop({kClock.now()});
  return figure;
}

Figure load_peer(const Options& options) {
  return load({.at = {"127.0.0.1", static_cast<std::uint16_t>(options.peer)},
               .cpu = [&] { return process_cpu(options.pid); },
               .rss_mib = [&] { return process_rss_mib(options.pid); }},
              options.shape, Sends::kRequests, options.seconds);
}

struct Arm {
  std::string_view name;
  Figure (*load)(const Options&);
  std::vector<Figure> figures = {};
};

// Of a request, or of one more piece of its answer.
Figure measure(const Arm& arm, Options options) {
  const auto figure = arm.load(options);
  if (!options.per_chunk) return figure;
  constexpr int kMore = 200;
  options.shape.chunks += kMore;
  auto longer = arm.load(options);
  longer.cpu_us = (longer.cpu_us - figure.cpu_us) / kMore;
  return longer;
}

template <class F>
std::vector<double> sorted(const std::vector<Figure>& figures, F field) {
  std::vector<double> out;
  for (const auto& figure : figures) out.push_back(field(figure));
  std::ranges::sort(out);
  return out;
}

void show(const Arm& arm, const Options& options, double floor) {
  const auto cpu = sorted(arm.figures, [](const Figure& f) { return f.cpu_us; });
  const auto middle = cpu.size() / 2;
  const auto rate = sorted(arm.figures, [](const Figure& f) { return f.per_second; })[middle];
  const auto& last = arm.figures.back();
  fmt::print("{:<6}{:>4} KB {:>4} streams {:>9}{}: {:>9.1f} us ({:.1f}..{:.1f}), {:>6.0f}/s",
             arm.name, options.shape.kb, options.shape.streams,
             options.shape.rate > 0 ? fmt::format("{}/s", options.shape.rate) : "saturated",
             options.per_chunk ? " a chunk" : "", cpu[middle], cpu.front(), cpu.back(), rate);
  if (floor > 0) fmt::print(", {:.2f} echoes", cpu[middle] / floor);
  if (last.split > 0) fmt::print(", {:.1f} % with prefill", last.split * 100);
  if (last.rss_mib > 0) fmt::print(", {:.1f} MiB resident", last.rss_mib);
  fmt::print("\n");
}

void run(const Options& options) {
  log::configure(log::Level::kWarn, log::Style::kText, "bench");
  keep_freed_memory();  // as the command does
  std::vector<Arm> arms = {
      {"body", [](const Options& o) { return load_echo(o, Sends::kBody); }},
      {"echo", [](const Options& o) { return load_echo(o, Sends::kMessages); }},
      {"baton", load_ours},
      {"peer", load_peer}};
  std::erase_if(arms, [&](const Arm& arm) {
    return (!options.only.empty() && arm.name != options.only) ||
           (arm.name == "peer" && options.peer == 0) ||
           (arm.name == "body" && (options.per_chunk || options.shape.rate > 0));
  });
  for (int i = 0; i < options.runs; ++i) {
    for (auto& arm : arms) arm.figures.push_back(measure(arm, options));
  }
  double floor = 0;
  for (const auto& arm : arms) {
    show(arm, options, floor);
    if (arm.name != "echo") continue;
    floor = sorted(arm.figures, [](const Figure& f) { return f.cpu_us; })[arm.figures.size() / 2];
  }
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags(
      "[--kb N] [--streams N] [--connections N] [--rate N] [--chunks N] [--seconds N] [--runs N] "
      "[--per-chunk 1] [--pods PORT] [--only body|echo|baton|peer] [--peer PORT --pid PID]")
      .count("--kb", options.shape.kb)
      .count("--streams", options.shape.streams)
      .count("--connections", options.shape.connections)
      .count("--rate", options.shape.rate)
      .count("--chunks", options.shape.chunks)
      .count("--seconds", options.seconds)
      .count("--runs", options.runs)
      .choice("--per-chunk", options.per_chunk, {{"1", true}})
      .count("--pods", options.pods)
      .text("--only", options.only)
      .count("--peer", options.peer)
      .count("--pid", options.pid)
      .read(argc, argv);
  baton::bench::run(options);
}
