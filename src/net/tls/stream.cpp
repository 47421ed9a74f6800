#include "net/tls/stream.hpp"

#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/core/assert.hpp"
#include "net/tls/context_impl.hpp"
#include "net/tls/openssl.hpp"
#include "net/tls/socket_receive.hpp"

namespace baton::tls {

namespace {

// The library's view of the socket. Its own BIO would raise SIGPIPE.
struct SocketEnd {
  int socket;
  int error = 0;     // errno of the call that failed
  bool end = false;  // the peer sent its TCP end
  bool heard = false;
  bool drained = false;  // the last receive left nothing behind
};

SocketEnd& end_of(BIO* bio) { return *static_cast<SocketEnd*>(BIO_get_data(bio)); }

int bio_write(BIO* bio, const char* bytes, int size) {
  SocketEnd& end = end_of(bio);
  BIO_clear_retry_flags(bio);
  ssize_t sent = 0;
  do {
    sent = ::send(end.socket, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<int>(sent);
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    BIO_set_retry_write(bio);
  } else {
    end.error = errno;
  }
  return -1;
}

int bio_read(BIO* bio, char* into, int size) {
  SocketEnd& end = end_of(bio);
  BIO_clear_retry_flags(bio);
  const auto [got, drained] = receive_some(end.socket, into, static_cast<std::size_t>(size));
  end.drained = drained;
  if (got > 0) {
    end.heard = true;
    return static_cast<int>(got);
  }
  if (got == 0) {
    end.end = true;
    return 0;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    BIO_set_retry_read(bio);
  } else {
    end.error = errno;
  }
  return -1;
}

long bio_control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return end_of(bio).end ? 1 : 0;
  return 0;
}

const BIO_METHOD* socket_method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "baton socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return kMethod;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> bytes;
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

std::string moment(Wall at) {
  return fmt::format("{:%FT%TZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

Stream* stream_of(const SSL* connection) {
  return static_cast<Stream*>(SSL_get_app_data(connection));
}

}  // namespace

struct Stream::Owned {
  SocketEnd end;
  std::shared_ptr<const ServerState> server;
  std::shared_ptr<const ClientState> client;
  ConnectionPtr connection;  // goes before the contexts

  SSL* ssl() const { return connection.get(); }
};

Stream::Stream(std::unique_ptr<Owned> owned) : owned_(std::move(owned)) {
  SSL* const ssl = owned_->ssl();
  BATON_ASSERT(ssl != nullptr);  // out of memory
  BIO* const bio = BIO_new(socket_method());
  BATON_ASSERT(bio != nullptr);
  BIO_set_data(bio, &owned_->end);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, this);
  tell_left_behind(owned_->end.socket);
}

Stream::~Stream() = default;

std::unique_ptr<Stream> Stream::accept(const ServerContext& context, int socket) {
  auto owned = std::make_unique<Owned>();
  owned->end.socket = socket;
  owned->server = context.impl().state();
  owned->connection.reset(SSL_new(owned->server->context.get()));
  std::unique_ptr<Stream> stream(new Stream(std::move(owned)));
  SSL* const ssl = stream->owned_->ssl();
  X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl),
                             std::chrono::system_clock::to_time_t(context.impl().clock.wall()));
  SSL_set_accept_state(ssl);
  return stream;
}

std::unique_ptr<Stream> Stream::connect(const ClientContext& context, int socket,
                                        const std::string& host, std::uint16_t port) {
  const auto& config = context.impl().config;
  auto owned = std::make_unique<Owned>();
  owned->end.socket = socket;
  owned->client = context.impl().state();
  owned->connection.reset(SSL_new(owned->client->context.get()));
  std::string peer =
      host.contains(':') ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
  std::unique_ptr<Stream> stream(new Stream(std::move(owned)));
  SSL* const ssl = stream->owned_->ssl();
  stream->name_ = config.server_name.empty() ? host : config.server_name;
  stream->resume_key_ = fmt::format("{} {}", host, port);
  X509_VERIFY_PARAM* const parameters = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_time(parameters,
                             std::chrono::system_clock::to_time_t(context.impl().clock.wall()));
  const bool verified = config.verify == ClientContext::Verify::kFull;
  if (is_address(stream->name_)) {
    if (verified) X509_VERIFY_PARAM_set1_ip_asc(parameters, stream->name_.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, stream->name_.c_str());
    // Names stand in SANs; a common name is not one (RFC 9525 2).
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (verified) SSL_set1_host(ssl, stream->name_.c_str());
  }
  if (const SessionPtr session = stream->owned_->client->take(stream->resume_key_)) {
    SSL_set_session(ssl, session.get());
  }
  SSL_set_connect_state(ssl);
  return stream;
}

std::string Stream::reason(unsigned long code) const {
  const SocketEnd& end = owned_->end;
  if (doubt_) return *doubt_;
  const int why = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  switch (why) {
    case SSL_R_HTTP_REQUEST:
      return "it speaks plain HTTP to a port that speaks TLS";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      if (!established_) return "it does not speak TLS";
      break;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return established_ ? "the connection broke: it ended without TLS's close_notify"
                          : "the connection ended in the TLS handshake";
    default:
      break;
  }
  if (code == 0) {
    if (end.error != 0) return std::strerror(end.error);
    return established_ ? "the connection broke" : "the connection ended in the TLS handshake";
  }
  const char* text = ERR_reason_error_string(code);
  if (why >= SSL_AD_REASON_OFFSET)
    return fmt::format("it refused with {}", text == nullptr ? "an alert" : text);
  return fmt::format("TLS: {}", text == nullptr ? "broken" : text);
}

Stream::State Stream::fail() {
  if (!error_) {
    const auto code = ERR_get_error();
    plain_http_ = !established_ && ERR_GET_LIB(code) == ERR_LIB_SSL &&
                  ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST;
    error_ = unavailable(reason(code));
  }
  ERR_clear_error();
  return State::kBroken;
}

Stream::State Stream::after(int result) {
  if (result > 0) return State::kDone;
  switch (SSL_get_error(owned_->ssl(), result)) {
    case SSL_ERROR_WANT_READ:
      return State::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return State::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return State::kEnd;
    default:
      return fail();
  }
}

Stream::State Stream::handshake() {
  if (error_) return State::kBroken;
  ERR_clear_error();
  State state = after(SSL_do_handshake(owned_->ssl()));
  if (state == State::kEnd) state = fail();
  established_ = state == State::kDone;
  return state;
}

Stream::State Stream::read(std::span<char> into, std::size_t& got) {
  got = 0;
  if (error_) return State::kBroken;
  SSL* const ssl = owned_->ssl();
  do {
    ERR_clear_error();
    std::size_t size = 0;
    const int result = SSL_read_ex(ssl, into.data() + got, into.size() - got, &size);
    if (result <= 0) {
      // What was read goes first; an end shows again at the next call.
      return got > 0 ? State::kDone : after(result);
    }
    got += size;
  } while (got < into.size() && SSL_has_pending(ssl) == 1);
  return State::kDone;
}

Stream::State Stream::write(std::string_view bytes, std::size_t& taken) {
  taken = 0;
  if (error_) return State::kBroken;
  while (taken < bytes.size()) {
    ERR_clear_error();
    std::size_t size = 0;
    const int result =
        SSL_write_ex(owned_->ssl(), bytes.data() + taken, bytes.size() - taken, &size);
    if (result <= 0) return after(result);
    taken += size;
  }
  return State::kDone;
}

void Stream::keep_buffers() { SSL_clear_mode(owned_->ssl(), SSL_MODE_RELEASE_BUFFERS); }

void Stream::shutdown() {
  if (!established_ || error_) return;
  ERR_clear_error();
  SSL_shutdown(owned_->ssl());
  ERR_clear_error();
}

bool Stream::quiet() {
  if (error_) return false;
  ERR_clear_error();
  char byte = 0;
  std::size_t size = 0;
  const int result = SSL_peek_ex(owned_->ssl(), &byte, 1, &size);
  return after(result) == State::kWantRead;
}

bool Stream::drained() const { return owned_->end.drained && SSL_has_pending(owned_->ssl()) == 0; }

std::string_view Stream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(owned_->ssl(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string_view Stream::version() const { return SSL_get_version(owned_->ssl()); }

bool Stream::silent() const { return !owned_->end.heard; }

bool Stream::resumed() const { return SSL_session_reused(owned_->ssl()) == 1; }

std::string Stream::doubt_about(const X509_STORE_CTX& context) const {
  const int why = X509_STORE_CTX_get_error(&context);
  const X509* const certificate = X509_STORE_CTX_get_current_cert(&context);
  if (certificate == nullptr) return X509_verify_cert_error_string(why);
  const CertificateInfo info = describe(*certificate);
  switch (why) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("its certificate is not for the name '{}': it is for {}", name_,
                         names_text(info));
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("its certificate '{}' expired at {}", info.subject,
                         moment(info.not_after));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("its certificate '{}' is valid only from {}", info.subject,
                         moment(info.not_before));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format("its certificate '{}' is signed by '{}', which is not trusted here",
                         info.subject, info.issuer);
    default:
      return fmt::format("its certificate '{}': {}", info.subject,
                         X509_verify_cert_error_string(why));
  }
}

int note_verification(int good, X509_STORE_CTX* context) {
  if (good == 1) return 1;
  const auto* connection = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  Stream* const stream = stream_of(connection);
  if (!stream->doubt_) stream->doubt_ = stream->doubt_about(*context);
  return 0;
}

int keep_session(SSL* connection, SSL_SESSION* session) {
  const Stream* const stream = stream_of(connection);
  stream->owned_->client->keep(stream->resume_key_, SessionPtr(session));
  return 1;
}

}  // namespace baton::tls
