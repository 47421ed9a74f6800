// CPU time of `baton sidecar` by operation beside other proxies under the same load, one after the
// other: HAProxy and nginx, which only forward, and another sidecar.
//
//   proxy_bench [--baton FILE] [--runs N] [--only TEXT] [--json FILE]
//
// HAPROXY, NGINX: their programs. PEER_SIDECAR: an llm-d pd-sidecar. What is not there is left out.
// Engines and clients are scripted, in this process; every answer is compared and the engines count
// the legs before a number counts.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "base/text/json.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "net/tls/testing/credentials.hpp"
#include "proxy_makes.hpp"
#include "relay_load.hpp"
#include "relay_stack.hpp"

namespace baton::bench {
namespace {

using text::json::Value;

struct Options {
  std::string baton = "build/bench/apps/baton/baton";
  std::string json_file, only;
  int runs = 3;
  std::size_t crowd = 0;   // only clients: so many streams at once,
  std::uint16_t port = 0;  // from this port
};

struct Case {
  std::string name;
  Load load;
  Legs legs = Legs::kPlain;
  double goal_us = 0;          // of ours; 0: none
  double goal_of_haproxy = 0;  // ours as a share of HAProxy's; 0: none
  Nanos gap{};
};

std::vector<Case> cases() {
  constexpr std::size_t kBig = 220 << 10;
  const auto pass = [](std::size_t bytes, std::size_t connections, std::size_t requests) {
    return Load{.prompt_bytes = bytes,
                .prefilled = false,
                .connections = connections,
                .requests = requests};
  };
  const auto both = [&](std::size_t bytes, std::size_t connections, std::size_t requests) {
    Load load = pass(bytes, connections, requests);
    load.prefilled = true;
    return load;
  };
  const auto slowly = [](Load load) {
    load.rate = 100;
    load.requests = 200;
    return load;
  };
  Load chunks = pass(1 << 10, 16, 160);
  chunks.stream = true;
  Load paced = chunks;
  paced.connections = 32;
  paced.requests = 32;
  return {
      {"pass-through 1 KB, saturated", pass(1 << 10, 32, 6000), Legs::kPlain, 0, 1},
      {"pass-through 1 KB, 100/s", slowly(pass(1 << 10, 32, 0)), Legs::kPlain, 0, 1},
      {"pass-through 220 KB, saturated", pass(kBig, 8, 500), Legs::kPlain, 0, 1},
      {"pass-through 220 KB, 100/s", slowly(pass(kBig, 8, 0)), Legs::kPlain, 0, 1},
      {"streamed chunk, saturated", chunks, Legs::kPlain, 0, 1},
      {"streamed chunk, 32 x 1/10 ms", paced, Legs::kPlain, 0, 1, Millis(10)},
      {"P/D 1 KB, saturated", both(1 << 10, 32, 4000), Legs::kPlain, 60},
      {"P/D 1 KB, 100/s", slowly(both(1 << 10, 32, 0))},
      {"P/D 8 KB, saturated", both(8 << 10, 32, 3000), Legs::kPlain, 75},
      {"P/D 8 KB, 100/s", slowly(both(8 << 10, 32, 0))},
      {"P/D 220 KB, saturated", both(kBig, 8, 400), Legs::kPlain, 350},
      {"P/D 220 KB, 100/s", slowly(both(kBig, 8, 0))},
      {"P/D 1 KB, TLS legs, saturated", both(1 << 10, 32, 2000), Legs::kTls},
      {"P/D 8 KB, TLS legs, saturated", both(8 << 10, 32, 2000), Legs::kTls},
      {"P/D 220 KB, TLS legs, saturated", both(kBig, 8, 300), Legs::kTls, 650},
  };
}

// The engines twice, in the clear and with TLS, and the proxies before each.
class Field {
 public:
  Field(std::vector<Make> makes, const Clock& clock)
      : plain_(clock),
        secured_(clock, tls::testing::open_server(
                            tls::testing::Credentials::make("engine", clock).server(), clock)),
        clients(clock),
        makes_(std::move(makes)) {
    for (const Make& make : makes_) {
      for (const Legs legs : {Legs::kPlain, Legs::kTls}) {
        if (legs == Legs::kTls && !make.makes_both_legs) continue;
        running_.try_emplace({make.name, legs}, make.start(ports(legs), legs));
      }
    }
  }

  const std::vector<Make>& makes() const { return makes_; }
  Engines& engines(Legs legs) { return legs == Legs::kTls ? secured_ : plain_; }
  // Another one, that has served nothing yet.
  Listening fresh(const Make& make) { return make.start(ports(Legs::kPlain), Legs::kPlain); }
  const Listening& proxy(const Make& make, Legs legs) const {
    return running_.at({make.name, legs});
  }

 private:
  EnginePorts ports(Legs legs) {
    return {engines(legs).prefill_port(), engines(legs).decode_port()};
  }

  Engines plain_, secured_;

 public:
  Clients clients;

 private:
  std::vector<Make> makes_;
  std::map<std::pair<std::string, Legs>, Listening> running_;
};

double per(const Case& c) {
  return static_cast<double>(c.load.requests) * (c.load.stream ? kTokens : 1);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

// CPU us of the proxy by request or chunk; ends the benchmark when an answer or a leg was not as it
// must be.
double measure(Field& field, const Case& c, const Make& make) {
  Engines& engines = field.engines(c.legs);
  const Listening& proxy = field.proxy(make, c.legs);
  Load load = c.load;
  load.by_value = !make.keeps_bytes && load.prefilled;
  if (load.prefilled) load.prefiller = fmt::format("127.0.0.1:{}", engines.prefill_port());
  Load warm = load;
  warm.requests = load.connections * 2;
  warm.rate = 0;
  engines.set_gap({});
  (void)field.clients.run(warm, {proxy.port()});
  (void)engines.take_seen();
  engines.set_gap(c.gap);
  const double before = proxy.cpu_seconds();
  const auto outcome = field.clients.run(load, {proxy.port()});
  const double spent = proxy.cpu_seconds() - before;
  const auto seen = engines.take_seen();
  const auto due = load.prefilled ? load.requests : 0;
  if (outcome.wrong > 0 || seen.prefilled != due || seen.handed_over != due || seen.wrong > 0) {
    fail(fmt::format("{}, {}: {} answers wrong, {} prefills and {} handovers of {}", c.name,
                     make.name, outcome.wrong, seen.prefilled, seen.handed_over, due));
  }
  return spent * 1e6 / per(c);
}

std::string spread(const std::vector<double>& v) {
  const int digits = median(v) < 20 ? 1 : 0;
  return fmt::format("{:.{}f} ({:.{}f}..{:.{}f})", median(v), digits, std::ranges::min(v), digits,
                     std::ranges::max(v), digits);
}

std::string verdict(const Case& c, std::map<std::string, std::vector<double>>& figures) {
  if (c.goal_us > 0) {
    const bool met = median(figures["baton"]) <= c.goal_us;
    return fmt::format("{:.0f} us: {}", c.goal_us, met ? "met" : "MISSED");
  }
  if (c.goal_of_haproxy <= 0 || figures["haproxy"].empty()) return "";
  const double share = median(figures["baton"]) / median(figures["haproxy"]);
  return fmt::format("{:.2f} x haproxy: {}", share, share <= c.goal_of_haproxy ? "met" : "MISSED");
}

void measure_cases(Field& field, const Options& options, Value& results) {
  fmt::print("{:<33}", "CPU us a request or chunk");
  for (const Make& make : field.makes()) fmt::print(" {:>22}", make.name);
  fmt::print("  goal\n");
  for (const Case& c : cases()) {
    if (c.name.find(options.only) == std::string::npos) continue;
    std::map<std::string, std::vector<double>> figures;
    const auto takes_part = [&](const Make& make) {
      return make.makes_both_legs || (!c.load.prefilled && c.legs == Legs::kPlain);
    };
    for (int run = 0; run < options.runs; ++run) {
      for (const Make& make : field.makes()) {
        if (takes_part(make)) figures[make.name].push_back(measure(field, c, make));
      }
    }
    fmt::print("{:<33}", c.name);
    Value row;
    row["case"] = c.name;
    for (const Make& make : field.makes()) {
      fmt::print(" {:>22}", takes_part(make) ? spread(figures[make.name]) : "");
      if (takes_part(make)) row["us"][make.name] = median(figures[make.name]);
    }
    fmt::print("  {}\n", verdict(c, figures));
    std::fflush(stdout);
    results["cases"].push_back(std::move(row));
  }
}

// Beside the two engine calls by hand, one request at a time.
void measure_latency(Field& field, Value& results) {
  const Load load{.connections = 1, .requests = 400};
  Engines& engines = field.engines(Legs::kPlain);
  const Make& ours = field.makes().front();
  Load through = load;
  through.prefiller = fmt::format("127.0.0.1:{}", engines.prefill_port());
  Load direct = load;
  direct.prefilled = false;
  std::vector<double> added;
  for (int run = 0; run < 3; ++run) {
    const auto a = field.clients.run(through, {field.proxy(ours, Legs::kPlain).port()});
    const auto b = field.clients.run(direct, {engines.prefill_port(), engines.decode_port()});
    if (a.wrong + b.wrong > 0) fail("latency: wrong");
    added.push_back(percentile(a.latencies, 0.5) - percentile(b.latencies, 0.5));
  }
  (void)engines.take_seen();
  fmt::print("added latency, P/D 1 KB, one at a time, p50: {:.3f} ms (goal 0.3)\n", median(added));
  results["added_ms"] = median(added);
}

// Connections that have said nothing for a while after one request each, before the crowd of
// measure_crowd().
void measure_idle(Field& field, const Clock& clock, Value& results) {
  constexpr std::size_t kIdle = 1000;
  constexpr auto kRest = std::chrono::seconds(5);
  for (const Make& make : field.makes()) {
    const Listening proxy = field.fresh(make);
    const double before = proxy.rss_mib();
    Load load{.prefilled = false, .connections = kIdle, .requests = kIdle};
    Clients held(clock);
    const auto outcome = held.run(load, {proxy.port()});
    if (outcome.wrong > 0) fail("idle: wrong");
    std::this_thread::sleep_for(kRest);
    fmt::print("{} idle connections: {:<14} {:.1f} MiB resident, {:.1f} before\n", kIdle, make.name,
               proxy.rss_mib(), before);
    results["idle_mib"][make.name] = proxy.rss_mib();
  }
  (void)field.engines(Legs::kPlain).take_seen();
}

// Streams that are open all at once: 10,000, or as many as the proxy's two ends may open files. The
// clients' ends are another process's (crowd_clients).
void measure_crowd(const Make& make, std::size_t files, const Clock& clock, Value& results) {
  constexpr std::size_t kWanted = 10'000;
  constexpr std::size_t kOtherFiles = 64;
  const std::size_t streams = std::min(kWanted, (files - kOtherFiles) / 2);
  Engines engines(clock);
  const Listening proxy = make.start({engines.prefill_port(), engines.decode_port()}, Legs::kPlain);
  engines.set_gap(Millis(500));
  const double before = proxy.cpu_seconds();
  const auto clients =
      fmt::format("{} --crowd {} --at {}", std::filesystem::read_symlink("/proc/self/exe").string(),
                  streams, proxy.port());
  const int status = std::system(clients.c_str());
  const auto most = engines.take_most_streams();
  const double us = (proxy.cpu_seconds() - before) * 1e6 / static_cast<double>(streams * kTokens);
  fmt::print(
      "{} streams of {} chunks ({} files may be open): {} at once, {}, {:.1f} us a chunk, {:.0f} "
      "MiB resident\n",
      streams, kTokens, files, most, status == 0 ? "all answers right" : "wrong answers", us,
      proxy.rss_mib());
  results["crowd"]["at_once"] = most;
  results["crowd"]["right"] = status == 0;
  results["crowd"]["us"] = us;
  results["crowd"]["mib"] = proxy.rss_mib();
}

// The clients of measure_crowd(): the exit status tells whether every answer was right.
int crowd_clients(std::size_t streams, std::uint16_t port) {
  const SystemClock clock;
  Clients clients(clock);
  const auto outcome = clients.run({.stream = true,
                                    .prefilled = false,
                                    .connections = streams,
                                    .requests = streams,
                                    .rate = 1000},  // so that no queue of connections overflows
                                   {port});
  for (const auto& [why, count] : outcome.why) fmt::print("{} answers: {}\n", count, why);
  return outcome.wrong == 0 ? 0 : 1;
}

// As many as may be, for this process and those it starts.
std::size_t raise_file_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

int run(const Options& options) {
  const std::size_t files = raise_file_limit();
  if (options.crowd > 0) return crowd_clients(options.crowd, options.port);
  const SystemClock clock;
  const std::vector<Make> makes = all_makes(options.baton);
  for (const std::string& name : absent_makes()) fmt::print("{}: not run\n", name);
  Value results;
  {
    Field field(makes, clock);
    measure_cases(field, options, results);
    if (options.only.empty()) measure_latency(field, results);
    if (options.only.empty() || options.only == "idle") measure_idle(field, clock, results);
  }
  const bool crowd = options.only.empty() || options.only == "crowd";
  if (crowd) measure_crowd(makes.front(), files, clock, results);
  save(results, options.json_file);
  return 0;
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags("[--baton FILE] [--runs N] [--only TEXT] [--json FILE]")
      .text("--baton", options.baton)
      .count("--runs", options.runs)
      .text("--only", options.only)
      .text("--json", options.json_file)
      .count("--crowd", options.crowd)
      .count("--at", options.port)
      .read(argc, argv);
  return baton::bench::run(options);
}
