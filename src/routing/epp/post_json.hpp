#pragma once
// One call to a server beside the picker.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/client.hpp"

namespace baton::epp {

struct JsonCall {
  http::Endpoint at;
  std::string target;
  std::string_view body;              // outlives the call
  std::string_view traceparent = {};  // "" for none
  std::size_t most = 0;               // bytes of the answer
  Deadline deadline;
};
struct JsonAnswer {
  int status = 0;
  std::string text;
};

// Whatever the status is. The errors are those of the way there and back.
Task<Result<JsonAnswer>> post_json(http::Client& client, JsonCall call);

// kUnavailable: what to say of an answer that is not the wanted one, with its beginning.
Error unwanted(const http::Endpoint& at, std::string_view target, const JsonAnswer& answer);

}  // namespace baton::epp
