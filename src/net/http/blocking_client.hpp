#pragma once
// HTTP/1.1 client for plain threads: control loops, watches, probes. Plain or TLS, IPv4 or IPv6,
// addresses or names.

#include <memory>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/http/client.hpp"
#include "net/http/message.hpp"

namespace baton::http {

// An answer whose body is being read. One thread at a time, except close(). Destroying it before
// the end of the body closes the connection; after the end the connection is kept.
class BlockingResponse {
 public:
  struct Impl;
  explicit BlockingResponse(std::unique_ptr<Impl> impl);
  ~BlockingResponse();

  const ResponseHead& head() const;
  // The next piece of the body as it came; empty at the end. The view is valid until the next call.
  // After kTimeout the next call goes on: a watch may wait in steps.
  Sent<std::string_view> read_some(Deadline deadline);
  // The rest. kMalformed over `limit`.
  Sent<std::string> read_all(std::size_t limit, Deadline deadline);
  // From any thread, any number of times: read_some, now and later, ends with kLost whose error is
  // kCancelled.
  void close();

 private:
  std::unique_ptr<Impl> impl_;
};

struct BlockingAnswer {
  ResponseHead head;
  std::string body;
};

// Thread-safe: calls of several threads go over connections of their own. Bounds: kept connections
// per endpoint, head size, name lookups (resolve.hpp).
class BlockingClient {
 public:
  struct Config {
    std::shared_ptr<const tls::ClientContext> tls = nullptr;  // null: plain
    std::size_t idle_per_endpoint = 8;
    Nanos idle_timeout = std::chrono::seconds(60);
    Nanos connect_timeout = std::chrono::seconds(5);  // name lookup and TLS handshake included
    std::size_t head_bytes = 64 << 10;
  };
  BlockingClient(const Clock& clock, Config config);
  ~BlockingClient();

  // The whole answer. kMalformed when its body is over `limit`. As with http::Client, a kept
  // connection that turns out to be closed is replaced by a fresh one once.
  Sent<BlockingAnswer> send(const Endpoint& to, const RequestHead& head, std::string_view body,
                            std::size_t limit, Deadline deadline);
  // Returns when the head of the answer has arrived.
  Sent<std::unique_ptr<BlockingResponse>> open(const Endpoint& to, const RequestHead& head,
                                               std::string_view body, Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::http
