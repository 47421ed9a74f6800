#pragma once
// What a request says about how to draw and when to stop: the members that chat and completions
// share.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/fields.hpp"

namespace baton::openai {

template <class T>
using Decoded = std::expected<T, ErrorBody>;

inline constexpr std::int64_t kMaxLogprobs = 20;

// Absent members are for the model's generation_config, then the defaults of vLLM.
struct Sampling {
  std::optional<double> temperature;  // 0 is greedy; values between are at least 0.01
  std::optional<double> top_p;
  std::optional<std::int64_t> top_k;  // 0: all
  std::optional<double> min_p;
  std::optional<std::int64_t> seed;
  std::optional<std::uint64_t> max_tokens;
  std::uint64_t min_tokens = 0;
  std::vector<std::string> stop;
  std::vector<std::uint32_t> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop = false;  // include_stop_str_in_output
  bool skip_special_tokens = true;
  bool tokens_as_ids = false;            // return_tokens_as_token_ids
  std::optional<std::int64_t> logprobs;  // alternatives per token; 0: the chosen one only
};

// What a request says about its answer.
struct Delivery {
  std::optional<std::string> model;
  std::string request_id;  // empty: none given
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  text::json::Value kv_transfer_params;  // null: none
};

// Everything but max_tokens and logprobs, whose members differ; refuses each parameter that would
// change the answer and that we do not have.
Sampling read_sampling(Fields& fields);
// After max_tokens is known: min_tokens <= max_tokens.
void check_lengths(Fields& fields, const Sampling& sampling);
Delivery read_delivery(Fields& fields);

}  // namespace baton::openai
