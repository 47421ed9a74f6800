#include "formats/openai/completion_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

using text::json::Value;

constexpr std::uint64_t kDefaultMaxTokens = 16;

std::variant<std::string, TokenIds> read_prompt(Fields& fields) {
  const Value* prompt = fields.find("prompt");
  if (prompt == nullptr) {
    fields.missing("prompt");
    return "";
  }
  if (const std::string* text = prompt->if_string()) return *text;
  const auto* list = prompt->if_array();
  if (list == nullptr) {
    fields.malformed("prompt", "string_type", "Input should be a valid string", *prompt);
    return "";
  }
  if (list->empty()) {
    fields.refuse("prompt", "prompt is an empty list. (parameter=prompt)");
    return "";
  }
  const Value& first = list->front();
  if (first.is_number()) return fields.ids("prompt");
  if (!first.is_string() && !first.is_array()) {
    fields.malformed("prompt.0", "string_type", "Input should be a valid string", first);
    return "";
  }
  if (list->size() > 1) {
    fields.refuse("prompt", fmt::format("{} prompts in one request are not supported by this "
                                        "engine: send one request each. (parameter=prompt)",
                                        list->size()));
    return "";
  }
  if (const std::string* text = first.if_string()) return *text;
  const text::json::Object inner{{"prompt.0", first}};
  Fields nested(inner);
  TokenIds ids = nested.ids("prompt.0");
  if (nested.failed()) fields.refuse("prompt", nested.error().message);
  return ids;
}

}  // namespace

Decoded<CompletionRequest> decode_completion(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  CompletionRequest out;
  out.delivery = read_delivery(fields);
  out.prompt = read_prompt(fields);
  out.sampling = read_sampling(fields);
  out.add_special_tokens = fields.flag("add_special_tokens", true);
  const auto n = fields.integer("max_tokens");
  if (n && *n < 1)
    fields.out_of_range("max_tokens", "max_tokens must be at least 1", fmt::format("{}", *n));
  out.sampling.max_tokens = n ? static_cast<std::uint64_t>(*n) : kDefaultMaxTokens;
  if (const auto logprobs = fields.integer("logprobs")) {
    if (*logprobs < 0)
      fields.refuse("logprobs", "`logprobs` must be a positive value. (parameter=logprobs)");
    out.sampling.logprobs = logprobs;
  }
  check_lengths(fields, out.sampling);
  if (fields.failed()) return std::unexpected(fields.error());
  return out;
}

Decoded<TokenizeRequest> decode_tokenize(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  TokenizeRequest out;
  out.model = fields.string("model");
  out.spellings = fields.flag("return_token_strs", false);
  if (fields.find("messages") != nullptr) {
    out.prompt = read_chat_prompt(fields);
  } else {
    out.add_special_tokens = fields.flag("add_special_tokens", true);
    if (auto prompt = fields.string("prompt")) {
      out.prompt = *std::move(prompt);
    } else {
      fields.missing("prompt");
    }
  }
  if (fields.failed()) return std::unexpected(fields.error());
  return out;
}

Decoded<DetokenizeRequest> decode_detokenize(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  DetokenizeRequest out;
  out.model = fields.string("model");
  if (fields.find("tokens") == nullptr) fields.missing("tokens");
  out.tokens = fields.ids("tokens");
  if (fields.failed()) return std::unexpected(fields.error());
  return out;
}

}  // namespace baton::openai
