#include "net/kube/testing/scripted_api.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http/parser.hpp"

namespace baton::kube::testing {

void ScriptedApi::Connection::send(std::string_view bytes) {
  while (open_ && !bytes.empty()) {
    const auto n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) {
      open_ = false;
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void ScriptedApi::Connection::answer(int status, std::string_view body, std::string_view fields) {
  send(
      fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n",
                  status, fields, body.size()));
  send(body);
}

void ScriptedApi::Connection::chunk(std::string_view bytes) {
  send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes));
}

void ScriptedApi::Connection::close() {
  if (open_) ::shutdown(socket_, SHUT_RDWR);
  open_ = false;
}

void ScriptedApi::Connection::wait_for_client() {
  char byte = 0;
  while (open_ && ::recv(socket_, &byte, 1, 0) > 0) {
  }
  open_ = false;
}

ScriptedApi::ScriptedApi(Script script) : script_(std::move(script)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&at), length), 0);
  EXPECT_EQ(::listen(listener_, 64), 0);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &length);
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread([this] { accept(); });
}

ScriptedApi::~ScriptedApi() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (auto& connection : connections_) connection.join();
  for (const int socket : sockets_) ::close(socket);
  ::close(listener_);
}

Access ScriptedApi::access() const {
  Access out;
  out.https = false;
  out.server = {"127.0.0.1", port_};
  out.source = "a test";
  out.token = "sesame";
  out.ns = "default";
  return out;
}

std::vector<ScriptedApi::Request> ScriptedApi::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

std::vector<std::string> ScriptedApi::lines() const {
  std::vector<std::string> out;
  for (const auto& request : seen()) out.push_back(request.method + " " + request.target);
  return out;
}

void ScriptedApi::accept() {
  while (true) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    connections_.emplace_back([this, socket] { serve(socket); });
  }
}

void ScriptedApi::serve(int socket) {
  Connection connection(socket);
  http::RequestParser parser({});
  std::string in;
  Request request;
  while (connection.open()) {
    const auto step = parser.next(in);
    if (step.event == http::Event::kData) request.body += step.data;
    in.erase(0, step.consumed);
    if (step.event == http::Event::kHead) {
      request = {parser.head().method, parser.head().target, "", parser.head().headers};
    } else if (step.event == http::Event::kError) {
      return;
    } else if (step.event == http::Event::kNeedMore) {
      char piece[4096];
      const auto n = ::recv(socket, piece, sizeof piece, 0);
      if (n <= 0) return;
      in.append(piece, static_cast<std::size_t>(n));
    } else if (step.event == http::Event::kEnd) {
      if (request.target == "/api/v1") {
        connection.answer(200, R"({"resources":[
          {"name":"pods","namespaced":true,"kind":"Pod","verbs":["list"]},
          {"name":"pods/status","namespaced":true,"kind":"Pod","verbs":["get"]},
          {"name":"configmaps","namespaced":true,"kind":"ConfigMap","verbs":["list"]}]})");
        continue;
      }
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
        seen_.push_back(request);
      }
      script_(request, connection);
    }
  }
}

std::string status_body(int code, const std::string& reason, const std::string& message) {
  return fmt::format(R"({{"kind":"Status","code":{},"reason":"{}","message":"{}"}})", code, reason,
                     message);
}

}  // namespace baton::kube::testing
