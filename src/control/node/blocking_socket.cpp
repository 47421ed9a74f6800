#include "control/node/blocking_socket.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace baton::node {

namespace {

constexpr std::size_t kTlsPiece = std::size_t{16} << 10;  // a TLS record

Error tls_error() {
  const auto code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return unavailable(fmt::format("TLS: {}", reason == nullptr ? "broken" : reason));
}

}  // namespace

BlockingSocket::BlockingSocket(const Clock& clock, Deadline deadline)
    : clock_(clock),
      deadline_(deadline),
      descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {}

BlockingSocket::~BlockingSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status BlockingSocket::wait_for(short events) {
  const auto left = std::chrono::ceil<Millis>(deadline_.left(clock_.now()));
  pollfd entry{descriptor_, events, 0};
  const int ready =
      ::poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  if (ready == 0) return timed_out("no answer in time");
  if (ready < 0) return unavailable(std::strerror(errno));
  return {};
}

Status BlockingSocket::connect(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return invalid(fmt::format("'{}' is not an IPv4 address", host));
  }
  if (::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return {};
  if (errno != EINPROGRESS) return unavailable(fmt::format("connect: {}", std::strerror(errno)));
  BATON_TRY(wait_for(POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return unavailable(fmt::format("connect: {}", std::strerror(error)));
  return {};
}

Status BlockingSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    BATON_TRY(wait_for(POLLOUT));
    const auto sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) return unavailable(fmt::format("send: {}", std::strerror(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<std::size_t> BlockingSocket::receive(std::span<char> into) {
  BATON_TRY(wait_for(POLLIN));
  const auto got = ::recv(descriptor_, into.data(), into.size(), 0);
  if (got < 0) return unavailable(fmt::format("receive: {}", std::strerror(errno)));
  return static_cast<std::size_t>(got);
}

BlockingTls::BlockingTls(BlockingSocket& socket)
    : socket_(socket), context_(SSL_CTX_new(TLS_client_method())) {
  if (context_ == nullptr) return;
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
  session_.reset(SSL_new(context_.get()));
  if (session_ == nullptr) return;
  SSL_set_bio(session_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

Status BlockingTls::flush() {
  std::array<char, kTlsPiece> piece;
  for (;;) {
    const int size =
        BIO_read(SSL_get_wbio(session_.get()), piece.data(), static_cast<int>(piece.size()));
    if (size <= 0) return {};
    BATON_TRY(socket_.send({piece.data(), static_cast<std::size_t>(size)}));
  }
}

template <class Step>
Result<bool> BlockingTls::drive(Step step) {
  if (session_ == nullptr) return tls_error();
  std::array<char, kTlsPiece> piece;
  for (;;) {
    ERR_clear_error();
    const int done = step(session_.get());
    const int why = SSL_get_error(session_.get(), done);
    BATON_TRY(flush());  // an alert, too
    if (done > 0) return true;
    if (why == SSL_ERROR_ZERO_RETURN) return false;
    if (why != SSL_ERROR_WANT_READ) return tls_error();
    BATON_TRY_ASSIGN(const auto got, socket_.receive(piece));
    if (got == 0) return false;
    BIO_write(SSL_get_rbio(session_.get()), piece.data(), static_cast<int>(got));
  }
}

Status BlockingTls::handshake() {
  BATON_TRY_ASSIGN(const bool done, drive([](SSL* session) { return SSL_connect(session); }));
  if (!done) return unavailable("TLS: the connection ended in the handshake");
  return {};
}

Status BlockingTls::send(std::string_view bytes) {
  BATON_TRY_ASSIGN(const bool done, drive([&](SSL* session) {
                     return SSL_write(session, bytes.data(), static_cast<int>(bytes.size()));
                   }));
  if (!done) return unavailable("TLS: the connection ended");
  return {};
}

Result<std::size_t> BlockingTls::receive(std::span<char> into) {
  int got = 0;
  BATON_TRY_ASSIGN(const bool more, drive([&](SSL* session) {
                     return got = SSL_read(session, into.data(), static_cast<int>(into.size()));
                   }));
  return more ? static_cast<std::size_t>(got) : 0;
}

}  // namespace baton::node
