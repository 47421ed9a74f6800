#include "formats/openai/chat_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// Text parts become one text, joined by newlines; other parts are refused.
void join_parts(Fields& fields, Object& message) {
  Value* content = message.find("content");
  if (content == nullptr || !content->is_array()) return;
  std::string text;
  bool first = true;
  for (const Value& part : *content->if_array()) {
    const std::string_view type = part.is_string() ? "text" : part.string_at({"type"});
    if (type != "text" && type != "input_text" && type != "output_text" && type != "refusal") {
      fields.refuse("messages", fmt::format("A content part of type '{}' is not supported: this "
                                            "model reads text only. (parameter=messages)",
                                            type));
      return;
    }
    if (!std::exchange(first, false)) text += '\n';
    text += part.is_string() ? std::string_view(*part.if_string())
                             : part.string_at({type == "refusal" ? "refusal" : "text"});
  }
  *content = std::move(text);
}

// Templates walk through the arguments of a call: a JSON text becomes the object it stands for.
void open_arguments(Fields& fields, Object& message) {
  Value* calls = message.find("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (Value& call : *calls->if_array()) {
    Value* function = call.find("function");
    Value* arguments = function == nullptr ? nullptr : function->find("arguments");
    if (arguments == nullptr || !arguments->is_string()) continue;
    if (arguments->if_string()->empty()) {
      *arguments = Object{};
      continue;
    }
    auto parsed = text::json::parse(*arguments->if_string());
    if (!parsed) {
      fields.refuse("messages",
                    fmt::format("The arguments of a tool call are {}. (parameter=messages)",
                                parsed.error().message()));
      return;
    }
    *arguments = *std::move(parsed);
  }
}

Array read_messages(Fields& fields) {
  const Value* given = fields.find("messages");
  if (given == nullptr) {
    fields.missing("messages");
    return {};
  }
  if (!given->is_array()) {
    fields.malformed("messages", "list_type", "Input should be a valid list", *given);
    return {};
  }
  if (given->if_array()->empty()) {
    fields.refuse(
        "", "Cannot apply chat template to an empty conversation. Provide at least one message.");
  }
  Array out = *given->if_array();
  std::size_t i = 0;
  for (Value& message : out) {
    Object* object = message.if_object();
    if (object == nullptr) {
      fields.malformed(fmt::format("messages.{}", i), "dict_type",
                       "Input should be a valid dictionary", message);
      return {};
    }
    const Value* role = object->find("role");
    if (role == nullptr || !role->is_string()) {
      fields.malformed(fmt::format("messages.{}.role", i), "missing", "Field required", message);
      return {};
    }
    const Value* content = object->find("content");
    if (content != nullptr && !content->is_string() && !content->is_array() &&
        !content->is_null()) {
      fields.malformed(fmt::format("messages.{}.content", i), "string_type",
                       "Input should be a valid string", *content);
      return {};
    }
    join_parts(fields, *object);
    open_arguments(fields, *object);
    ++i;
  }
  return out;
}

void check_tool_choice(Fields& fields) {
  const Value* choice = fields.find("tool_choice");
  const Value* tools = fields.find("tools");
  if (choice == nullptr && tools != nullptr && tools->is_array() && !tools->if_array()->empty()) {
    fields.refuse("tools",
                  "'tools' are not supported by this engine except with tool_choice \"none\": it "
                  "writes text only. (parameter=tools)");
  }
  if (choice == nullptr) return;
  const std::string* name = choice->if_string();
  if (name != nullptr && *name == "none") return;
  if (name != nullptr && *name == "auto") {
    fields.refuse(
        "tool_choice",
        "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set");
    return;
  }
  fields.refuse(
      "tool_choice",
      "'tool_choice' is not supported by this engine except \"none\". (parameter=tool_choice)");
}

}  // namespace

ChatPrompt read_chat_prompt(Fields& fields) {
  ChatPrompt prompt;
  prompt.messages = read_messages(fields);
  if (const Value* tools = fields.find("tools")) {
    if (!tools->is_array())
      fields.malformed("tools", "list_type", "Input should be a valid list", *tools);
    prompt.tools = *tools;
  }
  if (const Value* documents = fields.find("documents")) prompt.documents = *documents;
  if (const auto effort = fields.string("reasoning_effort"))
    prompt.kwargs.set("reasoning_effort", *effort);
  if (const Object* kwargs = fields.object("chat_template_kwargs")) {
    for (const auto& [key, value] : *kwargs) prompt.kwargs.set(key, value);
  }
  if (fields.find("chat_template") != nullptr) {
    fields.refuse("chat_template",
                  "A chat template in the request is not supported: the model's own is used. "
                  "(parameter=chat_template)");
  }
  prompt.add_generation_prompt = fields.flag("add_generation_prompt", true);
  prompt.continue_final_message = fields.flag("continue_final_message", false);
  prompt.add_special_tokens = fields.flag("add_special_tokens", false);
  if (prompt.add_generation_prompt && prompt.continue_final_message) {
    fields.refuse("",
                  "Cannot set both `continue_final_message` and `add_generation_prompt` to True.");
  }
  return prompt;
}

Decoded<Value> decode_object(std::string_view body) {
  auto value = text::json::parse(body);
  if (!value) return std::unexpected(not_json(value.error().message()));
  if (!value->is_object()) return std::unexpected(not_an_object(*value));
  return *std::move(value);
}

Decoded<ChatRequest> decode_chat(std::string_view body) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  ChatRequest out;
  out.delivery = read_delivery(fields);
  out.prompt = read_chat_prompt(fields);
  out.sampling = read_sampling(fields);
  check_tool_choice(fields);
  refuse_flag(fields, "echo", false);
  refuse_flag(fields, "detokenize", true);
  for (const std::string_view name :
       {"max_tokens", "max_completion_tokens"}) {  // the later one wins
    const auto n = fields.integer(name);
    if (n && *n < 1)
      fields.out_of_range(name, fmt::format("{} must be at least 1", name), fmt::format("{}", *n));
    if (n) out.sampling.max_tokens = static_cast<std::uint64_t>(*n);
  }
  const bool logprobs = fields.flag("logprobs", false);
  const auto top = fields.integer("top_logprobs");
  if (top && *top < kAllLogprobs)
    fields.refuse("top_logprobs",
                  "`top_logprobs` must be a positive value or -1. (parameter=top_logprobs)");
  if (top && *top != 0 && !logprobs) {
    fields.refuse(
        "top_logprobs",
        "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)");
  }
  if (logprobs) out.sampling.logprobs = top.value_or(0);
  check_lengths(fields, out.sampling);
  check_stream(fields, out.sampling, out.delivery);
  if (fields.failed()) return std::unexpected(fields.error());
  return out;
}

}  // namespace baton::openai
