#pragma once
// HTTP/1.1 server: one coroutine per connection, one handler call per request.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "net/http/message.hpp"
#include "net/tls/context.hpp"

namespace baton::http {

// Every bound of a session. Passing one gives the stated status, or closes.
struct ServerLimits {
  std::size_t head_bytes = 64 << 10;  // 431
  std::size_t body_bytes = 64 << 20;  // 413; per read_body the caller may pass less
  std::size_t connections = 10'000;   // accept waits
  Nanos handshake_timeout = std::chrono::seconds(10);  // of TLS: close
  Nanos head_timeout = std::chrono::seconds(10);       // first byte to end of head: 408
  Nanos body_timeout = std::chrono::seconds(60);       // for the whole request body: 408
  Nanos idle_timeout = std::chrono::seconds(75);       // keep-alive without a request
  Nanos write_timeout = std::chrono::seconds(30);      // a write that makes no progress: close
};

// One request being answered. Confined to its loop; valid during the handler call.
//
// When the client closes its connection while the handler runs, the handler coroutine is cancelled
// (terminal): awaits throw, destructors release. Writes return kCancelled after that.
// A handler answers exactly once: respond(), or start() .. write()* .. finish().
// A handler that returns without answering gives a 500; one that started but did not finish closes
// the connection without the terminating chunk, so that the client sees the break.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const RequestHead& head() const = 0;
  virtual std::string_view peer() const = 0;  // "ip:port"
  virtual Mono arrived() const = 0;

  // The whole body, once. kExhausted (413) over `limit` or the session's bound, kInvalid (400) for
  // broken framing, kTimeout (408), kCancelled when the client left.
  virtual Task<Result<std::string>> read_body(std::size_t limit) = 0;
  // Instead: the next piece of it as it comes, "" at its end. The view is valid until the next
  // call; no more is received meanwhile, so that the client is held back. `limit` is of all pieces
  // together, as is the time that the client has for them. Errors are those of read_body.
  virtual Task<Result<std::string_view>> read_some(std::size_t limit) = 0;
  // The rest of it is not wanted: a read_some() that waits gives kCancelled, and so does each after
  // it. The connection closes after the answer.
  virtual void drop_body() = 0;

  // Sends head and body; sets Content-Length.
  virtual Task<Status> respond(ResponseHead head, std::string_view body) = 0;
  // Begins a streamed answer: Transfer-Encoding chunked (or until close for HTTP/1.0), unless the
  // head has a Content-Length.
  virtual Task<Status> start(ResponseHead head) = 0;
  // One chunk made of the pieces, in one writev with its framing. Returns when the kernel took it:
  // this is the back-pressure.
  virtual Task<Status> write(std::span<const std::string_view> pieces) = 0;
  virtual Task<Status> finish() = 0;
  virtual bool started() const = 0;

  Task<Status> write(std::string_view piece);
};

// The status that answers a failed read_body or read_some.
int body_error_status(const Error& error);
// A small OpenAI-shaped error body, as sessions themselves send it.
std::string plain_error_body(int status, std::string_view message);

using Handler = std::function<Task<void>(Exchange&)>;

// Confined to its loop, except where stated.
class Server {
 public:
  struct Config {
    ServerLimits limits;
    std::string server_name = "baton";
    // Null: plain. Its ALPN list must not promise more than HTTP/1.1. A client that speaks HTTP in
    // the clear to a port with TLS gets a 400 that says so.
    std::shared_ptr<const tls::ServerContext> tls = nullptr;
    // Null: nothing is counted. Outlives the server.
    observe::Registry* registry = nullptr;
  };
  Server(async::Loop& loop, const Clock& clock, Config config, Handler handler);
  ~Server();

  // Binds and accepts; port 0 picks one. From any thread, before or after the loop runs.
  // kConflict: address in use. kDenied: not permitted.
  Result<Endpoint> listen(const Endpoint& at);

  // From any thread: closes the listeners and idle connections, lets requests finish until the
  // deadline, then cancels them. Blocks until all sessions ended. Not from the loop's own thread.
  // The destructor does the same with no time left.
  void stop(Deadline deadline);

  std::size_t open_connections() const;  // any thread

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::http
