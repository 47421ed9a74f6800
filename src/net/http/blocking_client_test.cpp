// The client for plain threads against the server, plain and over TLS.

#include "net/http/blocking_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/async/finish_by.hpp"
#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::http {
namespace {

using testing::eventually;
using ::testing::HasSubstr;

const SystemClock kClock;
constexpr std::size_t kLimit = 8 << 20;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

struct Seen {
  std::atomic<int> ended = 0;
};

Task<void> echo(Exchange& exchange) {
  Result<std::string> body = co_await exchange.read_body(kLimit);
  if (body) (void)co_await exchange.respond({200, {}}, *body);
}

// One event, then silence until the client leaves.
Task<void> watch(Exchange& exchange, Seen* seen) {
  struct Mark {
    Seen* seen;
    ~Mark() { ++seen->ended; }
  } mark{seen};
  (void)co_await exchange.start({200, {}});
  (void)co_await exchange.write("event");
  co_await async::sleep_until(Mono::max());
}

// Parameter: whether TLS.
class BlockingClientTest : public ::testing::TestWithParam<bool> {
 protected:
  Endpoint serve(const std::string& address = "127.0.0.1", ServerLimits limits = {}) {
    Server::Config config{.limits = limits};
    if (GetParam()) config.tls = tls::testing::open_server(mine_.server(), kClock);
    server_ = std::make_unique<Server>(loop_, kClock, config, [this](Exchange& exchange) {
      return exchange.head().path() == "/watch" ? watch(exchange, &seen_) : echo(exchange);
    });
    return testing::start(*server_, loop_, address);
  }
  BlockingClient::Config config() {
    BlockingClient::Config with;
    if (GetParam()) with.tls = tls::testing::open_client(mine_.client(), kClock);
    return with;
  }

  const tls::testing::Credentials mine_ = tls::testing::Credentials::make("mine", kClock);
  Seen seen_;
  async::Loop loop_{"blocking"};
  std::unique_ptr<Server> server_;
};

TEST_P(BlockingClientTest, CarriesBodiesOfEverySizeOnOneConnection) {
  const Endpoint at = serve();
  BlockingClient client(kClock, config());

  for (const std::size_t size : {std::size_t{0}, std::size_t{70'000}, kLimit}) {
    const std::string body(size, 'b');
    const auto answer = client.send(at, {"POST", "/", {}}, body, kLimit, soon());
    ASSERT_TRUE(answer) << answer.error().error.message();
    EXPECT_EQ(answer->head.status, 200);
    EXPECT_TRUE(answer->body == body) << size;
  }
  EXPECT_EQ(server_->open_connections(), 1U);
}

TEST_P(BlockingClientTest, BoundsTheAnswer) {
  const Endpoint at = serve();
  BlockingClient client(kClock, config());

  const auto answer = client.send(at, {"POST", "/", {}}, "twelve bytes", 11, soon());

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Failure::Kind::kMalformed);
  EXPECT_EQ(answer.error().error.message(), "an answer is over 11 bytes");
}

TEST_P(BlockingClientTest, ReadsAStreamInStepsAndIsClosedFromAnotherThread) {
  const Endpoint at = serve();
  BlockingClient client(kClock, config());
  auto stream = client.open(at, {"GET", "/watch", {}}, "", soon());
  ASSERT_TRUE(stream);
  EXPECT_EQ(*(*stream)->read_some(soon()), "event");

  const auto nothing_yet = (*stream)->read_some(Deadline::in(kClock, Millis(20)));
  std::jthread closer([&] { (*stream)->close(); });
  const auto closed = (*stream)->read_some(soon());
  const auto later = (*stream)->read_some(soon());

  EXPECT_EQ(nothing_yet.error().kind, Failure::Kind::kTimeout);
  for (const auto& end : {closed, later}) {
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().kind, Failure::Kind::kLost);
    EXPECT_EQ(end.error().error.code(), Code::kCancelled);
  }
  closer.join();
  stream->reset();
  EXPECT_TRUE(eventually([&] { return seen_.ended == 1; }));  // the server noticed
}

TEST_P(BlockingClientTest, KeepsItsDeadline) {
  const Endpoint at = serve();
  BlockingClient client(kClock, config());

  const auto answer =
      client.send(at, {"GET", "/watch", {}}, "", kLimit, Deadline::in(kClock, Millis(50)));

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Failure::Kind::kTimeout);
  EXPECT_EQ(answer.error().error.message(), "no answer from " + to_string(at) + " in time");
}

TEST_P(BlockingClientTest, ReplacesAStaleConnection) {
  const Endpoint at = serve("127.0.0.1", {.idle_timeout = Millis(20)});
  BlockingClient client(kClock, config());
  ASSERT_TRUE(client.send(at, {"GET", "/", {}}, "", kLimit, soon()));
  ASSERT_TRUE(eventually([&] { return server_->open_connections() == 0; }));

  EXPECT_TRUE(client.send(at, {"GET", "/", {}}, "", kLimit, soon()));
}

TEST_P(BlockingClientTest, ResolvesNames) {
  const Endpoint at = serve();
  BlockingClient client(kClock, config());

  EXPECT_TRUE(client.send({"localhost", at.port}, {"GET", "/", {}}, "", kLimit, soon()));
  const auto nobody = client.send({"no-such-host.invalid", 1}, {}, "", kLimit, soon());
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().kind, Failure::Kind::kRefused);
  EXPECT_THAT(nobody.error().error.message(),
              HasSubstr("no-such-host.invalid:1: no address for 'no-such-host.invalid': "));
}

TEST_P(BlockingClientTest, SpeaksIpv6) {
  const Endpoint at = serve("::1");
  auto with = config();
  if (GetParam()) {
    auto named = mine_.client();
    named.server_name = "localhost";
    with.tls = tls::testing::open_client(named, kClock);
  }
  BlockingClient client(kClock, with);

  const auto answer = client.send(at, {"POST", "/", {}}, "six", kLimit, soon());

  ASSERT_TRUE(answer) << answer.error().error.message();
  EXPECT_EQ(answer->body, "six");
}

TEST_P(BlockingClientTest, SaysWhenNobodyListens) {
  const Endpoint at = serve();
  server_->stop(soon());
  BlockingClient client(kClock, config());

  const auto answer = client.send(at, {"GET", "/", {}}, "", kLimit, soon());

  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, Failure::Kind::kRefused);
  EXPECT_EQ(answer.error().error.message(), to_string(at) + ": connect: Connection refused");
}

INSTANTIATE_TEST_SUITE_P(Plain, BlockingClientTest, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Tls, BlockingClientTest, ::testing::Values(true));

}  // namespace
}  // namespace baton::http
