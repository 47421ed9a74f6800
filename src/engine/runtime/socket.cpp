#include "engine/runtime/socket.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/assert.hpp"
#include "base/core/log.hpp"

namespace baton::runtime {
namespace {

// Cancellation and clocks that tests advance are looked at this often.
constexpr Nanos kGlance = std::chrono::milliseconds(20);
constexpr int kBacklog = 64;
// Until a connection is tried again that there was no descriptor or memory for.
constexpr Millis kScarcity{100};
constexpr std::size_t kMaxParts = 512;  // per system call

std::string why() { return std::strerror(errno); }

// What accept() lacked may be given back by others; the connection waits.
bool is_scarcity(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), fmt::format("{}", port).c_str(), &hints, &list) != 0)
    return invalid(fmt::format("'{}' is not an IP address", host));
  return Addresses(list);
}

// Whether it is so by now, or within a moment.
Result<bool> glance(int fd, short events, const Patience& patience) {
  if (patience.cancelled.load(std::memory_order_relaxed)) return cancelled("cancelled");
  const Nanos left = patience.deadline.left(patience.clock.now());
  if (left <= Nanos(0)) return timed_out("the peer did not answer in time");
  pollfd p{fd, events, 0};
  const auto millis = std::chrono::ceil<Millis>(std::min(left, kGlance)).count();
  const int ready = ::poll(&p, 1, static_cast<int>(millis));
  if (ready < 0 && errno != EINTR) return unavailable(fmt::format("poll: {}", why()));
  return ready > 0;
}

Status wait_for(int fd, short events, const Patience& patience) {
  while (true) {
    BATON_TRY_ASSIGN(const bool ready, glance(fd, events, patience));
    if (ready) return {};
  }
}

// While it lives, whoever waits to read the connection is woken when so many bytes have come, not
// at the first ones: to wake somebody costs the sender more than to copy a few kilobytes.
class WokenBy {
 public:
  explicit WokenBy(int fd) : fd_(fd) {}
  ~WokenBy() { set(1); }
  WokenBy(const WokenBy&) = delete;
  WokenBy& operator=(const WokenBy&) = delete;

  // Contract: so many will come.
  void operator()(std::size_t bytes) { set(static_cast<int>(std::min(bytes, kMost))); }

 private:
  static constexpr std::size_t kMost = std::size_t{128} << 10;

  void set(int bytes) {
    if (bytes == std::exchange(bytes_, bytes)) return;
    (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  }

  const int fd_;
  int bytes_ = 1;
};

// Moves all bytes of `parts` but the last `spare`, which may be moved partly, with `move_some`,
// which is sendmsg or recvmsg; `before_waiting` is told how many are missing.
template <class MoveSome, class BeforeWaiting>
Status move_all(int fd, std::span<iovec> parts, std::size_t spare, short events,
                const Patience& patience, MoveSome move_some, BeforeWaiting before_waiting) {
  while (true) {
    while (parts.size() > spare && parts.front().iov_len == 0) parts = parts.subspan(1);
    if (parts.size() == spare) return {};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = std::min(parts.size(), kMaxParts);
    const ssize_t moved = move_some(fd, &message);
    if (moved == 0) return unavailable("the peer closed the connection");
    if (moved < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return unavailable(why());
      std::size_t missing = 0;
      for (const iovec& part : parts.first(parts.size() - spare)) missing += part.iov_len;
      before_waiting(missing);
      BATON_TRY(glance(fd, events, patience));
      continue;
    }
    auto rest = static_cast<std::size_t>(moved);
    for (iovec& part : parts) {
      const std::size_t step = std::min(rest, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      rest -= step;
      if (rest == 0) break;
    }
  }
}

template <class MoveSome>
Status move_all(int fd, std::span<iovec> parts, short events, const Patience& patience,
                MoveSome move_some) {
  return move_all(fd, parts, 0, events, patience, move_some, [](std::size_t) {});
}

ssize_t receive_some(int fd, msghdr* message) { return ::recvmsg(fd, message, 0); }

// Calls `step`, which offers bytes to the stream or takes some, and waits as it says, until it is
// done.
template <class Step>
Status drive(int fd, tls::Stream& stream, const Patience& patience, Step step) {
  while (true) {
    switch (step()) {
      case tls::Stream::State::kDone:
        return {};
      case tls::Stream::State::kWantRead: {
        BATON_TRY(wait_for(fd, POLLIN, patience));
        break;
      }
      case tls::Stream::State::kWantWrite: {
        BATON_TRY(wait_for(fd, POLLOUT, patience));
        break;
      }
      case tls::Stream::State::kEnd:
        return unavailable("the peer closed the connection");
      case tls::Stream::State::kBroken:
        return unavailable("TLS: " + stream.error().message());
    }
  }
}

Status send_secure(int fd, tls::Stream& stream, std::string_view bytes, const Patience& patience) {
  while (!bytes.empty()) {
    std::size_t taken = 0;
    BATON_TRY(drive(fd, stream, patience, [&] {
      const auto state = stream.write(bytes, taken);
      bytes.remove_prefix(std::exchange(taken, 0));
      return state;
    }));
  }
  return {};
}

// Rows are short, records are not: they go out joined.
Status send_secure(int fd, tls::Stream& stream, std::span<const iovec> parts,
                   const Patience& patience) {
  std::string record;
  record.reserve(tls::kRecordBytes);
  for (const iovec& part : parts) {
    std::string_view rest(static_cast<const char*>(part.iov_base), part.iov_len);
    while (!rest.empty()) {
      const auto step = rest.substr(0, tls::kRecordBytes - record.size());
      record += step;
      rest.remove_prefix(step.size());
      if (record.size() < tls::kRecordBytes) continue;
      BATON_TRY(send_secure(fd, stream, record, patience));
      record.clear();
    }
  }
  return send_secure(fd, stream, record, patience);
}

Status receive_secure(int fd, tls::Stream& stream, std::span<const iovec> parts,
                      const Patience& patience) {
  for (const iovec& part : parts) {
    std::span<char> room(static_cast<char*>(part.iov_base), part.iov_len);
    while (!room.empty()) {
      std::size_t got = 0;
      BATON_TRY(drive(fd, stream, patience, [&] { return stream.read(room, got); }));
      room = room.subspan(got);
    }
  }
  return {};
}

void set_no_delay(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

struct LocalAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};

LocalAddress local_address(const std::string& host, std::uint16_t port) {
  LocalAddress out;
  out.address.sun_family = AF_UNIX;
  // A leading NUL makes it abstract: no file to clean up.
  const std::string name =
      fmt::format("baton-kv/{}/{}", host, port).substr(0, sizeof out.address.sun_path - 1);
  std::ranges::copy(name, out.address.sun_path + 1);
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return out;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

bool Socket::is_local() const {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd_, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

bool Socket::is_of_same_user() const {
  ucred peer{};
  socklen_t size = sizeof peer;
  return is_local() && ::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == ::geteuid();
}

Status Socket::secure(const tls::ServerContext& context, const Patience& patience) {
  tls_ = tls::Stream::accept(context, fd_);
  return handshake(patience);
}

Status Socket::secure(const tls::ClientContext& context, const std::string& host,
                      std::uint16_t port, const Patience& patience) {
  tls_ = tls::Stream::connect(context, fd_, host, port);
  return handshake(patience);
}

Status Socket::handshake(const Patience& patience) {
  return drive(fd_, *tls_, patience, [this] { return tls_->handshake(); });
}

Status Socket::send(std::span<iovec> parts, const Patience& patience) const {
  if (tls_) return send_secure(fd_, *tls_, parts, patience);
  return move_all(fd_, parts, POLLOUT, patience,
                  [](int fd, msghdr* m) { return ::sendmsg(fd, m, MSG_NOSIGNAL); });
}

Status Socket::receive(std::span<iovec> parts, const Patience& patience) const {
  if (tls_) return receive_secure(fd_, *tls_, parts, patience);
  return move_all(fd_, parts, POLLIN, patience, receive_some);
}

Result<std::size_t> Socket::receive(std::span<iovec> parts, std::span<char> beyond,
                                    const Patience& patience) const {
  std::vector<iovec> all(parts.begin(), parts.end());
  all.push_back({beyond.data(), beyond.size()});
  WokenBy woken_by(fd_);
  BATON_TRY(move_all(fd_, all, 1, POLLIN, patience, receive_some, std::ref(woken_by)));
  return beyond.size() - all.back().iov_len;
}

Status Socket::send(std::string_view bytes, const Patience& patience) const {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  return send(std::span(&part, 1), patience);
}

Status Socket::receive(std::span<char> bytes, const Patience& patience) const {
  iovec part{bytes.data(), bytes.size()};
  return receive(std::span(&part, 1), patience);
}

// Room for one descriptor beside a message.
struct Beside {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
};

Status Socket::send_descriptor(int descriptor, const Patience& patience) const {
  char byte = 0;
  iovec part{&byte, 1};
  Beside beside;
  return move_all(fd_, std::span(&part, 1), POLLOUT, patience, [&](int fd, msghdr* m) {
    m->msg_control = beside.room.data();
    m->msg_controllen = beside.room.size();
    cmsghdr* const control = CMSG_FIRSTHDR(m);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(control), &descriptor, sizeof descriptor);
    return ::sendmsg(fd, m, MSG_NOSIGNAL);
  });
}

Result<Descriptor> Socket::receive_descriptor(const Patience& patience) const {
  char byte = 0;
  iovec part{&byte, 1};
  Beside beside;
  int got = -1;
  BATON_TRY(move_all(fd_, std::span(&part, 1), POLLIN, patience, [&](int fd, msghdr* m) {
    m->msg_control = beside.room.data();
    m->msg_controllen = beside.room.size();
    const ssize_t moved = ::recvmsg(fd, m, MSG_CMSG_CLOEXEC);
    const cmsghdr* const control = moved > 0 ? CMSG_FIRSTHDR(m) : nullptr;
    if (control != nullptr && control->cmsg_type == SCM_RIGHTS &&
        control->cmsg_len == CMSG_LEN(sizeof got))
      std::memcpy(&got, CMSG_DATA(control), sizeof got);
    return moved;
  }));
  if (got < 0) return invalid("KV frame: no descriptor where one is due");
  return Descriptor(got);
}

Result<Listener> listen_tcp(const std::string& host, std::uint16_t port) {
  BATON_TRY_ASSIGN(const Addresses list, resolve(host, port));
  Socket socket(::socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!socket || ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket.fd(), list->ai_addr, list->ai_addrlen) != 0 ||
      ::listen(socket.fd(), kBacklog) != 0)
    return unavailable(fmt::format("KV transfer on {} port {}: {}", host, port, why()));
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return unavailable(fmt::format("KV transfer on {}: {}", host, why()));
  std::array<char, NI_MAXSERV> service{};
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, service.data(),
                    service.size(), NI_NUMERICSERV) != 0)
    return unavailable(fmt::format("KV transfer on {}: no port", host));
  return Listener{std::move(socket), static_cast<std::uint16_t>(std::stoul(service.data()))};
}

Result<Socket> connect_tcp(const std::string& host, std::uint16_t port, const Patience& patience) {
  BATON_TRY_ASSIGN(const Addresses list, resolve(host, port));
  Socket socket(::socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return unavailable(why());
  if (::connect(socket.fd(), list->ai_addr, list->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return unavailable(why());
    BATON_TRY(wait_for(socket.fd(), POLLOUT, patience));
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
      return unavailable(std::strerror(error));
  }
  set_no_delay(socket.fd());
  return socket;
}

Result<Socket> listen_local(const std::string& host, std::uint16_t port) {
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const LocalAddress name = local_address(host, port);
  if (!socket ||
      ::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&name.address), name.size) != 0 ||
      ::listen(socket.fd(), kBacklog) != 0)
    return unavailable(
        fmt::format("KV transfer, local socket of {} port {}: {}", host, port, why()));
  return socket;
}

Result<Socket> connect_local(const std::string& host, std::uint16_t port) {
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const LocalAddress name = local_address(host, port);
  if (!socket ||
      ::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&name.address), name.size) != 0)
    return unavailable(why());
  // Another user may have taken the name; the lease token is not for them.
  if (!socket.is_of_same_user()) return denied("the local socket belongs to another user");
  return socket;
}

Signal::Signal() : socket_(::eventfd(0, EFD_CLOEXEC)) { BATON_ASSERT(socket_.fd() >= 0); }

void Signal::raise() {
  const std::uint64_t one = 1;
  (void)!::write(fd(), &one, sizeof one);
}

Result<Socket> accept_any(std::span<const Socket> listeners, const Signal& stop) {
  std::vector<pollfd> polls{{stop.fd(), POLLIN, 0}};
  for (const Socket& listener : listeners) polls.push_back({listener.fd(), POLLIN, 0});
  bool is_told = false;
  while (true) {
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return unavailable(why());
    if (polls[0].revents != 0) return cancelled("stopping");
    int lacking = 0;
    for (const pollfd& p : polls) {
      if ((p.revents & POLLIN) == 0) continue;
      Socket socket(::accept4(p.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket) {  // unless it is scarcity, another thread was faster, or the peer is gone
        if (is_scarcity(errno)) lacking = errno;
        continue;
      }
      set_no_delay(socket.fd());
      return socket;
    }
    if (lacking == 0) continue;
    if (!std::exchange(is_told, true))
      log::warn("KV connections have to wait", {{"why", std::strerror(lacking)}});
    pollfd stopped{stop.fd(), POLLIN, 0};  // the listeners stay readable
    (void)::poll(&stopped, 1, static_cast<int>(kScarcity.count()));
  }
}

}  // namespace baton::runtime
