#pragma once
// What the head of a request says beside its body: what it is called, and how long anybody waits.
// Pure.

#include <optional>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::serve {

// The client's name for its request, of the header x-request-id or else of the body; nullopt: it
// gave none that may stand in JSON, in headers and in the id of a lease: printable ASCII, at most
// 200 bytes.
std::optional<std::string> given_id(const http::Headers& headers, std::string_view in_body);

// What the client allows or a proxy before us gives, whichever is less; without either there is no
// end. kInvalid: one of them is not a positive number of milliseconds.
Result<Deadline> deadline_of(const http::Headers& headers, Mono arrived);

}  // namespace baton::serve
