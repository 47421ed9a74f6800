#pragma once
// From logits to a token. A pure function of the logits row, the parameters and a random stream
// keyed by (seed, position), so that an answer depends neither on the batch, nor on preemption, nor
// on which engine computed the prompt.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "formats/token/token.hpp"

namespace baton::runtime {

using token::TokenId;

struct SamplingParams {
  double temperature = 1;             // 0 is greedy
  double top_p = 1;                   // (0, 1]
  std::int64_t top_k = 0;             // 0 and -1: all
  double min_p = 0;                   // [0, 1]
  std::optional<std::uint64_t> seed;  // absent: the engine draws one
  std::size_t max_tokens = 16;        // >= 1
  std::size_t min_tokens = 0;         // EOS and stop ids are masked until then
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  std::optional<std::size_t> logprobs;  // alternatives per token; 0: only the chosen one
};

inline constexpr double kGreedyBelow = 1e-5;  // temperatures below are greedy, as in vLLM
inline constexpr std::size_t kMaxLogprobs = 20;

// kInvalid: a value out of range; the message names it.
Status validate(const SamplingParams& params);

// Log-probabilities of the raw logits, before temperature and masks.
struct TokenLogprob {
  float logprob = 0;
  std::size_t rank = 1;                        // 1: the likeliest
  std::vector<std::pair<TokenId, float>> top;  // descending
};

struct Sample {
  TokenId token = 0;
  std::optional<TokenLogprob> logprob;
};

// `banned` tokens are not drawn, unless that leaves none. `position` is the index of the drawn
// token in its sequence. Ties go to the lowest token id. Contract: logits not empty, `params`
// valid.
Sample sample(std::span<const float> logits, const SamplingParams& params,
              std::span<const TokenId> banned, std::uint64_t seed, std::size_t position);

}  // namespace baton::runtime
