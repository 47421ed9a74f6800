#pragma once
// What both clients share: the request's head, the answer's body, failures. Internal to net/http.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http/client.hpp"
#include "net/http/parser.hpp"
#include "net/http/socket.hpp"

namespace baton::http {

inline constexpr std::size_t kReadBytes = 64 << 10;  // buffered beyond the head limit

inline std::unexpected<Failure> failure(Failure::Kind kind, Error error) {
  return std::unexpected(Failure{kind, std::move(error)});
}
std::unexpected<Failure> late(const Endpoint& to);
std::unexpected<Failure> lost(const Endpoint& to, std::string_view what);
std::unexpected<Failure> refused(const Endpoint& to, std::string_view what);
std::unexpected<Failure> not_http(const Endpoint& to, std::string_view what);

// Host is set when absent, Content-Length unless a GET or HEAD has no body; without a `length` the
// body goes as chunks.
void write_request_head(const Endpoint& to, const RequestHead& head,
                        std::optional<std::uint64_t> length, std::string& out);

// Joins the body pieces that are in the buffer already. Empty: more must be received, or `ended`.
Sent<std::string_view> gather(ResponseParser& parser, InBuffer& in, const Endpoint& from,
                              bool& ended);

}  // namespace baton::http
