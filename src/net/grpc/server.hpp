#pragma once
// gRPC over HTTP/2: a server with one coroutine per call, on several event loops.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/asio.hpp"
#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "net/grpc/status.hpp"
#include "net/http/message.hpp"
#include "net/http2/session.hpp"
#include "net/tls/context.hpp"

namespace baton::grpc {

// One call being served. Confined to its loop; valid during the handler.
//
// When the client resets the stream, its connection ends or the deadline passes, the handler is
// cancelled: awaits throw, destructors release.
class ServerStream {
 public:
  virtual ~ServerStream() = default;

  virtual std::string_view path() const = 0;  // "/package.Service/Method"
  virtual const http::Headers& metadata() const = 0;
  virtual std::string_view peer() const = 0;  // "ip:port"
  virtual Deadline deadline() const = 0;      // of grpc-timeout

  // The next message; the view is valid until the next read. nullopt: the client has said
  // everything. kExhausted: over the limit; kInvalid: gzip that is none; kInternal: compressed,
  // but grpc-encoding does not say so; kCancelled.
  virtual Task<Result<std::optional<std::string_view>>> read() = 0;
  // The read() that waits, or else the next one, returns kCancelled.
  virtual void interrupt() = 0;
  // Queues one message made of the pieces; what several calls write in one turn of the loop goes
  // out together. Returns when there is room for more: this is the back-pressure.
  virtual Task<Status> write(std::span<const std::string_view> pieces) = 0;

  Task<Status> write(std::string_view message);
};

// Serves one call; what it returns goes into the trailers. Called on the loop of the connection: a
// server with several loops calls it on several threads.
using Handler = std::function<Task<RpcStatus>(ServerStream&)>;
// One message in, one out, computed at once (on the loop: within 0.2 ms).
using UnaryHandler = std::function<Result<std::string>(std::string_view request)>;
Handler unary(UnaryHandler handler);

// Thread-safe where stated.
class Server {
 public:
  struct Config {
    std::shared_ptr<const tls::ServerContext> tls = nullptr;  // with "h2"; null: h2c, at once
    http2::Limits http2;
    std::size_t message_bytes = 64 << 20;  // RESOURCE_EXHAUSTED
    std::size_t connections = 10'000;      // accept waits
    Nanos handshake_timeout = std::chrono::seconds(10);
    Nanos write_timeout = std::chrono::seconds(30);
    std::string server_name = "grpc";       // in metrics and logs
    observe::Registry* registry = nullptr;  // null: nothing is counted; outlives the server
  };
  // The first loop accepts. Each new connection goes to the loop that has the fewest: a proxy opens
  // few connections that live long, and SO_REUSEPORT's hash would put several on one loop.
  Server(std::vector<async::Loop*> loops, const Clock& clock, Config config);
  ~Server();

  // Before listen(). `path` is "/package.Service/Method".
  void handle(std::string path, Handler handler);
  // As http::Server's.
  Result<http::Endpoint> listen(const http::Endpoint& at);
  // From any thread: takes no new calls (GOAWAY), lets calls finish until the deadline, then
  // cancels them. Blocks until all ended. Not from one of the loops. The destructor does it with no
  // time.
  void stop(Deadline deadline);

  std::size_t open_connections() const;  // any thread

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::grpc
