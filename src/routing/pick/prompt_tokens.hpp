#pragma once
// The tokens of a request's prompt, as its engine will make them: the model's chat template and
// tokenizer, in this process. What was tokenized once is remembered, so that a conversation that
// grows costs its new part only.

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "formats/openai/prompt_text.hpp"
#include "formats/token/chat_template.hpp"
#include "formats/token/piece_memo.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton::pick {

// Thread-safe.
class PromptTokens {
 public:
  // kNotFound, kInvalid, kUnsupported: the folder's tokenizer cannot be used. A folder without chat
  // template serves completions only.
  static Result<std::unique_ptr<PromptTokens>> load(const std::filesystem::path& folder);

  // Of chats and completions of one text; whatever else the body asks for does not matter.
  // kInvalid: an engine would refuse the request, too. kUnsupported: another API, no chat template,
  // or parts that are not text. Costs milliseconds for long prompts that are new.
  Result<std::vector<token::TokenId>> read(openai::Api api, std::string_view body,
                                           const std::tm& now);

  token::PieceMemo::Counts take_counts() { return memo_.take_counts(); }

 private:
  PromptTokens() = default;

  std::unique_ptr<const token::Tokenizer> tokenizer_;
  std::optional<token::ChatTemplate> chat_;
  token::PieceMemo memo_;
};

}  // namespace baton::pick
