#pragma once
// The bodies of Anthropic's POST /v1/messages and /v1/messages/count_tokens, as a chat.

#include <string_view>

#include "formats/openai/chat_request.hpp"

namespace baton::openai {

// Whether max_tokens has to be there: to answer, not to count.
enum class MessagesUse : bool { kCount, kAnswer };

// A last message of the assistant is gone on with. Tools, thinking and content that is no text are
// refused by name.
Decoded<ChatRequest> decode_messages(std::string_view body, MessagesUse use);

}  // namespace baton::openai
