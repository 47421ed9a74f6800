// Prefill engines that are not ours, and whether their KV can be asked for.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/async/all_or_none.hpp"
#include "routing/sidecar/side_channels.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

// A listening socket with room for so many who connect.
class Listener {
 public:
  explicit Listener(int room = 16) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in at = loopback(0);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(fd_, room), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    at_ = {"127.0.0.1", ntohs(at.sin_port)};
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const http::Endpoint& at() const { return at_; }
  // Takes those who connected, and says how many they were.
  int taken() {
    int count = 0;
    for (;;) {
      const int one = ::accept(fd_, nullptr, nullptr);
      if (one < 0) return count;
      ::close(one);
      ++count;
    }
  }

 private:
  int fd_;
  http::Endpoint at_;
};

// As vLLM says where its KV is.
Answer kept_at(const http::Endpoint& channel) {
  return prefilled(R"({"do_remote_prefill":true,"do_remote_decode":false,"remote_engine_id":"E",)"
                   R"("remote_block_ids":[[1]],"remote_request_id":"R","remote_host":")" +
                   channel.host + R"(","remote_port":)" + std::to_string(channel.port) + "}");
}

http::Endpoint nobody() { return Listener().at(); }

using SidecarChannels = SidecarTest;

TEST_F(SidecarChannels, AHandoverGoesToDecodeWhenItsSideChannelTakesConnections) {
  Listener channel;
  prefill_.replace({kept_at(channel.at())});
  decode_.replace({decoded()});
  start();

  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));

  EXPECT_THAT(decode_.request(1).body, HasSubstr("remote_port"));
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_side_channels_total{result="open"})"));
  EXPECT_GE(channel.taken(), 1);
}

TEST_F(SidecarChannels, WithoutAListenerThePromptIsComputedHere) {
  const http::Endpoint dead = nobody();
  prefill_.replace({kept_at(dead)});
  decode_.replace({decoded()});
  start();

  const Got got = chat();

  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
  EXPECT_THAT(decode_.request(0).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_side_channels_total{result="refused"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_fallbacks_total{reason="cut-off"} 1)"));
  EXPECT_THAT(metrics(), HasSubstr(R"(prefill_attempts_total{result="cut_off"} 1)"));
}

TEST_F(SidecarChannels, StrictSaysWhoseKvCannotBeFetched) {
  const http::Endpoint dead = nobody();
  prefill_.replace({kept_at(dead)});
  start({.tactics = {.policy = Policy::kStrict}});

  const Got got = chat();

  EXPECT_EQ(got.status, 502);
  EXPECT_EQ(header(got, "x-baton-error-hop"), "prefill");
  EXPECT_THAT(got.body,
              HasSubstr("the KV of the prefill engine at " + http::to_string(prefill_.endpoint()) +
                        " cannot be fetched: its side channel " + http::to_string(dead) +
                        " takes no connection"));
  EXPECT_EQ(decode_.calls(), 0U);
}

TEST_F(SidecarChannels, TheNextCandidateIsTakenAndADeadOneIsLeftAloneInTheEnd) {
  Listener channel;
  prefill_.replace({kept_at(nobody())});
  other_.replace({kept_at(channel.at())});
  decode_.replace({decoded()});
  start({.breaker = {.failures = 2, .pause = std::chrono::hours(1)}});
  http::RequestHead head = chat_head();
  head.headers.set("x-prefiller-host-port",
                   http::to_string(prefill_.endpoint()) + "," + http::to_string(other_.endpoint()));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(header(get(head, "{}"), "x-baton-prefill"), http::to_string(other_.endpoint()));
  }
  EXPECT_EQ(prefill_.calls(), 2U);
  EXPECT_EQ(other_.calls(), 4U);
}

// Whose queue is full, so that it swallows what is sent to it.
TEST_F(SidecarChannels, ASilentOneIsGivenUpLongBeforeTheEngineWouldNotice) {
  const Listener full(0);
  const sockaddr_in at = loopback(full.at().port);
  std::array<int, 3> waiting{};
  for (int& fd : waiting) {
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at);
  }
  prefill_.replace({kept_at(full.at())});
  decode_.replace({decoded()});
  start({.side_channel_patience = Millis(50)});

  const Mono began = kClock.now();
  const Got got = chat();

  EXPECT_EQ(header(got, "x-baton-prefill"), "none; reason=fallback");
  EXPECT_LT(kClock.now() - began, std::chrono::seconds(5));
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_side_channels_total{result="silent"} 1)"));
  for (const int fd : waiting) ::close(fd);
}

TEST_F(SidecarChannels, NothingIsAskedWhenItIsSwitchedOffOrTheEngineIsOurs) {
  prefill_.replace({kept_at(nobody())});
  decode_.replace({decoded()});
  start({.side_channel_patience = Nanos()});
  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));

  sidecar_.reset();
  prefill_.replace({prefilled()});  // with a lease token
  start();
  EXPECT_EQ(header(chat(), "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  EXPECT_THAT(metrics(), Not(HasSubstr("baton_sidecar_side_channels_total")));
}

TEST_F(SidecarChannels, AFreshPairWhoseChannelIsDeadIsNotWarmedForAMinute) {
  prefill_.replace({kept_at(nobody())});
  decode_.replace({decoded()});
  Config config;
  config.warm_up = true;
  config.tactics.policy = Policy::kFallback;
  start(config);
  EXPECT_EQ(header(chat(), "x-baton-prefill"), "none; reason=warming");
  EXPECT_TRUE(
      eventually([&] { return metrics().contains(R"(warm_ups_total{result="failed"} 1)"); }));
  EXPECT_EQ(decode_.calls(), 1U);  // the handover never went there
}

struct Heard {
  int open = 0, asked = 0;
};
Task<async::Went> hear(SideChannels* channels, http::Endpoint at, Heard* heard) {
  const auto told = co_await channels->state(std::move(at));
  heard->open += told.state == Channel::kOpen ? 1 : 0;
  heard->asked += told.now ? 1 : 0;
  co_return async::Went::kWell;
}
// Several at once, then one more.
Task<Heard> ask_often(SideChannels* channels, http::Endpoint at) {
  Heard heard;
  std::vector<Task<async::Went>> all;
  for (int i = 0; i < 5; ++i) all.push_back(hear(channels, at, &heard));
  (void)co_await async::all_or_none(std::move(all));
  (void)co_await hear(channels, at, &heard);
  co_await channels->stop();
  co_return heard;
}

TEST(SideChannelsTest, OneConnectionTellsAllWhoAskMeanwhileAndForAWhileAfter) {
  constexpr Nanos kForever = std::chrono::hours(24 * 3650);
  async::Loop loop("channels");
  loop.start();
  Listener channel;
  ManualClock clock;
  SideChannels channels(loop.executor(), clock, kForever);

  const Heard heard = async::blocking_run(loop, ask_often(&channels, channel.at()));

  EXPECT_EQ(heard.open, 6);
  EXPECT_EQ(heard.asked, 1);
  EXPECT_EQ(channel.taken(), 1);
  clock.advance(SideChannels::kKnownFor + Nanos(1));
  EXPECT_EQ(async::blocking_run(loop, ask_often(&channels, channel.at())).asked, 1);
  EXPECT_EQ(channel.taken(), 1);
  loop.stop();
}

}  // namespace
}  // namespace baton::sidecar
