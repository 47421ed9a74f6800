#pragma once
// What servers listen with. Internal to net.

#include "base/core/result.hpp"
#include "net/http/message.hpp"
#include "net/http/socket.hpp"

namespace baton::http {

// Binds and listens; port 0 picks one. Returns where. kConflict: address in use. kDenied: not
// permitted. kInvalid: not an IP address.
Result<Endpoint> open_acceptor(Tcp::acceptor& acceptor, const Endpoint& at);

}  // namespace baton::http
