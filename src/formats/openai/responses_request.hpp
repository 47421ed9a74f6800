#pragma once
// The body of POST /v1/responses, as a chat. Nothing is stored: a conversation comes whole.

#include <string_view>

#include "formats/openai/chat_request.hpp"

namespace baton::openai {

// Tools, formats other than text, stored and background responses are refused by name.
// Delivery::repeated has the members that the answer repeats.
Decoded<ChatRequest> decode_responses(std::string_view body);

}  // namespace baton::openai
