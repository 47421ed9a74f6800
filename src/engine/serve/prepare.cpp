#include "engine/serve/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "formats/kv/transfer_params.hpp"

namespace baton::serve {
namespace {

using openai::Decoded;
using openai::ErrorBody;
using token::TokenId;

std::unexpected<ErrorBody> refuse(std::string message, std::string param = "") {
  return std::unexpected(ErrorBody{400, "BadRequestError", std::move(message), std::move(param)});
}

Decoded<std::vector<TokenId>> encoded(const ServedModel& model, std::string_view text,
                                      bool special) {
  auto ids =
      model.tokenizer->encode(text, special ? token::AddSpecial::kYes : token::AddSpecial::kNo);
  if (!ids) return std::unexpected(openai::error_body(ids.error()));
  return *std::move(ids);
}

Decoded<std::vector<TokenId>> checked_ids(const openai::TokenIds& ids, std::size_t vocab) {
  const auto foreign = std::ranges::find_if(ids, [&](TokenId id) { return id >= vocab; });
  if (foreign != ids.end())
    return refuse(fmt::format("Token id {} is out of vocabulary", *foreign), "prompt");
  return ids;
}

// What the engine can hold: the prompt and at least one token.
std::optional<ErrorBody> check_length(const ServedModel& model, std::size_t prompt,
                                      openai::Sampling& sampling) {
  const std::size_t limit = model.max_model_len;
  if (prompt == 0) return refuse("The prompt is empty: it has no tokens.", "prompt").error();
  if (prompt >= limit) {
    return refuse(fmt::format("This model's maximum context length is {} tokens. However, your "
                              "prompt contains {} input tokens, which exceeds "
                              "this limit even without any output tokens. Please reduce the length "
                              "of the input prompt. "
                              "(parameter=input_tokens, value={})",
                              limit, prompt, prompt),
                  "input_tokens")
        .error();
  }
  if (!sampling.max_tokens) sampling.max_tokens = limit - prompt;
  const std::uint64_t wanted = *sampling.max_tokens;
  if (wanted > limit) {
    return refuse(fmt::format("max_tokens={} cannot be greater than max_model_len={}. Please "
                              "request fewer output tokens. "
                              "(parameter=max_tokens, value={})",
                              wanted, limit, wanted),
                  "max_tokens")
        .error();
  }
  if (prompt + wanted > limit) {
    return refuse(fmt::format("'max_tokens' or 'max_completion_tokens' is too large: {}. This "
                              "model's maximum context length is {} tokens and "
                              "your request has {} input tokens ({} > {} - {}).",
                              wanted, limit, prompt, wanted, limit, prompt),
                  "max_tokens")
        .error();
  }
  if (sampling.min_tokens > wanted) {
    return refuse(fmt::format("min_tokens must be less than or equal to max_tokens={}, got {}.",
                              wanted, sampling.min_tokens))
        .error();
  }
  return std::nullopt;
}

runtime::SamplingParams params(const openai::Sampling& s, const GenerationDefaults& defaults) {
  runtime::SamplingParams out;
  out.temperature = s.temperature.value_or(defaults.temperature);
  out.top_p = s.top_p.value_or(defaults.top_p);
  out.top_k = s.top_k.value_or(defaults.top_k);
  out.min_p = s.min_p.value_or(defaults.min_p);
  if (s.seed) out.seed = static_cast<std::uint64_t>(*s.seed);
  out.max_tokens = *s.max_tokens;
  out.min_tokens = s.min_tokens;
  out.stop_token_ids = s.stop_token_ids;
  out.ignore_eos = s.ignore_eos;
  if (s.logprobs) out.logprobs = static_cast<std::size_t>(*s.logprobs);
  return out;
}

struct Asked {
  openai::Delivery delivery;
  openai::Sampling sampling;
  Decoded<std::vector<TokenId>> prompt;
};

Decoded<Asked> read_chat(const ServedModel& model, std::string_view body, const std::tm& now) {
  auto request = openai::decode_chat(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->delivery.model))
    return std::unexpected(*std::move(wrong));
  return Asked{std::move(request->delivery), std::move(request->sampling),
               chat_tokens(model, request->prompt, now)};
}

Decoded<Asked> read_completion(const ServedModel& model, std::size_t vocab, std::string_view body) {
  auto request = openai::decode_completion(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->delivery.model))
    return std::unexpected(*std::move(wrong));
  const auto* text = std::get_if<std::string>(&request->prompt);
  auto prompt = text != nullptr ? encoded(model, *text, request->add_special_tokens)
                                : checked_ids(std::get<openai::TokenIds>(request->prompt), vocab);
  return Asked{std::move(request->delivery), std::move(request->sampling), std::move(prompt)};
}

}  // namespace

Decoded<std::vector<TokenId>> chat_tokens(const ServedModel& model,
                                          const openai::ChatPrompt& prompt, const std::tm& now) {
  if (!model.chat) {
    return refuse(
        "As this model has no chat template, chat completions are not possible: use "
        "/v1/completions, or start the server with --chat-template.");
  }
  token::ChatOptions options;
  options.add_generation_prompt = prompt.add_generation_prompt;
  options.continue_final_message = prompt.continue_final_message;
  options.tools = prompt.tools;
  options.documents = prompt.documents;
  options.kwargs = prompt.kwargs;
  const auto text = model.chat->render(prompt.messages, options, now);
  if (!text) return refuse(text.error().message(), "messages");
  return encoded(model, *text, prompt.add_special_tokens);
}

Decoded<Prepared> prepare(const ServedModel& model, std::size_t vocab, openai::Endpoint endpoint,
                          std::string_view body, const std::tm& now) {
  auto asked = endpoint == openai::Endpoint::kChat ? read_chat(model, body, now)
                                                   : read_completion(model, vocab, body);
  if (!asked) return std::unexpected(std::move(asked).error());
  if (!asked->prompt) return std::unexpected(std::move(asked->prompt).error());
  if (auto wrong = check_length(model, asked->prompt->size(), asked->sampling))
    return std::unexpected(*std::move(wrong));
  Prepared out;
  auto transfer = kv::decode(asked->delivery.kv_transfer_params);
  if (!transfer) return refuse(transfer.error().message(), "kv_transfer_params");
  out.request.transfer = *std::move(transfer);
  // A streamed answer cannot carry the params back: nothing is kept for a reader that will never
  // come.
  if (asked->delivery.stream) out.request.transfer.do_remote_decode = false;
  out.request.prompt = *std::move(asked->prompt);
  out.request.sampling = params(asked->sampling, model.defaults);
  out.delivery = std::move(asked->delivery);
  out.sampling = std::move(asked->sampling);
  return out;
}

Decoded<std::string> tokenize(const ServedModel& model, std::string_view body, const std::tm& now) {
  auto request = openai::decode_tokenize(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->model)) return std::unexpected(*std::move(wrong));
  const auto* text = std::get_if<std::string>(&request->prompt);
  auto ids = text != nullptr
                 ? encoded(model, *text, request->add_special_tokens)
                 : chat_tokens(model, std::get<openai::ChatPrompt>(request->prompt), now);
  if (!ids) return std::unexpected(std::move(ids).error());
  text::json::Array tokens;
  text::json::Array spellings;
  for (const TokenId id : *ids) {
    tokens.emplace_back(id);
    if (request->spellings) spellings.emplace_back(std::string(model.tokenizer->spelling(id)));
  }
  return text::json::dump(
      text::json::Object{{"count", ids->size()},
                         {"max_model_len", model.max_model_len},
                         {"tokens", std::move(tokens)},
                         {"token_strs", request->spellings ? text::json::Value(std::move(spellings))
                                                           : text::json::Value()}});
}

Decoded<std::string> detokenize(const ServedModel& model, std::string_view body) {
  auto request = openai::decode_detokenize(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->model)) return std::unexpected(*std::move(wrong));
  return text::json::dump(text::json::Object{
      {"prompt", model.tokenizer->decode(request->tokens, token::SkipSpecial::kNo)}});
}

}  // namespace baton::serve
