#pragma once
// HTTP/1.1 client with a pool of kept-alive connections per endpoint.

#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"
#include "net/tls/context.hpp"

namespace baton::http {

// Why an exchange failed below HTTP.
struct Failure {
  enum class Kind : std::uint8_t {
    kRefused,    // no connection (TLS handshake included); nothing was sent, elsewhere is safe
    kLost,       // the connection broke after something was sent
    kMalformed,  // the peer does not speak HTTP/1.1, or passed a limit
    kTimeout,    // the deadline passed
  };
  Kind kind;
  Error error;
  bool kept = false;  // kLost on a kept connection before any byte of an answer
};
template <class T>
using Sent = std::expected<T, Failure>;

// An answer whose body is being read. Movable; confined to its loop. Destroying it before the end
// of the body closes the connection, so that the peer notices; after the end it goes back to the
// pool.
class Response {
 public:
  class Impl;
  explicit Response(std::unique_ptr<Impl> impl);
  Response(Response&&) noexcept;
  Response& operator=(Response&&) noexcept;
  ~Response();

  const ResponseHead& head() const;
  // Moves the fields out, for whoever sends them on; head() keeps the status.
  ResponseHead take_head();
  // The next piece of the (de-chunked) body as the peer sent it; empty at the end. The view is
  // valid until the next call.
  Task<Sent<std::string_view>> read_some(Deadline deadline);
  // The rest. kMalformed over `limit`.
  Task<Sent<std::string>> read_all(std::size_t limit, Deadline deadline);

 private:
  std::unique_ptr<Impl> impl_;
};

// Whether a request may be sent a second time when a kept connection gave no answer: it may have
// been closed before, or the peer may have begun to act on the request.
enum class Resend : bool { kNever, kOnFresh };

// A request's body that is not there as a whole yet.
class BodySource {
 public:
  virtual ~BodySource() = default;
  // The next piece, "" at its end; the view is valid until the next call.
  virtual Task<Result<std::string_view>> next() = 0;
  // No more is wanted: a next() that waits ends soon, with an error.
  virtual void stop() = 0;
};

// Confined to the loop that awaits on it; outlives its calls. Bounds: idle connections per
// endpoint, head size.
class Client {
 public:
  struct Config {
    std::size_t idle_per_endpoint = 1024;
    Nanos idle_timeout = std::chrono::seconds(60);
    Nanos connect_timeout = std::chrono::seconds(5);  // TLS handshake included
    std::size_t head_bytes = 64 << 10;
    std::shared_ptr<const tls::ClientContext> tls = nullptr;  // null: plain
  };
  Client(const Clock& clock, Config config);
  ~Client();

  // Sends the head (Host is set when absent, Content-Length always) and the body pieces in one
  // writev, and returns when the answer's head has arrived. A kept connection that turns out to be
  // closed before any byte of the answer is replaced by a fresh one once, unless `resend` forbids
  // it. A peer that answers while it is still sent to is heard at once: what it has not taken of
  // the body stays here, and the connection is not used again. Cancelling closes.
  Task<Sent<Response>> send(const Endpoint& to, const RequestHead& head,
                            std::span<const std::string_view> body, Deadline deadline,
                            Resend resend = Resend::kOnFresh);
  // The same with a body that is asked for its next piece when the kernel has taken the one before.
  // On a connection of its own: no kept one can turn out to be closed when pieces are gone already.
  // `length` of all pieces; nullopt: they go as chunks. kLost when `body` fails, and the connection
  // is closed.
  Task<Sent<Response>> send(const Endpoint& to, const RequestHead& head, BodySource& body,
                            std::optional<std::uint64_t> length, Deadline deadline);

  // Closes the connections at rest. To be called on their loop before a client ends while that
  // runs: what comes on a connection is taken there.
  void close_idle();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::http
