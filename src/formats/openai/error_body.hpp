#pragma once
// The error body that OpenAI clients and vLLM clients read:
// {"error":{"message":M,"type":T,"param":P|null,"code":N}} (vLLM since 0.10.1).

#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::openai {

struct ErrorBody {
  int status = 500;
  std::string type;  // "BadRequestError", "NotFoundError", …
  std::string message;
  std::string param;  // "" is written as null
};

// The type that vLLM uses for a status.
std::string_view error_type(int status);
ErrorBody error_body(const Error& error);
ErrorBody error_body(int status, std::string_view message);
std::string to_json(const ErrorBody& body);

}  // namespace baton::openai
