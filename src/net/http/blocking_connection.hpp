#pragma once
// A connection that blocks, within a deadline: plain, or with TLS over it.

#include <memory>
#include <span>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/resolve.hpp"
#include "net/http/socket.hpp"
#include "net/tls/stream.hpp"

namespace baton::http {

// Confined to one thread at a time, except where stated. kTimeout, kCancelled (closed), else
// kUnavailable with the reason.
class BlockingConnection {
 public:
  explicit BlockingConnection(const Clock& clock);
  ~BlockingConnection();
  BlockingConnection(const BlockingConnection&) = delete;
  BlockingConnection& operator=(const BlockingConnection&) = delete;

  // Tries the addresses of the name in turn.
  Status connect(const Endpoint& to, Deadline deadline);
  // The handshake, as a client.
  Status secure(const tls::ClientContext& context, const Endpoint& to, Deadline deadline);

  Status send(std::span<const std::string_view> pieces, Deadline deadline);
  // Some bytes; 0 at the end.
  Result<std::size_t> receive(std::span<char> into, Deadline deadline);
  // Whether an idle connection still looks alive: open, and silent.
  bool quiet();
  // From any thread: whoever waits here, now or later, gets kCancelled.
  void close();

 private:
  Status connect_one(const Address& address, Deadline deadline);
  Status wait_for(short events, Deadline deadline);
  // Waits for what a step of TLS wants.
  Status wait_for(tls::Stream::State state, Deadline deadline);

  const Clock& clock_;
  int socket_ = -1;
  const int closed_;  // an eventfd
  std::unique_ptr<tls::Stream> tls_;
};

}  // namespace baton::http
