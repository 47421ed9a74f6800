#include "routing/schedule/record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "routing/schedule/testing/configured.hpp"
#include "routing/schedule/testing/snapshots.hpp"

namespace baton::schedule {
namespace {

using ::testing::HasSubstr;
using testing::load;

const Mono kNow = ManualClock().now();

Scheduler make(std::string_view scorer) {
  return testing::make("plugins: [{type: decode-filter}, {type: " + std::string(scorer) + "}]");
}

struct Fixture {
  Fixture() {
    snapshot.reservations->add(1, 2);
    snapshot.reservations->add_tokens(1, 77);
  }
  Record record(std::string_view id) {
    const Request request{
        .prompt_bytes = 640, .prompt_blocks = 10, .matched = matched, .model = model};
    Decision decision;
    decision.explain = true;
    EXPECT_TRUE(scheduler.schedule(request, snapshot, kNow, random, decision));
    Record made;
    schedule::record(request, snapshot, kNow, decision, made);
    made.id = id;
    made.prompt_hash = 0xabc;
    return made;
  }
  Scheduler scheduler = make("queue-scorer");
  Snapshot snapshot = testing::snapshot({{"busy", "decode", load(9, 0, 0, kNow)},
                                         {"idle", "decode", load(0, 1, 0.5F, kNow - Millis(30))},
                                         {"p", "prefill", load(0, 0, 0, kNow)}});
  std::array<std::uint32_t, 3> matched = {8, 0, 0};
  std::string model = "m";
  SeededRandom random{1};
};

TEST(Record, TellsCandidatesScoresDropsAndMatches) {
  Fixture f;
  const auto json = to_json(f.record("r1"));
  EXPECT_EQ(json.string_at({"id"}), "r1");
  EXPECT_EQ(json.string_at({"request", "promptHash"}), "0000000000000abc");
  EXPECT_EQ(json.string_at({"decision", "primary"}), "idle");
  const auto text = text::json::dump(json);
  EXPECT_THAT(text, HasSubstr(R"("dropped":[{"plugin":"decode-filter","pods":["p"]}])"));
  EXPECT_THAT(text, HasSubstr(R"({"pod":"busy","total":0.0,"scores":{"queue-scorer":0.0}})"));
  EXPECT_THAT(text, HasSubstr(R"("matchedBlocks":8)"));
  EXPECT_THAT(text, HasSubstr(R"("reserved":2,"tokensInFlight":77)"));
}

TEST(Record, KeepsNoMoreOfAModelsNameThanANameHas) {
  Fixture f;
  f.model = "m" + std::string(kMostRecordedModel - 2, 'o') + "é";
  EXPECT_EQ(f.record("r1").model, f.model.substr(0, kMostRecordedModel - 1)) << "whole characters";
}

TEST(Record, IsDecidedAgainUnderAnotherConfiguration) {
  Fixture f;
  const auto written = text::json::parse(text::json::dump(to_json(f.record("r1"))));
  ASSERT_TRUE(written);
  const auto same = replay(*written, make("queue-scorer"), f.random);
  ASSERT_TRUE(same) << same.error().message();
  EXPECT_EQ(same->after, "idle");
  EXPECT_FALSE(same->changed);

  const auto other = replay(*written, make("prefix-cache-scorer"), f.random);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->before, "idle");
  EXPECT_EQ(other->after, "busy");
  EXPECT_TRUE(other->changed);
  EXPECT_THAT(text::json::dump(other->explanation), HasSubstr(R"("prefix-cache-scorer":0.8)"));
}

TEST(Record, ADifferentPodOfTheSameTotalIsNoChange) {
  Fixture f;
  const auto json = to_json(f.record("r1"));
  f.matched = {};
  const auto level = to_json(f.record("r2"));
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SeededRandom random(seed);
    EXPECT_FALSE(replay(level, make("prefix-cache-scorer"), random)->changed);
  }
}

TEST(Record, RefusesWhatIsNoRecord) {
  SeededRandom random(1);
  const auto problem = [&](std::string_view text) {
    const auto done = replay(*text::json::parse(text), make("queue-scorer"), random);
    return done ? "" : done.error().message();
  };
  EXPECT_THAT(problem("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(problem(R"({"endpoint": []})"), HasSubstr("did you mean 'endpoints'?"));
  EXPECT_THAT(problem(R"({"endpoints": [{"port": 70000}]})"), HasSubstr("/endpoints/0/port"));
  EXPECT_THAT(problem(R"({"request": {"blockBytes": 0}})"), HasSubstr("/request/blockBytes"));
  SeededRandom again(1);
  const auto nobody = replay(*text::json::parse("{}"), make("queue-scorer"), again);
  ASSERT_TRUE(nobody);
  EXPECT_EQ(nobody->problem, "no pod is ready to serve the request");
}

TEST(RecordRing, KeepsTheLast) {
  Fixture f;
  RecordRing ring(2);
  for (const auto* id : {"a", "b", "c"}) {
    auto record = f.record(id);
    ring.add(record);
  }
  EXPECT_EQ(ring.size(), 2);
  EXPECT_EQ(ring.ids(), (std::vector<std::string>{"c", "b"}));
  EXPECT_EQ(ring.find("a"), nullptr);
  ASSERT_NE(ring.find("c"), nullptr);
  EXPECT_EQ(ring.find("c")->id, "c");
  RecordRing none(0);
  auto record = f.record("a");
  none.add(record);
  EXPECT_EQ(none.size(), 0);
}

}  // namespace
}  // namespace baton::schedule
