// Names whose lookup hangs, and peers that do not take a connection: what waits for them ends in
// time, and when it is cancelled.

#include "net/http/resolve.hpp"

#include <gtest/gtest.h>

#include <boost/asio/use_future.hpp>
#include <future>
#include <vector>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "net/http/async_resolve.hpp"
#include "net/http/testing/full_listener.hpp"
#include "net/http/testing/held_lookups.hpp"
#include "net/http/testing/loopback.hpp"

namespace baton::http {
namespace {

using testing::eventually;

const SystemClock kClock;
const Endpoint kSlow = {"slow.example", 80};
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }
Deadline at_once() { return Deadline::in(kClock, Millis(20)); }

Task<std::string> address_of(Endpoint at, Deadline deadline) {
  const auto found = co_await resolve(at, deadline);
  if (!found) co_return found.error().message();
  co_return to_string(Endpoint{found->address().to_string(), found->port()});
}

// Puts down what has come of a task; nothing when it unwinds.
Task<void> note(Task<std::string> task, std::string* outcome) {
  std::string came = co_await std::move(task);
  *outcome = std::move(came);
}

Task<std::string> ask(Client* client, Endpoint to, Deadline deadline) {
  const RequestHead head;
  const auto answer = co_await client->send(to, head, {}, deadline);
  if (answer) co_return "an answer";
  co_return (answer.error().kind == Failure::Kind::kTimeout ? "late, " : "refused, ") +
      answer.error().error.message();
}

Task<void> relay(Exchange& exchange, Client* client) {
  const std::string outcome = co_await ask(client, kSlow, soon());
  (void)co_await exchange.respond({200, {}}, outcome);
}

class ResolveTest : public ::testing::Test {
 protected:
  ResolveTest() { loop_.start(); }
  ~ResolveTest() override {
    held_.release();
    loop_.stop();  // before its clients
  }

  std::future<std::string> start(Task<std::string> task) {
    return asio::co_spawn(loop_.context(), std::move(task), asio::use_future);
  }
  std::string run(Task<std::string> task) { return start(std::move(task)).get(); }
  // What has come of a task that is soon cancelled; "": it has unwound.
  std::string cancelled(Task<std::string> task) {
    std::string outcome;
    (void)async::blocking_run(loop_,
                              async::finish_by(at_once().at, note(std::move(task), &outcome)));
    return outcome;
  }
  // Whatever was started before has got as far as it can.
  void settle() { run(address_of({"127.0.0.1", 1}, soon())); }

  testing::HeldLookups held_;
  async::Loop loop_{"names"};
  Client client_{kClock, {}};
};

TEST_F(ResolveTest, TakesAddressesAndLocalhostAsTheyAre) {
  EXPECT_EQ(run(address_of({"127.0.0.9", 80}, soon())), "127.0.0.9:80");
  EXPECT_EQ(run(address_of({"fd00::7", 80}, soon())), "[fd00::7]:80");
  EXPECT_EQ(run(address_of({"localhost", 80}, soon())), "127.0.0.1:80");
  EXPECT_EQ(held_.begun(), 0);
}

TEST_F(ResolveTest, GivesWhatTheLookupFinds) {
  auto waiting = start(address_of(kSlow, soon()));
  ASSERT_TRUE(eventually([&] { return held_.begun() == 1; }));

  held_.release("127.0.0.9");

  EXPECT_EQ(waiting.get(), "127.0.0.9:80");
  const auto found = blocking_resolve(kSlow, soon(), kClock);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->size(), 1U);
}

TEST_F(ResolveTest, SaysThatANameIsUnknown) {
  held_.release();

  EXPECT_EQ(run(address_of(kSlow, soon())), "no address for 'slow.example'");
}

TEST_F(ResolveTest, KeepsItsDeadline) {
  EXPECT_EQ(run(address_of(kSlow, at_once())), "no address for 'slow.example' in time");
  const auto found = blocking_resolve(kSlow, at_once(), kClock);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kTimeout);
  EXPECT_EQ(lookups_under_way(), 1U);  // outlasts who asked
}

TEST_F(ResolveTest, EndsWhenItIsCancelled) {
  EXPECT_EQ(cancelled(address_of(kSlow, soon())), "");
  EXPECT_EQ(lookups_under_way(), 1U);
}

TEST_F(ResolveTest, AsksOnceHoweverManyWaitForAName) {
  std::vector<std::future<std::string>> waiting;
  for (int i = 0; i < 3 * kMaxLookups; ++i) waiting.push_back(start(address_of(kSlow, soon())));
  settle();
  EXPECT_EQ(lookups_under_way(), 1U);

  held_.release("127.0.0.9");

  for (auto& each : waiting) EXPECT_EQ(each.get(), "127.0.0.9:80");
  EXPECT_EQ(held_.begun(), 1);
}

TEST_F(ResolveTest, AsksOnceForANameWhateverThePorts) {
  auto one = start(address_of({"slow.example", 80}, soon()));
  auto other = start(address_of({"slow.example", 81}, soon()));
  settle();
  EXPECT_EQ(lookups_under_way(), 1U);

  held_.release("fd00::7");

  EXPECT_EQ(one.get(), "[fd00::7]:80");
  EXPECT_EQ(other.get(), "[fd00::7]:81");
}

TEST_F(ResolveTest, LooksUpSoManyNamesAtOnceAndTheNextWhenOneIsFound) {
  const Endpoint more = {"more.example", 80};
  std::vector<std::future<std::string>> waiting;
  for (int i = 0; i <= kMaxLookups; ++i) {
    waiting.push_back(start(address_of({fmt::format("{}.example", i), 80}, soon())));
  }
  settle();
  EXPECT_EQ(lookups_under_way(), static_cast<std::size_t>(kMaxLookups));

  EXPECT_EQ(run(address_of(more, at_once())),
            "no address for 'more.example' in time: too many other names are looked up");
  const auto found = blocking_resolve(more, at_once(), kClock);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kTimeout);

  held_.release("127.0.0.9");
  for (auto& each : waiting) EXPECT_EQ(each.get(), "127.0.0.9:80");
  ASSERT_TRUE(eventually([] { return lookups_under_way() == 0; }));
  EXPECT_EQ(held_.begun(), kMaxLookups + 1);  // not for the one whose callers have left
  EXPECT_EQ(run(address_of(more, soon())), "127.0.0.9:80");
}

TEST_F(ResolveTest, LeavesAClientItsDeadline) {
  EXPECT_EQ(run(ask(&client_, kSlow, at_once())), "late, no answer from slow.example:80 in time");

  Client hasty(kClock, {.connect_timeout = Millis(20)});
  EXPECT_EQ(run(ask(&hasty, kSlow, soon())),
            "refused, slow.example:80: no address for 'slow.example' in time");
  loop_.stop();
}

TEST_F(ResolveTest, LetsAClientBeCancelled) {
  EXPECT_EQ(cancelled(ask(&client_, kSlow, soon())), "");
  EXPECT_EQ(lookups_under_way(), 1U);
}

TEST_F(ResolveTest, LetsAServerStopWhoseHandlerWaitsForAName) {
  Server server(loop_, kClock, {},
                [this](Exchange& exchange) { return relay(exchange, &client_); });
  const auto at = server.listen({"127.0.0.1", 0});
  ASSERT_TRUE(at);
  testing::Raw raw(*at);
  raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return held_.begun() == 1; }));

  server.stop({Mono()});

  EXPECT_EQ(lookups_under_way(), 1U);
}

using ConnectTest = ResolveTest;

TEST_F(ConnectTest, HasItsTime) {
  const testing::FullListener peer;
  Client hasty(kClock, {.connect_timeout = Millis(20)});

  EXPECT_EQ(run(ask(&hasty, peer.at(), soon())),
            "refused, " + to_string(peer.at()) + ": no connection in time");
  loop_.stop();
}

// A caller that leaves says nothing about the peer.
TEST_F(ConnectTest, IsNotRefusedWhenItsCallerLeaves) {
  const testing::FullListener peer;

  EXPECT_EQ(cancelled(ask(&client_, peer.at(), soon())), "");
}

}  // namespace
}  // namespace baton::http
