#pragma once
// A connection that blocks, within a deadline: plain, or with TLS over it.

#include <openssl/ssl.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::node {

class BlockingSocket {
 public:
  BlockingSocket(const Clock& clock, Deadline deadline);
  ~BlockingSocket();
  BlockingSocket(const BlockingSocket&) = delete;
  BlockingSocket& operator=(const BlockingSocket&) = delete;

  // `host` is an IPv4 address.
  Status connect(const std::string& host, std::uint16_t port);
  Status send(std::string_view bytes);
  // 0 at the end.
  Result<std::size_t> receive(std::span<char> into);

 private:
  Status wait_for(short events);

  const Clock& clock_;
  const Deadline deadline_;
  const int descriptor_;
};

// Takes any certificate. The library sees memory only: waiting, and so the deadline, is the
// socket's.
class BlockingTls {
 public:
  explicit BlockingTls(BlockingSocket& socket);

  Status handshake();
  Status send(std::string_view bytes);
  Result<std::size_t> receive(std::span<char> into);

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* session) const { SSL_free(session); }
  };

  // Repeats a step of the library, carrying bytes both ways, until it succeeds or the peer ends.
  template <class Step>
  Result<bool> drive(Step step);
  Status flush();

  BlockingSocket& socket_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> session_;
};

}  // namespace baton::node
