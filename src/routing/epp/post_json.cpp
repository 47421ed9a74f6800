#include "routing/epp/post_json.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/observe/trace_context.hpp"

namespace baton::epp {

Task<Result<JsonAnswer>> post_json(http::Client& client, JsonCall call) {
  http::RequestHead head;
  head.method = "POST";
  head.target = std::move(call.target);
  head.headers.set("content-type", "application/json");
  if (!call.traceparent.empty()) head.headers.set(observe::kTraceparent, call.traceparent);
  const std::array<std::string_view, 1> pieces = {call.body};
  auto answer = co_await client.send(call.at, head, pieces, call.deadline);
  if (!answer) co_return answer.error().error;
  auto text = co_await answer->read_all(call.most, call.deadline);
  if (!text) co_return text.error().error;
  co_return JsonAnswer{.status = answer->head().status, .text = *std::move(text)};
}

Error unwanted(const http::Endpoint& at, std::string_view target, const JsonAnswer& answer) {
  return unavailable(fmt::format("{}{} answers {}: {}", http::to_string(at), target, answer.status,
                                 answer.text.substr(0, 200)));
}

}  // namespace baton::epp
