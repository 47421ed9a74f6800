#include "formats/openai/completion_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

using text::json::Value;

constexpr std::uint64_t kDefaultMaxTokens = 16;

using Prompt = std::variant<std::string, TokenIds>;

Prompt read_element(Fields& fields, const Value& element, std::size_t index) {
  if (const std::string* text = element.if_string()) return *text;
  const auto name = fmt::format("prompt.{}", index);
  if (!element.is_array()) {
    fields.malformed(name, "string_type", "Input should be a valid string", element);
    return "";
  }
  const text::json::Object inner{{name, element}};
  Fields nested(inner);
  TokenIds ids = nested.ids(name);
  if (nested.failed()) fields.refuse("prompt", nested.error().message);
  return ids;
}

// One text, one list of ids, or a list of either; all of one kind.
std::vector<Prompt> read_prompts(Fields& fields) {
  const Value* prompt = fields.find("prompt");
  if (prompt == nullptr) {
    fields.missing("prompt");
    return {};
  }
  if (const std::string* text = prompt->if_string()) return {*text};
  const auto* list = prompt->if_array();
  if (list == nullptr) {
    fields.malformed("prompt", "string_type", "Input should be a valid string", *prompt);
    return {};
  }
  if (list->empty()) {
    fields.refuse("prompt", "prompt is an empty list. (parameter=prompt)");
    return {};
  }
  if (list->front().is_number()) return {fields.ids("prompt")};
  if (list->size() > kMaxChoices) {
    fields.refuse("prompt", fmt::format("{} prompts in one request, at most {} are served. "
                                        "(parameter=prompt)",
                                        list->size(), kMaxChoices));
    return {};
  }
  std::vector<Prompt> out;
  for (const Value& element : *list) {
    out.push_back(read_element(fields, element, out.size()));
    if (fields.failed()) return {};
    if (out.back().index() != out.front().index()) {
      fields.refuse("prompt", "Prompts are all texts or all token ids. (parameter=prompt)");
      return {};
    }
  }
  return out;
}

}  // namespace

Decoded<CompletionRequest> decode_completion(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  CompletionRequest out;
  out.delivery = read_delivery(fields);
  out.prompts = read_prompts(fields);
  out.sampling = read_sampling(fields);
  out.echo = fields.flag("echo", false);
  refuse_flag(fields, "detokenize", true);
  out.add_special_tokens = fields.flag("add_special_tokens", true);
  const auto n = fields.integer("max_tokens");
  if (n && *n < (out.echo ? 0 : 1))
    fields.out_of_range("max_tokens", "max_tokens must be at least 1", fmt::format("{}", *n));
  out.sampling.max_tokens = n ? static_cast<std::uint64_t>(*n) : kDefaultMaxTokens;
  if (const auto logprobs = fields.integer("logprobs")) {
    if (*logprobs < 0)
      fields.refuse("logprobs", "`logprobs` must be a positive value. (parameter=logprobs)");
    out.sampling.logprobs = logprobs;
  }
  check_lengths(fields, out.sampling);
  check_stream(fields, out.sampling, out.delivery);
  const auto choices = static_cast<std::int64_t>(out.prompts.size()) * out.sampling.n;
  if (choices > kMaxChoices)
    fields.refuse("n", fmt::format("{} prompts with n={} are more than {} answers. (parameter=n)",
                                   out.prompts.size(), out.sampling.n, kMaxChoices));
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
