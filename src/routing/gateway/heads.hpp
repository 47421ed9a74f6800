#pragma once
// What the gateway changes in heads on their way, as functions of values.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"
#include "routing/pick/service_pool.hpp"

namespace baton::gateway {

enum class ProofHeaders : bool;

using pick::Route;

struct Outgoing {
  http::RequestHead head;
  std::size_t removed = 0;  // routing headers that the client sent
};
enum class Authorization : bool { kDrop, kPass };

// The head for the decode pod: hop-by-hop and routing headers are gone, target and x-request-id are
// set. The prefill header is set by route_request.
Outgoing outgoing_head(const http::RequestHead& from_client, std::string_view target,
                       std::string_view request_id, Authorization authorization);
void route_request(http::RequestHead& head, const Route& route);

// The client's headers as scheduling reads them: `names` keeps their names in lower case.
std::vector<schedule::Header> pick_headers(const http::Headers& from_client,
                                           std::vector<std::string>& names);

// The head for the client: hop-by-hop headers are gone; with proof headers on they are completed
// by what the gateway knows, else removed.
http::ResponseHead incoming_head(http::ResponseHead from_pod, const Route& route,
                                 ProofHeaders proof);

// The number that a field has; 0: none.
std::uint64_t count_in(const http::Headers& headers, std::string_view name);

// "name ip:port".
std::string describe(const schedule::Endpoint& endpoint);
http::Endpoint address(const schedule::Endpoint& endpoint);

}  // namespace baton::gateway
