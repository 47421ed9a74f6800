#pragma once
// The latency predictor's two servers as one, for tests: answers as it is told, keeps what it got.

#include <atomic>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/async/event.hpp"
#include "base/async/loop.hpp"
#include "base/text/json.hpp"
#include "net/http/server.hpp"
#include "routing/epp/predictor_config.hpp"

namespace baton::epp::testing {

class ScriptedPredictor {
 public:
  explicit ScriptedPredictor(const Clock& clock)
      : server_(loop_, clock, {}, [this](http::Exchange& exchange) { return answer(exchange); }) {
    loop_.start();
    at_ = *server_.listen({"127.0.0.1", 0});
  }
  ~ScriptedPredictor() {
    server_.stop({Mono::min()});
    loop_.stop();
  }

  PredictorConfig config() const {
    PredictorConfig out;
    out.training = {.at = at_, .path = ""};
    out.prediction = {out.training};
    out.flush = Millis(10);
    return out;
  }

  std::size_t connections() const { return server_.open_connections(); }

  std::atomic<int> status = 200;     // of predictions
  std::atomic<bool> hangs = false;   // no prediction is answered
  std::atomic<double> ttft_ms = 10;  // of the first row; each further one takes as much more

  std::vector<text::json::Value> predictions() const { return copy(predictions_); }
  // Of all batches, in order.
  std::vector<text::json::Value> entries() const { return copy(entries_); }

 private:
  using Values = std::vector<text::json::Value>;
  Values copy(const Values& values) const {
    const std::lock_guard lock(mutex_);
    return values;
  }
  Task<void> answer(http::Exchange& exchange) {
    const auto body = co_await exchange.read_body(1 << 20);
    const auto json = text::json::parse(body.value_or(""));
    if (exchange.head().method != "POST" || !json) {
      co_return (void) co_await exchange.respond({400, {}}, "");
    }
    if (exchange.head().target == "/add_training_data_bulk") {
      {
        const std::lock_guard lock(mutex_);
        for (const auto& entry : *json->find("entries")->if_array()) entries_.push_back(entry);
      }
      co_return (void) co_await exchange.respond({202, {}}, "{}");
    }
    if (exchange.head().target != "/predict/bulk/strict") {
      co_return (void) co_await exchange.respond({404, {}}, "");
    }
    const auto rows = json->find("requests")->if_array()->size();
    {
      const std::lock_guard lock(mutex_);
      predictions_.push_back(*json);
    }
    if (hangs) {
      async::Event never(co_await asio::this_coro::executor);
      for (;;) co_await never.wait();
    }
    text::json::Value out;
    out["predictions"] = text::json::Value(text::json::Array());
    for (std::size_t i = 0; i < rows; ++i) {
      text::json::Value row;
      row["ttft_ms"] = ttft_ms * static_cast<double>(i + 1);
      row["tpot_ms"] = 5.0;
      out.find("predictions")->push_back(std::move(row));
    }
    (void)co_await exchange.respond({status, {}}, text::json::dump(out));
  }

  async::Loop loop_{"predictor"};
  http::Endpoint at_;
  mutable std::mutex mutex_;
  Values predictions_, entries_;
  http::Server server_;
};

}  // namespace baton::epp::testing
