// CPU time of the real `baton gateway` and `baton sidecar` per P/D request and per streamed token,
// beside two bare forwarding hops in the same run, and the latency that the two add.
//
//   relay_bench [--baton FILE] [--picker FILE] [--runs N] [--only TEXT] [--json FILE]
//
// Engines and clients are scripted, in this process. Every answer is compared byte for byte, and
// the engines count the legs: a run with one wrong answer gives no figure.
// PEER_RELAY names a command that starts another relay. It gets LISTEN, PREFILL and DECODE
// (127.0.0.1:port) in its environment; its whole process group is measured. Its load names the
// prefill engine in x-prefiller-host-port, so that it may be a sidecar; our sidecar without the
// gateway and one bare hop (which knows no prefill) take the same load in turns with it.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/text/json.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "relay_load.hpp"
#include "relay_stack.hpp"

namespace baton::bench {
namespace {

using text::json::Value;

struct Options {
  std::string baton = "build/bench/apps/baton/baton";
  std::string picker = "examples/seed/endpoint-picker-config.yaml";
  std::string json_file;
  std::string only;
  int runs = 5;
};

struct Case {
  std::string name;
  Load load;
  Nanos gap{};         // between tokens
  double goal_us = 0;  // both processes; 0: none
  bool floor = false;  // beside two bare hops
};

// Figures of one case, one value a run.
using Figures = std::map<std::string, std::vector<double>>;

std::vector<Case> cases() {
  constexpr std::size_t kBig = 220 << 10;
  const auto ms = [](int n) { return Nanos(Millis(n)); };
  return {
      {"P/D 1 KB, saturated", {.connections = 32, .requests = 4000}, {}, 120},
      {"P/D 220 KB, saturated", {.prompt_bytes = kBig, .connections = 8, .requests = 400}, {}, 600},
      {"decode only 1 KB, saturated",
       {.fresh = false, .prefilled = false, .connections = 32, .requests = 4000}},
      {"P/D 1 KB, 100/s", {.connections = 32, .requests = 150, .rate = 100}},
      {"P/D 220 KB, 20/s", {.prompt_bytes = kBig, .connections = 8, .requests = 30, .rate = 20}},
      {"stream P/D, saturated", {.stream = true, .connections = 16, .requests = 160}, {}, 0, true},
      {"stream P/D, 32 x 1 token/ms",
       {.stream = true, .connections = 32, .requests = 96},
       ms(1),
       0,
       true},
      {"stream P/D, 32 x 1 token/10 ms",
       {.stream = true, .connections = 32, .requests = 32},
       ms(10),
       0,
       true},
  };
}

// The processes under test and around them.
class Stack {
 public:
  Stack(const Options& options, const Clock& clock)
      : engines(clock),
        clients(clock),
        sidecar(start_sidecar(options)),
        gateway(start_gateway(options)),
        near_hop(start_hop(start_far_hop())) {}

  Engines engines;
  Clients clients;
  Listening sidecar;
  Listening gateway;
  std::optional<Listening> far_hop;
  Listening near_hop;

 private:
  Listening start_sidecar(const Options& options) const {
    const auto port = free_port();
    return {{options.baton, "sidecar", "--host", "127.0.0.1", "--port", std::to_string(port),
             "--decoder-host", "127.0.0.1", "--model-server-port",
             std::to_string(engines.decode_port()), "--secure-proxy=false"},
            port};
  }
  Listening start_gateway(const Options& options) const {
    const auto port = free_port();
    const auto file =
        std::filesystem::temp_directory_path() / fmt::format("relay_bench_{}.yaml", ::getpid());
    std::ofstream(file) << fmt::format(
        "services:\n- name: bench\n  models: [m]\n  endpoints:\n"
        "  - {{name: p0, address: \"127.0.0.1:{}\", role: prefill}}\n"
        "  - {{name: d0, address: \"127.0.0.1:{}\", role: decode}}\n",
        engines.prefill_port(), sidecar.port());
    Listening started({options.baton, "gateway", "--endpoints", file, "--config-file",
                       options.picker, "--port", std::to_string(port)},
                      port);
    std::filesystem::remove(file);
    return started;
  }
  std::uint16_t start_far_hop() {
    far_hop.emplace(start_hop(engines.decode_port()));
    return far_hop->port();
  }
  static Listening start_hop(std::uint16_t to) {
    const auto program =
        std::filesystem::read_symlink("/proc/self/exe").replace_filename("bare_hop");
    const auto port = free_port();
    return {{program, std::to_string(port), std::to_string(to)}, port};
  }
};

double per(const Case& c) {
  return static_cast<double>(c.load.requests) * (c.load.stream ? kTokens : 1);
}

// Ends the benchmark when an answer or a leg was not as it must be.
void check(const Case& c, const Outcome& outcome, const Engines::Seen& seen, bool through_prefill) {
  const auto due = through_prefill ? c.load.requests : 0;
  if (outcome.wrong == 0 && seen.prefilled == due && seen.handed_over == due && seen.wrong == 0) {
    return;
  }
  fail(
      fmt::format("{}: {} answers wrong, {} prefills and {} handovers of {}, {} requests not as a "
                  "sidecar sends them",
                  c.name, outcome.wrong, seen.prefilled, seen.handed_over, due, seen.wrong));
}

void warm_up(Stack& stack, const Case& c, std::uint16_t port) {
  auto load = c.load;
  load.requests = load.connections * 2;
  load.rate = 0;
  stack.engines.set_gap({});
  (void)stack.clients.run(load, {port});
  (void)stack.engines.take_seen();
  stack.engines.set_gap(c.gap);
}

void measure(Stack& stack, const Case& c, Figures& into) {
  warm_up(stack, c, stack.gateway.port());
  const double gateway = stack.gateway.cpu_seconds();
  const double sidecar = stack.sidecar.cpu_seconds();
  const auto outcome = stack.clients.run(c.load, {stack.gateway.port()});
  const double g = (stack.gateway.cpu_seconds() - gateway) * 1e6 / per(c);
  const double s = (stack.sidecar.cpu_seconds() - sidecar) * 1e6 / per(c);
  check(c, outcome, stack.engines.take_seen(), c.load.prefilled);
  into["gateway_us"].push_back(g);
  into["sidecar_us"].push_back(s);
  into["both_us"].push_back(g + s);
  into["requests_per_s"].push_back(static_cast<double>(c.load.requests) / outcome.seconds);
  into["p50_ms"].push_back(percentile(outcome.latencies, 0.5));
  into["p99_ms"].push_back(percentile(outcome.latencies, 0.99));
}

void measure_floor(Stack& stack, Case c, Figures& into) {
  c.load.prefilled = false;
  warm_up(stack, c, stack.near_hop.port());
  const double before = stack.near_hop.cpu_seconds() + stack.far_hop->cpu_seconds();
  const auto outcome = stack.clients.run(c.load, {stack.near_hop.port()});
  const double after = stack.near_hop.cpu_seconds() + stack.far_hop->cpu_seconds();
  check(c, outcome, stack.engines.take_seen(), false);
  into["floor_us"].push_back((after - before) * 1e6 / per(c));
  into["ratio"].push_back(into["both_us"].back() / into["floor_us"].back());
}

// One request at a time: through the stack, and the same two legs by hand.
void measure_latency(Stack& stack, bool stream, Figures& into) {
  Case c{"latency", {.stream = stream, .connections = 1, .requests = stream ? 10U : 300U}};
  if (stream) c.gap = Millis(1);  // so that the first token is not behind all the others
  warm_up(stack, c, stack.gateway.port());
  const auto through = stack.clients.run(c.load, {stack.gateway.port()});
  check(c, through, stack.engines.take_seen(), true);
  c.load.prefilled = false;
  const auto direct =
      stack.clients.run(c.load, {stack.engines.prefill_port(), stack.engines.decode_port()});
  if (direct.wrong > 0) fail("direct legs fail");
  (void)stack.engines.take_seen();
  const double a = percentile(through.first_bytes, 0.5);
  const double b = percentile(direct.first_bytes, 0.5);
  into["through_ms"].push_back(a);
  into["direct_ms"].push_back(b);
  into["added_ms"].push_back(a - b);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

Value to_json(const Figures& figures) {
  Value out;
  for (const auto& [name, values] : figures) {
    out[name]["min"] = std::ranges::min(values);
    out[name]["median"] = median(values);
    out[name]["max"] = std::ranges::max(values);
  }
  return out;
}

std::string spread(const Figures& figures, const std::string& name, int digits = 1) {
  const auto found = figures.find(name);
  if (found == figures.end()) return "";
  const auto& v = found->second;
  return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", median(v), digits, std::ranges::min(v), digits,
                     std::ranges::max(v), digits);
}

void print_row(const Case& c, const Figures& f) {
  fmt::print("{:<31} {:<8} {:>8.1f} {:>8.1f} {:>22} {:>20} {:>18} {:>8.0f} {:>7.2f}\n", c.name,
             c.load.stream ? "token" : "request", median(f.at("gateway_us")),
             median(f.at("sidecar_us")), spread(f, "both_us"), spread(f, "floor_us"),
             spread(f, "ratio", 2), median(f.at("requests_per_s")), median(f.at("p50_ms")));
}

// CPU us per request or token of one process that takes the load.
double measure_alone(Stack& stack, const Case& c, const Listening& process, Outcome& outcome,
                     Engines::Seen& seen) {
  warm_up(stack, c, process.port());
  const double before = process.cpu_seconds();
  outcome = stack.clients.run(c.load, {process.port()});
  seen = stack.engines.take_seen();
  return (process.cpu_seconds() - before) * 1e6 / per(c);
}

// A relay of another make with the same engines and clients, in turns with our sidecar alone and
// one bare hop. The peer's answers are counted, not required: it may write them otherwise.
void measure_peer(Stack& stack, const Options& options, Value& results) {
  const char* command = std::getenv("PEER_RELAY");
  if (command == nullptr) {
    fmt::print("peer: not run (PEER_RELAY names no command)\n");
    return;
  }
  const auto port = free_port();
  const auto local = [](std::uint16_t p) { return fmt::format("127.0.0.1:{}", p); };
  const auto prefill = local(stack.engines.prefill_port());
  const Listening peer({"/bin/sh", "-c", command}, port,
                       {"LISTEN=" + local(port), "PREFILL=" + prefill,
                        "DECODE=" + local(stack.engines.decode_port())});
  fmt::print("{:<31} {:>22} {:>24} {:>20} {:>20} {:>14}\n", "one process, CPU us", "our sidecar",
             "peer", "one bare hop", "peer/ours", "peer's legs");
  for (Case c : cases()) {
    if (c.name.find(options.only) == std::string::npos) continue;
    Figures figures;
    Outcome outcome;
    Engines::Seen seen{};
    for (int i = 0; i < options.runs; ++i) {
      if (c.load.prefilled) c.load.prefiller = prefill;
      const double ours = measure_alone(stack, c, stack.sidecar, outcome, seen);
      check(c, outcome, seen, c.load.prefilled);
      const double theirs = measure_alone(stack, c, peer, outcome, seen);
      figures["ours_us"].push_back(ours);
      figures["peer_us"].push_back(theirs);
      figures["peer_ratio"].push_back(theirs / ours);
      figures["peer_prefills"].push_back(static_cast<double>(seen.prefilled));
      figures["peer_handed_over"].push_back(static_cast<double>(seen.handed_over));
      figures["peer_answers_not_equal"].push_back(static_cast<double>(outcome.wrong));
      Case plain = c;
      plain.load.prefilled = false;
      plain.load.prefiller.clear();
      figures["floor_us"].push_back(measure_alone(stack, plain, *stack.far_hop, outcome, seen));
    }
    fmt::print(
        "{:<31} {:>22} {:>24} {:>20} {:>20} {:>14}\n", c.name, spread(figures, "ours_us"),
        spread(figures, "peer_us"), spread(figures, "floor_us"), spread(figures, "peer_ratio"),
        fmt::format("{:.0f}+{:.0f}/{}, {:.0f} differ", figures["peer_prefills"].back(),
                    figures["peer_handed_over"].back(), c.load.prefilled ? c.load.requests : 0,
                    figures["peer_answers_not_equal"].back()));
    Value row = to_json(figures);
    row["case"] = c.name;
    results["peer"].push_back(std::move(row));
  }
}

void measure_rest(Stack& stack, Value& results) {
  constexpr int kSeconds = 2;
  const double gateway = stack.gateway.cpu_seconds();
  const double sidecar = stack.sidecar.cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(kSeconds));
  Value& rest = results["at_rest"];
  rest["gateway_rss_mib"] = stack.gateway.rss_mib();
  rest["sidecar_rss_mib"] = stack.sidecar.rss_mib();
  rest["gateway_cpu_percent"] = (stack.gateway.cpu_seconds() - gateway) * 100 / kSeconds;
  rest["sidecar_cpu_percent"] = (stack.sidecar.cpu_seconds() - sidecar) * 100 / kSeconds;
  fmt::print("at rest: {}\n", text::json::dump(rest));
}

void run(const Options& options) {
  const SystemClock clock;
  Stack stack(options, clock);
  Value results;
  measure_rest(stack, results);
  fmt::print("CPU us; {} runs, median (min..max)\n", options.runs);
  fmt::print("{:<31} {:<8} {:>8} {:>8} {:>22} {:>20} {:>18} {:>8} {:>7}\n", "", "per", "gateway",
             "sidecar", "both", "two bare hops", "ratio", "req/s", "p50 ms");
  for (const Case& c : cases()) {
    if (c.name.find(options.only) == std::string::npos) continue;
    Figures figures;
    for (int i = 0; i < options.runs; ++i) {
      measure(stack, c, figures);
      if (c.floor) measure_floor(stack, c, figures);
    }
    print_row(c, figures);
    Value row = to_json(figures);
    row["case"] = c.name;
    row["per"] = c.load.stream ? "token" : "request";
    row["runs"] = options.runs;
    if (c.goal_us > 0) row["goal_both_us"] = c.goal_us;
    if (c.floor) row["goal_ratio"] = 1.3;
    results["cases"].push_back(std::move(row));
  }
  for (const bool stream : {false, true}) {
    Figures figures;
    for (int i = 0; i < options.runs; ++i) measure_latency(stack, stream, figures);
    const char* name = stream ? "first token" : "whole answer";
    fmt::print("added latency, P/D 1 KB, one at a time, p50 to {}: {} ms; through {}, direct {}\n",
               name, spread(figures, "added_ms", 3), spread(figures, "through_ms", 3),
               spread(figures, "direct_ms", 3));
    results["latency"][name] = to_json(figures);
  }
  results["after_load"]["gateway_rss_mib"] = stack.gateway.rss_mib();
  results["after_load"]["sidecar_rss_mib"] = stack.sidecar.rss_mib();
  fmt::print("after the load: {}\n", text::json::dump(results["after_load"]));
  measure_peer(stack, options, results);
  save(results, options.json_file);
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags("[--baton FILE] [--picker FILE] [--runs N] [--only TEXT] [--json FILE]")
      .text("--baton", options.baton)
      .text("--picker", options.picker)
      .count("--runs", options.runs)
      .text("--only", options.only)
      .text("--json", options.json_file)
      .read(argc, argv);
  baton::bench::run(options);
}
