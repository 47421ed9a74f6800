#pragma once
// What `bench` sends, and when. Pure: same seed, same load.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"

namespace baton::cli {

// Text of about that many tokens. Equal segments are equal text.
struct Segment {
  std::uint64_t seed = 0;
  std::size_t tokens = 0;
  friend bool operator==(const Segment&, const Segment&) = default;
};

struct Ask {
  Nanos at{};  // from the start of the run
  std::vector<Segment> prompt;
  std::size_t output = 0;  // tokens, exactly
};

struct SyntheticLoad {
  std::size_t count = 100;
  double rate = 0;  // requests a second as a Poisson process; 0: all at once
  std::size_t input = 512, output = 64, shared_prefix = 0;
  std::uint64_t seed = 0;
};

// Every prompt is fresh after the shared prefix. Contract: shared_prefix < input.
std::vector<Ask> synthetic_load(const SyntheticLoad& load);

struct TraceLoad {
  std::size_t count = 100;  // the first of the trace
  double scale = 1;         // arrivals come that many times as fast
  double length_scale = 1;  // of input and output lengths
  std::uint64_t seed = 0;
};

inline constexpr std::size_t kMaxTrace = std::size_t{256} << 20;
inline constexpr std::size_t kMaxTokens = 1'000'000;  // of one prompt, or one answer
inline constexpr std::size_t kMaxAsks = 1'000'000;

// Mooncake's JSON lines (timestamp in ms on a coarse grid: arrivals are spread inside it; hash_ids
// of 512 tokens each become equal text) or the CSV of Azure's LLM traces. kInvalid: names the line.
Result<std::vector<Ask>> trace_load(std::string_view text, const TraceLoad& load);

// How many words give how many tokens: a property of the server's tokenizer and template.
struct WordCost {
  double tokens_per_word = 1;
  double around = 0;  // tokens of what the template adds
};

// Short English words. Each segment has its own seed.
std::string prompt_text(const std::vector<Segment>& prompt, const WordCost& cost);

}  // namespace baton::cli
