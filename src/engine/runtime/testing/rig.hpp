#pragma once
// An engine with a collecting sink, and what tests ask of it.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/testing/fake_model.hpp"

namespace baton::runtime::testing {

inline constexpr auto kPatience = std::chrono::seconds(60);  // then a test gives up

struct Answer {
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;
  std::vector<TokenLogprob> prompt_logprobs;
  std::optional<PromptReport> prompt;
  std::optional<Finish> finish;
  std::optional<TokenId> stop_token;
  std::optional<kv::TransferParams> transfer;
  std::optional<kv::TransferParams> announced;
  std::optional<Error> error;
};

// Thread-safe.
class Collector final : public Sink {
 public:
  void deliver(std::vector<Event> events) override {
    const std::scoped_lock lock(mutex_);
    for (Event& e : events) {
      Answer& a = answers_[e.id];
      a.tokens.insert(a.tokens.end(), e.tokens.begin(), e.tokens.end());
      a.logprobs.insert(a.logprobs.end(), e.logprobs.begin(), e.logprobs.end());
      if (e.prompt) a.prompt = e.prompt;
      if (e.prompt) a.prompt_logprobs = std::move(e.prompt_logprobs);
      if (e.finish) a.finish = e.finish;
      if (e.stop_token) a.stop_token = e.stop_token;
      if (e.transfer) a.transfer = e.transfer;
      if (e.announced) a.announced = e.announced;
      if (e.error) a.error = e.error;
    }
    changed_.notify_all();
  }
  // The whole answer; without `finish` when it did not end in time.
  Answer wait(const std::string& id) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return answers_[id].finish.has_value(); });
    return std::exchange(answers_[id], {});
  }
  // Empty when there was no announcement in time.
  kv::TransferParams wait_for_announcement(const std::string& id) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPatience, [&] { return answers_[id].announced.has_value(); });
    return answers_[id].announced.value_or(kv::TransferParams{});
  }
  bool wait_for_tokens(const std::string& id, std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return answers_[id].tokens.size() >= count; });
  }

 private:
  std::mutex mutex_;  // guards answers_
  std::condition_variable changed_;
  std::unordered_map<std::string, Answer> answers_;
};

inline EngineConfig small_config() {
  EngineConfig c;
  c.block_size = 16;
  c.blocks = 256;
  c.max_model_len = 1024;
  c.max_num_seqs = 8;
  c.max_num_batched_tokens = 128;
  c.model_fingerprint = {1, 2};
  c.transfer.emplace();
  return c;
}

inline SamplingParams greedy(std::size_t max_tokens) {
  SamplingParams p;
  p.temperature = 0;
  p.max_tokens = max_tokens;
  p.ignore_eos = true;
  return p;
}

inline SamplingParams seeded(std::size_t max_tokens, std::uint64_t seed) {
  SamplingParams p = greedy(max_tokens);
  p.temperature = 0.8;
  p.top_p = 0.95;
  p.seed = seed;
  return p;
}

// With everything that looks at prompt and answer.
inline SamplingParams shaped(std::size_t max_tokens, std::uint64_t seed) {
  SamplingParams p = seeded(max_tokens, seed);
  p.presence_penalty = 0.5;
  p.frequency_penalty = 0.7;
  p.repetition_penalty = 1.3;
  p.logit_bias = {{2, 1.5F}, {3, -100}};
  for (TokenId t = 0; t < 80; ++t) p.allowed.push_back(t);
  p.bad_words = {{7}, {2, 9}, {2, 10, 11}};
  return p;
}

inline std::vector<TokenId> prompt_of(std::size_t length, std::uint64_t seed,
                                      std::size_t vocab = FakeModel::kVocab) {
  SeededRandom random(seed);
  std::vector<TokenId> out(length);
  for (TokenId& t : out) t = static_cast<TokenId>(random.below(vocab));
  return out;
}

inline constexpr std::ptrdiff_t kAllThatIsLeft = 1'000'000;

// A running engine on a clock that stands still.
struct Rig {
  explicit Rig(EngineConfig config, std::unique_ptr<model::Model> model = nullptr,
               std::uint64_t seed = 7)
      : random(seed) {
    if (!model) model = std::make_unique<FakeModel>();
    auto made = Engine::create(std::move(config), {std::move(model), clock, random});
    if (!made) throw std::runtime_error(made.error().message());
    engine = *std::move(made);
    engine->start(sink);
  }

  std::string submit(std::vector<TokenId> prompt, SamplingParams sampling,
                     kv::TransferParams transfer = {}, Nanos budget = kPatience) {
    std::string id = "r" + std::to_string(next++);
    const Status ok = engine->submit({id, std::move(prompt), std::move(sampling),
                                      std::move(transfer), Deadline::in(clock, budget)});
    if (!ok) throw std::runtime_error(ok.error().message());
    return id;
  }
  Answer generate(std::vector<TokenId> prompt, SamplingParams sampling,
                  kv::TransferParams transfer = {}) {
    return sink.wait(submit(std::move(prompt), std::move(sampling), std::move(transfer)));
  }
  // The prefill leg.
  Answer prefill(std::vector<TokenId> prompt, SamplingParams sampling) {
    kv::TransferParams p;
    p.do_remote_decode = true;
    return generate(std::move(prompt), std::move(sampling), p);
  }
  // The figures as soon as they satisfy `wanted`, or the last ones.
  template <class Wanted>
  Stats stats_when(Wanted wanted) const {
    const SystemClock real;
    const Deadline deadline = Deadline::in(real, kPatience);
    while (true) {
      const Stats s = engine->stats();
      if (wanted(s) || deadline.passed(real.now())) return s;
      std::this_thread::yield();
    }
  }
  Stats at_rest() const {
    return stats_when([](const Stats& s) {
      return s.running == 0 && s.waiting == 0 && s.leases == 0 && s.blocks_used == 0;
    });
  }

  ManualClock clock;
  SeededRandom random;
  Collector sink;
  std::unique_ptr<Engine> engine;
  int next = 0;
};

}  // namespace baton::runtime::testing
