// The floor of forwarding: bytes from a client's connection to one upstream connection and back,
// nothing read of what they mean. One thread, one level-triggered epoll.
//
//   bare_hop LISTEN_PORT UPSTREAM_PORT          (both on 127.0.0.1)

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t kBuffer = 64 << 10;

// One direction's end: what is read here goes out at `peer`.
struct End {
  int fd = -1;
  End* peer = nullptr;
  std::string unsent;  // of the peer's bytes, waiting for room here
  bool closed = false;
};

sockaddr_in local(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

void watch(int epoll, int operation, End& end, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &end;
  ::epoll_ctl(epoll, operation, end.fd, &event);
}

void open_pair(int epoll, int client, std::uint16_t upstream_port) {
  int one = 1;
  int upstream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = local(upstream_port);
  if (::connect(upstream, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    ::close(upstream);
    ::close(client);
    return;
  }
  for (int fd : {client, upstream}) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  auto near = std::make_unique<End>();
  auto far = std::make_unique<End>();
  *near = {client, far.get(), {}, false};
  *far = {upstream, near.get(), {}, false};
  watch(epoll, EPOLL_CTL_ADD, *near.release(), EPOLLIN);
  watch(epoll, EPOLL_CTL_ADD, *far.release(), EPOLLIN);
}

// False when the pair is at its end.
bool flush(int epoll, End& to) {
  while (!to.unsent.empty()) {
    ssize_t n = ::send(to.fd, to.unsent.data(), to.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN;
    to.unsent.erase(0, static_cast<std::size_t>(n));
  }
  watch(epoll, EPOLL_CTL_MOD, to, EPOLLIN);
  watch(epoll, EPOLL_CTL_MOD, *to.peer, EPOLLIN);
  return true;
}

bool forward(int epoll, End& from) {
  static std::array<char, kBuffer> buffer;
  ssize_t got = ::recv(from.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
  End& to = *from.peer;
  ssize_t sent = ::send(to.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) return false;
  if (sent == got) return true;
  to.unsent += bytes.substr(sent < 0 ? 0 : static_cast<std::size_t>(sent));
  watch(epoll, EPOLL_CTL_MOD, from, 0);  // no more until this is out
  watch(epoll, EPOLL_CTL_MOD, to, EPOLLOUT);
  return true;
}

void close_pair(End& end) {
  for (End* each : {&end, end.peer}) {
    ::close(each->fd);
    each->closed = true;
  }
}

int run(std::uint16_t port, std::uint16_t upstream_port) {
  int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  End listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), nullptr, {}, false};
  int one = 1;
  ::setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in at = local(port);
  if (::bind(listener.fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener.fd, SOMAXCONN) != 0) {
    std::perror("bare_hop");
    return 1;
  }
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
  std::array<epoll_event, 64> events;
  for (;;) {
    int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto& end = *static_cast<End*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (&end == &listener) {
        open_pair(epoll, ::accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC), upstream_port);
        continue;
      }
      if (end.closed) continue;  // its pair ended within this batch
      bool writable = (events[static_cast<std::size_t>(i)].events & EPOLLOUT) != 0;
      bool open = writable ? flush(epoll, end) : forward(epoll, end);
      if (!open) close_pair(end);  // not freed: a benchmark opens few
    }
  }
}

bool read_port(std::string_view text, std::uint16_t& port) {
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  return failed == std::errc() && end == text.data() + text.size();
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  std::uint16_t upstream = 0;
  if (argc != 3 || !read_port(argv[1], port) || !read_port(argv[2], upstream)) {
    std::fputs("usage: bare_hop LISTEN_PORT UPSTREAM_PORT\n", stderr);
    return 2;
  }
  return run(port, upstream);
}
