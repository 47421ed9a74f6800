// CPU time of one pick as the gateway makes it: read the body, hash the prompt, match the index,
// schedule with the P/D configuration, reserve; of the decision alone; and of telling how long each
// of its plugins took (plugin_duration_seconds): never, for one decision in a millisecond as
// `baton epp` does, and for each.
//
//   pick_bench [--json FILE]
//
// Before a number counts, the picks are checked: a new prompt goes through prefill, a known one to
// the pod that holds it, without.

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "cpu_time.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "formats/openai/prompt_text.hpp"
#include "routing/epp/plugin_times.hpp"
#include "routing/pick/service_pool.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton {
namespace {

using bench::cpu_seconds;
using bench::fail;
using bench::must;
using pick::ServicePool;

watch::Service service(std::size_t pods) {
  auto made = pick::testing::service();
  for (std::size_t i = 0; i < pods; ++i) {
    made.endpoints.push_back(
        pick::testing::endpoint(fmt::format("pod-{:03}", i), i % 3 == 0 ? "prefill" : "decode"));
  }
  return made;
}

std::string body(std::size_t bytes, std::uint64_t seed) {
  SeededRandom random(seed);
  std::string content;
  while (content.size() < bytes) content += random_hex(random, 4) + " ";
  content.resize(bytes);
  text::json::Value message;
  message["role"] = "user";
  message["content"] = std::move(content);
  text::json::Value out;
  out["model"] = "m";
  out["messages"].push_back(std::move(message));
  return text::json::dump(out);
}

struct Bench {
  explicit Bench(std::size_t pods) : pool(service(pods)) { pool.update(service(pods)); }

  ServicePool::Picked pick(std::string& request) {
    const auto prompt = reader.read(request, openai::Api::kChat);
    chain = *pool.chain(prompt->model, prompt->cache_salt);
    chain->append(prompt->text);
    return must(pool.pick({.chain = &*chain, .prompt_bytes = prompt->text.size(), .refused = {}},
                          now, random));
  }
  void check(std::string& request) {
    const auto first = pick(request);
    if (!first.route.prefill) fail("a new prompt skipped prefill");
    pool.remember(first.route.decode, chain->blocks());
    const auto second = pick(request);
    const bool capped = chain->bytes() > 256 * 64 + 99;
    if (second.route.decode.name != first.route.decode.name || (!capped && second.route.prefill)) {
      fail("a known prompt left its pod");
    }
  }

  ServicePool pool;
  openai::PromptReader reader;
  SeededRandom random{1};
  Mono now = ManualClock().now();
  std::optional<index::PrefixChain> chain;
};

double microseconds_per_pick(std::size_t bytes, std::size_t pods) {
  Bench bench(pods);
  auto request = body(bytes, bytes + pods);
  bench.check(request);
  constexpr double kSeconds = 0.5;
  std::size_t picks = 0;
  const double started = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  double spent = 0;
  for (; spent < kSeconds; spent = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - started) {
    for (int i = 0; i < 32; ++i, ++picks) bench.pick(request);
  }
  return spent * 1e6 / static_cast<double>(picks);
}

// The decision alone: four scorers, both P/D profiles, matches known, memory reused.
constexpr std::string_view kFour = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}}
- {type: always-disagg-pd-decider}
- {type: prefill-filter}
- {type: decode-filter}
- {type: queue-scorer}
- {type: kv-cache-utilization-scorer}
- {type: prefix-cache-scorer}
- {type: active-request-scorer}
- {type: max-score-picker}
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: active-request-scorer}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: active-request-scorer}]
)";

// Pods as busy as chance has it, which hold some of the prompt.
struct Decisions {
  explicit Decisions(std::size_t pods) : random(pods), matched(schedule::kMaxEndpoints) {
    snapshot.reservations = std::make_shared<schedule::Reservations>();
    auto endpoints = service(pods).endpoints;
    for (std::size_t i = 0; i < pods; ++i) {
      endpoints[i].slot = static_cast<schedule::Slot>(i);
      matched[i] = static_cast<std::uint32_t>(random.below(100));
      schedule::Load load{.waiting = static_cast<float>(random.below(20)), .updated = now};
      load.kv_usage = static_cast<float>(random.unit());
      snapshot.loads.push_back(load);
      snapshot.reservations->add(static_cast<schedule::Slot>(i),
                                 static_cast<std::int32_t>(random.below(4)));
    }
    snapshot.set_endpoints(
        std::make_shared<const std::vector<schedule::Endpoint>>(std::move(endpoints)));
  }
  void decide() {
    const schedule::Request request{.prompt_bytes = 6400, .prompt_blocks = 100, .matched = matched};
    if (!scheduler.schedule(request, snapshot, now, random, decision) || !decision.prefill) {
      fail("a decision failed or had no prefill");
    }
  }

  const schedule::Scheduler scheduler =
      must(schedule::Scheduler::make(must(schedule::load_picker_config(kFour, "bench"))));
  const Mono now = ManualClock().now();
  SeededRandom random;
  schedule::Snapshot snapshot;
  std::vector<std::uint32_t> matched;
  schedule::Decision decision;
};

template <class Once>
double microseconds_of(Once once) {
  constexpr double kSeconds = 0.3;
  std::size_t times = 0;
  const double started = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  double spent = 0;
  for (; spent < kSeconds; spent = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - started) {
    for (int i = 0; i < 256; ++i, ++times) once();
  }
  return spent * 1e6 / static_cast<double>(times);
}

double microseconds_per_decision(std::size_t pods) {
  Decisions decisions(pods);
  return microseconds_of([&] { decisions.decide(); });
}

enum class Timed : std::uint8_t { kNever, kNowAndThen, kAlways };

// With the one look at the clock that a picker takes for each decision in any case.
double microseconds_per_timed_decision(std::size_t pods, Timed timed) {
  const SystemClock clock;
  observe::Registry registry;
  Decisions decisions(pods);
  epp::PluginTimes times(registry, decisions.scheduler.setup().timed);
  epp::TimedDecisions now_and_then(clock);
  schedule::Laps laps(clock);
  volatile std::int64_t seen = 0;  // the look is not optimized away
  std::size_t laps_told = 0;
  const double us = microseconds_of([&] {
    const auto now = clock.now();
    seen = now.time_since_epoch().count();
    auto& asked = decisions.decision.laps;
    asked = timed == Timed::kAlways       ? &laps
            : timed == Timed::kNowAndThen ? now_and_then.next(now)
                                          : nullptr;
    decisions.decide();
    if (asked == nullptr) return;
    times.took(*asked);
    laps_told += asked->all().size();
  });
  if ((laps_told > 0) != (timed != Timed::kNever)) fail("plugins' times were not told as asked");
  return us;
}

void run(const std::string& json_file) {
  text::json::Value results;
  fmt::print("{:>10} {:>6} {:>12}\n", "prompt", "pods", "CPU us/pick");
  for (const std::size_t bytes : {1UL << 10, 8UL << 10, 220UL << 10}) {
    for (const std::size_t pods : {3UL, 24UL, 240UL}) {
      const double us = microseconds_per_pick(bytes, pods);
      fmt::print("{:>10} {:>6} {:>12.2f}\n", bytes, pods, us);
      text::json::Value row;
      row["prompt_bytes"] = bytes;
      row["pods"] = pods;
      row["cpu_us_per_pick"] = us;
      results["pick"].push_back(std::move(row));
    }
  }
  fmt::print("\n{:>6} {:>16}\n", "pods", "CPU us/decision");
  for (const std::size_t pods : {10UL, 100UL, 1000UL}) {
    const double us = microseconds_per_decision(pods);
    fmt::print("{:>6} {:>16.2f}\n", pods, us);
    text::json::Value row;
    row["pods"] = pods;
    row["cpu_us_per_decision"] = us;
    results["decision"].push_back(std::move(row));
  }
  fmt::print("\n{:>6} {:>16} {:>16} {:>16}  CPU us/decision, its plugins timed\n", "pods", "never",
             "one in 1 ms", "always");
  for (const std::size_t pods : {10UL, 100UL}) {
    const double never = microseconds_per_timed_decision(pods, Timed::kNever);
    const double now_and_then = microseconds_per_timed_decision(pods, Timed::kNowAndThen);
    const double always = microseconds_per_timed_decision(pods, Timed::kAlways);
    fmt::print("{:>6} {:>16.3f} {:>16.3f} {:>16.3f}\n", pods, never, now_and_then, always);
    text::json::Value row;
    row["pods"] = pods;
    row["cpu_us_never_timed"] = never;
    row["cpu_us_timed_now_and_then"] = now_and_then;
    row["cpu_us_always_timed"] = always;
    results["timing"].push_back(std::move(row));
  }
  bench::save(results, json_file);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  std::string json;
  baton::bench::Flags("[--json FILE]").text("--json", json).read(argc, argv);
  baton::run(json);
}
