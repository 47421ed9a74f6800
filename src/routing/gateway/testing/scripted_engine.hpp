#pragma once
// An engine for tests: answers as told, remembers what it was asked.

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "base/async/finish_by.hpp"
#include "formats/openai/live_requests.hpp"
#include "net/http/server.hpp"

namespace baton::gateway::testing {

struct Seen {
  http::RequestHead head;
  std::string body;
};

class ScriptedEngine {
 public:
  struct Script {
    http::ResponseHead head = {200, {{"content-type", "application/json"}}};
    std::vector<std::string> pieces = {R"({"choices":[]})"};
    std::string metrics =
        "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n";
    std::string talk = {};    // of its requests; "": it knows no such path
    bool never_ends = false;  // after the pieces, until the peer leaves
    bool breaks_off = false;  // after the pieces
    bool never_answers = false;
  };

  ScriptedEngine(async::Loop& loop, const Clock& clock, Script script)
      : script_(std::move(script)),
        server_(loop, clock, http::Server::Config{},
                [this](http::Exchange& exchange) { return answer(exchange); }),
        address_(*server_.listen({"127.0.0.1", 0})),
        clock_(clock) {}
  ~ScriptedEngine() { server_.stop({clock_.now()}); }

  const http::Endpoint& address() const { return address_; }
  std::vector<Seen> seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  // Requests whose peer left before the answer's end.
  int left() const { return left_; }
  // How often it was asked what it does.
  int talks() const { return talks_; }
  // How often its metrics were asked for.
  int looks() const { return looks_; }
  std::atomic<bool> holds_looks = false;  // and answers them when it no longer does
  // Refuses connections from now on.
  void close() { server_.stop({clock_.now()}); }

 private:
  struct Leaving {
    std::atomic<int>& count;
    bool ended = false;
    ~Leaving() {
      if (!ended) ++count;
    }
  };

  Task<void> answer(http::Exchange& exchange) {
    if (exchange.head().path() == "/metrics") {
      ++looks_;
      while (holds_looks) co_await async::sleep_until(clock_.now() + Millis(1));
      const auto sent = co_await exchange.respond({200, {}}, script_.metrics);
      static_cast<void>(sent);
      co_return;
    }
    if (exchange.head().path() == openai::kLiveRequestsPath) {
      ++talks_;
      const auto sent =
          co_await exchange.respond({script_.talk.empty() ? 404 : 200, {}}, script_.talk);
      static_cast<void>(sent);
      co_return;
    }
    Leaving leaving{left_};
    auto body = co_await exchange.read_body(1 << 26);
    {
      const std::lock_guard lock(mutex_);
      seen_.push_back({exchange.head(), body.value_or("")});
    }
    if (script_.never_answers) co_await async::sleep_until(Mono::max());
    auto begun = co_await exchange.start(script_.head);
    for (const auto& piece : script_.pieces) {
      const auto written = co_await exchange.write(piece);
      if (!written) co_return;
    }
    if (script_.never_ends) co_await async::sleep_until(Mono::max());
    leaving.ended = true;
    if (script_.breaks_off) co_return;
    begun = co_await exchange.finish();
  }

  const Script script_;
  mutable std::mutex mutex_;  // guards seen_
  std::vector<Seen> seen_;
  std::atomic<int> left_ = 0, talks_ = 0, looks_ = 0;
  http::Server server_;
  const http::Endpoint address_;
  const Clock& clock_;
};

// A streamed answer.
inline ScriptedEngine::Script story() {
  ScriptedEngine::Script script;
  script.head = {200, {{"content-type", "text/event-stream"}, {"x-baton-kv-bytes", "4096"}}};
  script.pieces = {"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Once upon\"}}]}\n\n",
                   "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a time\"}}]}\n\n",
                   "data: [DONE]\n\n"};
  return script;
}

}  // namespace baton::gateway::testing
