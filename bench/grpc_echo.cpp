#include "grpc_echo.hpp"

#include <utility>

#include "figures.hpp"

namespace baton::bench {
namespace {

Task<grpc::RpcStatus> echo(grpc::ServerStream& stream) {
  for (;;) {
    auto message = co_await stream.read();
    if (!message) co_return grpc::to_status(message.error());
    if (!*message) co_return grpc::RpcStatus();
    auto written = co_await stream.write(**message);
    if (!written) co_return grpc::to_status(written.error());
  }
}

grpc::Server::Config with(std::shared_ptr<tls::ServerContext> tls) {
  grpc::Server::Config config;
  config.tls = std::move(tls);
  return config;
}

}  // namespace

std::shared_ptr<tls::ServerContext> grpc_server_tls(const tls::testing::Credentials& credentials,
                                                    const Clock& clock) {
  auto config = credentials.server();
  config.alpn = {tls::kHttp2};
  return tls::testing::open_server(std::move(config), clock);
}

std::shared_ptr<tls::ClientContext> grpc_client_tls(const tls::testing::Credentials& credentials,
                                                    const Clock& clock) {
  auto config = credentials.client();
  config.alpn = {tls::kHttp2};
  return tls::testing::open_client(std::move(config), clock);
}

EchoServer::EchoServer(const Clock& clock, std::shared_ptr<tls::ServerContext> tls)
    : server_({&loop_}, clock, with(std::move(tls))) {
  server_.handle(kEcho, [](grpc::ServerStream& stream) { return echo(stream); });
  at_ = must(server_.listen({"127.0.0.1", 0}));
  loop_.start();
}

}  // namespace baton::bench
