#include "formats/openai/responses_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// An item of `input` as a message; the developer speaks as the system.
Value as_message(Fields& fields, const Value& item) {
  const std::string_view type = item.string_at({"type"});
  const std::string_view role = item.string_at({"role"});
  if (!item.is_object() || role.empty() || (!type.empty() && type != "message")) {
    fields.refuse("input", fmt::format("An input item of type '{}' is not supported: messages with "
                                       "a role only. (parameter=input)",
                                       type));
    return {};
  }
  const Value* content = item.find("content");
  return Object{{"role", role == "developer" ? "system" : std::string(role)},
                {"content", content == nullptr ? Value("") : *content}};
}

Object input_as_chat(Fields& fields) {
  Array messages;
  if (const auto instructions = fields.string("instructions")) {
    messages.emplace_back(Object{{"role", "system"}, {"content", *instructions}});
  }
  const Value* input = fields.find("input");
  if (input == nullptr) {
    fields.missing("input");
  } else if (const std::string* text = input->if_string()) {
    messages.emplace_back(Object{{"role", "user"}, {"content", *text}});
  } else if (const auto* items = input->if_array(); items != nullptr && !items->empty()) {
    for (const Value& item : *items) messages.push_back(as_message(fields, item));
  } else {
    fields.malformed("input", "string_type", "Input should be a valid string", *input);
  }
  Object out{{"messages", std::move(messages)}};
  if (const Value* reasoning = fields.find("reasoning"); reasoning != nullptr) {
    if (const auto effort = reasoning->string_at({"effort"}); !effort.empty())
      out.set("reasoning_effort", std::string(effort));
  }
  if (const Value* kwargs = fields.find("chat_template_kwargs"))
    out.set("chat_template_kwargs", *kwargs);
  return out;
}

void refuse_unknown(Fields& fields) {
  for (const std::string_view name :
       {"tools", "previous_response_id", "conversation", "prompt", "context_management"}) {
    refuse_said(fields, name);
  }
  refuse_flag(fields, "background", false);
  if (const Value* truncation = fields.find("truncation");
      truncation != nullptr && *truncation != Value("disabled")) {
    refuse_said(fields, "truncation");
  }
  const Value* text = fields.find("text");
  const Value* format = text == nullptr ? nullptr : text->find("format");
  if (format != nullptr && format->string_at({"type"}) != "text") refuse_said(fields, "text");
  if (const Value* choice = fields.find("tool_choice");
      choice != nullptr && *choice != Value("none") && *choice != Value("auto")) {
    refuse_said(fields, "tool_choice");
  }
}

// Log-probabilities come when `include` names them.
void read_logprobs(Fields& fields, Sampling& sampling) {
  const Value* include = fields.find("include");
  const auto* list = include == nullptr ? nullptr : include->if_array();
  for (const Value& each : list == nullptr ? Array() : *list) {
    if (each != Value("message.output_text.logprobs")) return refuse_said(fields, "include");
    sampling.logprobs = 0;
  }
  const auto top = fields.integer("top_logprobs");
  if (top && *top < 0)
    fields.refuse("top_logprobs",
                  "`top_logprobs` must be a positive value. (parameter=top_logprobs)");
  if (top && sampling.logprobs) sampling.logprobs = *top;
}

Object repeated(const Fields& fields) {
  Object out;
  const auto repeat = [&](std::string_view name, Value otherwise) {
    const Value* given = fields.find(name);
    out.set(name, given == nullptr ? std::move(otherwise) : *given);
  };
  repeat("instructions", nullptr);
  repeat("max_output_tokens", nullptr);
  repeat("metadata", Object{});
  repeat("temperature", 1.0);
  repeat("top_p", 1.0);
  return out;
}

}  // namespace

Decoded<ChatRequest> decode_responses(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  const Object chat = input_as_chat(fields);
  refuse_unknown(fields);
  if (fields.failed()) return std::unexpected(fields.error());

  ChatRequest out;
  Fields conversation(chat);
  out.prompt = read_chat_prompt(conversation);
  if (conversation.failed()) return std::unexpected(conversation.error());
  out.delivery = read_delivery(fields);
  out.delivery.repeated = repeated(fields);
  out.sampling = read_sampling(fields);
  const auto n = fields.integer("max_output_tokens");
  if (n && *n < 1)
    fields.out_of_range("max_output_tokens", "max_output_tokens must be at least 1",
                        fmt::format("{}", *n));
  if (n) out.sampling.max_tokens = static_cast<std::uint64_t>(*n);
  read_logprobs(fields, out.sampling);
  check_lengths(fields, out.sampling);
  refuse_choices(fields, out.sampling);
  if (fields.failed()) return std::unexpected(fields.error());
  return out;
}

}  // namespace baton::openai
