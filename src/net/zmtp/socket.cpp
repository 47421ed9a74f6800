#include "net/zmtp/socket.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/core/assert.hpp"
#include "base/core/log.hpp"

namespace baton::zmtp {
namespace {

constexpr std::size_t kReadAtOnce = 256 << 10;

http::Endpoint endpoint_of(const http::Address& address) {
  const auto& storage = address.storage;
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  const bool is_v4 = storage.ss_family == AF_INET;
  const void* bytes = is_v4 ? static_cast<const void*>(&v4->sin_addr) : &v6->sin6_addr;
  // ::ffff:10.0.0.1, as a listener of both families sees 10.0.0.1.
  const bool mapped = !is_v4 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
  if (mapped) bytes = v6->sin6_addr.s6_addr + 12;
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v4 || mapped ? AF_INET : AF_INET6, bytes, text.data(), text.size());
  return {text.data(), ntohs(is_v4 ? v4->sin_port : v6->sin6_port)};
}

Error failed(std::string_view what, const http::Endpoint& at) {
  const int error = errno;
  auto text = fmt::format("{} {}: {}", what, http::to_string(at), std::strerror(error));
  if (error == EADDRINUSE) return conflict(std::move(text));
  return unavailable(std::move(text));
}

Error over(const char* why) { return unavailable(fmt::format("ZMTP connection: {}", why)); }

void set(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

// The kernel finds out about peers that are gone, with or without unsent bytes.
void watch_for_silence(int fd) {
  const auto seconds =
      static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(kSilence).count());
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds / 2);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds / 6);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, seconds * 1000);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

}  // namespace

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Address> parse_address(std::string_view endpoint, std::string_view any) {
  const auto wrong = [&](std::string_view what) {
    return fmt::format("'{}': {}", endpoint.substr(0, 256), what);
  };
  constexpr std::string_view kTcp = "tcp://";
  if (!endpoint.starts_with(kTcp)) {
    return unsupported(wrong("only tcp://HOST:PORT is spoken here"));
  }
  auto text = std::string(endpoint.substr(kTcp.size()));
  Address out;
  if (text.starts_with("*:")) {
    text.replace(0, 1, any.find(':') == std::string_view::npos ? any : fmt::format("[{}]", any));
    out.binds = Binds::kYes;
  }
  if (text.find("::") != std::string::npos) out.binds = Binds::kYes;
  const bool any_port = text.ends_with(":0");
  if (any_port) text.back() = '1';
  const auto at = http::parse_endpoint(text);
  if (!at) return invalid(wrong("expected tcp://HOST:PORT"));
  out.at = *at;
  if (any_port) out.at.port = 0;
  return out;
}

Result<Fd> listen_at(http::Endpoint& at) {
  const auto address = http::literal_address(at);
  if (!address) return invalid(fmt::format("'{}' is not an IP address to listen on", at.host));
  Fd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return failed("listening on", at);
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (::bind(fd.get(), address->get(), address->size) != 0 || ::listen(fd.get(), 128) != 0) {
    return failed("listening on", at);
  }
  http::Address bound;
  bound.size = sizeof bound.storage;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
    return failed("listening on", at);
  }
  at.port = endpoint_of(bound).port;
  return fd;
}

Fd accept_from(const Fd& listener, http::Endpoint* from) {
  http::Address peer;
  peer.size = sizeof peer.storage;
  auto* address = reinterpret_cast<sockaddr*>(&peer.storage);
  Fd fd(::accept4(listener.get(), address, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return fd;
  watch_for_silence(fd.get());
  if (from != nullptr) *from = endpoint_of(peer);
  return fd;
}

Fd Listener::accept(http::Endpoint* from) {
  Fd fd = accept_from(fd_, from);
  const int error = fd ? 0 : errno;
  const bool fails = error != 0 && error != EAGAIN && error != EINTR && error != ECONNABORTED;
  if (fails && !rests_) {
    log::warn("ZMTP connections cannot be taken", {{"why", std::strerror(error)}});
  }
  rests_ = fails;
  return fd;
}

Result<Fd> connect_to(const http::Endpoint& at) {
  const auto address = http::literal_address(at);
  if (!address) return invalid(fmt::format("'{}' is not an IP address", at.host));
  return connect_to(*address);
}

Result<Fd> connect_to(const http::Address& address) {
  Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return failed("connecting to", endpoint_of(address));
  watch_for_silence(fd.get());
  if (::connect(fd.get(), address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return failed("connecting to", endpoint_of(address));
  }
  return fd;
}

Status Peer::serve(short revents, Mono now) {
  if (!ready() && now - since_ > kHandshakeTime) return timed_out("ZMTP handshake");
  if (!reads()) {
    if (revents & (POLLHUP | POLLERR)) return over("closed by the peer");
  } else if (revents & (POLLIN | POLLHUP | POLLERR)) {
    std::array<char, kReadAtOnce / 4> chunk;
    for (int i = 0; i < 4; ++i) {
      const auto n = ::recv(fd_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
      if (n == 0) return over("closed by the peer");
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (n < 0) return over(std::strerror(errno));
      session_.feed({chunk.data(), static_cast<std::size_t>(n)});
      if (static_cast<std::size_t>(n) < chunk.size()) break;
    }
  }
  fill();
  return write();
}

Result<std::optional<Message>> Peer::next() {
  auto message = session_.next();
  fill();
  return message;
}

Status Peer::write() {
  while (sent_ < out_.size()) {
    const auto n =
        ::send(fd_.get(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) break;
    if (n < 0) return over(std::strerror(errno));
    sent_ += static_cast<std::size_t>(n);
  }
  if (sent_ == out_.size()) {
    out_.clear(), sent_ = 0;
  } else if (sent_ > out_.size() / 2) {
    out_.erase(0, std::exchange(sent_, 0));
  }
  return {};
}

Wake::Wake() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { BATON_ASSERT(fd_); }

void Wake::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(fd_.get(), &one, sizeof one);
}

void Wake::clear() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto n = ::read(fd_.get(), &count, sizeof count);
}

}  // namespace baton::zmtp
