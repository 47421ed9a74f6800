#pragma once
// What a request says about how to draw and when to stop: the members that chat and completions
// share.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/fields.hpp"

namespace baton::openai {

template <class T>
using Decoded = std::expected<T, ErrorBody>;

inline constexpr std::int64_t kAllLogprobs = -1;
inline constexpr std::int64_t kMaxChoices = 128;  // of one request, over all of its prompts
inline constexpr std::size_t kMaxBadWords = 128;
inline constexpr std::size_t kMaxBiases = 1024;
inline constexpr std::size_t kMaxCacheSalt = 512;  // bytes

// Absent members are for the model's generation_config, then the defaults of vLLM.
struct Sampling {
  std::optional<double> temperature;  // 0 is greedy; values between are at least 0.01
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;  // 0: all
  std::optional<double> min_p;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::optional<double> repetition_penalty;
  std::vector<std::pair<std::uint32_t, float>> logit_bias;  // within +-100
  std::vector<std::uint32_t> allowed_token_ids;             // empty: all
  std::vector<std::string> bad_words;
  std::optional<std::int64_t> seed;
  std::int64_t n = 1;
  std::optional<std::uint64_t> max_tokens;
  std::uint64_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<std::uint32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop = false;  // include_stop_str_in_output
  bool skip_special_tokens = true;
  bool tokens_as_ids = false;  // return_tokens_as_token_ids
  bool return_ids = false;     // return_token_ids
  // Alternatives per token; 0: the chosen one only; kAllLogprobs. How many are allowed is for the
  // engine to say.
  std::optional<std::int64_t> logprobs;
  std::optional<std::int64_t> prompt_logprobs;
  std::optional<std::int64_t> truncate_prompt;  // the prompt's last tokens; -1: what fits
};

// What a request says about its answer, and about its place among others.
struct Delivery {
  std::optional<std::string> model;
  std::string request_id;  // empty: none given
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  std::int64_t priority = 0;  // lower goes first
  std::string cache_salt;     // prompts of different salts share no cached KV; empty: none
  text::json::Value kv_transfer_params;  // null: none
  text::json::Object repeated;           // members of the request that the answer repeats
};

// Everything but max_tokens, logprobs, echo and detokenize, whose members differ; refuses each
// parameter that would change the answer and that we do not have.
Sampling read_sampling(Fields& fields);
// Refuses a flag that is not as it must be.
void refuse_flag(Fields& fields, std::string_view name, bool only);
// A member that is refused when it says anything at all.
void refuse_said(Fields& fields, std::string_view name);
// After max_tokens is known: min_tokens <= max_tokens.
void check_lengths(Fields& fields, const Sampling& sampling);
// For APIs whose answers hold one choice and no scores of the prompt.
void refuse_choices(Fields& fields, const Sampling& sampling);
// What a stream cannot carry.
void check_stream(Fields& fields, const Sampling& sampling, const Delivery& delivery);
Delivery read_delivery(Fields& fields);

}  // namespace baton::openai
