#pragma once
// gRPC client: one HTTP/2 connection to one endpoint, calls over it.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/grpc/status.hpp"
#include "net/http/message.hpp"
#include "net/http2/session.hpp"
#include "net/tls/context.hpp"

namespace baton::grpc {

// One call. Confined to its loop; one reader and one writer. Destroying it before its end resets
// the stream.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  virtual Task<Status> write(std::span<const std::string_view> pieces) = 0;
  virtual void finish_writing() = 0;
  // The view is valid until the next read. nullopt: the call has ended, status() tells how.
  virtual Task<Result<std::optional<std::string_view>>> read() = 0;
  // After read() gave nullopt or an error.
  virtual const RpcStatus& status() const = 0;

  Task<Status> write(std::string_view message);
};

// Confined to the loop that awaits on it. stop() before it is destroyed.
class Client {
 public:
  struct Config {
    std::shared_ptr<const tls::ClientContext> tls = nullptr;  // with "h2"; null: h2c at once
    http2::Limits http2;
    std::size_t message_bytes = 64 << 20;
    Nanos connect_timeout = std::chrono::seconds(5);  // handshake included
  };
  // `to` is an IP address or a name.
  Client(asio::any_io_executor executor, const Clock& clock, http::Endpoint to, Config config);
  ~Client();

  // Connects if there is no connection. `deadline` travels as grpc-timeout and ends the call here;
  // it ends the connection, too, when nothing at all has come on it since the call began.
  Task<Result<std::unique_ptr<ClientStream>>> open(std::string_view path, Deadline deadline,
                                                   http::Headers metadata = {});
  // One message there, one back. The error carries the call's status code (to_error).
  Task<Result<std::string>> unary(std::string_view path, std::string_view message,
                                  Deadline deadline, http::Headers metadata = {});
  Task<void> stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::grpc
