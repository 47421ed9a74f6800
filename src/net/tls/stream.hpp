#pragma once
// One TLS connection over a non-blocking socket that somebody else owns and waits for.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "net/tls/context.hpp"

struct ssl_st;  // OpenSSL's
struct ssl_session_st;
struct x509_store_ctx_st;

namespace baton::tls {

inline constexpr std::size_t kRecordBytes = 16 << 10;  // of data, at most: RFC 8446 5.1

// Confined to one thread at a time. Ends:
//   kEnd     the peer said close_notify: everything it sent has been read. Writing still works,
//            TLS 1.2 and 1.3 alike, as long as the peer reads (half-close).
//   kBroken  everything else, a TCP end without close_notify included (the data may be cut short);
//            error() says what, about the peer: "it does not speak TLS".
class Stream {
 public:
  enum class State : std::uint8_t { kDone, kWantRead, kWantWrite, kEnd, kBroken };

  static std::unique_ptr<Stream> accept(const ServerContext& context, int socket);
  // The host dialled is what is asked for (SNI, unless an address) and verified, unless the context
  // has a server_name.
  static std::unique_ptr<Stream> connect(const ClientContext& context, int socket,
                                         const std::string& host, std::uint16_t port);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // To be repeated when the socket is ready, until kDone or an end.
  State handshake();
  // kDone: 1 <= got <= into.size(). Takes what has arrived, in as few receives as it came.
  State read(std::span<char> into, std::size_t& got);
  // Takes bytes until the socket does not: kDone when all are taken. What is left must be offered
  // again, from wherever it then is. A record has at most 16 KB, so callers join small pieces.
  State write(std::string_view bytes, std::size_t& taken);
  // For a connection that is seldom idle: its buffers (34 KB) stay; otherwise an idle one has none.
  void keep_buffers();
  // Says close_notify, if the connection is in a state to; never waits.
  void shutdown();

  // Contract: kBroken came.
  const Error& error() const { return *error_; }
  bool broken() const { return error_.has_value(); }
  std::string_view alpn() const;     // "" when none was agreed on
  std::string_view version() const;  // "TLSv1.3"
  bool resumed() const;
  // Whether nothing has arrived that would have to be read first, at an idle connection.
  bool quiet();
  // Whether all that has come is read, as far as is known: more is better waited for than asked
  // for.
  bool drained() const;
  // A server's: the client's first bytes were an HTTP request in the clear.
  bool spoken_to_in_http() const { return plain_http_; }
  // Whether nothing at all has come from the peer: a probe that only connects.
  bool silent() const;

 private:
  friend int note_verification(int good, x509_store_ctx_st* context);
  friend int keep_session(ssl_st* connection, ssl_session_st* session);
  struct Owned;

  explicit Stream(std::unique_ptr<Owned> owned);
  // What a call of the library that did not succeed means.
  State after(int result);
  State fail();
  std::string reason(unsigned long code) const;
  std::string doubt_about(const x509_store_ctx_st& context) const;

  std::unique_ptr<Owned> owned_;
  std::string name_;                  // that the peer's certificate must have
  std::string resume_key_;            // of a client
  std::optional<Error> error_;        // of kBroken
  std::optional<std::string> doubt_;  // why the peer's certificate was not accepted
  bool established_ = false;
  bool plain_http_ = false;
};

// OpenSSL's callbacks.
int note_verification(int good, x509_store_ctx_st* context);
int keep_session(ssl_st* connection, ssl_session_st* session);

}  // namespace baton::tls
