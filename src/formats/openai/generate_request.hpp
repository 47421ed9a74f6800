#pragma once
// The body of POST /inference/v1/generate: tokens in, tokens out.

#include <string_view>

#include "formats/openai/completion_request.hpp"

namespace baton::openai {

struct GenerateRequest {
  Delivery delivery;  // transfer params at the top, or in sampling_params.extra_args
  Sampling sampling;
  TokenIds token_ids;  // not empty
};

Decoded<GenerateRequest> decode_generate(std::string_view body);

}  // namespace baton::openai
