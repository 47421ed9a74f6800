#pragma once
// The picker on its ports, with a proxy's client.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <thread>

#include "base/async/blocking.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/health.hpp"
#include "net/http/client.hpp"
#include "net/tls/testing/credentials.hpp"
#include "routing/epp/server.hpp"
#include "routing/epp/testing/envoy.hpp"

namespace baton::epp::testing {

inline const SystemClock kClock;
inline constexpr const char* kProcess = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
inline Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

inline watch::Service pool() {
  watch::Service made;
  made.ns = "llm";
  made.name = "pool";
  return made;
}

inline std::vector<schedule::Endpoint> one_endpoint() {
  schedule::Endpoint e;
  e.ns = "llm";
  e.name = "a";
  e.host = "127.0.0.1";
  e.port = 9;  // nobody scrapes it with success
  return {e};
}

inline Task<Result<std::vector<Answer>>> talk(grpc::Client& client,
                                              std::vector<std::string> messages,
                                              std::size_t answers) {
  auto call = co_await client.open(kProcess, soon());
  if (!call) co_return call.error();
  for (const auto& message : messages) {
    BATON_CO_TRY(co_await (*call)->write(message));
  }
  std::vector<Answer> out;
  while (out.size() < answers) {
    auto answer = co_await (*call)->read();
    if (!answer) co_return answer.error();
    if (!*answer) break;
    out.push_back(read_answer(**answer));
  }
  (*call)->finish_writing();
  co_return out;
}

inline Task<Result<std::string>> get(http::Client& client, const http::Endpoint& at,
                                     std::string_view path) {
  http::RequestHead head;
  head.target = path;
  auto answer = co_await client.send(at, head, {}, soon());
  if (!answer) co_return answer.error().error;
  auto body = co_await answer->read_all(1 << 20, soon());
  if (!body) co_return body.error().error;
  co_return *std::move(body);
}

// The answer's status; -1 when there is none.
inline Task<int> status_of(http::Client& client, const http::Endpoint& at, http::RequestHead head) {
  auto answer = co_await client.send(at, std::move(head), {}, soon());
  co_return answer ? answer->head().status : -1;
}

class EppServerTest : public ::testing::Test {
 protected:
  EppServerTest() {
    auto with = credentials_.server();
    with.alpn = {tls::kHttp2};
    config_.ext_proc = config_.health = config_.metrics = {"127.0.0.1", 0};
    config_.tls = tls::testing::open_server(with, kClock);
  }
  ~EppServerTest() override {
    for (auto& client : clients_) async::blocking_run(loop_, client->stop());
    if (server_) server_->stop({kClock.now()});
  }
  void start() {
    for (auto* loop : {&loop_, &one_, &two_}) {
      if (!loop->running()) loop->start();
    }
    server_ = std::make_unique<Server>(
        Server::Deps{
            .loops = {&one_, &two_}, .clock = kClock, .registry = registry_, .review = review_},
        config_, service_);
    const auto bound = server_->start();
    ASSERT_TRUE(bound) << bound.error().message();
    bound_ = *bound;
  }
  // Whether the metrics port comes to show the line.
  bool tells(std::string_view line) {
    const auto wanted = "\n" + std::string(line) + "\n";
    return metrics_until([&](const std::string& text) { return text.contains(wanted); });
  }
  // The series has reached `least`.
  bool counts(std::string_view series, double least) {
    const auto begin = "\n" + std::string(series) + " ";
    return metrics_until([&](const std::string& text) {
      const auto at = text.find(begin);
      return at != text.npos && std::strtod(text.c_str() + at + begin.size(), nullptr) >= least;
    });
  }
  bool metrics_until(const std::function<bool(const std::string&)>& holds) {
    http::Client http(kClock, http::Client::Config{});
    const auto limit = soon();
    while (kClock.now() < limit.at) {
      const auto text = async::blocking_run(loop_, get(http, bound_.metrics, "/metrics"));
      if (text && holds(*text)) return true;
    }
    return false;
  }
  grpc::Client& client(const http::Endpoint& at, bool secure) {
    grpc::Client::Config config;
    if (secure) {
      auto with = credentials_.client();
      with.alpn = {tls::kHttp2};
      config.tls = tls::testing::open_client(with, kClock);
    }
    return *clients_.emplace_back(
        std::make_unique<grpc::Client>(loop_.executor(), kClock, at, config));
  }
  // As a number; -1 when the call fails.
  int health(grpc::Client& of, std::string_view service) {
    std::string request;
    if (!service.empty()) proto::Writer(request).bytes(1, service);
    const auto answer =
        async::blocking_run(loop_, of.unary("/grpc.health.v1.Health/Check", request, soon()));
    if (!answer) return -1;
    int status = 0;
    detail::each(*answer, [&](const proto::Field& field) {
      if (field.number == 1) status = static_cast<int>(field.number_value);
    });
    return status;
  }

  tls::testing::Credentials credentials_ = tls::testing::Credentials::make("epp", kClock);
  async::Loop loop_{"client"}, one_{"one"}, two_{"two"};
  observe::Registry registry_;
  Server::Config config_;
  Review review_;
  watch::Service service_ = pool();
  std::unique_ptr<Server> server_;
  Server::Bound bound_;
  std::vector<std::unique_ptr<grpc::Client>> clients_;
};

}  // namespace baton::epp::testing
