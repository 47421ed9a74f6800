#include "cli/server_api.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/json.hpp"

namespace baton::cli {

Result<ServerUrl> parse_server_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) {
    return invalid(fmt::format("--url {}: expected http://host:port/v1", url));
  }
  const std::string_view rest = url.substr(kScheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string authority(rest.substr(0, slash));
  if (authority.find(':') == std::string::npos) authority += ":80";
  const auto endpoint = http::parse_endpoint(authority);
  if (!endpoint) return invalid(fmt::format("--url {}: '{}' is no host:port", url, authority));
  std::string path(rest.substr(slash));
  while (path.ends_with('/')) path.pop_back();
  return ServerUrl{*endpoint, path};
}

http::RequestHead request_head(const ServerUrl& server, std::string_view api_key,
                               std::string method, std::string_view path) {
  http::RequestHead head{std::move(method), server.path + std::string(path), {}};
  head.headers.add("Content-Type", "application/json");
  if (!api_key.empty()) head.headers.add("Authorization", fmt::format("Bearer {}", api_key));
  return head;
}

std::string reason_of(std::string_view body) {
  const auto value = text::json::parse(body);
  const std::string_view message = value ? value->string_at({"error", "message"}) : "";
  return std::string(message.empty() ? body.substr(0, 500) : message);
}

Error refusal(const http::ResponseHead& head, std::string_view body) {
  std::string message = fmt::format("the server answered {}: {}", head.status, reason_of(body));
  if (const auto hop = head.headers.get("x-baton-error-hop")) {
    message += fmt::format(" (at {})", *hop);
  }
  if (head.status == 404) return not_found(message);
  if (head.status == 401 || head.status == 403) return denied(message);
  if (head.status < 500) return invalid(message);
  return unavailable(message);
}

Task<Result<std::string>> first_model(http::Client& client, const ServerUrl& server,
                                      std::string_view api_key, Deadline deadline) {
  const auto head = request_head(server, api_key, "GET", "/models");
  auto sent = co_await client.send(server.endpoint, head, {}, deadline);
  if (!sent) co_return std::move(sent.error().error);
  auto body = co_await sent->read_all(kMaxAnswer, deadline);
  if (!body) co_return std::move(body.error().error);
  if (sent->head().status != 200) co_return refusal(sent->head(), *body);
  BATON_CO_TRY_ASSIGN(const text::json::Value list, text::json::parse(*body));
  const auto* data = list.find("data");
  const auto* models = data == nullptr ? nullptr : data->if_array();
  if (models == nullptr || models->empty()) co_return not_found("the server lists no models");
  co_return std::string((*models)[0].string_at({"id"}));
}

}  // namespace baton::cli
