#pragma once
// The model as clients see it: names, tokenizer, chat template, and the defaults that come with it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "formats/openai/error_body.hpp"
#include "formats/token/chat_template.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton::serve {

// Of generation_config.json: for requests that do not say.
struct GenerationDefaults {
  double temperature = 1;
  double top_p = 1;
  std::int64_t top_k = 0;
  double min_p = 0;
  double repetition_penalty = 1;
};

enum class GenerationConfig : bool { kVllm, kModel };

// Immutable once served.
struct ServedModel {
  std::vector<std::string> names;  // not empty; answers carry the first
  std::string root;                // as given on the command line
  std::size_t max_model_len = 0;
  // What a request may ask for: log-probabilities of so many alternatives; nullopt: of all.
  std::optional<std::size_t> max_logprobs = 20;
  std::unique_ptr<const token::Tokenizer> tokenizer;
  std::optional<token::ChatTemplate> chat;  // absent: /v1/chat/completions is refused
  GenerationDefaults defaults;

  // 404 with the names there are; nullopt when `name` is absent or known.
  std::optional<openai::ErrorBody> check_name(const std::optional<std::string>& name) const;
};

// Tokenizer, chat template and generation_config.json of a folder. `chat_template` is a file of
// --chat-template, or "".
Result<ServedModel> load_served_model(const std::filesystem::path& folder, GenerationConfig use,
                                      const std::filesystem::path& chat_template);

}  // namespace baton::serve
