// The kubelet's side of a probe: a socket, one request, a bounded answer.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "control/node/probe.hpp"

namespace baton::node {

namespace {

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Status wait_for(int socket, short events, Deadline deadline, const Clock& clock) {
  const auto left = std::chrono::ceil<Millis>(deadline.left(clock.now()));
  pollfd entry{socket, events, 0};
  const int ready =
      ::poll(&entry, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
  if (ready == 0) return timed_out("no answer in time");
  if (ready < 0) return unavailable(std::strerror(errno));
  return {};
}

Status connect_to(int socket, const std::string& host, std::uint16_t port, Deadline deadline,
                  const Clock& clock) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    return invalid(fmt::format("'{}' is not an IPv4 address", host));
  }
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return {};
  if (errno != EINPROGRESS) return unavailable(fmt::format("connect: {}", std::strerror(errno)));
  BATON_TRY(wait_for(socket, POLLOUT, deadline, clock));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return unavailable(fmt::format("connect: {}", std::strerror(error)));
  return {};
}

int open_socket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

}  // namespace

Result<Answer> blocking_get(const std::string& host, std::uint16_t port, const std::string& path,
                            Deadline deadline, const Clock& clock, std::size_t limit) {
  const Socket socket(open_socket());
  BATON_TRY(connect_to(socket.get(), host, port, deadline, clock));
  const auto request = fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: baton-probe\r\nConnection: close\r\n\r\n",
      path, host, port);
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return unavailable(fmt::format("send: {}", std::strerror(errno)));
  }
  std::string text;
  char buffer[4096];
  while (text.size() < limit) {
    BATON_TRY(wait_for(socket.get(), POLLIN, deadline, clock));
    const auto got = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (got < 0) return unavailable(fmt::format("receive: {}", std::strerror(errno)));
    if (got == 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  Answer answer;
  const std::string_view line(text);
  const bool http = line.starts_with("HTTP/1.") && line.size() >= 12 && line[8] == ' ';
  if (!http ||
      std::from_chars(text.data() + 9, text.data() + 12, answer.status).ec != std::errc{}) {
    return unavailable("the answer is not HTTP");
  }
  if (const auto body = text.find("\r\n\r\n"); body != std::string::npos) {
    answer.body = text.substr(body + 4);
  }
  return answer;
}

Status blocking_probe(const ProbeSpec& spec, const Clock& clock) {
  const auto deadline = Deadline::in(clock, spec.timeout);
  if (spec.kind == ProbeSpec::Kind::kTcp) {
    const Socket socket(open_socket());
    return connect_to(socket.get(), spec.host, spec.port, deadline, clock);
  }
  BATON_TRY_ASSIGN(const Answer answer,
                   blocking_get(spec.host, spec.port, spec.path, deadline, clock));
  if (answer.status >= 200 && answer.status < 400) return {};
  return unavailable(fmt::format("GET {} answered {}", spec.path, answer.status));
}

}  // namespace baton::node
