#pragma once
// The body of POST /v1/chat/completions.

#include <string_view>

#include "base/text/json.hpp"
#include "formats/openai/sampling.hpp"

namespace baton::openai {

// What decides the prompt; /tokenize has it too.
struct ChatPrompt {
  text::json::Value messages;  // an array; text parts joined, tool call arguments as objects
  text::json::Value tools;     // null: none
  text::json::Value documents;
  text::json::Object kwargs;  // chat_template_kwargs
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool add_special_tokens = false;
};

struct ChatRequest {
  Delivery delivery;
  Sampling sampling;
  ChatPrompt prompt;
};

ChatPrompt read_chat_prompt(Fields& fields);
Decoded<ChatRequest> decode_chat(std::string_view body);
// The object of a body, or what is wrong with it.
Decoded<text::json::Value> decode_object(std::string_view body);

}  // namespace baton::openai
