#include "formats/openai/prompt_text.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <string>

#include "formats/openai/flat_id.hpp"

namespace baton::openai {
namespace {

namespace dom = simdjson::dom;

constexpr char kRole = '\x1e', kContent = '\x1f', kNextPrompt = '\x1d';
constexpr std::size_t kKeptParser = std::size_t{4} << 20;  // a larger one is freed after use

// Written without spaces, so that white space in the body does not matter.
void append_json(std::string& out, dom::element value) { out += simdjson::minify(value); }

constexpr std::string_view kBilling =
    "x-anthropic-billing-header";  // a line of a client's, not of the prompt

void add_media(std::string_view kind, std::string_view content, PromptText& prompt) {
  if (content.empty() || prompt.media.size() == kMostMedia) return;
  const std::uint64_t hash = std::hash<std::string_view>()(content);
  prompt.media.push_back({kind, std::max<std::uint64_t>(hash, 1)});
}

std::string_view media_kind(std::string_view type) {
  return type.starts_with("image") ? "image" : type.starts_with("video") ? "video" : "audio";
}

// {"type":T, T: {"url"|"data": C}}, {"type":T, T: C}, or Anthropic's {"type":T, "source": {…}}.
void list_media(dom::element part, std::string_view type, PromptText& prompt) {
  dom::element value;
  std::string_view content;
  if (part[type].get(value) != simdjson::SUCCESS &&
      part["source"].get(value) != simdjson::SUCCESS) {
    return;
  }
  for (const std::string_view key : {"url", "data", "file_id"}) {
    if (content.empty() && value[key].get(content) != simdjson::SUCCESS) content = {};
  }
  if (content.empty() && value.get(content) != simdjson::SUCCESS) content = {};
  add_media(media_kind(type), content, prompt);
}

// {"mm_hashes": {"image": [hash, …], …}} of vLLM's generate.
void list_features(dom::element features, PromptText& prompt) {
  dom::object kinds;
  if (features["mm_hashes"].get(kinds) != simdjson::SUCCESS) return;
  for (const auto [kind, value] : kinds) {
    dom::array hashes;
    if (value.get(hashes) != simdjson::SUCCESS) continue;
    for (const auto one : hashes) {
      std::string_view hash;
      if (one.get(hash) == simdjson::SUCCESS) add_media(media_kind(kind), hash, prompt);
    }
  }
}

// The flat text of one request, and what the router notes on the way.
struct Flat {
  std::string& out;
  PromptText& prompt;
  Media media = Media::kPass;

  void id(std::int64_t id) { append_flat_id(out, static_cast<std::uint32_t>(id)); }

  // {"type":"text","text":T} gives T, any other part its JSON. What comes as embeddings needs no
  // encoder.
  void part(dom::element part) {
    std::string_view text;
    std::string_view type;
    if (part["type"].get(type) == simdjson::SUCCESS && !type.ends_with("_embeds") &&
        (type.starts_with("image") || type.starts_with("video") ||
         type.find("audio") != type.npos)) {
      prompt.multimodal = true;
      if (media == Media::kList) list_media(part, type, prompt);
    }
    if (part["text"].get(text) == simdjson::SUCCESS) {
      out += text;
    } else {
      append_json(out, part);
    }
    if (!part.is_object()) prompt.valid = false;
  }

  void content(dom::element content) {
    std::string_view text;
    dom::array parts;
    if (content.get(text) == simdjson::SUCCESS) {
      out += text;
    } else if (content.get(parts) == simdjson::SUCCESS) {
      for (const auto one : parts) part(one);
    } else if (!content.is_null()) {
      prompt.valid = false;
    }
  }

  void message(dom::element message) {
    std::string_view role;
    dom::element body;
    if (!message.is_object()) {
      prompt.valid = false;
      return;
    }
    const auto no_role = message["role"].get(role);
    out += kRole;
    if (no_role == simdjson::SUCCESS) out += role;
    if (no_role != simdjson::SUCCESS) prompt.valid = false;
    out += kContent;
    if (message["content"].get(body) == simdjson::SUCCESS) content(body);
  }

  void messages(dom::element value) {
    dom::array array;
    if (value.get(array) != simdjson::SUCCESS) return;
    for (const auto one : array) message(one);
  }

  // A string, strings, or token ids: never mixed.
  void text_or_ids(dom::element value) {
    std::string_view text;
    dom::array items;
    if (value.get(text) == simdjson::SUCCESS) {
      out += text;
      return;
    }
    if (value.get(items) != simdjson::SUCCESS) {
      prompt.valid = false;
      append_json(out, value);
      return;
    }
    std::size_t strings = 0;
    std::size_t ids = 0;
    for (const auto item : items) {
      std::int64_t number = 0;
      if (item.get(number) == simdjson::SUCCESS) {
        id(number);
        ++ids;
        if (number < 0) prompt.valid = false;
        continue;
      }
      if (!out.empty()) out += kNextPrompt;
      if (item.get(text) == simdjson::SUCCESS) {
        ++strings;
        out += text;
      } else {
        prompt.valid = false;
        append_json(out, item);
      }
    }
    if (strings > 0 && ids > 0) prompt.valid = false;
    prompt.tokens = strings == 0 ? ids : 0;
  }

  void ids(dom::element value) {
    dom::array items;
    if (value.get(items) != simdjson::SUCCESS) {
      prompt.valid = false;
      return;
    }
    for (const auto item : items) {
      std::int64_t number = -1;
      if (item.get(number) != simdjson::SUCCESS || number < 0 || number > UINT32_MAX) {
        prompt.valid = false;
        return;
      }
      id(number);
      ++prompt.tokens;
    }
  }

  // Anthropic's: a string, or blocks whose texts follow each other.
  void system(dom::element value) {
    std::string_view text;
    dom::array blocks;
    if (value.get(text) == simdjson::SUCCESS) {
      out += text;
    } else if (value.get(blocks) == simdjson::SUCCESS) {
      for (const auto block : blocks) {
        if (block["text"].get(text) == simdjson::SUCCESS && !text.starts_with(kBilling))
          out += text;
      }
    }
  }
};

bool is_chat(Api api) { return api == Api::kChat || api == Api::kMessages; }

// The member that a prompt of the API stands in.
std::string_view prompt_key(Api api) {
  switch (api) {
    case Api::kChat:
    case Api::kMessages:
      return "messages";
    case Api::kCompletion:
    case Api::kImages:
      return "prompt";
    case Api::kEmbeddings:
    case Api::kResponses:
      return "input";
    case Api::kConversations:
      return "items";
    case Api::kGenerate:
      return "token_ids";
    case Api::kSglang:
      return "input_ids";
  }
  return "";
}

// The member that limits what is generated.
std::string_view most_key(Api api) {
  switch (api) {
    case Api::kChat:
      return "max_completion_tokens";
    case Api::kCompletion:
    case Api::kMessages:
      return "max_tokens";
    case Api::kResponses:
      return "max_output_tokens";
    case Api::kGenerate:
    case Api::kSglang:
      return "sampling_params";
    default:
      return {};
  }
}

// Members of a chat that a picker types, beside those that are read.
bool has_its_type(std::string_view key, dom::element value) {
  if (key == "tools" || key == "documents") return value.is_array() || value.is_null();
  if (key == "chat_template") return value.is_string() || value.is_null();
  if (key == "chat_template_kwargs") return value.is_object() || value.is_null();
  if (key == "return_assistant_tokens_mask" || key == "continue_final_message" ||
      key == "add_generation_prompt") {
    return value.is_bool() || value.is_null();
  }
  return true;
}

}  // namespace

struct PromptReader::Impl {
  dom::parser parser;
  std::string first, second, text;  // in front of the prompt, and the prompt
  Media media = Media::kPass;

  void take_prompt(dom::element value, Api api, PromptText& out) {
    text.clear();
    out.tokens = 0;
    if (api != Api::kGenerate) out.media.clear();  // its items stand beside the prompt
    Flat flat{text, out, media};
    std::string_view string;
    switch (api) {
      case Api::kChat:
      case Api::kMessages:
        flat.messages(value);
        break;
      case Api::kCompletion:
      case Api::kEmbeddings:
        flat.text_or_ids(value);
        break;
      case Api::kGenerate:
      case Api::kSglang:
        flat.ids(value);
        break;
      case Api::kResponses:
        if (!value.is_null()) append_json(text, value);
        break;
      case Api::kConversations:
        if (value.is_array() && dom::array(value).size() > 0) append_json(text, value);
        break;
      case Api::kImages:
        out.valid = value.get(string) == simdjson::SUCCESS && !string.empty();
        break;
    }
  }

  // What stands before the prompt.
  void take_front(std::string_view key, dom::element value, Api api, PromptText& out) {
    if (key == "tools" && (is_chat(api) || api == Api::kResponses)) {
      auto& into = api == Api::kResponses ? second : first;
      into.clear();
      if (value.is_array()) append_json(into, value);
    } else if (key == "system" && api == Api::kMessages) {
      second.clear();
      Flat{second, out}.system(value);
    } else if (key == "instructions" && api == Api::kResponses) {
      first.clear();
      append_json(first, value);
    }
  }

  // A count; nullopt for anything else.
  static std::optional<std::int64_t> count(dom::element value) {
    std::int64_t out = 0;
    if (value.get(out) != simdjson::SUCCESS || out < 0) return std::nullopt;
    return out;
  }

  static void limit(dom::element value, Api api, PromptText& out) {
    if (api != Api::kGenerate && api != Api::kSglang) {
      if (const auto most = count(value)) out.most_tokens = most;
      return;
    }
    dom::element inner;
    const std::string_view key = api == Api::kGenerate ? "max_tokens" : "max_new_tokens";
    if (value[key].get(inner) == simdjson::SUCCESS) out.most_tokens = count(inner);
  }

  void take_extra(std::string_view key, dom::element value, Api api, PromptText& out) {
    if (key == "features" && api == Api::kGenerate) {
      out.multimodal = !value.is_null();
      if (media == Media::kList) list_features(value, out);
    } else if (key == "extra_key" && api == Api::kSglang) {
      std::string_view salt;
      if (value.get(salt) == simdjson::SUCCESS) {
        out.cache_salt = salt;
      } else if (!value.is_null()) {
        out.valid = false;
      }
    }
  }

  static bool has_params(dom::element value) {
    dom::element inner;
    return value["kv_transfer_params"].get(inner) == simdjson::SUCCESS;
  }
  // vLLM also reads them among its extra arguments. Any of several equal members counts: which one
  // a reader takes is its own affair.
  static bool hides_params(std::string_view key, dom::element value) {
    if (key != "sampling_params" && key != "vllm_xargs") return false;
    dom::object members;
    if (value.get(members) != simdjson::SUCCESS) return false;
    if (has_params(value)) return true;
    for (const auto [name, inner] : members) {
      if (name == "extra_args" && has_params(inner)) return true;
    }
    return false;
  }

  // The last of equal members counts, as in Python.
  void take(std::string_view key, dom::element value, Api api, PromptText& out) {
    std::string_view string;
    if (hides_params(key, value)) out.has_transfer_params = true;
    if (key == prompt_key(api)) {
      take_prompt(value, api, out);
    } else if (key == "model") {
      if (value.get(string) == simdjson::SUCCESS) out.model = string;
    } else if (key == "stream") {
      if (value.get(out.stream) != simdjson::SUCCESS) out.stream = false;
    } else if (key == "kv_transfer_params") {
      out.has_transfer_params = true;
    } else if (key == "n") {
      if (value.get(out.n) != simdjson::SUCCESS) out.n = 1;
    } else if (key == most_key(api)) {
      limit(value, api, out);
    } else if (key == "max_tokens" && api == Api::kChat) {  // an older name of the same
      if (!out.most_tokens) out.most_tokens = count(value);
    } else if (key == "cache_salt") {
      if (value.get(string) == simdjson::SUCCESS) out.cache_salt = string;
    } else {
      if (api == Api::kChat && !has_its_type(key, value)) out.valid = false;
      take_front(key, value, api, out);
      take_extra(key, value, api, out);
    }
  }

  simdjson::error_code read(std::string& body, Api api, PromptText& out) {
    text.clear();
    first.clear();
    second.clear();
    if (body.capacity() - body.size() < simdjson::SIMDJSON_PADDING) {
      body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
    }
    dom::object members;
    const auto broken = parser.parse(body.data(), body.size(), false).get(members);
    if (broken != simdjson::SUCCESS) return broken;
    for (const auto [key, value] : members) take(key, value, api, out);
    if (text.empty() && api != Api::kImages) out.valid = false;
    if (!first.empty() || !second.empty()) text.insert(0, first + second);
    return simdjson::SUCCESS;
  }
};

PromptReader::PromptReader() : impl_(std::make_unique<Impl>()) {}
PromptReader::~PromptReader() = default;

Result<PromptText> PromptReader::read(std::string& body, Api api, Media media) {
  PromptText out;
  impl_->media = media;
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
  return api == Api::kChat || api == Api::kMessages ? std::string_view(
                                                          "\x1e"
                                                          "assistant\x1f")
                                                    : std::string_view();
}

}  // namespace baton::openai
