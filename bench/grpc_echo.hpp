#pragma once
// A gRPC server that sends back what it gets: what a stream of messages costs and nothing else.

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "net/grpc/server.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::bench {

inline constexpr const char* kEcho = "/bench/Echo";

// Contexts of both ends.
std::shared_ptr<tls::ServerContext> grpc_server_tls(const tls::testing::Credentials& credentials,
                                                    const Clock& clock);
std::shared_ptr<tls::ClientContext> grpc_client_tls(const tls::testing::Credentials& credentials,
                                                    const Clock& clock);

// Bidirectional streams of kEcho, on a thread of its own.
class EchoServer {
 public:
  // `tls`: null for connections in the clear.
  EchoServer(const Clock& clock, std::shared_ptr<tls::ServerContext> tls);

  http::Endpoint at() const { return at_; }
  async::Loop& loop() { return loop_; }

 private:
  async::Loop loop_{"echo"};
  grpc::Server server_;
  http::Endpoint at_;
};

}  // namespace baton::bench
