#pragma once
// A service over a real engine, with a model that notices wrong KV, and a client of it.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/async/blocking.hpp"
#include "engine/runtime/testing/fake_model.hpp"
#include "engine/serve/service.hpp"
#include "net/http/client.hpp"

namespace baton::serve::testing {

using text::json::Object;
using text::json::Value;

inline const SystemClock kClock;
inline Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(30)); }

inline bool eventually(const std::function<bool()>& condition) {
  for (const Deadline limit = soon(); !limit.passed(kClock.now());) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return false;
}

// Ids 2 to 96 are the printable ASCII characters; 0 and 1 are <bos> and <eos>.
inline std::unique_ptr<const token::Tokenizer> ascii() {
  std::string vocab = R"("Ġ":2)";
  for (int c = 0x21; c < 0x7F; ++c) {
    vocab += ",";
    text::json::append_quoted(vocab, std::string(1, static_cast<char>(c)));
    vocab += ":" + std::to_string(c - 0x20 + 2);
  }
  auto made = token::Tokenizer::parse(
      R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"decoder":{"type":"ByteLevel"},"added_tokens":[{"id":0,"content":"<bos>",
      "special":true},{"id":1,"content":"<eos>","special":true}],"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":
      {"id":"<bos>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<bos>":{"id":"<bos>","ids":[0]}}},
      "model":{"type":"BPE","vocab":{)" +
      vocab + R"(},"merges":[]}})");
  EXPECT_TRUE(made) << made.error().message();
  return *std::move(made);
}

struct Reply {
  int status = 0;
  http::Headers headers;
  std::string body;
  Value json() const {
    auto value = text::json::parse(body);
    return value ? *value : Value();
  }
  std::uint64_t number(std::string_view header) const {
    return std::stoull(std::string(headers.get(header).value_or("999999")));
  }
  std::string error() const { return std::string(json().string_at({"error", "message"})); }
};

// A service and a client of it.
class Served {
 public:
  // `permits`, one for each forward pass: null for as many as wanted.
  explicit Served(const std::function<void(ServiceConfig&, runtime::EngineConfig&)>& change = {},
                  std::shared_ptr<runtime::testing::Permits> permits = nullptr,
                  std::optional<std::size_t> max_logprobs = 20) {
    ServiceConfig service;
    service.listen = {"127.0.0.1", 0};
    runtime::EngineConfig engine;
    engine.block_size = 16;
    engine.blocks = 64;
    engine.max_model_len = 512;
    engine.max_num_batched_tokens = 64;
    engine.max_num_seqs = 8;
    engine.transfer = runtime::TransferConfig{};
    if (change) change(service, engine);
    auto made = runtime::Engine::create(
        engine,
        {std::make_unique<runtime::testing::FakeModel>(std::move(permits)), kClock, random_});
    EXPECT_TRUE(made) << made.error().message();
    ServedModel model;
    model.names = {"tiny", "alias"};
    model.root = "./tiny";
    model.max_model_len = engine.max_model_len;
    model.max_logprobs = max_logprobs;
    model.tokenizer = ascii();
    model.chat = *token::ChatTemplate::parse(
        R"({"bos_token":"<bos>","chat_template":"{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"})",
        "");
    service_ = std::make_unique<Service>(
        std::move(service), Service::Deps{*std::move(made), std::move(model), kClock, random_});
    auto at = service_->start();
    EXPECT_TRUE(at) << at.error().message();
    at_ = *at;
    loop_.start();
    client_ = std::make_unique<http::Client>(kClock, http::Client::Config{});
  }
  ~Served() {
    async::blocking_run(loop_, drop_client());
    loop_.stop();
  }

  using OnHead = std::function<void(const http::Headers&)>;
  // `on_head` is called when the answer begins, on another thread.
  Reply call(std::string method, std::string path, std::string body = "",
             http::Headers headers = {{"content-type", "application/json"}},
             const OnHead& on_head = {}) {
    return async::blocking_run(
        loop_, exchange({std::move(method), std::move(path), std::move(headers)}, std::move(body),
                        on_head));
  }
  Reply post(std::string path, std::string body) {
    return call("POST", std::move(path), std::move(body));
  }
  Reply complete(std::string more) {
    return post("/v1/completions",
                R"({"prompt":"Hello world, this is a prompt","temperature":0,"ignore_eos":true)" +
                    more + "}");
  }
  // Sends the request and leaves when the head has come.
  void leave_early(std::string path, std::string body) {
    async::blocking_run(loop_,
                        head_only({"POST", std::move(path), {{"content-type", "application/json"}}},
                                  std::move(body)));
  }
  Service& service() { return *service_; }
  runtime::Stats stats() { return service_->engine().stats(); }

 private:
  Task<Reply> exchange(http::RequestHead head, std::string body, const OnHead& on_head) {
    const std::string_view piece = body;
    auto response = co_await client_->send(at_, head, {&piece, 1}, soon());
    if (!response) co_return Reply{-1, {}, response.error().error.message()};
    if (on_head) on_head(response->head().headers);
    auto text = co_await response->read_all(1 << 24, soon());
    co_return Reply{response->head().status, response->head().headers,
                    text ? *text : "broken: " + text.error().error.message()};
  }
  Task<void> head_only(http::RequestHead head, std::string body) {
    const std::string_view piece = body;
    auto response = co_await client_->send(at_, head, {&piece, 1}, soon());
    EXPECT_TRUE(response);
  }
  Task<void> drop_client() {
    client_.reset();
    co_return;
  }

  SystemRandom random_;
  std::unique_ptr<Service> service_;
  http::Endpoint at_;
  async::Loop loop_{"client"};
  std::unique_ptr<http::Client> client_;
};

}  // namespace baton::serve::testing
