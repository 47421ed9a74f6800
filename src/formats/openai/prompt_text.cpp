#include "formats/openai/prompt_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <string>

namespace baton::openai {
namespace {

namespace dom = simdjson::dom;

constexpr char kRole = '\x1e', kContent = '\x1f', kNextPrompt = '\x1d';
constexpr std::size_t kKeptParser = std::size_t{4} << 20;  // a larger one is freed after use

// Written without spaces, so that white space in the body does not matter.
void append_json(std::string& out, dom::element value) { out += simdjson::minify(value); }

// {"type":"text","text":T} gives T, any other part its JSON.
void append_part(std::string& out, dom::element part) {
  std::string_view text;
  if (part["text"].get(text) == simdjson::SUCCESS) {
    out += text;
  } else {
    append_json(out, part);
  }
}

void append_content(std::string& out, dom::element content) {
  std::string_view text;
  dom::array parts;
  if (content.get(text) == simdjson::SUCCESS) {
    out += text;
  } else if (content.get(parts) == simdjson::SUCCESS) {
    for (const auto part : parts) append_part(out, part);
  }
}

void append_message(std::string& out, dom::element message) {
  std::string_view role;
  dom::element content;
  if (!message.is_object()) return;
  const auto no_role = message["role"].get(role);
  out += kRole;
  if (no_role == simdjson::SUCCESS) out += role;
  out += kContent;
  if (message["content"].get(content) == simdjson::SUCCESS) append_content(out, content);
}

void append_id(std::string& out, std::int64_t id) {
  const auto low = static_cast<std::uint32_t>(id);
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(low >> shift);
}

void append_prompt(std::string& out, dom::element prompt) {
  std::string_view text;
  dom::array items;
  if (prompt.get(text) == simdjson::SUCCESS) {
    out += text;
  } else if (prompt.get(items) == simdjson::SUCCESS) {
    for (const auto item : items) {
      std::int64_t id = 0;
      if (item.get(id) == simdjson::SUCCESS) {
        append_id(out, id);
        continue;
      }
      if (!out.empty()) out += kNextPrompt;
      append_prompt(out, item);
    }
  } else {
    append_json(out, prompt);
  }
}

}  // namespace

struct PromptReader::Impl {
  dom::parser parser;
  std::string tools, text;

  // The last of equal members counts, as in Python.
  void take(std::string_view key, dom::element value, Api api, PromptText& out) {
    std::string_view string;
    dom::array array;
    if (api == Api::kChat && key == "messages") {
      text.clear();
      if (value.get(array) != simdjson::SUCCESS) return;
      for (const auto message : array) append_message(text, message);
    } else if (api == Api::kCompletion && key == "prompt") {
      text.clear();
      append_prompt(text, value);
    } else if (api == Api::kChat && key == "tools") {
      tools.clear();
      if (value.is_array()) append_json(tools, value);
    } else if (key == "model") {
      if (value.get(string) == simdjson::SUCCESS) out.model = string;
    } else if (key == "stream") {
      if (value.get(out.stream) != simdjson::SUCCESS) out.stream = false;
    } else if (key == "kv_transfer_params") {
      out.has_transfer_params = true;
    } else if (key == "n") {
      if (value.get(out.n) != simdjson::SUCCESS) out.n = 1;
    }
  }

  simdjson::error_code read(std::string& body, Api api, PromptText& out) {
    text.clear();
    tools.clear();
    if (body.capacity() - body.size() < simdjson::SIMDJSON_PADDING) {
      body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
    }
    dom::object members;
    const auto broken = parser.parse(body.data(), body.size(), false).get(members);
    if (broken != simdjson::SUCCESS) return broken;
    for (const auto [key, value] : members) take(key, value, api, out);
    text.insert(0, tools);
    return simdjson::SUCCESS;
  }
};

PromptReader::PromptReader() : impl_(std::make_unique<Impl>()) {}
PromptReader::~PromptReader() = default;

Result<PromptText> PromptReader::read(std::string& body, Api api) {
  PromptText out;
  const auto e = impl_->read(body, api, out);
  if (impl_->parser.capacity() > kKeptParser) impl_->parser = dom::parser();
  if (e != simdjson::SUCCESS) {
    return invalid(e == simdjson::INCORRECT_TYPE
                       ? std::string("the body is not a JSON object")
                       : fmt::format("the body is not JSON: {}", simdjson::error_message(e)));
  }
  out.text = impl_->text;
  return out;
}

std::string_view answer_mark(Api api) {
  return api == Api::kChat ? std::string_view(
                                 "\x1e"
                                 "assistant\x1f")
                           : std::string_view();
}

}  // namespace baton::openai
