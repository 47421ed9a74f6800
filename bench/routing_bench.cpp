// How well requests are spread over pods that keep what they computed: Mooncake's conversation
// trace on simulated pods, routed by baton's picker as the seed configures it, and by plain rules
// that see the pods' caches and queues as they are. Deterministic: no clock, seeded chance.
//
//   routing_bench [--trace FILE] [--picker FILE] [--json FILE]
//
// The pods tell how much their caches hold. The seed's configuration also runs with a capacity of
// its own that is half of that.
//
// Without --trace the environment's BATON_TRACE names the trace (conversation_trace.jsonl,
// FAST'25); --picker is another EndpointPickerConfig to run beside the seed's.
//
// A pod computes prompts one after the other, 0.2 ms for each token that it does not hold, and
// any number of answers side by side, 30 ms a token; it keeps the 2,000 blocks of 512 tokens that
// were used last. A pod's load is how many requests are in it on average. Requests that come
// while its queue is scraped (50 ms) see what the picker knows, not what is.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/core/log.hpp"
#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "cli/bench_load.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "routing/pick/service_pool.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton::bench {
namespace {

using cli::Ask;

constexpr std::size_t kPods = 16;
constexpr std::size_t kPodBlocks = 2000;
constexpr std::uint32_t kBlockTokens = 512;
constexpr Nanos kPromptToken = std::chrono::microseconds(200);
constexpr Nanos kOutputToken = Millis(30);
constexpr Nanos kScrape = Millis(50);
constexpr std::size_t kBytesPerToken = 4;  // of the text that the picker sees

// The blocks that were used last.
class Cache {
 public:
  std::size_t leading(const Ask& ask) const {
    std::size_t held = 0;
    while (held < ask.prompt.size() && blocks_.contains(ask.prompt[held].seed)) ++held;
    return held;
  }
  // From the end: a prompt's first blocks are used by more requests, and leave last.
  void use(const Ask& ask) {
    for (auto block = ask.prompt.rbegin(); block != ask.prompt.rend(); ++block) {
      const auto found = blocks_.find(block->seed);
      if (found != blocks_.end()) {
        order_.splice(order_.end(), order_, found->second);
      } else {
        blocks_.emplace(block->seed, order_.insert(order_.end(), block->seed));
      }
    }
    while (blocks_.size() > kPodBlocks) {
      blocks_.erase(order_.front());
      order_.pop_front();
    }
  }

 private:
  std::list<std::uint64_t> order_;  // oldest first
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> blocks_;
};

struct Pod {
  Cache cache;
  std::deque<std::size_t> waiting;  // requests, by number
  bool computing = false;           // a prompt
  std::size_t inside = 0;           // waiting, computing, answering
  std::size_t requests = 0;         // ever
  double request_seconds = 0;       // requests in it, over time
};
using Pods = std::vector<Pod>;

// Where requests go, and what the one who decides hears of them.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::size_t choose(std::size_t number, const Ask& ask, const Pods& pods, Mono now) = 0;
  virtual void scraped(const Pods&, Mono) {}
  virtual void computed(std::size_t) {}  // the prompt: the answer begins
  virtual void ended(std::size_t) {}
};

class RoundRobin final : public Policy {
  std::size_t choose(std::size_t number, const Ask&, const Pods&, Mono) override {
    return number % kPods;
  }
};

class Chance final : public Policy {
  std::size_t choose(std::size_t, const Ask&, const Pods&, Mono) override {
    return random_.below(kPods);
  }
  SeededRandom random_{1};
};

// The best by a score over caches and queues as they are; equals by chance.
class Scored : public Policy {
 public:
  explicit Scored(double load_weight) : load_weight_(load_weight) {}
  std::size_t choose(std::size_t, const Ask& ask, const Pods& pods, Mono) override {
    std::size_t most = 0;
    for (const auto& pod : pods) most = std::max(most, pod.inside);
    const double busiest = static_cast<double>(std::max<std::size_t>(most, 1));
    double best = -1;
    std::size_t chosen = 0;
    std::uint64_t ties = 1;
    for (std::size_t i = 0; i < pods.size(); ++i) {
      const double held =
          static_cast<double>(pods[i].cache.leading(ask)) / static_cast<double>(ask.prompt.size());
      const double idle = 1 - static_cast<double>(pods[i].inside) / busiest;
      const double score = 2 * held + load_weight_ * idle;
      if (score < best) continue;
      if (score > best) {
        ties = 1;
      } else if (random_.below(++ties) != 0) {
        continue;
      }
      best = score;
      chosen = i;
    }
    return chosen;
  }

 private:
  double load_weight_;
  SeededRandom random_{2};
};

// Our picker, with all that stands between a request and its pod but the sockets.
class Picker final : public Policy {
 public:
  explicit Picker(std::string_view config) : pool_(service(config)) {
    if (pool_.broken()) fail(pool_.broken()->message());
    pool_.update(service(config));
  }

  std::size_t choose(std::size_t number, const Ask& ask, const Pods&, Mono now) override {
    auto chain = pool_.chain("m", "");
    if (chain) chain->append(text_of(ask));
    auto picked = pool_.pick({.chain = chain ? &*chain : nullptr,
                              .prompt_bytes = text_.size(),
                              .refused = {},
                              .model = "m"},
                             now, random_);
    if (!picked) fail(picked.error().message());
    const auto pod = static_cast<std::size_t>(picked->route.decode.port - kFirstPort);
    running_.emplace(number, Running{*std::move(picked), std::move(chain)});
    return pod;
  }
  void scraped(const Pods& pods, Mono now) override {
    for (const auto& endpoint : pool_.endpoints()) {
      const auto& pod = pods[static_cast<std::size_t>(endpoint.port - kFirstPort)];
      const auto waiting = static_cast<float>(pod.waiting.size());
      pool_.loaded(endpoint,
                   {.waiting = waiting,
                    .running = static_cast<float>(pod.inside) - waiting,
                    .kv_usage = {},
                    .block_size = kBlockTokens,
                    .blocks = kPodBlocks},
                   now);
    }
  }
  void computed(std::size_t number) override {
    auto& [picked, chain] = running_.at(number);
    picked.decode.release_tokens();
    if (chain) pool_.remember(picked.route.decode, chain->blocks());
  }
  void ended(std::size_t number) override { running_.erase(number); }

 private:
  static constexpr std::uint16_t kFirstPort = 8000;
  struct Running {
    pick::ServicePool::Picked picked;
    std::optional<index::PrefixChain> chain;
  };

  static watch::Service service(std::string_view config) {
    auto made = pick::testing::service(config);
    for (std::size_t i = 0; i < kPods; ++i) {
      made.endpoints.push_back(pick::testing::endpoint(fmt::format("pod-{:02}", i), "decode",
                                                       "127.0.0.1",
                                                       static_cast<std::uint16_t>(kFirstPort + i)));
    }
    return made;
  }
  // Equal blocks are equal text.
  std::string_view text_of(const Ask& ask) {
    text_.clear();
    for (const auto& block : ask.prompt) {
      const auto word = fmt::format("{:015x} ", block.seed & 0xfff'ffff'ffff'ffff);
      const auto end = text_.size() + block.tokens * kBytesPerToken;
      while (text_.size() < end) text_ += word;
      text_.resize(end);
    }
    return text_;
  }

  pick::ServicePool pool_;
  SeededRandom random_{3};
  std::string text_;
  std::unordered_map<std::size_t, Running> running_;  // by number
};

struct Outcome {
  double hits = 0;                     // share of all blocks
  double load = 0;                     // most over mean
  double requests = 0;                 // most over mean
  double wait_mean = 0, wait_p99 = 0;  // seconds from arrival to the prompt's end
};

// The trace on the pods, event by event.
class Run {
 public:
  Run(const std::vector<Ask>& asks, Policy& policy)
      : asks_(asks), policy_(policy), pods_(kPods), pod_of_(asks.size()) {}

  Outcome run() {
    push(asks_.front().at, Event::Kind::kScrape, 0);
    for (std::size_t i = 0; i < asks_.size(); ++i) push(asks_[i].at, Event::Kind::kArrive, i);
    while (ended_ < asks_.size()) {
      const auto event = events_.top();
      events_.pop();
      now_ = event.at;
      handle(event);
    }
    return outcome();
  }

 private:
  struct Event {
    enum class Kind : std::uint8_t { kScrape, kArrive, kComputed, kEnd };
    Nanos at;
    std::uint64_t order;
    Kind kind;
    std::size_t number;
    bool operator<(const Event& other) const {  // of a queue whose top is the greatest
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  void push(Nanos at, Event::Kind kind, std::size_t number) {
    events_.push({at, ++pushed_, kind, number});
  }
  Mono clock() const { return Mono(std::chrono::hours(1)) + now_; }

  void handle(const Event& event) {
    const auto i = event.number;
    switch (event.kind) {
      case Event::Kind::kScrape:
        policy_.scraped(pods_, clock());
        return push(now_ + kScrape, Event::Kind::kScrape, 0);
      case Event::Kind::kArrive:
        pod_of_[i] = policy_.choose(i, asks_[i], pods_, clock());
        ++pod(i).inside;
        ++pod(i).requests;
        pod(i).waiting.push_back(i);
        return compute_next(pod(i));
      case Event::Kind::kComputed:
        pod(i).computing = false;
        pod(i).cache.use(asks_[i]);
        waits_.push_back(seconds(now_ - asks_[i].at));
        policy_.computed(i);
        push(now_ + kOutputToken * static_cast<std::int64_t>(asks_[i].output), Event::Kind::kEnd,
             i);
        return compute_next(pod(i));
      case Event::Kind::kEnd:
        --pod(i).inside;
        pod(i).request_seconds += seconds(now_ - asks_[i].at);
        ++ended_;
        policy_.ended(i);
    }
  }
  void compute_next(Pod& pod) {
    if (pod.computing || pod.waiting.empty()) return;
    const auto i = pod.waiting.front();
    pod.waiting.pop_front();
    pod.computing = true;
    const auto& prompt = asks_[i].prompt;
    const auto held = pod.cache.leading(asks_[i]);
    hits_ += held;
    blocks_ += prompt.size();
    std::size_t tokens = 0;
    for (std::size_t b = held; b < prompt.size(); ++b) tokens += prompt[b].tokens;
    push(now_ + kPromptToken * static_cast<std::int64_t>(tokens), Event::Kind::kComputed, i);
  }
  Pod& pod(std::size_t number) { return pods_[pod_of_[number]]; }

  Outcome outcome() {
    const auto uneven = [&](auto value) {
      double most = 0;
      double sum = 0;
      for (const auto& pod : pods_) {
        most = std::max(most, static_cast<double>(value(pod)));
        sum += static_cast<double>(value(pod));
      }
      return most * kPods / sum;
    };
    std::ranges::sort(waits_);
    double sum = 0;
    for (const auto wait : waits_) sum += wait;
    return {.hits = static_cast<double>(hits_) / static_cast<double>(blocks_),
            .load = uneven([](const Pod& p) { return p.request_seconds; }),
            .requests = uneven([](const Pod& p) { return p.requests; }),
            .wait_mean = sum / static_cast<double>(waits_.size()),
            .wait_p99 = waits_[waits_.size() * 99 / 100]};
  }

  const std::vector<Ask>& asks_;
  Policy& policy_;
  Pods pods_;
  std::vector<std::size_t> pod_of_;  // by request
  std::priority_queue<Event> events_;
  std::uint64_t pushed_ = 0;
  Nanos now_{};
  std::size_t ended_ = 0, hits_ = 0, blocks_ = 0;
  std::vector<double> waits_;
};

// A capacity of its own, the default of the reference: half of what a pod holds.
constexpr std::string_view kCapacity = "lruCapacityPerServer: 31250";

// The seed's configuration with parameters for its prefix-cache-scorer.
std::string seed_with(std::string_view parameters) {
  constexpr std::string_view kScorer = "{type: prefix-cache-scorer}";
  std::string config(pick::testing::kSeedPd);
  config.replace(config.find(kScorer), kScorer.size(),
                 fmt::format("{{type: prefix-cache-scorer, parameters: {{{}}}}}", parameters));
  return config;
}

struct Named {
  std::string name;
  std::unique_ptr<Policy> policy;
};

void run(const std::string& trace, const std::string& picker, const std::string& json_file) {
  log::configure(log::Level::kWarn, log::Style::kText, "bench");
  if (trace.empty()) {
    fmt::print("routing quality: not run (neither --trace nor BATON_TRACE names the trace)\n");
    return;
  }
  const auto asks = cli::trace_load(read_file(trace), {.count = cli::kMaxAsks, .seed = 1});
  if (!asks) fail(asks.error().with(trace).message());
  std::vector<Named> policies;
  policies.push_back({"round robin", std::make_unique<RoundRobin>()});
  policies.push_back({"random", std::make_unique<Chance>()});
  policies.push_back({"greedy", std::make_unique<Scored>(0)});
  policies.push_back({"2x prefix + load", std::make_unique<Scored>(1)});
  const auto plain = policies.size();
  policies.push_back({"baton, seed", std::make_unique<Picker>(pick::testing::kSeedPd)});
  policies.push_back({"fixed capacity", std::make_unique<Picker>(seed_with(kCapacity))});
  if (!picker.empty()) policies.push_back({picker, std::make_unique<Picker>(read_file(picker))});
  fmt::print("{} requests on {} pods\n{:<18} {:>9} {:>9} {:>14} {:>18} {:>12} {:>11}\n",
             asks->size(), kPods, "", "hits", "of best", "load max/mean", "requests max/mean",
             "wait mean s", "wait p99 s");
  text::json::Value results;
  double best = 0;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const auto out = Run(*asks, *policies[i].policy).run();
    if (i < plain) best = std::max(best, out.hits);
    fmt::print("{:<18} {:>7.2f} % {:>9} {:>14.3f} {:>18.3f} {:>12.2f} {:>11.2f}\n",
               policies[i].name, out.hits * 100,
               i < plain ? "" : fmt::format("{:.3f}", out.hits / best), out.load, out.requests,
               out.wait_mean, out.wait_p99);
    std::fflush(stdout);
    text::json::Value row;
    row["policy"] = policies[i].name;
    row["hit_ratio"] = out.hits;
    row["load_max_over_mean"] = out.load;
    row["requests_max_over_mean"] = out.requests;
    row["wait_mean_s"] = out.wait_mean;
    row["wait_p99_s"] = out.wait_p99;
    results.push_back(std::move(row));
  }
  save(results, json_file);
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  std::string trace, picker, json;
  if (const char* named = std::getenv("BATON_TRACE")) trace = named;
  baton::bench::Flags("[--trace FILE] [--picker FILE] [--json FILE]")
      .text("--trace", trace)
      .text("--picker", picker)
      .text("--json", json)
      .read(argc, argv);
  baton::bench::run(trace, picker, json);
}
