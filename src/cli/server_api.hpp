#pragma once
// What the commands that talk to an OpenAI-compatible server share.

#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/http/client.hpp"

namespace baton::cli {

inline constexpr std::size_t kMaxAnswer = std::size_t{16} << 20;

struct ServerUrl {
  http::Endpoint endpoint;
  std::string path;  // without trailing slash
};

// "http://host:port/v1". kInvalid.
Result<ServerUrl> parse_server_url(std::string_view url);

// A request below the server's path, with the key as bearer token unless empty.
http::RequestHead request_head(const ServerUrl& server, std::string_view api_key,
                               std::string method, std::string_view path);

// The text of an OpenAI error body, or the body itself.
std::string reason_of(std::string_view body);

// What an answer other than 200 says, with the hop that failed when it is told.
Error refusal(const http::ResponseHead& head, std::string_view body);

// The first model that the server lists.
Task<Result<std::string>> first_model(http::Client& client, const ServerUrl& server,
                                      std::string_view api_key, Deadline deadline);

}  // namespace baton::cli
