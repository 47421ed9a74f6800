#include "engine/serve/request_head.hpp"

#include <algorithm>

#include "net/http/time_limit.hpp"

namespace baton::serve {
namespace {

// With what is put around it, an id still fits where params of a transfer name it (256 bytes).
constexpr std::size_t kMaxGivenId = 200;
constexpr Nanos kLongestLimit = std::chrono::hours(24);

bool can_be_an_id(std::string_view text) {
  const auto printable = [](char c) { return c >= 0x20 && c < 0x7F; };
  return !text.empty() && text.size() <= kMaxGivenId && std::ranges::all_of(text, printable);
}

}  // namespace

std::optional<std::string> given_id(const http::Headers& headers, std::string_view in_body) {
  for (const std::string_view id : {headers.get("x-request-id").value_or(""), in_body}) {
    if (can_be_an_id(id)) return std::string(id);
  }
  return std::nullopt;
}

Result<Deadline> deadline_of(const http::Headers& headers, Mono arrived) {
  Deadline out;
  for (const std::string_view name : {http::kClientLimit, http::kRouteLimit}) {
    BATON_TRY_ASSIGN(const auto limit, http::time_limit(headers, name, kLongestLimit));
    if (limit) out = out.earlier({arrived + *limit});
  }
  return out;
}

}  // namespace baton::serve
