// CPU time of the sidecar's thread per P/D request and per streamed token, between a client and two
// engines that answer at once. Prints a table, then one JSON line.

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string>

#include "loop_time.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"
#include "routing/sidecar/sidecar.hpp"

namespace {

using namespace baton;
using bench::cpu_seconds;

const SystemClock kClock;
constexpr int kTokens = 200;

Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(60)); }

constexpr std::string_view kPrefilled =
    R"({"usage":{"prompt_tokens_details":{"cached_tokens":7}},"kv_transfer_params":)"
    R"({"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":"E",)"
    R"("remote_block_ids":[1,2,3],"remote_host":"h","remote_port":4032,"remote_request_id":"R"}})";

Task<void> prefill(http::Exchange& exchange) {
  auto body = co_await exchange.read_body(1 << 24);
  (void)co_await exchange.respond({200, {{"Content-Type", "application/json"}}}, kPrefilled);
}

Task<void> decode(http::Exchange& exchange) {
  auto body = co_await exchange.read_body(1 << 24);
  if (body->find("\"stream\":true") == std::string::npos) {
    (void)co_await exchange.respond(
        {200, {{"Content-Type", "application/json"}}},
        R"({"choices":[{"text":"a"}],"usage":{"completion_tokens":1}})");
    co_return;
  }
  (void)co_await exchange.start({200, {{"Content-Type", "text/event-stream"}}});
  std::string token =
      "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\" word\"}]}\n\n";
  for (int i = 0; i < kTokens; ++i) {
    (void)co_await exchange.write(token);
    co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  }
  (void)co_await exchange.finish();
}

Task<std::size_t> ask(http::Client* client, http::Endpoint to, http::Endpoint prefiller,
                      std::string body, int rounds) {
  http::RequestHead head{"POST",
                         "/v1/completions",
                         {{"Content-Type", "application/json"},
                          {"x-prefiller-host-port", http::to_string(prefiller)}}};
  std::array<std::string_view, 1> pieces = {body};
  std::size_t bytes = 0;
  for (int i = 0; i < rounds; ++i) {
    auto answer = co_await client->send(to, head, pieces, soon());
    if (!answer || answer->head().status != 200) std::abort();
    auto all = co_await answer->read_all(1 << 24, soon());
    if (!all) std::abort();
    bytes += all->size();
  }
  co_return bytes;
}

}  // namespace

int main() {
  async::Loop engines("engines");
  async::Loop middle("sidecar");
  async::Loop front("client");
  http::Server p(engines, kClock, {}, prefill);
  http::Server d(engines, kClock, {}, decode);
  http::Endpoint prefiller = *p.listen({"127.0.0.1", 0});
  SystemRandom random;
  observe::Registry registry;
  sidecar::Sidecar sidecar(middle, kClock, random, registry,
                           {.decoder = *d.listen({"127.0.0.1", 0})});
  http::Endpoint at = *sidecar.listen({"127.0.0.1", 0});
  http::Client client(kClock, {});
  engines.start();
  middle.start();
  front.start();
  auto measure = [&](const std::string& body, int rounds) {
    async::blocking_run(front, ask(&client, at, prefiller, body, rounds / 10));
    double before = cpu_seconds(middle);
    async::blocking_run(front, ask(&client, at, prefiller, body, rounds));
    return (cpu_seconds(middle) - before) * 1e6 / rounds;
  };
  double small = measure(R"({"prompt":")" + std::string(1000, 'x') + R"("})", 5000);
  double large = measure(R"({"prompt":")" + std::string(220'000, 'x') + R"("})", 1000);
  double stream = measure(R"({"stream":true,"prompt":")" + std::string(1000, 'x') + R"("})", 200);
  double token = (stream - small) / kTokens;
  fmt::print(
      "sidecar CPU, us   per request 1 KB {:.1f}   220 KB {:.1f}   per streamed token {:.2f}\n",
      small, large, token);
  fmt::print(R"({{"request_1k_us":{:.2f},"request_220k_us":{:.2f},"token_us":{:.3f}}})"
             "\n",
             small, large, token);
  sidecar.stop(soon());
  front.stop();
  middle.stop();
}
