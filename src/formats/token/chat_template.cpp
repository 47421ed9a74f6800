#include "formats/token/chat_template.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

namespace baton::token {
namespace {

using text::jinja::Template;
using text::json::Array;
using text::json::Object;
using text::json::Value;

Result<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found(fmt::format("no {}", path.string()));
  std::stringstream text;
  text << file.rdbuf();
  if (text.view().size() > kMaxTokenizerConfig)
    return invalid(fmt::format("{}: over {} bytes", path.string(), kMaxTokenizerConfig));
  return text.str();
}

constexpr std::string_view kWhite = " \t\n\r\v\f";

std::string_view trimmed(std::string_view s, bool left, bool right) {
  const std::size_t from = left ? s.find_first_not_of(kWhite) : 0;
  if (from == std::string_view::npos) return {};
  const std::size_t to = right ? s.find_last_not_of(kWhite) + 1 : s.size();
  return s.substr(from, to - from);
}

// The text of the last message; its last text part when it has parts.
std::string final_text(const Value& messages) {
  const Value* content = messages.if_array()->back().find("content");
  if (content == nullptr) return "";
  if (content->is_string()) return *content->if_string();
  std::string out;
  if (content->is_array()) {
    for (const Value& part : *content->if_array()) {
      if (const Value* text = part.find("text"); text != nullptr && text->is_string())
        out = *text->if_string();
    }
  }
  return out;
}

// transformers' continue_final_message: the prompt ends where the last message does.
Result<std::string> cut_after(std::string rendered, std::string_view message) {
  const std::string_view core = trimmed(message, true, true);
  const std::size_t at = rendered.rfind(core);
  if (at == std::string::npos)
    return invalid(
        "continue_final_message: the chat template does not print the last message as it is");
  const std::string_view kept = trimmed(message, true, false);
  const bool whole = std::string_view(rendered).substr(at, kept.size()) == kept && kept == message;
  rendered.resize(at + (whole ? kept.size() : core.size()));
  return rendered;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::load(const std::filesystem::path& folder) {
  std::string config;
  std::string separate;
  if (auto text = read_file(folder / "tokenizer_config.json")) {
    config = *std::move(text);
  } else if (text.error().code() != Code::kNotFound) {
    return std::move(text).error();
  }
  if (auto text = read_file(folder / "chat_template.jinja")) {
    separate = *std::move(text);
  } else if (text.error().code() != Code::kNotFound) {
    return std::move(text).error();
  }
  if (config.empty() && separate.empty())
    return not_found(fmt::format("no chat template in {}", folder.string()));
  return parse(config, separate).with(folder.string());
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view config, std::string_view separate) {
  ChatTemplate out;
  Value root = Object{};
  if (!config.empty()) {
    auto parsed = text::json::parse(config);
    if (!parsed) return std::move(parsed).error().with("tokenizer_config.json");
    root = *std::move(parsed);
  }
  for (const std::string_view name : {"bos_token", "eos_token", "unk_token", "sep_token",
                                      "pad_token", "cls_token", "mask_token"}) {
    const Value* token = root.find(name);
    if (token == nullptr) continue;
    if (const Value* content = token->find("content")) token = content;
    if (token->is_string()) out.tokens_.set(name, *token);
  }
  const auto add = [&](std::string_view name, std::string_view source) -> Status {
    auto compiled = Template::compile(source);
    if (!compiled) return std::move(compiled).error().with(fmt::format("chat template '{}'", name));
    out.templates_.emplace_back(name, *std::move(compiled));
    return {};
  };
  const Value* given = root.find("chat_template");
  if (!separate.empty()) {
    BATON_TRY(add("default", separate));
  } else if (given != nullptr && given->is_string()) {
    BATON_TRY(add("default", *given->if_string()));
  } else if (given != nullptr && given->is_array()) {
    for (const Value& one : *given->if_array()) {
      BATON_TRY(add(one.string_at({"name"}), one.string_at({"template"})));
    }
  }
  if (out.templates_.empty())
    return not_found("no chat template in tokenizer_config.json, and no chat_template.jinja");
  return out;
}

Result<std::string> ChatTemplate::render(const Value& messages, const ChatOptions& options,
                                         const std::tm& now) const {
  Object context = tokens_;
  context.set("messages", messages);
  context.set("tools", options.tools);
  context.set("documents", options.documents);
  context.set("add_generation_prompt", options.add_generation_prompt);
  for (const auto& [key, value] : options.kwargs) context.set(key, value);
  const Template* chosen = &templates_[0].second;
  for (const auto& [name, compiled] : templates_) {
    if (name == (options.tools.is_null() ? "default" : "tool_use")) chosen = &compiled;
  }
  BATON_TRY_ASSIGN(std::string out, chosen->render(context, now));
  if (!options.continue_final_message || !messages.is_array() || messages.if_array()->empty())
    return out;
  return cut_after(std::move(out), final_text(messages));
}

}  // namespace baton::token
