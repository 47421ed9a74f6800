// CPU time of a whole P/D chain by process and request: Envoy, an endpoint picker behind it, and
// the sidecar that both legs start from. Ours, and llm-d's when PEER_EPP and PEER_SIDECAR name its
// programs, under the same load in turns.
//
//   chain_bench --envoy FILE [--envoy-config FILE] [--picker-config FILE] [--baton FILE] [--runs N]
//               [--only TEXT] [--json FILE]
//
// Engines and clients are scripted, in this process. Every answer is compared; an engine counts
// which requests were prefilled elsewhere, and only those may say so in their answer.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/text/json.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "relay_load.hpp"
#include "relay_stack.hpp"

namespace baton::bench {
namespace {

using text::json::Value;

struct Options {
  std::string envoy;
  std::string envoy_config = "tests/e2e/envoy/envoy.yaml";
  std::string picker_config = "bench/picker.yaml";
  std::string baton = "build/bench/apps/baton/baton";
  std::string json_file, only;
  int runs = 2;
};

// Programs of one maker, each with what its command line begins with.
struct Make {
  std::string name;
  std::vector<std::string> picker, sidecar;
  bool keeps_bytes = true;  // else the sidecar writes answers anew
};

std::vector<Make> makes(const std::string& baton) {
  std::vector<Make> out;
  out.push_back({"baton",
                 {baton, "epp"},
                 {baton, "sidecar", "--host=127.0.0.1", "--decoder-host=127.0.0.1"}});
  const char* picker = std::getenv("PEER_EPP");
  const char* sidecar = std::getenv("PEER_SIDECAR");
  if (picker != nullptr && sidecar != nullptr) {
    out.push_back({"peer", {picker}, {sidecar}, false});
  } else {
    fmt::print("peer: not run (PEER_EPP and PEER_SIDECAR name its programs)\n");
  }
  return out;
}

struct Case {
  std::string name;
  Load load;
};

std::vector<Case> cases() {
  const auto of = [](std::size_t bytes, std::size_t connections, std::size_t requests,
                     double rate = 0) {
    return Load{
        .prompt_bytes = bytes, .connections = connections, .requests = requests, .rate = rate};
  };
  return {
      {"1 KB, saturated", of(1 << 10, 32, 3000)},    {"8 KB, saturated", of(8 << 10, 32, 2000)},
      {"220 KB, saturated", of(220 << 10, 16, 250)}, {"1 KB, 100/s", of(1 << 10, 32, 400, 100)},
      {"8 KB, 100/s", of(8 << 10, 32, 400, 100)},    {"220 KB, 20/s", of(220 << 10, 16, 100, 20)},
  };
}

// A folder for configurations and logs, gone with its owner.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() / fmt::format("chain_bench_{}", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(std::string_view name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  // The template with @NAME@ replaced.
  std::string fill(std::string_view name, const std::string& from,
                   const std::map<std::string, std::string>& values) const {
    std::string text = read_file(from);
    for (const auto& [key, value] : values) {
      const std::string mark = "@" + key + "@";
      for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at + value.size())) {
        text.replace(at, mark.size(), value);
      }
    }
    return write(name, text);
  }
  int log(std::string_view name) const {
    const int file =
        ::open((path_ / name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) fail("no log can be written");
    return file;
  }

 private:
  std::filesystem::path path_;
};

constexpr std::array<std::string_view, 3> kParts = {"envoy", "picker", "sidecar"};

// Envoy, picker and sidecar before the engines.
class Chain {
 public:
  Chain(const Make& make, const Options& options, const Folder& folder, const Engines& engines) {
    const auto sidecar_port = free_port();
    parts_[2].emplace(
        flags(make.sidecar, {fmt::format("--port={}", sidecar_port),
                             fmt::format("--model-server-port={}", engines.decode_port()),
                             "--secure-proxy=false", "--zap-log-level=error"}),
        sidecar_port, std::vector<std::string>{}, folder.log("sidecar.log"));
    const auto endpoints = folder.write(
        "endpoints.yaml",
        fmt::format(R"({{"endpoints": [{{"name": "decode", "address": "127.0.0.1", "port": "{}", )"
                    R"("labels": {{"llm-d.ai/role": "decode"}}}}, {{"name": "prefill", "address": )"
                    R"("127.0.0.1", "port": "{}", "labels": {{"llm-d.ai/role": "prefill"}}}}]}})",
                    sidecar_port, engines.prefill_port()));
    const auto picker =
        folder.fill("picker.yaml", options.picker_config, {{"ENDPOINTS", endpoints}});
    const auto picker_port = free_port();
    parts_[1].emplace(
        flags(make.picker, {"--pool-name=pool", "--pool-namespace=default",
                            "--config-file=" + picker, fmt::format("--grpc-port={}", picker_port),
                            fmt::format("--grpc-health-port={}", free_port()),
                            fmt::format("--metrics-port={}", free_port()), "--zap-encoder=json",
                            "--tracing=false"}),
        picker_port, std::vector<std::string>{}, folder.log("picker.log"));
    const auto front = free_port();
    const auto envoy = folder.fill("envoy.yaml", options.envoy_config,
                                   {{"ADMIN", fmt::to_string(free_port())},
                                    {"PORT", fmt::to_string(front)},
                                    {"PICKER", fmt::to_string(picker_port)},
                                    {"MODE", "FULL_DUPLEX_STREAMED"},
                                    {"BUFFER", "32768"},
                                    {"OPEN", "false"},
                                    {"RETRY", ""},
                                    {"FALLBACK", ""}});
    parts_[0].emplace(
        std::vector<std::string>{options.envoy, "-c", envoy, "--concurrency", "2", "--log-level",
                                 "error", "--base-id", fmt::to_string(front)},
        front, std::vector<std::string>{}, folder.log("envoy.log"));
  }

  std::uint16_t port() const { return parts_[0]->port(); }
  std::array<double, kParts.size()> cpu_seconds() const {
    std::array<double, kParts.size()> out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = parts_[i]->cpu_seconds();
    return out;
  }

 private:
  static std::vector<std::string> flags(std::vector<std::string> command,
                                        const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  std::array<std::optional<Listening>, kParts.size()> parts_;  // as kParts
};

struct Figure {
  std::array<double, kParts.size()> us{};  // by request
  double split = 0;                        // share of requests with a prefill of their own
  double per_second = 0, p50_ms = 0, p99_ms = 0;

  double sum() const { return us[0] + us[1] + us[2]; }
};

// Answers whose usage is that of a decode engine alone are wrong for the clients, and right as long
// as the decode engine had no KV for them.
void check(const Case& c, const Make& make, const Outcome& outcome, const Engines::Seen& seen) {
  if (seen.wrong == 0 && outcome.wrong + seen.handed_over == c.load.requests) return;
  fail(
      fmt::format("{}, {}: {} answers wrong; of {} requests {} prefilled, {} handed over, {} "
                  "wrong at an engine",
                  c.name, make.name, outcome.wrong, c.load.requests, seen.prefilled,
                  seen.handed_over, seen.wrong));
}

Figure measure(const Case& c, const Make& make, const Chain& chain, Engines& engines,
               Clients& clients) {
  Load load = c.load;
  load.by_value = !make.keeps_bytes;
  Load warm = load;
  warm.requests = load.connections * 2;
  warm.rate = 0;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (clients.run(warm, {chain.port()}).wrong > 0) {  // until every part knows the next one
    if (std::chrono::steady_clock::now() > limit) fail(make.name + ": no right answers");
    std::this_thread::sleep_for(Millis(50));
  }
  (void)engines.take_seen();
  const auto before = chain.cpu_seconds();
  const auto outcome = clients.run(load, {chain.port()});
  const auto after = chain.cpu_seconds();
  const auto seen = engines.take_seen();
  check(c, make, outcome, seen);
  const auto requests = static_cast<double>(load.requests);
  Figure out;
  for (std::size_t i = 0; i < kParts.size(); ++i) {
    out.us[i] = (after[i] - before[i]) * 1e6 / requests;
  }
  out.split = static_cast<double>(seen.handed_over) / requests;
  out.per_second = requests / outcome.seconds;
  out.p50_ms = percentile(outcome.latencies, 0.5);
  out.p99_ms = percentile(outcome.latencies, 0.99);
  return out;
}

// The run whose sum is the middle one.
const Figure& middle(std::vector<Figure>& figures) {
  std::ranges::sort(figures, {}, &Figure::sum);
  return figures[figures.size() / 2];
}

void show(const Case& c, std::map<std::string, std::vector<Figure>>& figures, Value& results) {
  for (auto& [name, runs] : figures) {
    const auto& f = middle(runs);
    fmt::print("{:<18} {:<6} {:>7.0f} {:>7.0f} {:>7.0f} {:>7.0f} {:>16}", c.name, name, f.us[0],
               f.us[1], f.us[2], f.sum(),
               fmt::format("({:.0f}..{:.0f})", runs.front().sum(), runs.back().sum()));
    fmt::print(" {:>6.1f} % {:>7.0f} {:>6.1f} {:>6.1f}", f.split * 100, f.per_second, f.p50_ms,
               f.p99_ms);
    if (name == "peer" && figures.contains("baton")) {
      const auto& ours = middle(figures["baton"]);
      fmt::print("  {:.1f} x ours (picker {:.1f} x, sidecar {:.1f} x)", f.sum() / ours.sum(),
                 f.us[1] / ours.us[1], f.us[2] / ours.us[2]);
    }
    fmt::print("\n");
    Value row;
    row["case"] = c.name;
    row["make"] = name;
    for (std::size_t i = 0; i < kParts.size(); ++i) row["us"][kParts[i]] = f.us[i];
    row["split"] = f.split;
    row["per_second"] = f.per_second;
    results["cases"].push_back(std::move(row));
  }
  std::fflush(stdout);
}

void run(const Options& options) {
  const SystemClock clock;
  const Folder folder;
  Engines engines(clock);
  Clients clients(clock);
  const auto all = makes(options.baton);
  std::vector<Case> wanted = cases();
  std::erase_if(wanted, [&](const Case& c) { return c.name.find(options.only) == c.name.npos; });
  std::map<std::string, std::map<std::string, std::vector<Figure>>> figures;  // by case, by make
  for (int run = 0; run < options.runs; ++run) {
    for (const Make& make : all) {  // one chain at a time: an idle one reads metrics all the same
      const Chain chain(make, options, folder, engines);
      for (const Case& c : wanted) {
        figures[c.name][make.name].push_back(measure(c, make, chain, engines, clients));
      }
    }
  }
  fmt::print("{:<18} {:<6} {:>7} {:>7} {:>7} {:>7} {:>16} {:>8} {:>7} {:>6} {:>6}\n",
             "CPU us a request", "", kParts[0], kParts[1], kParts[2], "all", "(least..most)", "P/D",
             "req/s", "p50 ms", "p99 ms");
  Value results;
  for (const Case& c : wanted) show(c, figures[c.name], results);
  save(results, options.json_file);
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags flags(
      "--envoy FILE [--envoy-config FILE] [--picker-config FILE] [--baton FILE] [--runs N] "
      "[--only TEXT] [--json FILE]");
  flags.text("--envoy", options.envoy)
      .text("--envoy-config", options.envoy_config)
      .text("--picker-config", options.picker_config)
      .text("--baton", options.baton)
      .count("--runs", options.runs)
      .text("--only", options.only)
      .text("--json", options.json_file);
  flags.read(argc, argv);
  if (options.envoy.empty()) flags.refuse("--envoy is missing");
  baton::bench::run(options);
}
