#pragma once
// The bodies of POST /v1/completions, /tokenize and /detokenize.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/openai/chat_request.hpp"
#include "formats/openai/sampling.hpp"

namespace baton::openai {

using TokenIds = std::vector<std::uint32_t>;

struct CompletionRequest {
  Delivery delivery;
  Sampling sampling;
  std::vector<std::variant<std::string, TokenIds>> prompts;  // not empty; all of one kind
  bool add_special_tokens = true;
  bool echo = false;  // answers begin with their prompts; max_tokens may be 0 then
};

struct TokenizeRequest {
  std::optional<std::string> model;
  std::variant<std::string, ChatPrompt> prompt;
  bool add_special_tokens = true;  // of a text; a ChatPrompt has its own
  bool spellings = false;          // return_token_strs
};

struct DetokenizeRequest {
  std::optional<std::string> model;
  TokenIds tokens;
};

Decoded<CompletionRequest> decode_completion(std::string_view body);
Decoded<TokenizeRequest> decode_tokenize(std::string_view body);
Decoded<DetokenizeRequest> decode_detokenize(std::string_view body);

}  // namespace baton::openai
