#pragma once
// Messages to a prompt, by the chat template that comes with a model.

#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/jinja.hpp"
#include "base/text/json.hpp"

namespace baton::token {

inline constexpr std::size_t kMaxTokenizerConfig = std::size_t{16} << 20;

struct ChatOptions {
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  text::json::Value tools;      // null: none
  text::json::Value documents;  // null: none
  text::json::Object kwargs;    // chat_template_kwargs: more variables
};

// Immutable: render from any number of threads.
class ChatTemplate {
 public:
  // folder/tokenizer_config.json (chat_template: a string, or a list of named ones) and
  // folder/chat_template.jinja, which wins. kNotFound: neither has a template. kInvalid: the
  // template's mistake, with its line.
  static Result<ChatTemplate> load(const std::filesystem::path& folder);
  // `config` is the text of a tokenizer_config.json; `separate` that of chat_template.jinja, or
  // empty.
  static Result<ChatTemplate> parse(std::string_view config, std::string_view separate);

  // `messages` is the array of a request. kInvalid: what raise_exception said, or a mistake in the
  // template.
  Result<std::string> render(const text::json::Value& messages, const ChatOptions& options,
                             const std::tm& now) const;

 private:
  std::vector<std::pair<std::string, text::jinja::Template>>
      templates_;              // by name; "default", "tool_use"
  text::json::Object tokens_;  // bos_token, eos_token …
};

}  // namespace baton::token
