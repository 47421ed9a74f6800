#include "engine/serve/prepare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "formats/kv/transfer_params.hpp"
#include "formats/openai/generate_request.hpp"
#include "formats/openai/messages_request.hpp"
#include "formats/openai/responses_request.hpp"

namespace baton::serve {
namespace {

using openai::Decoded;
using openai::ErrorBody;
using token::TokenId;

// Bytes of a text, or of it for each token of the context: far more than text has that is no
// padding. Where it is one word, some seconds of a thread, which nobody can stop.
constexpr std::size_t kMostText = std::size_t{4} << 20, kMostTextOfAToken = 16;

// Of the tokens of a text: whether they have to fit the context.
enum class Use : bool { kOther, kPrompt };

std::unexpected<ErrorBody> refuse(std::string message, std::string param = "") {
  return std::unexpected(ErrorBody{400, "BadRequestError", std::move(message), std::move(param)});
}

// A text that is longer than all tokens of the context could be is not tokenized to find that out.
// Clients match on how the message begins: it is that of check_length.
std::optional<ErrorBody> check_text(const ServedModel& model, std::string_view text, Use use) {
  std::size_t most = std::max(kMostText, kMostTextOfAToken * model.max_model_len);
  if (const auto of_a_token = model.tokenizer->most_bytes_of_a_token();
      of_a_token && use == Use::kPrompt)
    most = std::min(most, *of_a_token * model.max_model_len);
  if (text.size() <= most) return std::nullopt;
  return refuse(
             fmt::format("This model's maximum context length is {} tokens. However, your prompt "
                         "contains {} bytes of text, of which at most {} are tokenized. Please "
                         "reduce the length of the input prompt. (parameter=input_text, value={})",
                         model.max_model_len, text.size(), most, text.size()),
             "input_text")
      .error();
}

Decoded<std::vector<TokenId>> encoded(const ServedModel& model, std::string_view text, bool special,
                                      Use use) {
  if (auto wrong = check_text(model, text, use)) return std::unexpected(*std::move(wrong));
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

// Puts the vocabulary's size where all are asked for.
std::optional<openai::ErrorBody> check_logprobs(const ServedModel& model, std::size_t vocab,
                                                openai::Sampling& sampling) {
  const std::size_t most = model.max_logprobs.value_or(vocab);
  const auto check = [&](std::string_view what, std::string_view member,
                         std::optional<std::int64_t>& asked) -> std::optional<openai::ErrorBody> {
    if (asked == openai::kAllLogprobs) asked = static_cast<std::int64_t>(vocab);
    if (!asked || static_cast<std::size_t>(*asked) <= most) return std::nullopt;
    return refuse(fmt::format("Requested {} logprobs of {}, which is greater than max allowed: {}. "
                              "(parameter={}, value={})",
                              what, *asked, most, member, *asked),
                  std::string(member))
        .error();
  };
  if (auto wrong = check("sample", "logprobs", sampling.logprobs)) return wrong;
  return check("prompt", "prompt_logprobs", sampling.prompt_logprobs);
}

// A word may begin an answer, or come behind a space.
Decoded<std::vector<std::vector<TokenId>>> bad_word_tokens(const ServedModel& model,
                                                           const std::vector<std::string>& words) {
  std::vector<std::vector<TokenId>> out;
  for (const std::string& word : words) {
    const std::string plain = word.substr(word.find_first_not_of(' '));
    auto alone = encoded(model, plain, false, Use::kOther);
    if (!alone) return std::unexpected(std::move(alone).error());
    auto spaced = encoded(model, " " + plain, false, Use::kOther);
    if (!spaced) return std::unexpected(std::move(spaced).error());
    if (!alone->empty()) out.push_back(*alone);
    if (!spaced->empty() && *spaced != *alone) out.push_back(*std::move(spaced));
  }
  return out;
}

runtime::SamplingParams params(const openai::Sampling& s, const GenerationDefaults& defaults) {
  runtime::SamplingParams out;
  out.temperature = s.temperature.value_or(defaults.temperature);
  out.top_p = s.top_p.value_or(defaults.top_p);
  out.top_k = s.top_k.value_or(defaults.top_k);
  out.min_p = s.min_p.value_or(defaults.min_p);
  out.presence_penalty = s.presence_penalty;
  out.frequency_penalty = s.frequency_penalty;
  out.repetition_penalty = s.repetition_penalty.value_or(defaults.repetition_penalty);
  out.logit_bias = s.logit_bias;
  out.allowed = s.allowed_token_ids;
  if (s.seed) out.seed = static_cast<std::uint64_t>(*s.seed);
  out.max_tokens = std::max<std::uint64_t>(*s.max_tokens, 1);
  out.min_tokens = s.min_tokens;
  out.stop_token_ids = s.stop_token_ids;
  out.ignore_eos = s.ignore_eos;
  if (s.logprobs) out.logprobs = static_cast<std::size_t>(*s.logprobs);
  if (s.prompt_logprobs) out.prompt_logprobs = static_cast<std::size_t>(*s.prompt_logprobs);
  return out;
}

Decoded<std::vector<TokenId>> chat_tokens(const ServedModel& model,
                                          const openai::ChatPrompt& prompt, const std::tm& now,
                                          Use use) {
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
  return encoded(model, *text, prompt.add_special_tokens, use);
}

// Of a prompt that is cut any length is good.
Use use_of(const openai::Sampling& sampling) {
  return sampling.truncate_prompt ? Use::kOther : Use::kPrompt;
}

struct Asked {
  openai::Delivery delivery;
  openai::Sampling sampling;
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::string> echoes;
};

Decoded<Asked> read_chat(const ServedModel& model, Decoded<openai::ChatRequest> request,
                         const std::tm& now, std::optional<Use> use = {}) {
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->delivery.model))
    return std::unexpected(*std::move(wrong));
  auto prompt = chat_tokens(model, request->prompt, now, use.value_or(use_of(request->sampling)));
  if (!prompt) return std::unexpected(std::move(prompt).error());
  return Asked{
      std::move(request->delivery), std::move(request->sampling), {*std::move(prompt)}, {}};
}

Decoded<Asked> read_completion(const ServedModel& model, std::size_t vocab, std::string_view body) {
  auto request = openai::decode_completion(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->delivery.model))
    return std::unexpected(*std::move(wrong));
  Asked out{std::move(request->delivery), std::move(request->sampling), {}, {}};
  for (const auto& given : request->prompts) {
    const auto* text = std::get_if<std::string>(&given);
    auto ids = text != nullptr
                   ? encoded(model, *text, request->add_special_tokens, use_of(request->sampling))
                   : checked_ids(std::get<openai::TokenIds>(given), vocab);
    if (!ids) return std::unexpected(std::move(ids).error());
    if (request->echo) {
      out.echoes.push_back(
          text != nullptr ? *text : model.tokenizer->decode(*ids, token::SkipSpecial::kNo));
    }
    out.prompts.push_back(*std::move(ids));
  }
  return out;
}

Decoded<Asked> read_generate(const ServedModel& model, std::size_t vocab, std::string_view body) {
  auto request = openai::decode_generate(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->delivery.model))
    return std::unexpected(*std::move(wrong));
  auto ids = checked_ids(request->token_ids, vocab);
  if (!ids) return std::unexpected(std::move(ids).error());
  request->sampling.return_ids = true;
  return Asked{std::move(request->delivery), std::move(request->sampling), {*std::move(ids)}, {}};
}

Decoded<Asked> read_body(const ServedModel& model, std::size_t vocab, openai::Endpoint endpoint,
                         std::string_view body, const std::tm& now) {
  switch (endpoint) {
    case openai::Endpoint::kChat:
      return read_chat(model, openai::decode_chat(body), now);
    case openai::Endpoint::kCompletions:
      return read_completion(model, vocab, body);
    case openai::Endpoint::kGenerate:
      return read_generate(model, vocab, body);
    case openai::Endpoint::kMessages:
      return read_chat(model, openai::decode_messages(body, openai::MessagesUse::kAnswer), now);
    case openai::Endpoint::kResponses:
      return read_chat(model, openai::decode_responses(body), now);
  }
  return refuse("no such API");
}

// Only the end of a prompt that is longer than asked for stays.
void truncate(const ServedModel& model, Asked& asked) {
  if (!asked.sampling.truncate_prompt) return;
  const auto wanted = *asked.sampling.truncate_prompt;
  const std::size_t most = wanted < 0 ? model.max_model_len - 1 : static_cast<std::size_t>(wanted);
  for (auto& prompt : asked.prompts) {
    if (prompt.size() > most)
      prompt.erase(prompt.begin(), prompt.end() - static_cast<std::ptrdiff_t>(most));
  }
}

}  // namespace

Decoded<Prepared> prepare(const ServedModel& model, std::size_t vocab, openai::Endpoint endpoint,
                          std::string_view body, const std::tm& now) {
  auto asked = read_body(model, vocab, endpoint, body, now);
  if (!asked) return std::unexpected(std::move(asked).error());
  truncate(model, *asked);
  for (const auto& prompt : asked->prompts) {
    if (auto wrong = check_length(model, prompt.size(), asked->sampling))
      return std::unexpected(*std::move(wrong));
  }
  if (auto wrong = check_logprobs(model, vocab, asked->sampling))
    return std::unexpected(*std::move(wrong));
  Prepared out;
  auto transfer = kv::decode(asked->delivery.kv_transfer_params);
  if (!transfer) return refuse(transfer.error().message(), "kv_transfer_params");
  out.transfer = *std::move(transfer);
  // A streamed answer cannot carry the params back: nothing is kept for a reader that will never
  // come.
  if (asked->delivery.stream) out.transfer.do_remote_decode = false;
  if ((out.transfer.do_remote_decode || out.transfer.do_remote_prefill) &&
      (asked->prompts.size() > 1 || asked->sampling.n > 1)) {
    return refuse("KV moves for one prompt and n=1 only", "kv_transfer_params");
  }
  out.params = params(asked->sampling, model.defaults);
  if (asked->sampling.n > 1 && out.params.temperature < runtime::kGreedyBelow) {
    return refuse(fmt::format("n must be 1 when using greedy sampling, got {}.", asked->sampling.n),
                  "n");
  }
  auto words = bad_word_tokens(model, asked->sampling.bad_words);
  if (!words) return std::unexpected(std::move(words).error());
  out.params.bad_words = *std::move(words);
  // An echo's log-probabilities are those of its prompt.
  if (!asked->echoes.empty() && out.params.logprobs && !out.params.prompt_logprobs)
    out.params.prompt_logprobs = out.params.logprobs;
  out.prompts = std::move(asked->prompts);
  out.echoes = std::move(asked->echoes);
  out.delivery = std::move(asked->delivery);
  out.sampling = std::move(asked->sampling);
  return out;
}

Decoded<std::string> tokenize(const ServedModel& model, std::string_view body, const std::tm& now) {
  auto request = openai::decode_tokenize(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->model)) return std::unexpected(*std::move(wrong));
  const auto* text = std::get_if<std::string>(&request->prompt);
  auto ids = text != nullptr ? encoded(model, *text, request->add_special_tokens, Use::kOther)
                             : chat_tokens(model, std::get<openai::ChatPrompt>(request->prompt),
                                           now, Use::kOther);
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

Decoded<std::string> count_tokens(const ServedModel& model, std::string_view body,
                                  const std::tm& now) {
  auto asked = read_chat(model, openai::decode_messages(body, openai::MessagesUse::kCount), now,
                         Use::kOther);
  if (!asked) return std::unexpected(std::move(asked).error());
  return text::json::dump(text::json::Object{{"input_tokens", asked->prompts.front().size()}});
}

Decoded<std::string> render(const ServedModel& model, std::size_t vocab, openai::Endpoint endpoint,
                            std::string_view body, const std::tm& now) {
  auto asked = read_body(model, vocab, endpoint, body, now);
  if (!asked) return std::unexpected(std::move(asked).error());
  truncate(model, *asked);
  text::json::Array all;
  for (const auto& prompt : asked->prompts) {
    text::json::Array ids;
    for (const TokenId id : prompt) ids.emplace_back(id);
    all.emplace_back(text::json::Object{
        {"token_ids", std::move(ids)}, {"features", nullptr}, {"model", model.names.front()}});
  }
  // Completions have several prompts, chats one.
  return text::json::dump(endpoint == openai::Endpoint::kCompletions ? text::json::Value(all)
                                                                     : all.front());
}

Decoded<std::string> detokenize(const ServedModel& model, std::string_view body) {
  auto request = openai::decode_detokenize(body);
  if (!request) return std::unexpected(std::move(request).error());
  if (auto wrong = model.check_name(request->model)) return std::unexpected(*std::move(wrong));
  return text::json::dump(text::json::Object{
      {"prompt", model.tokenizer->decode(request->tokens, token::SkipSpecial::kNo)}});
}

}  // namespace baton::serve
