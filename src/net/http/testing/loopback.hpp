#pragma once
// For tests: a server on this machine, and one request to it.

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "base/async/loop.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"

namespace baton::http::testing {

// Lets `server` listen on a free port, and its loop run on a thread of its own.
inline Endpoint start(Server& server, async::Loop& loop, const std::string& host = "127.0.0.1") {
  const Result<Endpoint> at = server.listen({host, 0});
  EXPECT_TRUE(at) << at.error().message();
  loop.start();
  return *at;
}

// "status body" of the answer.
inline Task<Sent<std::string>> fetch(Client* client, Endpoint to, RequestHead head,
                                     std::string body, Deadline deadline) {
  std::array<std::string_view, 1> pieces = {body};
  auto response = co_await client->send(to, head, pieces, deadline);
  if (!response) co_return std::unexpected(response.error());
  auto rest = co_await response->read_all(1 << 24, deadline);
  if (!rest) co_return std::unexpected(rest.error());
  co_return std::to_string(response->head().status) + " " + *rest;
}

}  // namespace baton::http::testing
