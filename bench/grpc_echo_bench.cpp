// CPU time of an echoing bidi stream: what one gRPC message in and one out cost the server's
// thread, beside nothing but their transport.
//
//   grpc_echo_bench [--plain] [--streams N] [--connections N] [--bytes N] [--seconds N]
//
// Server and clients have a thread each; the server's is measured by its own clock.

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/async/blocking.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/server.hpp"
#include "net/tls/certificate.hpp"

namespace baton::bench {
namespace {

struct Options {
  bool plain = false;
  int streams = 32;
  int connections = 2;
  std::size_t bytes = 1024;
  int seconds = 5;
};

const SystemClock kClock;

Task<grpc::RpcStatus> echo(grpc::ServerStream& stream) {
  for (;;) {
    auto message = co_await stream.read();
    if (!message) co_return grpc::to_status(message.error());
    if (!*message) co_return grpc::RpcStatus();
    auto written = co_await stream.write(**message);
    if (!written) co_return grpc::to_status(written.error());
  }
}

struct Load {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> pairs = 0;
  std::atomic<int> wrong = 0;
  std::atomic<int> running = 0;
};

Task<void> drive(grpc::Client* client, std::size_t bytes, Load* load) {
  const std::string message(bytes, 'm');
  auto call = co_await client->open("/bench/Echo", {});
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

// Of the thread that the task runs on.
Task<Nanos> thread_cpu() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  co_return std::chrono::seconds(now.tv_sec) + Nanos(now.tv_nsec);
}

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "grpc_echo_bench: {}\n", result.error().message());
  std::exit(1);
}

int run(const Options& options) {
  std::shared_ptr<tls::ServerContext> server_tls;
  std::shared_ptr<tls::ClientContext> client_tls;
  if (!options.plain) {
    tls::CertificateSpec spec;
    spec.common_name = "bench";
    spec.ips = {"127.0.0.1"};
    spec.not_before = kClock.wall() - std::chrono::hours(1);
    spec.not_after = kClock.wall() + std::chrono::hours(24);
    const auto pair = must(tls::make_self_signed(spec));
    server_tls =
        must(tls::ServerContext::open({.certificate = tls::Source::of_text(pair.certificate_pem),
                                       .key = tls::Source::of_text(pair.key_pem),
                                       .alpn = {tls::kHttp2}},
                                      kClock));
    client_tls = must(tls::ClientContext::open(
        {.authority = tls::Source::of_text(pair.certificate_pem), .alpn = {tls::kHttp2}}, kClock));
  }
  async::Loop server_loop("server");
  async::Loop client_loop("client");
  grpc::Server::Config server_config;
  server_config.tls = server_tls;
  grpc::Server server({&server_loop}, kClock, server_config);
  server.handle("/bench/Echo", [](grpc::ServerStream& stream) { return echo(stream); });
  const auto at = must(server.listen({"127.0.0.1", 0}));
  server_loop.start();
  client_loop.start();
  grpc::Client::Config client_config;
  client_config.tls = client_tls;
  std::vector<std::unique_ptr<grpc::Client>> clients;
  for (int i = 0; i < options.connections; ++i) {
    clients.push_back(
        std::make_unique<grpc::Client>(client_loop.executor(), kClock, at, client_config));
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
  const auto cpu_before = async::blocking_run(server_loop, thread_cpu());
  const auto pairs_before = load.pairs.load();
  const Mono began = kClock.now();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  const auto cpu = async::blocking_run(server_loop, thread_cpu()) - cpu_before;
  const auto pairs = load.pairs - pairs_before;
  const double wall = seconds(kClock.now() - began);
  load.stop = true;
  while (load.running > 0) std::this_thread::yield();
  for (auto& client : clients) async::blocking_run(client_loop, client->stop());
  if (load.wrong > 0 || pairs == 0) {
    fmt::print(stderr, "grpc_echo_bench: {} streams went wrong: no figure\n", load.wrong.load());
    return 1;
  }
  const double per_pair = seconds(cpu) * 1e6 / static_cast<double>(pairs);
  fmt::print(
      "{} streams on {} {} connections, {} bytes: {:.2f} us of server CPU per pair, {:.0f} "
      "pairs/s\n",
      options.streams, options.connections, options.plain ? "plain" : "TLS", options.bytes,
      per_pair, static_cast<double>(pairs) / wall);
  return 0;
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--plain") {
      options.plain = true;
      continue;
    }
    int value = 0;
    const std::string_view text = i + 1 < argc ? argv[++i] : "";
    if (std::from_chars(text.data(), text.data() + text.size(), value).ptr !=
            text.data() + text.size() ||
        value <= 0) {
      fmt::print(stderr, "grpc_echo_bench: {} needs a number\n", flag);
      return 2;
    }
    if (flag == "--streams") {
      options.streams = value;
    } else if (flag == "--connections") {
      options.connections = value;
    } else if (flag == "--bytes") {
      options.bytes = static_cast<std::size_t>(value);
    } else if (flag == "--seconds") {
      options.seconds = value;
    } else {
      fmt::print(stderr, "grpc_echo_bench: unknown flag {}\n", flag);
      return 2;
    }
  }
  return baton::bench::run(options);
}
