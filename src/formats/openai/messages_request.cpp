#include "formats/openai/messages_request.hpp"

#include <fmt/format.h>

namespace baton::openai {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// The conversation as a chat has it: the system's text is its first message.
Object as_chat(Fields& fields) {
  Array messages;
  if (const Value* system = fields.find("system")) {
    messages.emplace_back(Object{{"role", "system"}, {"content", *system}});
  }
  const Value* given = fields.find("messages");
  const auto* list = given == nullptr ? nullptr : given->if_array();
  if (given == nullptr) fields.missing("messages");
  if (given != nullptr && list == nullptr)
    fields.malformed("messages", "list_type", "Input should be a valid list", *given);
  if (list != nullptr && list->empty())
    fields.refuse("messages", "messages: at least one message is required");
  std::string_view role;
  for (const Value& message : list == nullptr ? Array() : *list) {
    role = message.string_at({"role"}) == "assistant" ? "assistant" : "user";
    if (message.string_at({"role"}) != role)
      fields.refuse("messages", "messages: a role must be \"user\" or \"assistant\"");
    messages.push_back(message);
  }
  const bool goes_on = role == "assistant";
  return Object{{"messages", std::move(messages)},
                {"continue_final_message", goes_on},
                {"add_generation_prompt", !goes_on}};
}

void refuse_more(Fields& fields) {
  for (const std::string_view name :
       {"tools", "mcp_servers", "container", "context_management", "output_format"}) {
    refuse_said(fields, name);
  }
  if (const Value* choice = fields.find("tool_choice");
      choice != nullptr && choice->string_at({"type"}) != "none") {
    refuse_said(fields, "tool_choice");
  }
  if (const Value* thinking = fields.find("thinking");
      thinking != nullptr && thinking->string_at({"type"}) != "disabled") {
    refuse_said(fields, "thinking");
  }
}

// Sampling under the names that chats have for it.
Object sampling_members(const Object& body) {
  Object out;
  for (const auto& [name, value] : body) {
    if (name == "messages" || name == "system" || name == "tools" || name == "stop") continue;
    out.set(name == "stop_sequences" ? "stop" : name, value);
  }
  return out;
}

}  // namespace

Decoded<ChatRequest> decode_messages(std::string_view body, MessagesUse use) {
  auto value = decode_object(body);
  if (!value) return std::unexpected(std::move(value).error());
  Fields fields(*value->if_object());
  const Object chat = as_chat(fields);
  refuse_more(fields);
  if (fields.failed()) return std::unexpected(fields.error());

  ChatRequest out;
  Fields conversation(chat);
  out.prompt = read_chat_prompt(conversation);
  if (conversation.failed()) return std::unexpected(conversation.error());
  const Object members = sampling_members(*value->if_object());
  Fields sampling(members);
  out.delivery = read_delivery(sampling);
  out.sampling = read_sampling(sampling);
  const auto n = sampling.integer("max_tokens");
  if (!n && use == MessagesUse::kAnswer) sampling.missing("max_tokens");
  if (n && *n < 1)
    sampling.out_of_range("max_tokens", "max_tokens must be at least 1", fmt::format("{}", *n));
  if (n) out.sampling.max_tokens = static_cast<std::uint64_t>(*n);
  check_lengths(sampling, out.sampling);
  refuse_choices(sampling, out.sampling);
  if (sampling.failed()) return std::unexpected(sampling.error());
  return out;
}

}  // namespace baton::openai
