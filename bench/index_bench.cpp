// The prefix index on a trace: every request is looked up by its chain of 512-token blocks, goes to
// a worker, and is recorded there.
//
//   index_bench [--trace FILE] [--json FILE]
//
// The trace is Mooncake's (conversation_trace.jsonl, FAST'25); without --trace the environment's
// BATON_TRACE names it. Each request's worker is the one that holds most of it, unless that one is
// ahead of the others in requests; then the one with the fewest. Before a number counts, every
// lookup is compared with a plain model of the index (never with its own answers).

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "cpu_time.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "routing/index/prefix_index.hpp"

namespace baton {
namespace {

using index::Matches;
using index::PrefixIndex;
using index::Slot;
using Chain = std::vector<std::uint64_t>;
using bench::cpu_seconds;
using bench::fail;

std::size_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// An id stands for its whole prefix, as a chain's hash does.
std::vector<Chain> read_trace(const std::string& file) {
  std::ifstream in(file);
  if (!in) fail(fmt::format("cannot read the trace '{}'", file));
  std::vector<Chain> chains;
  for (std::string line; std::getline(in, line);) {
    const auto where = fmt::format("{}:{}", file, chains.size() + 1);
    const auto value = text::json::parse(line);
    if (!value) fail(fmt::format("{}: {}", where, value.error().message()));
    const auto* ids = value->find("hash_ids");
    if (ids == nullptr || ids->if_array() == nullptr) fail(where + ": no array 'hash_ids'");
    Chain chain;
    for (const auto& id : *ids->if_array()) {
      SeededRandom hash(id.if_uint().value_or(0));
      chain.push_back(hash.next());
    }
    chains.push_back(std::move(chain));
  }
  if (chains.empty()) fail(fmt::format("the trace '{}' has no requests", file));
  return chains;
}

// What the index must answer, without its ways: who holds a block. Nothing is evicted here.
class Plain {
 public:
  void record(Slot slot, const Chain& chain) {
    for (const auto block : chain) {
      if (!holds(slot, block)) holders_[block].push_back(slot);
    }
  }
  // Every worker that holds the first two blocks, and one other.
  void check(const Matches& matches, const Chain& chain, Slot other) {
    compare(matches, chain, other);
    if (chain.size() < 2) return;
    for (const auto slot : holders_[chain[1]]) compare(matches, chain, slot);
  }

 private:
  bool holds(Slot slot, std::uint64_t block) {
    const auto& holders = holders_[block];
    return std::ranges::find(holders, slot) != holders.end();
  }
  void compare(const Matches& matches, const Chain& chain, Slot slot) {
    std::uint32_t blocks = 0;
    while (blocks < chain.size() && holds(slot, chain[blocks])) ++blocks;
    if (matches.blocks(slot) != blocks) fail("a lookup differs from the plain model");
  }

  std::unordered_map<std::uint64_t, std::vector<Slot>> holders_;
};

Slot choose(const Matches& matches, std::vector<std::uint32_t>& load, Slot& cursor) {
  const auto workers = static_cast<Slot>(load.size());
  Slot best = workers;
  std::uint32_t blocks = 1;  // block 0 begins every request: it tells nothing
  for (const auto& match : matches.matches()) {
    if (match.blocks > blocks && load[match.slot] < load[cursor] + 4) {
      best = match.slot;
      blocks = match.blocks;
    }
  }
  if (best == workers) {
    best = cursor;
    cursor = (cursor + 1) % workers;
  }
  ++load[best];
  return best;
}

// Replays the trace and checks every lookup; who was chosen for each request.
std::vector<Slot> replay(PrefixIndex& index, std::span<const Chain> chains, std::size_t workers) {
  Plain plain;
  std::vector<std::uint32_t> load(workers);
  std::vector<Slot> chosen;
  Matches matches;
  Slot cursor = 0;
  for (const auto& chain : chains) {
    index.match(chain, matches);
    plain.check(matches, chain, static_cast<Slot>(chosen.size() * 31 % workers));
    chosen.push_back(choose(matches, load, cursor));
    index.record(chosen.back(), chain);
    plain.record(chosen.back(), chain);
  }
  return chosen;
}

struct Lookups {
  double per_second = 0;  // of CPU time
  double p50_us = 0, p99_us = 0, max_us = 0;
};

Lookups look_up(const PrefixIndex& index, std::span<const Chain> chains) {
  constexpr int kRounds = 20;
  Matches matches;
  std::uint64_t found = 0;
  const double started = cpu_seconds();
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& chain : chains) {
      index.match(chain, matches);
      found += matches.matches().size() + matches.levels().size();
    }
  }
  const double spent = cpu_seconds() - started;
  if (found == 0) fail("lookups found nothing");
  // One at a time; the best of several rounds, so that what other processes took does not count.
  std::vector<double> times(chains.size(), 1e9);
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 0; i < chains.size(); ++i) {
      timespec a{}, b{};
      clock_gettime(CLOCK_MONOTONIC, &a);
      index.match(chains[i], matches);
      clock_gettime(CLOCK_MONOTONIC, &b);
      times[i] = std::min(times[i], static_cast<double>(b.tv_sec - a.tv_sec) * 1e6 +
                                        static_cast<double>(b.tv_nsec - a.tv_nsec) * 1e-3);
    }
  }
  std::ranges::sort(times);
  return {kRounds * static_cast<double>(chains.size()) / spent, times[times.size() / 2],
          times[times.size() * 99 / 100], times.back()};
}

// Lookups of one thread while another records the trace again and again.
double look_up_beside_writer(PrefixIndex& index, std::span<const Chain> chains,
                             std::span<const Slot> chosen) {
  std::atomic<bool> stop = false;
  double per_second = 0;
  std::thread reader([&] {
    Matches matches;
    std::size_t count = 0;
    const double started = cpu_seconds();
    for (; !stop; ++count) index.match(chains[count % chains.size()], matches);
    per_second = static_cast<double>(count) / (cpu_seconds() - started);
  });
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < chains.size(); ++i) index.record(chosen[i], chains[i]);
  }
  stop = true;
  reader.join();
  return per_second;
}

text::json::Value measure(std::span<const Chain> chains, std::size_t workers) {
  std::vector<Slot> chosen;
  {
    PrefixIndex checked({.slots = workers});
    chosen = replay(checked, chains, workers);
  }
  malloc_trim(0);
  const auto before = heap_bytes();
  PrefixIndex index({.slots = workers});
  double started = cpu_seconds();
  std::size_t recorded = 0, held = 0;
  for (std::size_t i = 0; i < chains.size(); ++i) {
    index.record(chosen[i], chains[i]);
    recorded += chains[i].size();
  }
  const double record_ns = (cpu_seconds() - started) * 1e9 / static_cast<double>(recorded);
  const auto bytes = heap_bytes() - before;
  for (Slot slot = 0; slot < workers; ++slot) held += index.held(slot);
  const auto lookups = look_up(index, chains);
  const double beside = look_up_beside_writer(index, chains, chosen);
  const double bytes_per = static_cast<double>(bytes) / static_cast<double>(held);
  fmt::print("{:>8} {:>10} {:>12.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>14.2f} {:>12.1f} {:>14.1f}\n",
             workers, held, lookups.per_second * 1e-6, lookups.p50_us, lookups.p99_us,
             lookups.max_us, beside * 1e-6, record_ns, bytes_per);
  text::json::Value row;
  row["workers"] = workers;
  row["requests"] = chains.size();
  row["holder_blocks"] = held;
  row["lookups_per_cpu_second"] = lookups.per_second;
  row["lookup_p50_us"] = lookups.p50_us;
  row["lookup_p99_us"] = lookups.p99_us;
  row["lookup_max_us"] = lookups.max_us;
  row["lookups_per_cpu_second_beside_writer"] = beside;
  row["record_ns_per_block"] = record_ns;
  row["bytes_per_holder_block"] = bytes_per;
  return row;
}

// A long prompt that no pod knows, recorded for two pods whose capacity is used up.
text::json::Value measure_run() {
  constexpr std::size_t kBlocks = 3500, kRuns = 300;
  PrefixIndex index({});
  SeededRandom random(1);
  Chain chain(kBlocks);
  double spent = 0;
  for (std::size_t run = 0; run < kRuns; ++run) {
    for (auto& block : chain) block = random.next();
    const double started = cpu_seconds();
    index.record(std::vector<Slot>{0, 1}, chain);
    if (run >= kRuns / 3) spent += cpu_seconds() - started;
    std::vector<std::uint32_t> matched(3);
    index.match(chain, matched);
    if (matched != std::vector<std::uint32_t>{kBlocks, kBlocks, 0}) fail("a run is not held");
  }
  const double us = spent * 1e6 / (kRuns - kRuns / 3);
  fmt::print("a run of {} new blocks for 2 full pods: {:.1f} CPU us, {:.1f} ns a block\n", kBlocks,
             us, us * 1e3 / kBlocks);
  text::json::Value row;
  row["blocks"] = kBlocks;
  row["cpu_us"] = us;
  return row;
}

void run(std::string trace, const std::string& json_file) {
  text::json::Value results;
  results["run"] = measure_run();
  if (trace.empty()) {
    const char* named = std::getenv("BATON_TRACE");
    if (named != nullptr) trace = named;
  }
  if (trace.empty()) {
    fmt::print("trace: not run (neither --trace nor BATON_TRACE names one)\n");
  } else {
    const auto chains = read_trace(trace);
    fmt::print("{:>8} {:>10} {:>12} {:>8} {:>8} {:>8} {:>14} {:>12} {:>14}\n", "workers", "held",
               "M lookups/s", "p50 us", "p99 us", "max us", "beside writer", "record ns",
               "B/holder");
    for (const std::size_t workers : {16UL, 1000UL, 7000UL}) {
      results["trace"].push_back(measure(chains, workers));
    }
  }
  bench::save(results, json_file);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  std::string trace, json;
  baton::bench::Flags("[--trace FILE] [--json FILE]")
      .text("--trace", trace)
      .text("--json", json)
      .read(argc, argv);
  baton::run(trace, json);
}
