// CPU time of an endpoint picker per request over ext_proc, beside echoes on the same net/grpc: of
// the body alone, and of the same messages in the same order, which is what the transport costs.
//
//   epp_bench [--kb N] [--streams N] [--connections N] [--seconds N] [--rate N] [--chunks N]
//             [--to PORT --pid PID]
//
// Ours runs in this process on a thread of its own, whose clock is read; a peer that listens on
// PORT of this machine is measured by /proc/PID/stat. A request is headers, the body in pieces of
// 16 KB as Envoy cuts them, and an answer of headers and `chunks` pieces; what comes back is
// checked before a number counts. Prompts share their first half, as conversations do.

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/async/blocking.hpp"
#include "base/core/log.hpp"
#include "base/core/memory.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/server.hpp"
#include "net/tls/certificate.hpp"
#include "routing/epp/server.hpp"
#include "routing/epp/testing/envoy.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton::bench {
namespace {

using epp::Side;
using epp::testing::Answer;

constexpr std::size_t kPiece = 16 << 10;
constexpr const char* kProcess = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

struct Options {
  int kb = 8;
  int streams = 32;
  int connections = 2;
  int seconds = 5;
  int rate = 0;    // requests a second in all; 0: as fast as they go
  int chunks = 2;  // of the answer
  int to = 0;
  int pid = 0;
};

const SystemClock kClock;

struct Load {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> requests = 0, split = 0;
  std::atomic<std::uint64_t> number = 0;
  std::atomic<int> running = 0;
  std::mutex mutex;
  std::string wrong;  // the first thing that was; guarded by mutex
};

template <class T>
T must(Result<T> result) {
  if (result) return *std::move(result);
  fmt::print(stderr, "epp_bench: {}\n", result.error().message());
  std::exit(1);
}

// Words; the first half is one of eight that many requests share, the rest nobody else's.
std::string prompt(std::size_t bytes, std::uint64_t number) {
  std::string text;
  text.reserve(bytes + 16);
  while (text.size() < bytes / 2) text += fmt::format("shared{}x{} ", number % 8, text.size());
  while (text.size() < bytes) text += fmt::format("own{}x{} ", number, text.size());
  return text;
}

std::string chat(std::size_t bytes, std::uint64_t number) {
  return fmt::format(
      R"({{"model":"m","max_tokens":8,"stream":true,"messages":[{{"role":"user","content":"{}"}}]}})",
      prompt(bytes, number));
}

// Reads until the request's body has come back; an empty text: it is right.
Task<std::string> check_request(grpc::ClientStream& call, std::string_view body, Load& load) {
  std::string back;
  bool headers = false;
  for (;;) {
    auto message = co_await call.read();
    if (!message) co_return std::string(message.error().message());
    if (!*message) co_return "the stream ended early";
    const auto answer = epp::testing::read_answer(**message);
    if (answer.kind == Answer::Kind::kImmediate) co_return answer.text;
    if (answer.kind == Answer::Kind::kRequestHeaders) {
      headers = answer.header(epp::kDestination).has_value();
      if (answer.header("x-prefiller-host-port")) ++load.split;
    }
    if (answer.streamed) back += *answer.streamed;
    if (answer.end_of_stream) break;
  }
  if (!headers) co_return "no destination";
  co_return back == body ? "" : "the body came back changed";
}

std::string request_head(std::size_t length, std::uint64_t number) {
  return epp::testing::headers(Side::kRequest, {{":method", "POST"},
                                                {":path", "/v1/chat/completions"},
                                                {":authority", "models.example"},
                                                {":scheme", "http"},
                                                {"content-type", "application/json"},
                                                {"content-length", fmt::to_string(length)},
                                                {"user-agent", "bench"},
                                                {"accept", "*/*"},
                                                {"x-forwarded-proto", "http"},
                                                {"x-request-id", fmt::format("r{}", number)}});
}

// The head and every piece of a request; how many messages that was.
Task<std::size_t> write_request(grpc::ClientStream& stream, std::string_view body,
                                std::uint64_t number) {
  (void)co_await stream.write(request_head(body.size(), number));
  std::size_t messages = 1;
  for (std::size_t at = 0; at < body.size(); at += kPiece, ++messages) {
    (void)co_await stream.write(
        epp::testing::body(Side::kRequest, body.substr(at, kPiece), at + kPiece >= body.size()));
  }
  co_return messages;
}

std::string answer_head() {
  return epp::testing::headers(Side::kResponse,
                               {{":status", "200"}, {"content-type", "text/event-stream"}});
}

std::string_view answer_piece(bool last) {
  return last ? "data: "
                "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8}}\n\ndata: "
                "[DONE]\n\n"
              : "data: "
                "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,"
                "\"delta\":{\"content\":\" word\"}}]}\n\n";
}

Task<std::string> one(grpc::Client& client, const Options& options, Load& load) {
  const auto number = ++load.number;
  const auto body = chat(static_cast<std::size_t>(options.kb) << 10, number);
  auto call = co_await client.open(kProcess, {});
  if (!call) co_return std::string(call.error().message());
  auto& stream = **call;
  (void)co_await write_request(stream, body, number);
  auto wrong = co_await check_request(stream, body, load);
  if (!wrong.empty()) co_return wrong;
  (void)co_await stream.write(answer_head());
  auto first = co_await stream.read();
  if (!first || !*first) co_return "no answer to the response's headers";
  for (int i = 0; i < options.chunks; ++i) {
    const bool last = i + 1 == options.chunks;
    const auto piece = answer_piece(last);
    (void)co_await stream.write(epp::testing::body(Side::kResponse, piece, last));
    auto message = co_await stream.read();
    if (!message || !*message) co_return "no answer to a piece";
    if (epp::testing::read_answer(**message).streamed != piece)
      co_return "a piece came back changed";
  }
  stream.finish_writing();
  (void)co_await stream.read();
  co_return "";
}

// The same messages in the same order to a server that only echoes.
Task<std::string> one_echoed(grpc::Client& client, const Options& options, Load& load) {
  const auto number = ++load.number;
  const auto body = chat(static_cast<std::size_t>(options.kb) << 10, number);
  auto call = co_await client.open("/bench/Echo", {});
  if (!call) co_return std::string(call.error().message());
  auto& stream = **call;
  std::size_t due = co_await write_request(stream, body, number);
  for (int written = -1;; ++written) {
    for (; due > 0; --due) {
      auto message = co_await stream.read();
      if (!message || !*message) co_return "the echo is wrong";
    }
    if (written == options.chunks) break;
    const bool last = written + 1 == options.chunks;
    if (written < 0) {
      (void)co_await stream.write(answer_head());
    } else {
      (void)co_await stream.write(epp::testing::body(Side::kResponse, answer_piece(last), last));
    }
    due = 1;
  }
  stream.finish_writing();
  (void)co_await stream.read();
  co_return "";
}

using One = Task<std::string> (*)(grpc::Client&, const Options&, Load&);

Task<void> drive(grpc::Client* client, const Options* options, Load* load, int index,
                 One one_request = one) {
  const auto pause = options->rate > 0
                         ? Nanos(std::int64_t{1'000'000'000} * options->streams / options->rate)
                         : Nanos(0);
  auto next = kClock.now() + pause * index / options->streams;
  while (!load->stop) {
    if (pause > Nanos(0)) {
      co_await async::sleep_until(next);
      next += pause;
    }
    auto wrong = co_await one_request(*client, *options, *load);
    if (!wrong.empty()) {
      const std::lock_guard lock(load->mutex);
      load->wrong = wrong;
      break;
    }
    ++load->requests;
  }
  --load->running;
}

Task<grpc::RpcStatus> echo(grpc::ServerStream& stream) {
  for (;;) {
    auto message = co_await stream.read();
    if (!message) co_return grpc::to_status(message.error());
    if (!*message) co_return grpc::RpcStatus();
    auto written = co_await stream.write(**message);
    if (!written) co_return grpc::to_status(written.error());
  }
}

// The same bytes to a server that only echoes, one message at a time as they come.
Task<void> drive_echo(grpc::Client* client, std::size_t bytes, Load* load) {
  const std::string message(bytes, 'm');
  while (!load->stop) {
    auto call = co_await client->open("/bench/Echo", {});
    if (!call) break;
    const auto pieces = std::max<std::size_t>(1, bytes / kPiece);
    const std::string_view piece = std::string_view(message).substr(0, kPiece);
    for (std::size_t i = 0; i < pieces; ++i) (void)co_await (*call)->write(piece);
    (*call)->finish_writing();
    std::size_t back = 0;
    for (;;) {
      auto answer = co_await (*call)->read();
      if (!answer || !*answer) break;
      back += (*answer)->size();
    }
    if (back != pieces * piece.size()) {
      const std::lock_guard lock(load->mutex);
      load->wrong = "the echo is wrong";
      break;
    }
    ++load->requests;
  }
  --load->running;
}

Task<Nanos> thread_cpu() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  co_return std::chrono::seconds(now.tv_sec) + Nanos(now.tv_nsec);
}

Nanos process_cpu(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  text.erase(0, text.rfind(')') + 2);
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  std::size_t field = 0;
  for (std::size_t at = 0; at < text.size(); ++field) {  // utime and stime are the 12th and 13th
    const auto end = std::min(text.find(' ', at), text.size());
    if (field == 11) std::from_chars(text.data() + at, text.data() + end, user);
    if (field == 12) std::from_chars(text.data() + at, text.data() + end, system);
    at = end + 1;
  }
  const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return Nanos(static_cast<std::int64_t>((user + system) * 1'000'000'000 / ticks));
}

struct Figure {
  double us = 0;  // of CPU by request
  double per_second = 0;
  double split = 0;  // share of requests with a prefill pod
};

// Loads what listens on `at`, and reads its CPU time before and after.
template <class Cpu, class Drive>
Figure measure(const http::Endpoint& at, const Options& options, Cpu&& cpu, Drive&& drive_one) {
  async::Loop loop("client");
  loop.start();
  grpc::Client::Config config;
  config.tls = must(tls::ClientContext::open(
      {.verify = tls::ClientContext::Verify::kNone, .alpn = {tls::kHttp2}}, kClock));
  std::vector<std::unique_ptr<grpc::Client>> clients;
  for (int i = 0; i < options.connections; ++i) {
    clients.push_back(std::make_unique<grpc::Client>(loop.executor(), kClock, at, config));
  }
  Load load;
  load.running = options.streams;
  for (int i = 0; i < options.streams; ++i) {
    auto* client = clients[static_cast<std::size_t>(i % options.connections)].get();
    loop.post([&, client, i] {
      asio::co_spawn(loop.context(), drive_one(client, &load, i), [](const std::exception_ptr&) {});
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));  // warm
  const auto cpu_before = cpu();
  const auto before = load.requests.load();
  const auto split_before = load.split.load();
  const auto began = kClock.now();
  std::this_thread::sleep_for(std::chrono::seconds(options.seconds));
  const auto spent = cpu() - cpu_before;
  const auto requests = load.requests - before;
  const auto wall = seconds(kClock.now() - began);
  const auto split = load.split - split_before;
  load.stop = true;
  while (load.running > 0) std::this_thread::sleep_for(Millis(1));
  for (auto& client : clients) async::blocking_run(loop, client->stop());
  if (!load.wrong.empty() || requests == 0) {
    fmt::print(stderr, "epp_bench: no figure: {}\n", load.wrong);
    std::exit(1);
  }
  const auto n = static_cast<double>(requests);
  return {.us = seconds(spent) * 1e6 / n,
          .per_second = n / wall,
          .split = static_cast<double>(split) / n};
}

std::shared_ptr<tls::ServerContext> certificate() {
  tls::CertificateSpec spec;
  spec.organization = "bench";
  spec.not_before = kClock.wall() - std::chrono::hours(1);
  spec.not_after = kClock.wall() + std::chrono::hours(24);
  const auto pair = must(tls::make_self_signed(spec));
  return must(tls::ServerContext::open({.certificate = tls::Source::of_text(pair.certificate_pem),
                                        .key = tls::Source::of_text(pair.key_pem),
                                        .alpn = {tls::kHttp2}},
                                       kClock));
}

enum class Echo : bool { kBody, kMessages };

Figure measure_echo(const Options& options, Echo what) {
  async::Loop loop("echo");
  grpc::Server::Config config;
  config.tls = certificate();
  grpc::Server server({&loop}, kClock, config);
  server.handle("/bench/Echo", [](grpc::ServerStream& stream) { return echo(stream); });
  const auto at = must(server.listen({"127.0.0.1", 0}));
  loop.start();
  const auto bytes = static_cast<std::size_t>(options.kb) << 10;
  return measure(
      at, options, [&] { return async::blocking_run(loop, thread_cpu()); },
      [&](grpc::Client* client, Load* load, int index) {
        return what == Echo::kBody ? drive_echo(client, bytes, load)
                                   : drive(client, &options, load, index, one_echoed);
      });
}

Figure measure_ours(const Options& options) {
  async::Loop loop("epp");
  loop.start();
  observe::Registry registry;
  epp::Server::Config config;
  config.ext_proc = config.health = config.metrics = {"127.0.0.1", 0};
  config.tls = certificate();
  epp::Server server({.loops = {&loop}, .clock = kClock, .registry = registry}, config,
                     pick::testing::service());
  const auto bound = must(server.start());
  std::vector<schedule::Endpoint> endpoints;
  for (const std::string_view name : {"decode-0", "decode-1", "prefill-0", "prefill-1"}) {
    // Port 9 refuses: what scraping costs is measured elsewhere.
    endpoints.push_back(
        pick::testing::endpoint(name, name.substr(0, name.size() - 2), "127.0.0.1", 9));
  }
  server.update(endpoints);
  const auto figure = measure(
      bound.ext_proc, options, [&] { return async::blocking_run(loop, thread_cpu()); },
      [&](grpc::Client* client, Load* load, int index) {
        return drive(client, &options, load, index);
      });
  server.stop({kClock.now()});
  return figure;
}

Figure measure_peer(const Options& options) {
  return measure(
      {"127.0.0.1", static_cast<std::uint16_t>(options.to)}, options,
      [&] { return process_cpu(options.pid); },
      [&](grpc::Client* client, Load* load, int index) {
        return drive(client, &options, load, index);
      });
}

void show(std::string_view name, const Figure& figure, const Options& options) {
  fmt::print("{:<6} {:>4} KB {:>3} streams {:>10}: {:>9.1f} us of CPU by request, {:>7.0f}/s", name,
             options.kb, options.streams,
             options.rate > 0 ? fmt::format("at {}/s", options.rate) : "saturated", figure.us,
             figure.per_second);
  if (name.starts_with("echo")) {
    fmt::print("\n");
  } else {
    fmt::print(", {:.1f} % with prefill\n", figure.split * 100);
  }
  std::fflush(stdout);
}

int run(const Options& options) {
  log::configure(log::Level::kWarn, log::Style::kText, "bench");
  keep_freed_memory();  // as the command does
  if (options.to != 0) {
    show("peer", measure_peer(options), options);
    return 0;
  }
  show("echo", measure_echo(options, Echo::kBody), options);
  show("echo6", measure_echo(options, Echo::kMessages), options);
  show("baton", measure_ours(options), options);
  return 0;
}

}  // namespace
}  // namespace baton::bench

int main(int argc, char** argv) {
  baton::bench::Options options;
  const std::vector<std::pair<std::string_view, int*>> flags = {
      {"--kb", &options.kb},         {"--streams", &options.streams},
      {"--rate", &options.rate},     {"--connections", &options.connections},
      {"--chunks", &options.chunks}, {"--seconds", &options.seconds},
      {"--to", &options.to},         {"--pid", &options.pid}};
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view text = i + 1 < argc ? argv[i + 1] : "";
    bool known = false;
    for (const auto& [flag, value] : flags) {
      if (flag != name) continue;
      known = std::from_chars(text.data(), text.data() + text.size(), *value).ptr ==
                  text.data() + text.size() &&
              *value > 0;
    }
    if (!known) {
      fmt::print(stderr, "epp_bench: {} needs to be a known flag with a number\n", name);
      return 2;
    }
  }
  return baton::bench::run(options);
}
