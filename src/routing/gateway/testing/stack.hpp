#pragma once
// A gateway before scripted engines, and a client.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/async/blocking.hpp"
#include "net/http/client.hpp"
#include "routing/gateway/gateway.hpp"
#include "routing/gateway/testing/scripted_engine.hpp"
#include "routing/pick/testing/seed.hpp"
#include "routing/watch/topology.hpp"

namespace baton::gateway::testing {

inline const SystemClock kClock;
inline Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

inline bool eventually(const std::function<bool()>& condition) {
  for (const auto limit = soon(); !limit.passed(kClock.now());) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

struct Answer {
  http::ResponseHead head;
  std::string body;
  bool whole = true;
};
inline std::string_view get(const Answer& answer, std::string_view header) {
  return answer.head.headers.get(header).value_or("");
}

inline const std::string kLong(500, 'x');  // a prompt over the threshold

class Stack {
 public:
  Stack() { loop_.start(); }
  ~Stack() {
    if (gateway_) gateway_->stop({kClock.now()});
    engines_.clear();
    loop_.stop();  // before its clients
    gateway_.reset();
  }

  ScriptedEngine& engine(std::string name, std::string role, ScriptedEngine::Script script = {}) {
    engines_.push_back(std::make_unique<ScriptedEngine>(loop_, kClock, std::move(script)));
    add(std::move(name), std::move(role), engines_.back()->address());
    return *engines_.back();
  }
  void add(std::string name, std::string role, const http::Endpoint& address) {
    schedule::Endpoint endpoint;
    endpoint.ns = "llm";
    endpoint.name = std::move(name);
    endpoint.host = address.host;
    endpoint.port = address.port;
    if (!role.empty()) endpoint.labels.emplace(schedule::kRoleLabel, role);
    service.endpoints.push_back(std::move(endpoint));
  }

  void start() {
    watch::Topology topology;
    topology.services.push_back(service);
    gateway_ = std::make_unique<Gateway>(Gateway::Deps{loop_, kClock, random_, registry}, config,
                                         std::move(topology));
    const auto bound = gateway_->start();
    ASSERT_TRUE(bound) << bound.error().message();
    at = *bound;
    ASSERT_TRUE(eventually([&] { return gateway_->picker_synced("llm", "story"); }));
  }
  Gateway& gateway() { return *gateway_; }

  Answer send(std::string method, std::string target, std::string body,
              http::Headers headers = {}) {
    http::RequestHead head{std::move(method), std::move(target), std::move(headers)};
    return async::blocking_run(loop_, exchange(std::move(head), std::move(body)));
  }
  Answer chat(std::string content, http::Headers headers = {}) {
    return send("POST", "/v1/chat/completions", chat_body(std::move(content)), std::move(headers));
  }
  static std::string chat_body(std::string content) {
    return R"({"model":"m","messages":[{"role":"user","content":")" + content + "\"}]}";
  }

  watch::Service service = {.ns = "llm",
                            .name = "story",
                            .models = {"m", "alias"},
                            .picker = std::string(pick::testing::kSeedPd),
                            .picker_source = "test",
                            .routed = true,
                            .endpoints = {}};
  Config config = {.listen = {"127.0.0.1", 0},
                   .api_keys = {},
                   .request_timeout = std::chrono::seconds(20),
                   .body_bytes = 1 << 20,
                   .proof_headers = ProofHeaders::kOn,
                   .stand_in = {}};
  observe::Registry registry;
  http::Endpoint at;
  Nanos patience = std::chrono::seconds(20);  // of the client

 private:
  Task<Answer> exchange(http::RequestHead head, std::string body) {
    const std::array<std::string_view, 1> pieces = {body};
    const auto limit = Deadline::in(kClock, patience);
    auto sent = co_await client_.send(at, head, pieces, limit);
    if (!sent) co_return Answer{{0, {}}, sent.error().error.message(), false};
    Answer answer{sent->head(), {}};
    for (;;) {
      const auto piece = co_await sent->read_some(limit);
      if (!piece) answer.whole = false;
      if (!piece || piece->empty()) break;
      answer.body += *piece;
    }
    co_return answer;
  }

  async::Loop loop_{"test"};
  SystemRandom random_;
  http::Client client_{kClock, http::Client::Config{}};
  std::vector<std::unique_ptr<ScriptedEngine>> engines_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace baton::gateway::testing
