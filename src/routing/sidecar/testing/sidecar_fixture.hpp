#pragma once
// For tests: two scripted engines, the sidecar before them, and a client.

#include <gmock/gmock.h>

#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "base/observe/testing/traced.hpp"
#include "net/http/client.hpp"
#include "net/http/parser.hpp"
#include "net/http/server.hpp"
#include "net/http/testing/raw_client.hpp"
#include "routing/sidecar/sidecar.hpp"

namespace baton::sidecar {

using http::testing::eventually;
using http::testing::Raw;

inline const SystemClock kClock;
inline Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

inline constexpr std::string_view kParams =
    R"({"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":"E",)"
    R"("remote_block_ids":[1,2,3],"remote_host":"h","remote_port":4032,"remote_request_id":"R",)"
    R"("baton_lease_token":"T"})";

// Plays what the test scripts: one answer per request, the last one for all further ones. Health
// checks stand beside the script.
class ScriptedEngine {
 public:
  enum class Manner { kAnswer, kHang, kBreakOff, kFlood, kStream };
  struct Answer {
    int status = 200;
    std::string body{};
    http::Headers headers{{"Content-Type", "application/json"}};
    Manner manner = Manner::kAnswer;
  };
  struct Request {
    http::RequestHead head;
    std::string body;
  };

  explicit ScriptedEngine(async::Loop& loop,
                          std::shared_ptr<const tls::ServerContext> tls = nullptr)
      : server_(loop, kClock, {{}, "engine", std::move(tls)},
                [this](http::Exchange& e) { return handle(e); }),
        endpoint_(*server_.listen({"127.0.0.1", 0})) {}

  const http::Endpoint& endpoint() const { return endpoint_; }
  void script(Answer answer) {
    std::lock_guard lock(mutex_);
    script_.push_back(std::move(answer));
  }
  // From now on these, the last one for all further requests.
  void replace(std::vector<Answer> answers) {
    std::lock_guard lock(mutex_);
    script_.assign(answers.begin(), answers.end());
  }
  std::size_t calls() const {
    std::lock_guard lock(mutex_);
    return requests_.size();
  }
  Request request(std::size_t i) const {
    std::lock_guard lock(mutex_);
    return i < requests_.size() ? requests_[i] : Request();
  }
  std::size_t connections() const { return server_.open_connections(); }
  void stop() { server_.stop({Mono()}); }

  std::atomic<int> health = 200;  // what GET /health answers
  std::atomic<int> checks = 0;
  std::atomic<std::size_t> written = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<bool> go_on = false;

 private:
  Answer next(Request request) {
    std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    if (script_.empty()) return {};
    Answer answer = script_.front();
    if (script_.size() > 1) script_.pop_front();
    return answer;
  }

  struct Unwinding {
    std::atomic<int>& count;
    int before = std::uncaught_exceptions();
    ~Unwinding() { count += std::uncaught_exceptions() > before ? 1 : 0; }
  };

  Task<void> handle(http::Exchange& exchange) {
    Result<std::string> body = co_await exchange.read_body(64 << 20);
    if (exchange.head().target == "/health") {
      ++checks;
      (void)co_await exchange.respond({health, {}}, "");
      co_return;
    }
    Unwinding unwinding{cancelled};
    Answer answer = next({exchange.head(), body ? *body : ""});
    http::ResponseHead head{answer.status, answer.headers};
    switch (answer.manner) {
      case Manner::kAnswer:
        (void)co_await exchange.respond(std::move(head), answer.body);
        break;
      case Manner::kHang:
        co_await async::sleep_until(Mono::max());
        break;
      case Manner::kBreakOff:
        head.headers.set("Content-Length", std::to_string(answer.body.size() + 100));
        (void)co_await exchange.start(std::move(head));
        (void)co_await exchange.write(answer.body);
        break;
      case Manner::kFlood:
        co_await flood(exchange, std::move(head));
        break;
      case Manner::kStream:
        co_await stream(exchange, std::move(head), answer.body);
        break;
    }
  }
  Task<void> flood(http::Exchange& exchange, http::ResponseHead head) {
    std::string block = "data: " + std::string(60'000, 'x') + "\n\n";
    (void)co_await exchange.start(std::move(head));
    for (;;) {
      Status sent = co_await exchange.write(block);
      if (!sent) break;
      written += block.size();
    }
  }
  // The body byte by byte; its second half when the test says so.
  Task<void> stream(http::Exchange& exchange, http::ResponseHead head, std::string body) {
    (void)co_await exchange.start(std::move(head));
    for (std::size_t i = 0; i < body.size(); ++i) {
      while (i == body.size() / 2 && !go_on) co_await async::sleep_until(kClock.now() + Millis(1));
      (void)co_await exchange.write(std::string_view(body).substr(i, 1));
    }
    (void)co_await exchange.finish();
  }

  mutable std::mutex mutex_;
  std::deque<Answer> script_;
  std::vector<Request> requests_;
  http::Server server_;
  http::Endpoint endpoint_;
};

using Answer = ScriptedEngine::Answer;
using Manner = ScriptedEngine::Manner;

inline Answer prefilled(std::string_view params = kParams) {
  return {
      .body = R"({"usage":{"prompt_tokens_details":{"cached_tokens":7}},"kv_transfer_params":)" +
              std::string(params) + "}",
      .headers = {{"Content-Type", "application/json"},
                  {"x-baton-computed-tokens", "30"},
                  {"x-baton-cached-tokens", "7"}}};
}
inline Answer decoded() {
  return {.body = R"({"id":"d","usage":{"prompt_tokens_details":{"cached_tokens":49}}})",
          .headers = {{"Content-Type", "application/json"}, {"x-baton-remote-tokens", "36"}}};
}

struct Got {
  int status = 0;
  http::Headers headers;
  std::string body;
};

class SidecarTest : public ::testing::Test {
 protected:
  SidecarTest() : prefill_(loop_), other_(loop_), decode_(loop_) {}
  ~SidecarTest() override {
    if (sidecar_) sidecar_->stop({Mono()});
    prefill_.stop();
    other_.stop();
    decode_.stop();
    loop_.stop();
  }

  void start(Config config = {}) {
    if (config.decoder.port == 8200) config.decoder = decode_.endpoint();
    sidecar_ = std::make_unique<Sidecar>(loop_, kClock, random_, registry_, config, tracer_);
    at_ = *sidecar_->listen({"127.0.0.1", 0});
    if (!loop_.running()) loop_.start();
  }

  Task<Got> fetch(http::RequestHead head, std::string body) {
    return fetch_with(client_, std::move(head), std::move(body));
  }
  Task<Got> fetch_with(http::Client& client, http::RequestHead head, std::string body) {
    std::array<std::string_view, 1> pieces = {body};
    auto response = co_await client.send(at_, head, pieces, soon());
    if (!response) co_return Got{-1, {}, response.error().error.message()};
    auto rest = co_await response->read_all(64 << 20, soon());
    co_return Got{response->head().status, response->head().headers,
                  rest ? *rest : "broken: " + rest.error().error.message()};
  }
  Got get(http::RequestHead head, std::string body = "") {
    return async::blocking_run(loop_, fetch(std::move(head), std::move(body)));
  }
  http::RequestHead chat_head() const {
    return {"POST",
            "/v1/chat/completions",
            {{"Content-Type", "application/json"},
             {"x-prefiller-host-port", http::to_string(prefill_.endpoint())}}};
  }
  Got chat(std::string body = R"({"model":"m"})") { return get(chat_head(), std::move(body)); }
  std::string raw_chat(std::string_view body) const {
    std::string out;
    http::RequestHead head = chat_head();
    head.headers.add("Host", "x");
    head.headers.add("Content-Length", std::to_string(body.size()));
    http::append_head(out, head);
    return out + std::string(body);
  }
  std::string header(const Got& got, std::string_view name) {
    return std::string(got.headers.get(name).value_or("(absent)"));
  }
  std::string metrics() const { return registry_.expose(); }

  async::Loop loop_{"sidecar"};
  SeededRandom random_{1};
  observe::Registry registry_;
  observe::testing::Traced spans_{kClock};
  observe::Tracer* tracer_ = nullptr;  // spans_.tracer() where a test wants spans
  http::Client client_{kClock, {}};
  std::unique_ptr<http::Client> secure_client_;  // ends after the loop
  ScriptedEngine prefill_;
  ScriptedEngine other_;
  ScriptedEngine decode_;
  std::unique_ptr<Sidecar> sidecar_;
  http::Endpoint at_;
};

}  // namespace baton::sidecar
