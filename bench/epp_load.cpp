#include "epp_load.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/async/blocking.hpp"
#include "figures.hpp"
#include "grpc_echo.hpp"
#include "net/grpc/client.hpp"
#include "routing/epp/messages.hpp"
#include "routing/epp/testing/envoy.hpp"

namespace baton::bench {
namespace {

using epp::Side;
using epp::testing::Answer;

constexpr std::size_t kPiece = 16 << 10;
constexpr const char* kProcess = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

const SystemClock kClock;

struct Load {
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> requests = 0, split = 0;
  std::atomic<std::uint64_t> number = 0;
  std::atomic<int> running = 0;
  std::mutex mutex;
  std::string wrong;  // the first thing that was; guarded by mutex
};

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

// Reads until the request's body has come back; an empty text: it is right. Whether there is a
// prefill pod goes into `split`.
Task<std::string> check_request(grpc::ClientStream& call, std::string_view body, bool& split) {
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
      split = answer.header("x-prefiller-host-port").has_value();
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

Task<std::string> one(grpc::Client& client, const LoadShape& shape, Load& load) {
  const auto number = ++load.number;
  const auto body = chat(shape.kb << 10, number);
  auto call = co_await client.open(kProcess, {});
  if (!call) co_return std::string(call.error().message());
  auto& stream = **call;
  (void)co_await write_request(stream, body, number);
  bool split = false;
  auto wrong = co_await check_request(stream, body, split);
  if (!wrong.empty()) co_return wrong;
  (void)co_await stream.write(answer_head());
  auto first = co_await stream.read();
  if (!first || !*first) co_return "no answer to the response's headers";
  for (int i = 0; i < shape.chunks; ++i) {
    const bool last = i + 1 == shape.chunks;
    const auto piece = answer_piece(last);
    (void)co_await stream.write(epp::testing::body(Side::kResponse, piece, last));
    auto message = co_await stream.read();
    if (!message || !*message) co_return "no answer to a piece";
    if (epp::testing::read_answer(**message).streamed != piece)
      co_return "a piece came back changed";
  }
  stream.finish_writing();
  (void)co_await stream.read();
  if (split) ++load.split;
  co_return "";
}

// The same messages in the same order to a server that only echoes.
Task<std::string> one_echoed(grpc::Client& client, const LoadShape& shape, Load& load) {
  const auto number = ++load.number;
  const auto body = chat(shape.kb << 10, number);
  auto call = co_await client.open(kEcho, {});
  if (!call) co_return std::string(call.error().message());
  auto& stream = **call;
  std::size_t due = co_await write_request(stream, body, number);
  for (int written = -1;; ++written) {
    for (; due > 0; --due) {
      auto message = co_await stream.read();
      if (!message || !*message) co_return "the echo is wrong";
    }
    if (written == shape.chunks) break;
    const bool last = written + 1 == shape.chunks;
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

using One = Task<std::string> (*)(grpc::Client&, const LoadShape&, Load&);

Task<void> drive(grpc::Client* client, const LoadShape* shape, Load* load, int index,
                 One one_request) {
  const auto pause = shape->rate > 0
                         ? Nanos(std::int64_t{1'000'000'000} * shape->streams / shape->rate)
                         : Nanos(0);
  auto next = kClock.now() + pause * index / shape->streams;
  while (!load->stop) {
    if (pause > Nanos(0)) {
      co_await async::sleep_until(next);
      next += pause;
    }
    auto wrong = co_await one_request(*client, *shape, *load);
    if (!wrong.empty()) {
      const std::lock_guard lock(load->mutex);
      load->wrong = wrong;
      break;
    }
    ++load->requests;
  }
  --load->running;
}

// The same bytes to a server that only echoes, one message at a time as they come.
Task<void> drive_echo(grpc::Client* client, std::size_t bytes, Load* load) {
  const std::string message(bytes, 'm');
  while (!load->stop) {
    auto call = co_await client->open(kEcho, {});
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

Task<void> drive_any(Sends what, grpc::Client* client, const LoadShape* shape, Load* load,
                     int index) {
  switch (what) {
    case Sends::kRequests:
      return drive(client, shape, load, index, one);
    case Sends::kMessages:
      return drive(client, shape, load, index, one_echoed);
    case Sends::kBody:
      return drive_echo(client, shape->kb << 10, load);
  }
  std::abort();
}

}  // namespace

Figure load(const Server& server, const LoadShape& shape, Sends what, int seconds_long) {
  async::Loop loop("client");
  loop.start();
  grpc::Client::Config config;
  config.tls = must(tls::ClientContext::open(
      {.verify = tls::ClientContext::Verify::kNone, .alpn = {tls::kHttp2}}, kClock));
  std::vector<std::unique_ptr<grpc::Client>> clients;
  for (int i = 0; i < shape.connections; ++i) {
    clients.push_back(std::make_unique<grpc::Client>(loop.executor(), kClock, server.at, config));
  }
  Load load;
  load.running = shape.streams;
  for (int i = 0; i < shape.streams; ++i) {
    auto* client = clients[static_cast<std::size_t>(i % shape.connections)].get();
    loop.post([&, client, i] {
      asio::co_spawn(loop.context(), drive_any(what, client, &shape, &load, i),
                     [](const std::exception_ptr&) {});
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));  // warm
  const auto cpu_before = server.cpu();
  const auto before = load.requests.load();
  const auto split_before = load.split.load();
  const auto began = kClock.now();
  std::this_thread::sleep_for(std::chrono::seconds(seconds_long));
  const auto spent = server.cpu() - cpu_before;
  const auto requests = load.requests - before;
  const auto wall = seconds(kClock.now() - began);
  const auto split = load.split - split_before;
  const auto rss = server.rss_mib();
  load.stop = true;
  while (load.running > 0) std::this_thread::sleep_for(Millis(1));
  for (auto& client : clients) async::blocking_run(loop, client->stop());
  if (!load.wrong.empty() || requests == 0) fail("no figure: " + load.wrong);
  const auto n = static_cast<double>(requests);
  return {.cpu_us = spent * 1e6 / n,
          .per_second = n / wall,
          .split = static_cast<double>(split) / n,
          .rss_mib = rss};
}

}  // namespace baton::bench
