#include "engine/serve/served_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/core/log.hpp"
#include "base/text/json.hpp"

namespace baton::serve {
namespace {

std::optional<std::string> read_if_there(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<GenerationDefaults> read_defaults(const std::filesystem::path& folder) {
  GenerationDefaults out;
  const auto text = read_if_there(folder / "generation_config.json");
  if (!text) return out;
  BATON_TRY_ASSIGN(const text::json::Value config,
                   text::json::parse(*text).with((folder / "generation_config.json").string()));
  const auto number = [&](std::string_view key) {
    const text::json::Value* v = config.find(key);
    return v == nullptr ? std::nullopt : v->if_double();
  };
  out.temperature = number("temperature").value_or(1);
  out.top_p = number("top_p").value_or(1);
  out.top_k = std::max<std::int64_t>(0, static_cast<std::int64_t>(number("top_k").value_or(0)));
  out.min_p = number("min_p").value_or(0);
  out.repetition_penalty = number("repetition_penalty").value_or(1);
  if (!(out.temperature >= 0) || !(out.top_p > 0 && out.top_p <= 1) ||
      !(out.min_p >= 0 && out.min_p <= 1) || !(out.repetition_penalty > 0)) {
    return invalid(
        fmt::format("{}: temperature, top_p, min_p or repetition_penalty is out of range",
                    (folder / "generation_config.json").string()));
  }
  return out;
}

Result<std::optional<token::ChatTemplate>> load_chat(const std::filesystem::path& folder,
                                                     const std::filesystem::path& given) {
  if (given.empty()) {
    auto chat = token::ChatTemplate::load(folder);
    if (chat) return std::optional(*std::move(chat));
    if (chat.error().code() != Code::kNotFound) return std::move(chat).error();
    log::warn("the model has no chat template: chat completions are refused",
              {{"folder", folder.string()}});
    return std::optional<token::ChatTemplate>();
  }
  const auto text = read_if_there(given);
  if (!text) return not_found(fmt::format("no chat template in {}", given.string()));
  BATON_TRY_ASSIGN(token::ChatTemplate chat,
                   token::ChatTemplate::parse(
                       read_if_there(folder / "tokenizer_config.json").value_or(""), *text)
                       .with(given.string()));
  return std::optional(std::move(chat));
}

}  // namespace

std::optional<openai::ErrorBody> ServedModel::check_name(
    const std::optional<std::string>& name) const {
  if (!name || std::ranges::find(names, *name) != names.end()) return std::nullopt;
  return openai::ErrorBody{404, "NotFoundError",
                           fmt::format("The model `{}` does not exist. Valid aliases: {}.", *name,
                                       fmt::join(names, ", ")),
                           "model"};
}

Result<ServedModel> load_served_model(const std::filesystem::path& folder, GenerationConfig use,
                                      const std::filesystem::path& chat_template) {
  ServedModel out;
  BATON_TRY_ASSIGN(out.tokenizer, token::Tokenizer::load(folder));
  BATON_TRY_ASSIGN(out.chat, load_chat(folder, chat_template));
  if (use == GenerationConfig::kModel) {
    BATON_TRY_ASSIGN(out.defaults, read_defaults(folder));
  }
  return out;
}

}  // namespace baton::serve
