#pragma once
// The path of a request as an engine's web server matches it against its routes.

#include <string>
#include <string_view>

namespace baton::openai {

// `target` without its query and fragment, every percent escape decoded once: uvicorn routes
// "/v1/chat/complet%69ons" and "/v1/chat%2Fcompletions" to the handler of chats, so whoever guards
// a path must compare this. What is no escape ("%", "%4", "%zz") stays as it is, as in Python's
// unquote. A view of `target` when nothing is to decode, else of `decoded`.
std::string_view decoded_path(std::string_view target, std::string& decoded);

}  // namespace baton::openai
