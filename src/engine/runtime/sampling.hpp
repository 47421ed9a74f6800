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
  double presence_penalty = 0;        // [-2, 2], of what was drawn
  double frequency_penalty = 0;       // [-2, 2], for each time it was drawn
  double repetition_penalty = 1;      // > 0, of what is in prompt or answer
  std::optional<std::uint64_t> seed;  // absent: the engine draws one
  std::size_t max_tokens = 16;        // >= 1
  std::size_t min_tokens = 0;         // EOS and stop ids are masked until then
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::vector<TokenId> allowed;                 // nothing else is drawn; empty: all
  std::vector<std::vector<TokenId>> bad_words;  // the answer holds none of them
  std::optional<std::size_t> logprobs;          // alternatives per token; 0: only the chosen one
  std::optional<std::size_t> prompt_logprobs;   // the same for the prompt, all of which is computed
};

inline constexpr double kGreedyBelow = 1e-5;      // temperatures below are greedy, as in vLLM
inline constexpr std::size_t kMaxBiases = 1024;   // entries of logit_bias
inline constexpr std::size_t kMaxBadWords = 256;  // sequences of tokens

// kInvalid: a value out of range, a token that is none of `vocab`; the message names the parameter.
Status validate(const SamplingParams& params, std::size_t vocab);

// Log-probabilities of the raw logits, before temperature and masks.
struct TokenLogprob {
  float logprob = 0;
  std::size_t rank = 1;                        // 1: the likeliest
  std::vector<std::pair<TokenId, float>> top;  // descending
};
// Contract: token < logits.size().
TokenLogprob logprob_of(std::span<const float> logits, TokenId token, std::size_t alternatives);

struct Sample {
  TokenId token = 0;
  std::optional<TokenLogprob> logprob;
};

// What the next token is drawn from.
struct Draw {
  std::span<const float> logits;      // [vocab], not empty
  std::span<const TokenId> tokens;    // prompt, then what was drawn: its size is the position
  std::size_t prompt = 0;             // how many of them are the prompt
  std::span<const TokenId> banned{};  // not drawn
  std::uint64_t seed = 0;
};

// Masks and bans hold unless they leave no token. Ties go to the lowest token id. Contract:
// `params` valid.
Sample sample(const Draw& draw, const SamplingParams& params);

}  // namespace baton::runtime
