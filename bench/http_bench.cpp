// CPU time of one thread that forwards requests with net/http's server and client and does nothing
// else: the floor of the sidecar's pass-through. Clients and engine have threads of their own.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/async/task_group.hpp"
#include "loop_time.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"

namespace {

using namespace baton;
using bench::cpu_seconds;

const SystemClock kClock;
constexpr std::size_t kConnections = 32;
constexpr std::size_t kMaxBody = 1 << 24;
constexpr int kTokens = 200;
constexpr int kRounds = 7;

Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(60)); }

const std::string& answer_text() {
  static const std::string text = R"({"choices":[{"text":")" + std::string(250, 'a') + R"("}]})";
  return text;
}

Task<void> engine(http::Exchange& exchange) {
  auto body = co_await exchange.read_body(kMaxBody);
  if (!body) std::abort();
  if (!body->starts_with("stream")) {
    (void)co_await exchange.respond({200, {{"Content-Type", "application/json"}}}, answer_text());
    co_return;
  }
  (void)co_await exchange.start({200, {{"Content-Type", "text/event-stream"}}});
  for (int i = 0; i < kTokens; ++i) {
    (void)co_await exchange.write("data: {\"choices\":[{\"index\":0,\"text\":\" word\"}]}\n\n");
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
  (void)co_await exchange.finish();
}

Task<void> forward(http::Client* client, http::Endpoint to, http::Exchange& exchange) {
  auto body = co_await exchange.read_body(kMaxBody);
  if (!body) std::abort();
  http::RequestHead head = exchange.head();
  http::remove_hop_by_hop(head.headers);
  std::array<std::string_view, 1> pieces = {*body};
  auto answer = co_await client->send(to, head, pieces, soon());
  if (!answer) std::abort();
  http::ResponseHead back = answer->head();
  http::remove_hop_by_hop(back.headers);
  if (back.headers.has("Content-Length")) {
    auto all = co_await answer->read_all(kMaxBody, soon());
    if (!all) std::abort();
    (void)co_await exchange.respond(std::move(back), *all);
    co_return;
  }
  (void)co_await exchange.start(std::move(back));
  for (;;) {
    auto piece = co_await answer->read_some(soon());
    if (!piece) std::abort();
    if (piece->empty()) break;
    (void)co_await exchange.write(*piece);
  }
  (void)co_await exchange.finish();
}

Task<void> ask(http::Client* client, http::Endpoint to, const std::string* body, int rounds) {
  http::RequestHead head{
      "POST", "/v1/completions", {{"Content-Type", "application/json"}, {"User-Agent", "bench"}}};
  std::array<std::string_view, 1> pieces = {*body};
  for (int i = 0; i < rounds; ++i) {
    auto answer = co_await client->send(to, head, pieces, soon());
    if (!answer || answer->head().status != 200) std::abort();
    auto all = co_await answer->read_all(kMaxBody, soon());
    if (!all || (!body->starts_with("stream") && *all != answer_text())) std::abort();
  }
}

Task<void> ask_at_once(http::Client* client, http::Endpoint to, const std::string* body,
                       int rounds) {
  async::TaskGroup group(co_await asio::this_coro::executor);
  for (std::size_t i = 0; i < kConnections; ++i) group.spawn(ask(client, to, body, rounds));
  co_await group.join();
}

}  // namespace

int main() {
  async::Loop engines("engine");
  async::Loop middle("middle");
  async::Loop front("clients");
  http::Server behind(engines, kClock, {}, engine);
  http::Client inner(kClock, {});
  const http::Endpoint to = *behind.listen({"127.0.0.1", 0});
  http::Server hop(middle, kClock, {},
                   [&](http::Exchange& exchange) { return forward(&inner, to, exchange); });
  const http::Endpoint at = *hop.listen({"127.0.0.1", 0});
  http::Client client(kClock, {});
  engines.start();
  middle.start();
  front.start();
  const auto measure = [&](std::string_view name, const std::string& body, int rounds, int per) {
    async::blocking_run(front, ask_at_once(&client, at, &body, rounds / 10 + 1));
    std::vector<double> us;
    for (int round = 0; round < kRounds; ++round) {
      const double before = cpu_seconds(middle);
      async::blocking_run(front, ask_at_once(&client, at, &body, rounds));
      us.push_back((cpu_seconds(middle) - before) * 1e6 / rounds / kConnections / per);
    }
    std::ranges::sort(us);
    fmt::print("{:<16} {:.2f} ({:.2f}..{:.2f}) us\n", name, us[us.size() / 2], us.front(),
               us.back());
  };
  measure("1 KB", R"({"prompt":")" + std::string(1000, 'x') + R"("})", 200, 1);
  measure("220 KB", R"({"prompt":")" + std::string(220'000, 'x') + R"("})", 10, 1);
  measure("streamed token", "stream", 5, kTokens);
  hop.stop(soon());
  front.stop();
  middle.stop();
}
