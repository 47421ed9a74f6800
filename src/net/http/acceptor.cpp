#include "net/http/acceptor.hpp"

#include <fmt/format.h>

#include <boost/asio/ip/address.hpp>

namespace baton::http {

namespace {

Result<Tcp::endpoint> resolve_local(const Endpoint& at) {
  std::string host = at.host == "localhost" ? "127.0.0.1" : at.host;
  boost::system::error_code ec;
  auto address = asio::ip::make_address(host, ec);
  if (ec) return invalid(fmt::format("'{}' is not an IP address to listen on", at.host));
  return Tcp::endpoint(address, at.port);
}

Error listen_error(const boost::system::error_code& ec, const Endpoint& at) {
  std::string where = to_string(at);
  if (ec == asio::error::address_in_use) {
    return conflict(fmt::format("{} is in use by another process", where));
  }
  if (ec == asio::error::access_denied) {
    return denied(fmt::format("listening on {} is not permitted", where));
  }
  return unavailable(fmt::format("listening on {}: {}", where, ec.message()));
}

}  // namespace

Result<Endpoint> open_acceptor(Tcp::acceptor& acceptor, const Endpoint& at) {
  BATON_TRY_ASSIGN(Tcp::endpoint local, resolve_local(at));
  boost::system::error_code ec;
  acceptor.open(local.protocol(), ec);
  if (!ec) acceptor.set_option(Tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(local, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (!ec) acceptor.non_blocking(true, ec);
  if (ec) return listen_error(ec, at);
  Tcp::endpoint bound = acceptor.local_endpoint(ec);
  return Endpoint{bound.address().to_string(), bound.port()};
}

}  // namespace baton::http
