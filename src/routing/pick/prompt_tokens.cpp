#include "routing/pick/prompt_tokens.hpp"

#include "formats/openai/completion_request.hpp"

namespace baton::pick {
namespace {

token::AddSpecial special(bool add) {
  return add ? token::AddSpecial::kYes : token::AddSpecial::kNo;
}

}  // namespace

Result<std::unique_ptr<PromptTokens>> PromptTokens::load(const std::filesystem::path& folder) {
  std::unique_ptr<PromptTokens> out(new PromptTokens);
  BATON_TRY_ASSIGN(out->tokenizer_, token::Tokenizer::load(folder));
  auto chat = token::ChatTemplate::load(folder);
  if (chat) {
    out->chat_ = *std::move(chat);
  } else if (chat.error().code() != Code::kNotFound) {
    return std::move(chat).error().with(folder.string());
  }
  return out;
}

Result<std::vector<token::TokenId>> PromptTokens::read(openai::Api api, std::string_view body,
                                                       const std::tm& now) {
  const bool chat = api == openai::Api::kChat;
  if (!chat && api != openai::Api::kCompletion) {
    return unsupported("prompts of this API are not tokenized");
  }
  if (chat && !chat_) return unsupported("the model has no chat template");
  const auto request = openai::decode_tokenize(body);
  if (!request) return invalid(request.error().message);
  if (const auto* text = std::get_if<std::string>(&request->prompt)) {
    if (chat) return invalid("a chat without messages");
    return tokenizer_->encode(*text, special(request->add_special_tokens), &memo_);
  }
  if (!chat) return invalid("a completion with messages");
  const auto& prompt = std::get<openai::ChatPrompt>(request->prompt);
  const token::ChatOptions options{.add_generation_prompt = prompt.add_generation_prompt,
                                   .continue_final_message = prompt.continue_final_message,
                                   .tools = prompt.tools,
                                   .documents = prompt.documents,
                                   .kwargs = prompt.kwargs};
  BATON_TRY_ASSIGN(const auto text, chat_->render(prompt.messages, options, now));
  return tokenizer_->encode(text, special(prompt.add_special_tokens), &memo_);
}

}  // namespace baton::pick
