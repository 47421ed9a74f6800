#pragma once
// One receive that says what it left behind. Internal to net.

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace baton::tls {

// Asks the kernel to tell. Refused before Linux 4.18, and by sockets that are not TCP.
inline void tell_left_behind(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_INQ, &on, sizeof on);
}

struct Received {
  ssize_t got = 0;       // as recv(2) says, with errno; never EINTR
  bool drained = false;  // nothing is left, and the stream has not ended
};

// Without waiting.
inline Received receive_some(int socket, void* into, std::size_t size) {
  iovec room{into, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &room;
  message.msg_iovlen = 1;
  message.msg_control = control;
  Received out;
  do {
    message.msg_controllen = sizeof control;
    out.got = ::recvmsg(socket, &message, MSG_DONTWAIT);
  } while (out.got < 0 && errno == EINTR);
  if (out.got <= 0) return out;
  const cmsghdr* const told = CMSG_FIRSTHDR(&message);
  if (told == nullptr || told->cmsg_level != IPPROTO_TCP || told->cmsg_type != TCP_CM_INQ) {
    return out;
  }
  int left = 0;  // 1 at the end of the stream
  std::memcpy(&left, CMSG_DATA(told), sizeof left);
  out.drained = left == 0;
  return out;
}

}  // namespace baton::tls
