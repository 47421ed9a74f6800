#include "net/http/blocking_connection.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace baton::http {

namespace {

using State = tls::Stream::State;

constexpr std::int64_t kLongestPoll = 60'000;  // ms; the deadline is looked at in between

Error system_error(std::string_view what) {
  return unavailable(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

BlockingConnection::BlockingConnection(const Clock& clock)
    : clock_(clock), closed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

BlockingConnection::~BlockingConnection() {
  if (tls_) tls_->shutdown();
  tls_.reset();
  if (socket_ >= 0) ::close(socket_);
  if (closed_ >= 0) ::close(closed_);
}

void BlockingConnection::close() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(closed_, &one, sizeof one);
}

Status BlockingConnection::wait_for(short events, Deadline deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<Millis>(deadline.left(clock_.now()));
    pollfd entries[] = {{socket_, events, 0}, {closed_, POLLIN, 0}};
    const int ready =
        ::poll(entries, 2, static_cast<int>(std::min<std::int64_t>(left.count(), kLongestPoll)));
    if (ready < 0 && errno != EINTR) return system_error("poll");
    if (entries[1].revents != 0 && ready > 0) return cancelled("the connection was closed here");
    if (ready > 0) return {};
    if (deadline.passed(clock_.now())) return timed_out("no answer in time");
  }
}

Status BlockingConnection::wait_for(State state, Deadline deadline) {
  switch (state) {
    case State::kWantRead:
      return wait_for(POLLIN, deadline);
    case State::kWantWrite:
      return wait_for(POLLOUT, deadline);
    case State::kEnd:
      return unavailable("the connection ended");
    case State::kBroken:
      return tls_->error();
    case State::kDone:
      break;
  }
  return {};
}

Status BlockingConnection::connect_one(const Address& address, Deadline deadline) {
  if (socket_ >= 0) ::close(socket_);
  socket_ = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return system_error("socket");
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket_, address.get(), address.size) == 0) return {};
  if (errno != EINPROGRESS) return system_error("connect");
  BATON_TRY(wait_for(POLLOUT, deadline));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return unavailable(fmt::format("connect: {}", std::strerror(error)));
  return {};
}

Status BlockingConnection::connect(const Endpoint& to, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto addresses, blocking_resolve(to, deadline, clock_));
  Status last = unavailable("no address");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    // What is left is shared out, so that a silent first address does not use it all.
    const Mono now = clock_.now();
    const auto share = static_cast<std::int64_t>(addresses.size() - i);
    last = connect_one(addresses[i], {now + deadline.left(now) / share});
    if (last || last.error().code() == Code::kCancelled) break;
  }
  return last;
}

Status BlockingConnection::secure(const tls::ClientContext& context, const Endpoint& to,
                                  Deadline deadline) {
  tls_ = tls::Stream::connect(context, socket_, to.host, to.port);
  for (;;) {
    const State state = tls_->handshake();
    if (state == State::kDone) return {};
    BATON_TRY(wait_for(state, deadline));
  }
}

Status BlockingConnection::send(std::span<const std::string_view> pieces, Deadline deadline) {
  Outgoing out(pieces);
  if (tls_ == nullptr) {
    for (;;) {
      const Outgoing::State state = out.write(socket_);
      if (state == Outgoing::State::kDone) return {};
      if (state == Outgoing::State::kBroken) return system_error("send");
      BATON_TRY(wait_for(POLLOUT, deadline));
    }
  }
  std::string joined;
  for (;;) {
    const std::string_view bytes = out.next(joined, tls::kRecordBytes);
    if (bytes.empty()) return {};
    std::size_t taken = 0;
    const State state = tls_->write(bytes, taken);
    out.advance(taken);
    if (state != State::kDone) {
      BATON_TRY(wait_for(state, deadline));
    }
  }
}

Result<std::size_t> BlockingConnection::receive(std::span<char> into, Deadline deadline) {
  for (;;) {
    std::size_t got = 0;
    State state = State::kWantRead;
    if (tls_ != nullptr) {
      state = tls_->read(into, got);
      if (state == State::kDone) return got;
      if (state == State::kEnd) return std::size_t{0};
    } else {
      const auto count = ::recv(socket_, into.data(), into.size(), 0);
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return system_error("receive");
    }
    BATON_TRY(wait_for(state, deadline));
  }
}

bool BlockingConnection::quiet() {
  if (tls_ != nullptr) return tls_->quiet();
  char byte = 0;
  const auto n = ::recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace baton::http
