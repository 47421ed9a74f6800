#include "relay_stack.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/async/finish_by.hpp"
#include "cpu_time.hpp"
#include "figures.hpp"

namespace baton::bench {

namespace {

constexpr std::size_t kMaxBody = 64 << 20;

sockaddr_in local(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

bool listens(std::uint16_t port) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = local(port);
  bool connected = ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  ::close(fd);
  return connected;
}

// The processes of a group.
std::vector<pid_t> members(pid_t group) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && ::getpgid(pid) == group) found.push_back(pid);
  }
  return found;
}

std::string token(int i) {
  return fmt::format(
      R"(data: {{"id":"chatcmpl-5d2f8a1c9b","object":"chat.completion.chunk","created":1764000000,)"
      R"("model":"m","choices":[{{"index":0,"delta":{{"content":" word{}"}},"logprobs":null,)"
      R"("finish_reason":null}}]}})"
      "\n\n",
      i);
}

std::string usage(bool prefilled) {
  return fmt::format(
      R"("usage":{{"prompt_tokens":9,"completion_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}})",
      kTokens, prefilled ? 7 : 8);
}

// The prefill engine's own port stands for its side channel: sidecars look whether it takes
// connections.
std::string prefilled_at(std::uint16_t port) {
  return R"({"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"a"}}],)"
         R"("usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":7}},)"
         R"("kv_transfer_params":{"do_remote_prefill":true,"do_remote_decode":false,)"
         R"("remote_engine_id":"engine-0","remote_block_ids":[1,2,3],"remote_host":"127.0.0.1",)"
         R"("remote_port":)" +
         std::to_string(port) + R"(,"remote_request_id":"R"}})";
}

constexpr std::string_view kMetrics =
    "vllm:num_requests_running{model_name=\"m\"} 1\n"
    "vllm:num_requests_waiting{model_name=\"m\"} 0\n"
    "vllm:kv_cache_usage_perc{model_name=\"m\"} 0.25\n";

bool has(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

// Whether a body says so where a sidecar puts what it adds: before or after a prompt, which may be
// long.
bool added(std::string_view body, std::string_view what) {
  const auto edge = std::min<std::size_t>(body.size(), 300);
  return has(body.substr(0, edge), what) || has(body.substr(body.size() - edge), what);
}

}  // namespace

std::string expected_answer(bool stream, bool prefilled) {
  if (!stream) {
    return R"({"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,)"
           R"("message":{"role":"assistant","content":" word"},"finish_reason":"stop"}],)" +
           usage(prefilled) + "}";
  }
  std::string all;
  for (int i = 0; i < kTokens; ++i) all += token(i);
  return all + "data: {\"id\":\"chatcmpl-5d2f8a1c9b\",\"choices\":[]," + usage(prefilled) +
         "}\n\ndata: [DONE]\n\n";
}

std::uint16_t free_port() {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at = local(0);
  socklen_t size = sizeof at;
  bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0 &&
               ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0;
  ::close(fd);
  if (!bound) fail("no free port");
  return ntohs(at.sin_port);
}

Listening::Listening(std::vector<std::string> argv, std::uint16_t port,
                     std::vector<std::string> env, int output)
    : port_(port) {
  if (const char* path = std::getenv("PATH")) env.push_back(fmt::format("PATH={}", path));
  std::string name = argv.front();
  auto started = async::Process::start({std::move(argv), std::move(env), "", output});
  if (output >= 0) ::close(output);
  if (!started) fail(started.error().message());
  process_ = *std::move(started);
  auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!listens(port)) {
    if (process_->poll()) fail(name + " ended before it listened");
    if (std::chrono::steady_clock::now() > limit) fail(name + " does not listen");
    std::this_thread::sleep_for(Millis(10));
  }
}

double Listening::cpu_seconds() const {
  double sum = 0;
  for (pid_t pid : members(process_->pid())) {
    clockid_t clock{};
    if (::clock_getcpuclockid(pid, &clock) == 0) sum += bench::cpu_seconds(clock);
  }
  return sum;
}

double Listening::rss_mib() const {
  double kib = 0;
  for (pid_t pid : members(process_->pid())) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) kib += std::atof(line.c_str() + 6);
    }
  }
  return kib / 1024;
}

Engines::Engines(const Clock& clock, std::shared_ptr<const tls::ServerContext> tls)
    : clock_(clock),
      prefill_loop_("prefill"),
      decode_loop_("decode"),
      prefill_server_(prefill_loop_, clock, {{}, "engine", tls},
                      [this](http::Exchange& e) { return prefill(e); }),
      decode_server_(decode_loop_, clock, {{}, "engine", tls},
                     [this](http::Exchange& e) { return decode(e); }) {
  prefill_port_ = must(prefill_server_.listen({"127.0.0.1", 0})).port;
  prefilled_body_ = prefilled_at(prefill_port_);
  decode_port_ = must(decode_server_.listen({"127.0.0.1", 0})).port;
  prefill_loop_.start();
  decode_loop_.start();
}

Engines::~Engines() {
  prefill_server_.stop(Deadline::in(clock_, Millis(100)));
  decode_server_.stop(Deadline::in(clock_, Millis(100)));
}

Engines::Seen Engines::take_seen() {
  return {prefilled_.exchange(0), handed_over_.exchange(0), wrong_.exchange(0)};
}

Task<void> Engines::prefill(http::Exchange& exchange) {
  auto body = co_await exchange.read_body(kMaxBody);
  if (exchange.head().method == "GET") {
    (void)co_await exchange.respond({200, {{"Content-Type", "text/plain"}}}, kMetrics);
    co_return;
  }
  bool right = body && added(*body, R"("do_remote_decode":true)");
  ++(right ? prefilled_ : wrong_);
  (void)co_await exchange.respond({200, {{"Content-Type", "application/json"}}}, prefilled_body_);
}

Task<void> Engines::decode(http::Exchange& exchange) {
  auto body = co_await exchange.read_body(kMaxBody);
  if (exchange.head().method == "GET") {
    (void)co_await exchange.respond({200, {{"Content-Type", "text/plain"}}}, kMetrics);
    co_return;
  }
  std::string_view all = body ? std::string_view(*body) : "";
  if (added(all, "remote_engine_id")) ++handed_over_;
  if (added(all, R"("stream":true)")) {
    most_streams_ = std::max(most_streams_.load(), ++streams_);
    co_await stream(exchange);
    --streams_;
    co_return;
  }
  static const std::string answer = expected_answer(false, false);
  (void)co_await exchange.respond({200, {{"Content-Type", "application/json"}}}, answer);
}

Task<void> Engines::stream(http::Exchange& exchange) {
  static const std::vector<std::string> tokens = [] {
    std::vector<std::string> all;
    for (int i = 0; i < kTokens; ++i) all.push_back(token(i));
    return all;
  }();
  static const std::string all = expected_answer(true, false);
  static const std::string last = all.substr(all.rfind("data: {"));
  Status sent = co_await exchange.start({200, {{"Content-Type", "text/event-stream"}}});
  Nanos gap = gap_;
  Mono next = clock_.now();
  for (const std::string& each : tokens) {
    if (!sent) co_return;
    sent = co_await exchange.write(each);
    if (gap > Nanos{0}) {
      next += gap;
      co_await async::sleep_until(next);
    } else {
      co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
  }
  if (sent) sent = co_await exchange.write(last);
  if (sent) (void)co_await exchange.finish();
}

}  // namespace baton::bench
