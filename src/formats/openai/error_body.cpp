#include "formats/openai/error_body.hpp"

#include "base/text/json.hpp"

namespace baton::openai {

std::string_view error_type(int status) {
  switch (status) {
    case 400:
      return "BadRequestError";
    case 401:
      return "AuthenticationError";
    case 403:
      return "PermissionDeniedError";
    case 404:
      return "NotFoundError";
    case 405:
      return "MethodNotAllowedError";
    case 408:
      return "RequestTimeoutError";
    case 409:
      return "ConflictError";
    case 413:
      return "PayloadTooLargeError";
    case 415:
      return "UnsupportedMediaTypeError";
    case 429:
      return "RateLimitError";
    case 431:
      return "HeadersTooLargeError";
    case 501:
      return "NotImplementedError";
    case 502:
      return "BadGatewayError";
    case 503:
      return "ServiceUnavailableError";
    case 504:
      return "GatewayTimeoutError";
    default:
      return status < 500 ? "BadRequestError" : "InternalServerError";
  }
}

ErrorBody error_body(const Error& error) {
  return error_body(http_status(error.code()), error.message());
}

ErrorBody error_body(int status, std::string_view message) {
  return {status, std::string(error_type(status)), std::string(message), ""};
}

std::string to_json(const ErrorBody& body) {
  using text::json::Object;
  using text::json::Value;
  const Value param = body.param.empty() ? Value() : Value(body.param);
  return text::json::dump(Object{{"error", Object{{"message", body.message},
                                                  {"type", body.type},
                                                  {"param", param},
                                                  {"code", body.status}}}});
}

}  // namespace baton::openai
