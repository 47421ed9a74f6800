#pragma once
// Names to addresses for coroutines, within a deadline. Internal to net.

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"
#include "net/http/socket.hpp"

namespace baton::http {

// The first address in the system's order of preference. An IP address is taken as it is, localhost
// is 127.0.0.1; other names as in blocking_resolve(), with its errors. Cancelling ends the wait at
// once.
Task<Result<Tcp::endpoint>> resolve(Endpoint at, Deadline deadline);

}  // namespace baton::http
