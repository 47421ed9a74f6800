#include "routing/watch/event_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace baton::watch {
namespace {

using ::testing::ElementsAre;

struct Rig final : EventTaker {
  std::vector<std::string> told;  // payloads and "clear"
  Mono now{};
  EventStream stream;

  explicit Rig(EventStream::Replays replays = EventStream::Replays::kYes)
      : stream(replays, *this) {}

  void apply(std::string_view payload) override { told.emplace_back(payload); }
  void clear() override { told.emplace_back("clear"); }

  void live(std::uint64_t number, std::string payload = "") {
    if (payload.empty()) payload = std::to_string(number);
    stream.live(number, std::move(payload), now);
  }
  // An engine that has numbers `from` to `to`, each as its text behind `life`.
  void answer(std::uint64_t from, std::uint64_t to, const std::string& life = "") {
    const auto asked = stream.take_request(now);
    ASSERT_TRUE(asked);
    for (auto n = std::max(from, *asked); n < to; ++n) stream.replayed(n, life + std::to_string(n));
    stream.replay_ended(now);
  }
  std::vector<std::string> take() { return std::exchange(told, {}); }
};

TEST(EventStream, HistoryComesFirstThenWhatIsLive) {
  Rig rig;
  rig.stream.connected(rig.now);
  EXPECT_FALSE(rig.stream.in_sync());
  rig.live(3);
  rig.live(2);  // held back twice: the history has it too
  rig.answer(0, 3);
  rig.live(4);

  EXPECT_THAT(rig.take(), ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_TRUE(rig.stream.in_sync());
}

TEST(EventStream, AGapAsksForWhatIsMissing) {  // epp:K018
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 2);
  rig.take();
  rig.live(4);
  EXPECT_FALSE(rig.stream.in_sync());
  EXPECT_THAT(rig.take(), ElementsAre());
  rig.answer(0, 5);

  EXPECT_THAT(rig.take(), ElementsAre("2", "3", "4"));
  EXPECT_TRUE(rig.stream.in_sync());
  EXPECT_EQ(rig.stream.counts().gaps, 1U);
}

TEST(EventStream, HistoryThatDoesNotReachBackClearsWhatWasKnown) {  // epp:K018
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 2);
  rig.take();
  rig.live(9);
  rig.answer(7, 10);

  EXPECT_THAT(rig.take(), ElementsAre("clear", "7", "8", "9"));
  EXPECT_TRUE(rig.stream.in_sync());
  EXPECT_EQ(rig.stream.counts().truncated, 1U);
}

TEST(EventStream, ASmallerNumberMeansANewEngine) {  // epp:K018
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 5);
  rig.take();
  rig.live(0, "new0");
  rig.answer(0, 1, "new");

  EXPECT_THAT(rig.take(), ElementsAre("clear", "new0"));
  EXPECT_EQ(rig.stream.counts().restarts, 1U);
}

TEST(EventStream, AReconnectToTheSameEngineGoesOn) {
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 3);
  rig.stream.lost();
  EXPECT_FALSE(rig.stream.in_sync());
  rig.take();
  rig.stream.connected(rig.now);
  rig.answer(0, 5);

  EXPECT_THAT(rig.take(), ElementsAre("3", "4"));
  EXPECT_TRUE(rig.stream.in_sync());
}

TEST(EventStream, AReconnectToARestartedEngineStartsOver) {  // epp:K018
  for (const std::uint64_t published : {0, 1, 2, 3, 8}) {
    Rig rig;
    rig.stream.connected(rig.now);
    rig.answer(0, 3);
    rig.stream.lost();
    rig.take();
    rig.stream.connected(rig.now);
    rig.answer(0, published, "new");
    if (!rig.stream.in_sync()) rig.answer(0, published, "new");

    std::vector<std::string> wanted = {"clear"};
    for (std::uint64_t n = 0; n < published; ++n) wanted.push_back("new" + std::to_string(n));
    EXPECT_EQ(rig.take(), wanted) << published;
    EXPECT_TRUE(rig.stream.in_sync()) << published;
  }
}

TEST(EventStream, ThreeHistoriesWithoutProgressEndInAPauseInWhichEventsAreDropped) {  // epp:K018
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 2);
  rig.take();
  rig.live(5);
  for (int i = 0; i < kReplayAttempts; ++i) {
    rig.answer(0, 2);
    EXPECT_FALSE(rig.stream.take_request(rig.now));
    rig.now += kReplayRetry;
  }
  rig.live(6);
  EXPECT_THAT(rig.take(), ElementsAre());
  EXPECT_FALSE(rig.stream.in_sync());

  rig.now += kReplayCooldown;
  rig.answer(0, 7);
  EXPECT_THAT(rig.take(), ElementsAre("clear", "0", "1", "2", "3", "4", "5", "6"));
  EXPECT_TRUE(rig.stream.in_sync());
}

TEST(EventStream, FailuresAreTriedAgainThenPaused) {
  Rig rig;
  rig.stream.connected(rig.now);
  for (int i = 0; i < kReplayAttempts; ++i) {
    ASSERT_TRUE(rig.stream.take_request(rig.now)) << i;
    rig.stream.replay_failed(rig.now);
    EXPECT_FALSE(rig.stream.take_request(rig.now));
    rig.now += kReplayRetry;
  }
  EXPECT_FALSE(rig.stream.take_request(rig.now));
  EXPECT_TRUE(rig.stream.take_request(rig.now + kReplayCooldown));
}

TEST(EventStream, WhatSlippedInBeforeTheSubscriptionIsFoundByAskingOnceMore) {
  Rig rig;
  rig.stream.connected(rig.now);
  rig.answer(0, 2);
  rig.take();
  EXPECT_FALSE(rig.stream.take_request(rig.now));
  rig.now += kReplayConfirm;
  rig.answer(0, 3);
  EXPECT_THAT(rig.take(), ElementsAre("2"));
  EXPECT_TRUE(rig.stream.in_sync());
  EXPECT_EQ(rig.stream.due(), Mono::max());
}

TEST(EventStream, WithoutHistoryAGapStartsOver) {
  Rig rig(EventStream::Replays::kNo);
  rig.stream.connected(rig.now);
  rig.live(7);
  rig.live(8);
  rig.live(10);
  rig.live(2);
  EXPECT_THAT(rig.take(), ElementsAre("clear", "7", "8", "clear", "10", "clear", "2"));
  EXPECT_TRUE(rig.stream.in_sync());
  EXPECT_FALSE(rig.stream.take_request(rig.now));
}

}  // namespace
}  // namespace baton::watch
