// CPU time of an echoing bidi stream: what one gRPC message in and one out cost the server's
// thread, beside nothing but their transport.
//
//   grpc_echo_bench [--tls on|off] [--streams N] [--connections N] [--bytes N] [--seconds N]
//
// Server and clients have a thread each; the server's is measured by its own clock.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "figures.hpp"
#include "flags.hpp"
#include "grpc_echo.hpp"
#include "loop_time.hpp"
#include "net/grpc/client.hpp"

namespace baton::bench {
namespace {

struct Options {
  bool tls = true;
  int streams = 32;
  int connections = 2;
  std::size_t bytes = 1024;
  int seconds = 5;
};

const SystemClock kClock;

struct Load {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> pairs = 0;
  std::atomic<int> wrong = 0;
  std::atomic<int> running = 0;
};

Task<void> drive(grpc::Client* client, std::size_t bytes, Load* load) {
  const std::string message(bytes, 'm');
  auto call = co_await client->open(kEcho, {});
  if (!call) {
    ++load->wrong;
    --load->running;
    co_return;
  }
  while (!load->stop) {
    auto written = co_await (*call)->write(message);
    auto back = co_await (*call)->read();
    if (!written || !back || !*back || **back != message) {
      ++load->wrong;
      break;
    }
    ++load->pairs;
  }
  (*call)->finish_writing();
  auto end = co_await (*call)->read();
  if (!end || *end || !(*call)->status().ok()) ++load->wrong;
  --load->running;
}

void run(const Options& options) {
  grpc::Client::Config client_config;
  std::shared_ptr<tls::ServerContext> server_tls;
  if (options.tls) {
    const auto credentials = tls::testing::Credentials::make("bench", kClock);
    server_tls = grpc_server_tls(credentials, kClock);
    client_config.tls = grpc_client_tls(credentials, kClock);
  }
  EchoServer server(kClock, server_tls);
  async::Loop client_loop("client");
  client_loop.start();
  std::vector<std::unique_ptr<grpc::Client>> clients;
  for (int i = 0; i < options.connections; ++i) {
    clients.push_back(
        std::make_unique<grpc::Client>(client_loop.executor(), kClock, server.at(), client_config));
  }
  Load load;
  load.running = options.streams;
  for (int i = 0; i < options.streams; ++i) {
    grpc::Client* client = clients[static_cast<std::size_t>(i % options.connections)].get();
    client_loop.post([&, client] {
      asio::co_spawn(client_loop.context(), drive(client, options.bytes, &load),
                     [](const std::exception_ptr&) {});
    });
  }
  std::this_thread::sleep_for(Millis(500));  // warm
  const auto cpu_before = cpu_seconds(server.loop());
  const auto pairs_before = load.pairs.load();
  const Mono began = kClock.now();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  const auto cpu = cpu_seconds(server.loop()) - cpu_before;
  const auto pairs = load.pairs - pairs_before;
  const double wall = seconds(kClock.now() - began);
  load.stop = true;
  while (load.running > 0) std::this_thread::yield();
  for (auto& client : clients) async::blocking_run(client_loop, client->stop());
  if (load.wrong > 0 || pairs == 0) {
    fail(fmt::format("{} streams went wrong: no figure", load.wrong.load()));
  }
  const double per_pair = cpu * 1e6 / static_cast<double>(pairs);
  fmt::print(
      "{} streams on {} {} connections, {} bytes: {:.2f} us of server CPU per pair, {:.0f} "
      "pairs/s\n",
      options.streams, options.connections, options.tls ? "TLS" : "plain", options.bytes, per_pair,
      static_cast<double>(pairs) / wall);
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  baton::bench::Flags("[--tls on|off] [--streams N] [--connections N] [--bytes N] [--seconds N]")
      .choice("--tls", options.tls, {{"on", true}, {"off", false}})
      .count("--streams", options.streams)
      .count("--connections", options.connections)
      .count("--bytes", options.bytes)
      .count("--seconds", options.seconds)
      .read(argc, argv);
  baton::bench::run(options);
}
