// How a server takes connections: many at once, and what it tells when it can take none.

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <latch>
#include <list>

#include "net/http/testing/loopback.hpp"
#include "net/http/testing/raw_client.hpp"

namespace baton::http {
namespace {

using testing::eventually;
using ::testing::HasSubstr;
using testing::Raw;

const SystemClock kClock;
constexpr std::string_view kAsk = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

Task<void> answer(Exchange& exchange) { (void)co_await exchange.respond({200, {}}, "well"); }

class AcceptTest : public ::testing::Test {
 protected:
  Endpoint serve(ServerLimits limits = {}) {
    server_ = std::make_unique<Server>(
        loop_, kClock, Server::Config{limits, "test", nullptr, &registry_}, &answer);
    return testing::start(*server_, loop_);
  }
  bool counted(std::string_view reason) const {
    return registry_.expose().contains("baton_connections_held_total{server=\"test\",reason=\"" +
                                       std::string(reason) + "\"}");
  }

  observe::Registry registry_;
  async::Loop loop_{"http"};
  std::unique_ptr<Server> server_;
};

// How often the loop came around while some, but not all, of `all` connections were taken.
struct Turns {
  async::Loop& loop;
  const Server& server;
  std::size_t all;
  std::atomic<std::size_t> between = 0;
  std::atomic<bool> done = false;

  void turn() {
    const std::size_t open = server.open_connections();
    if (open == all) {
      done = true;
      return;
    }
    if (open > 0) ++between;
    loop.post([this] { turn(); });
  }
};

// One a turn, a queue of connections overflows while the loop is busy with streams.
TEST_F(AcceptTest, TakesAllConnectionsThatWaitInOneTurnOfTheLoop) {
  constexpr std::size_t kMany = 30;
  const Endpoint at = serve();
  std::latch busy(1), go_on(1);
  loop_.post([&] {
    busy.count_down();
    go_on.wait();
  });
  busy.wait();
  std::list<Raw> clients;
  for (std::size_t i = 0; i < kMany; ++i) clients.emplace_back(at);
  Turns turns{loop_, *server_, kMany};
  loop_.post([&] { turns.turn(); });

  go_on.count_down();

  ASSERT_TRUE(eventually([&] { return turns.done.load(); }));
  EXPECT_LE(turns.between, 3U);
}

TEST_F(AcceptTest, CountsWhatWaitsAtTheLimitOfConnections) {
  const Endpoint at = serve({.connections = 1});
  Raw first(at);
  ASSERT_TRUE(eventually([&] { return counted("limit"); }));
  Raw second(at);
  second.send(kAsk);

  first.close();

  EXPECT_THAT(second.read_until("well"), HasSubstr("200 OK"));
}

// The last descriptor is the client's.
TEST_F(AcceptTest, CountsWhatWaitsForDescriptorsAndGoesOnWhenThereAreSome) {
  const Endpoint at = serve();
  rlimit was{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &was), 0);
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit low = was;
  low.rlim_cur = static_cast<rlim_t>(next) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  Raw client(at);
  const bool connected = client.connected();
  client.send(kAsk);
  const bool told = eventually([&] { return counted("files"); });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &was), 0);

  EXPECT_TRUE(connected);
  EXPECT_TRUE(told);
  EXPECT_THAT(client.read_until("well"), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace baton::http
