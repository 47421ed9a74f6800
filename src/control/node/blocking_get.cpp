// The kubelet's side of a probe: a socket, one request, a bounded answer.

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "control/node/blocking_socket.hpp"
#include "control/node/probe.hpp"

namespace baton::node {

namespace {

// What the peer says until it closes, up to `limit` bytes.
template <class Stream>
Result<std::string> exchange(Stream& stream, std::string_view request, std::size_t limit) {
  BATON_TRY(stream.send(request));
  std::string text;
  std::array<char, 4096> buffer;
  while (text.size() < limit) {
    BATON_TRY_ASSIGN(const std::size_t got, stream.receive(buffer));
    if (got == 0) break;
    text.append(buffer.data(), got);
  }
  return text;
}

Result<Answer> parse_answer(const std::string& text) {
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

}  // namespace

Result<Answer> blocking_get(const HttpTarget& target, Deadline deadline, const Clock& clock,
                            std::size_t limit) {
  BlockingSocket socket(clock, deadline);
  BATON_TRY(socket.connect(target.host, target.port));
  const auto request = fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: baton-probe\r\nConnection: close\r\n\r\n",
      target.path, target.host, target.port);
  std::string text;
  if (target.scheme == Scheme::kHttps) {
    // "The kubelet sends an HTTPS request skipping the certificate verification" (Kubernetes
    // documentation, Configure Liveness, Readiness and Startup Probes).
    BlockingTls tls(socket);
    BATON_TRY(tls.handshake());
    BATON_TRY_ASSIGN(text, exchange(tls, request, limit));
  } else {
    BATON_TRY_ASSIGN(text, exchange(socket, request, limit));
  }
  return parse_answer(text);
}

Status blocking_probe(const ProbeSpec& spec, const Clock& clock) {
  const auto deadline = Deadline::in(clock, spec.timeout);
  if (spec.kind == ProbeSpec::Kind::kTcp) {
    return BlockingSocket(clock, deadline).connect(spec.host, spec.port);
  }
  BATON_TRY_ASSIGN(const Answer answer,
                   blocking_get({spec.host, spec.port, spec.path, spec.scheme}, deadline, clock));
  if (answer.status >= 200 && answer.status < 400) return {};
  return unavailable(fmt::format("GET {} answered {}", spec.path, answer.status));
}

}  // namespace baton::node
