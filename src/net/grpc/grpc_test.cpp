// Server and client against each other, on loopback: h2c, and TLS with ALPN.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/inbox.hpp"
#include "net/grpc/server.hpp"
#include "net/grpc/testing/gzip.hpp"
#include "net/http/socket.hpp"
#include "net/http/testing/held_lookups.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::grpc {
namespace {

using http::testing::eventually;
using ::testing::HasSubstr;

const SystemClock kClock;
constexpr std::size_t kLimit = 4 << 20;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

struct Seen {
  std::atomic<int> calls = 0;
  std::atomic<int> cancelled = 0;
  std::atomic<bool> release = false;
  std::mutex mutex;
  std::set<std::thread::id> threads;  // guarded by mutex
};

struct Unwinding {
  Seen& seen;
  int before = std::uncaught_exceptions();
  ~Unwinding() {
    if (std::uncaught_exceptions() > before) ++seen.cancelled;
  }
};

Task<RpcStatus> echo(ServerStream& stream, Seen* seen) {
  ++seen->calls;
  {
    const std::lock_guard lock(seen->mutex);
    seen->threads.insert(std::this_thread::get_id());
  }
  for (;;) {
    auto message = co_await stream.read();
    if (!message) co_return to_status(message.error());
    if (!*message) co_return RpcStatus();
    const Status written = co_await stream.write(**message);
    if (!written) co_return to_status(written.error());
  }
}

// Does not read until released.
Task<RpcStatus> hang(ServerStream& stream, Seen* seen) {
  const Unwinding mark{*seen};
  ++seen->calls;
  while (!seen->release) co_await async::sleep_until(kClock.now() + Millis(1));
  std::size_t messages = 0;
  for (;;) {
    auto message = co_await stream.read();
    if (!message || !*message) break;
    ++messages;
  }
  co_return RpcStatus{StatusCode::kOk, std::to_string(messages)};
}

// Says what the reads come to, the second of which is interrupted.
Task<RpcStatus> interrupted(ServerStream& stream, async::Loop* loop, std::atomic<bool>* ended) {
  std::string reads;
  for (int i = 0; i < 3; ++i) {
    if (i == 1) loop->post([&stream] { stream.interrupt(); });
    auto message = co_await stream.read();
    reads += message && *message ? std::string(**message) : "-";
    if (i == 1) *ended = true;
  }
  co_return RpcStatus{StatusCode::kOk, reads};
}

Task<RpcStatus> fail(ServerStream& /*stream*/) {
  co_return RpcStatus{StatusCode::kFailedPrecondition, "not for ä"};
}

// Parameter: whether TLS.
class GrpcTest : public ::testing::TestWithParam<bool> {
 protected:
  ~GrpcTest() override {
    for (auto& client : clients_) async::blocking_run(loop_, client->stop());
    server_.reset();
    clients_.clear();
  }

  http::Endpoint serve(std::vector<async::Loop*> loops) {
    Server::Config config;
    config.message_bytes = kLimit;
    if (GetParam()) {
      auto with = mine_.server();
      with.alpn = {tls::kHttp2};
      config.tls = tls::testing::open_server(with, kClock);
    }
    for (async::Loop* loop : loops) loop->start();
    if (std::ranges::find(loops, &loop_) == loops.end()) loop_.start();
    server_ = std::make_unique<Server>(std::move(loops), kClock, config);
    server_->handle("/t/Echo", [this](ServerStream& stream) { return echo(stream, &seen_); });
    server_->handle("/t/Hang", [this](ServerStream& stream) { return hang(stream, &seen_); });
    server_->handle("/t/Fail", [](ServerStream& stream) { return fail(stream); });
    server_->handle("/t/Double", unary([](std::string_view request) -> Result<std::string> {
                      return std::string(request) + std::string(request);
                    }));
    auto at = server_->listen({"127.0.0.1", 0});
    EXPECT_TRUE(at);
    return *at;
  }
  Client& client(const http::Endpoint& at, Nanos connect_timeout = std::chrono::seconds(5)) {
    Client::Config config;
    config.connect_timeout = connect_timeout;
    config.message_bytes = kLimit;
    if (GetParam()) {
      auto with = mine_.client();
      with.alpn = {tls::kHttp2};
      config.tls = tls::testing::open_client(with, kClock);
    }
    return *clients_.emplace_back(std::make_unique<Client>(loop_.executor(), kClock, at, config));
  }
  template <class T>
  T run(Task<T> task) {
    return async::blocking_run(loop_, std::move(task));
  }
  // Streams end on their loop.
  void drop(std::unique_ptr<ClientStream> stream) {
    std::atomic<bool> dropped = false;
    loop_.post([&, mine = std::move(stream)]() mutable {
      mine.reset();
      dropped = true;
    });
    EXPECT_TRUE(eventually([&] { return dropped.load(); }));
  }

  const tls::testing::Credentials mine_ = tls::testing::Credentials::make("mine", kClock);
  Seen seen_;
  async::Loop second_{"second"};
  async::Loop loop_{"grpc"};
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<Server> server_;
};

TEST_P(GrpcTest, AnswersAUnaryCall) {
  Client& from = client(serve({&loop_}));

  const auto answer = run(from.unary("/t/Double", "ab", soon()));

  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(*answer, "abab");
}

// How many messages came back as they were sent.
Task<int> ping_pong(Client* from, int count, std::size_t size) {
  auto call = co_await from->open("/t/Echo", soon());
  if (!call) co_return -1;
  int good = 0;
  for (int i = 0; i < count; ++i) {
    std::string message = std::to_string(i);
    message.resize(size, 'm');
    auto written = co_await (*call)->write(message);
    auto back = co_await (*call)->read();
    if (written && back && *back && **back == message) ++good;
  }
  (*call)->finish_writing();
  auto end = co_await (*call)->read();
  co_return end && !*end && (*call)->status().ok() ? good : -2;
}

TEST_P(GrpcTest, StreamsBothWaysSmallAndLargerThanTheWindows) {
  Client& from = client(serve({&loop_}));

  EXPECT_EQ(run(ping_pong(&from, 200, 10)), 200);
  EXPECT_EQ(run(ping_pong(&from, 3, 3 << 20)), 3);
  EXPECT_EQ(server_->open_connections(), 1U);
}

Task<RpcStatus> end_of(Client* from, std::string path, std::string message, Deadline deadline,
                       http::Headers metadata) {
  auto call = co_await from->open(path, deadline, std::move(metadata));
  if (!call) co_return to_status(call.error());
  auto written = co_await (*call)->write(message);
  for (;;) {
    auto next = co_await (*call)->read();
    if (!next || !*next) break;
  }
  co_return (*call)->status();
}

Task<std::string> two_messages(Client* from, std::atomic<bool>* interrupted) {
  auto call = co_await from->open("/t/Interrupted", soon());
  if (!call) co_return "no call";
  auto written = co_await (*call)->write("a");
  while (!*interrupted) co_await async::sleep_until(kClock.now() + Millis(1));
  written = co_await (*call)->write("b");
  auto end = co_await (*call)->read();
  co_return (*call)->status().message;
}

TEST_P(GrpcTest, AnInterruptedReadReturnsAndTheNextOneGoesOn) {
  std::atomic<bool> ended = false;
  const auto at = serve({&loop_});
  server_->handle("/t/Interrupted",
                  [&](ServerStream& stream) { return interrupted(stream, &loop_, &ended); });
  EXPECT_EQ(run(two_messages(&client(at), &ended)), "a-b");
}

TEST_P(GrpcTest, EndsCallsWithTheReason) {
  Client& from = client(serve({&loop_}));
  const auto end = [&](std::string path, std::string message, http::Headers metadata = {}) {
    return run(end_of(&from, std::move(path), std::move(message), soon(), std::move(metadata)));
  };

  EXPECT_EQ(end("/t/Fail", ""), (RpcStatus{StatusCode::kFailedPrecondition, "not for ä"}));
  EXPECT_EQ(end("/t/None", ""), (RpcStatus{StatusCode::kUnimplemented, "no method /t/None"}));
  EXPECT_EQ(
      end("/t/Echo", std::string(kLimit + 1, 'x')),
      (RpcStatus{StatusCode::kResourceExhausted, "a message of 4194305 bytes is over the limit"}));
  EXPECT_EQ(end("/t/Echo", "", {{"grpc-encoding", "deflate"}}),
            (RpcStatus{StatusCode::kUnimplemented,
                       "messages in 'deflate' are not read here, only identity and gzip"}));
  const auto plain = run(from.unary("/t/Double", "plain, ", soon(), {{"grpc-encoding", "gzip"}}));
  EXPECT_TRUE(plain && *plain == "plain, plain, ");
}

// Nothing that arrives matters.
class Deaf final : public http2::Events {
  void on_headers(http2::Stream&, http::Headers, http2::End) override {}
  void on_data(http2::Stream&, std::string_view) override {}
  void on_end(http2::Stream&) override {}
  void on_closed(http2::Stream&, http2::Reset) override {}
  void on_goaway() override {}
};

TEST_P(GrpcTest, ReadsMessagesThatAreCompressed) {  // epp:X044
  if (GetParam()) GTEST_SKIP() << "the frames are written by hand, in the clear";
  http::testing::Raw peer(serve({&loop_}));
  Deaf deaf;
  http2::Session session(http2::Role::kClient, {}, deaf);
  auto* call = session.request({{":method", "POST"},
                                {":scheme", "http"},
                                {":path", "/t/Echo"},
                                {":authority", "x"},
                                {"content-type", "application/grpc"},
                                {"grpc-encoding", "gzip"}});
  ASSERT_NE(call, nullptr);
  std::string messages;
  for (const auto* text : {"a message ", "and another that ends here"}) {
    const auto small = testing::gzip(text);
    append_prefix(messages, small.size());
    messages[messages.size() - kPrefixBytes] = '\1';
    messages += small;
  }
  const std::array<std::string_view, 1> pieces = {messages};
  session.send(*call, pieces);
  std::string bytes;
  session.pull(bytes, 1 << 20);
  ASSERT_TRUE(peer.send(bytes));
  const auto back = peer.read_until("ends here");
  EXPECT_THAT(back, HasSubstr("a message "));
  EXPECT_THAT(back, HasSubstr("and another that ends here"));
}

TEST_P(GrpcTest, EndsACallWhenItsDeadlinePasses) {
  Client& from = client(serve({&loop_}));

  const RpcStatus end = run(end_of(&from, "/t/Hang", "", Deadline::in(kClock, Millis(50)), {}));

  EXPECT_EQ(end.code, StatusCode::kDeadlineExceeded) << end.message;
  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
}

TEST_P(GrpcTest, ACallInWhoseTimeNothingCameIsTheLastOfItsConnection) {
  if (GetParam()) GTEST_SKIP() << "without an answer no TLS connection comes about";
  loop_.start();
  http::Tcp::acceptor silent(loop_.executor(), {asio::ip::address_v4::loopback(), 0});
  silent.non_blocking(true);
  Client& from = client({"127.0.0.1", silent.local_endpoint().port()});

  for (int i = 0; i < 2; ++i) {
    const auto answer = run(from.unary("/t/Double", "x", Deadline::in(kClock, Millis(20))));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code(), Code::kTimeout);
  }

  int connections = 0;
  EXPECT_TRUE(eventually([&] {
    boost::system::error_code ec;
    silent.accept(ec);
    if (!ec) ++connections;
    return connections == 2;
  }));
}

TEST_P(GrpcTest, CancelsTheHandlerWhenTheClientDropsTheCall) {
  Client& from = client(serve({&loop_}));
  auto call = run(from.open("/t/Hang", soon()));
  ASSERT_TRUE(call);
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  drop(*std::move(call));

  EXPECT_TRUE(eventually([&] { return seen_.cancelled == 1; }));
  EXPECT_TRUE(run(from.unary("/t/Double", "x", soon())));  // on the same connection
  EXPECT_EQ(server_->open_connections(), 1U);
}

Task<Status> write_all(ClientStream* call, int count, std::size_t size, std::atomic<int>* written) {
  const std::string message(size, 'x');
  for (int i = 0; i < count; ++i) {
    BATON_CO_TRY(co_await call->write(message));
    ++*written;
  }
  call->finish_writing();
  for (;;) {
    BATON_CO_TRY_ASSIGN(auto next, co_await call->read());
    if (!next) co_return Status();
  }
}

TEST_P(GrpcTest, HoldsAWriterBackWhenNobodyReads) {
  Client& from = client(serve({&loop_}));
  auto call = run(from.open("/t/Hang", soon()));
  ASSERT_TRUE(call);
  constexpr int kCount = 400;  // 25 MB: far over a stream's window
  std::atomic<int> written = 0;

  std::jthread writer(
      [&] { EXPECT_TRUE(run(write_all(call->get(), kCount, 64 << 10, &written))); });
  EXPECT_TRUE(eventually([&] { return written >= 16; }));
  run(async::sleep_until(kClock.now() + Millis(50)));
  EXPECT_LT(written, 40);
  seen_.release = true;
  writer.join();

  EXPECT_EQ(written, kCount);
  EXPECT_EQ((*call)->status(), (RpcStatus{StatusCode::kOk, "400"}));
  drop(*std::move(call));
}

TEST_P(GrpcTest, SpreadsConnectionsOverItsLoops) {
  const auto at = serve({&loop_, &second_});

  EXPECT_EQ(run(ping_pong(&client(at), 5, 10)), 5);
  EXPECT_EQ(run(ping_pong(&client(at), 5, 10)), 5);

  const std::lock_guard lock(seen_.mutex);
  EXPECT_EQ(seen_.threads.size(), 2U);
}

TEST_P(GrpcTest, LetsCallsFinishWhenItStops) {
  Client& from = client(serve({&second_}));
  auto call = run(from.open("/t/Hang", soon()));
  ASSERT_TRUE(call);
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  std::jthread stopper([&] { server_->stop(soon()); });
  EXPECT_TRUE(eventually([&] {
    auto refused = run(from.unary("/t/Double", "x", soon()));
    return !refused && refused.error().code() == Code::kUnavailable;
  }));
  seen_.release = true;
  std::atomic<int> written = 0;
  EXPECT_TRUE(run(write_all(call->get(), 1, 1, &written)));
  stopper.join();

  EXPECT_EQ((*call)->status().code, StatusCode::kOk);
  EXPECT_EQ(seen_.cancelled, 0);
  drop(*std::move(call));
}

TEST_P(GrpcTest, CancelsWhatIsLateWhenItStops) {
  Client& from = client(serve({&second_}));
  auto call = run(from.open("/t/Hang", soon()));
  ASSERT_TRUE(call);
  ASSERT_TRUE(eventually([&] { return seen_.calls == 1; }));

  server_->stop(Deadline::in(kClock, Millis(20)));
  auto message = run((*call)->read());

  EXPECT_EQ(seen_.cancelled, 1);
  ASSERT_FALSE(message);
  EXPECT_EQ((*call)->status().code, StatusCode::kUnavailable);
  drop(*std::move(call));
}

TEST_P(GrpcTest, ClosesOnWhatIsNotHttp2) {
  http::testing::Raw raw(serve({&loop_}));

  raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  raw.read_all();

  EXPECT_TRUE(eventually([&] { return server_->open_connections() == 0; }));
}

TEST_P(GrpcTest, SaysWhenNobodyListens) {
  const auto at = serve({&loop_});
  server_->stop(soon());

  const auto answer = run(client(at).unary("/t/Double", "x", soon()));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
  EXPECT_THAT(answer.error().message(), HasSubstr(http::to_string(at) + ": "));
}

// Puts down why a call failed; nothing when it unwinds.
Task<void> note_failure(Client* client, std::string* why) {
  const auto answer = co_await client->unary("/t/Double", "x", soon());
  *why = answer ? "an answer" : answer.error().message();
}

TEST_P(GrpcTest, WaitsForANameInTimeAndUntilItIsCancelled) {
  http::testing::HeldLookups held;
  serve({&loop_});
  std::string late;
  std::string cancelled;

  run(note_failure(&client({"slow.example", 80}, Millis(20)), &late));
  const Mono now = kClock.now();
  (void)run(
      async::finish_by(now + Millis(20), note_failure(&client({"slow.example", 80}), &cancelled)));

  EXPECT_EQ(late, "slow.example:80: no address for 'slow.example' in time");
  EXPECT_EQ(cancelled, "");
  EXPECT_EQ(http::lookups_under_way(), 1U);
}

INSTANTIATE_TEST_SUITE_P(Plain, GrpcTest, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Tls, GrpcTest, ::testing::Values(true));

}  // namespace
}  // namespace baton::grpc
