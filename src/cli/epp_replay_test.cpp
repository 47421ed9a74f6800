#include "cli/epp_replay.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/record.hpp"

namespace baton::cli {
namespace {

using ::testing::HasSubstr;

schedule::Scheduler scheduler(std::string_view scorer) {
  const auto config = schedule::load_picker_config(
      "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: " +
          std::string(scorer) + "}]",
      "test");
  return *schedule::Scheduler::make(*config);
}

// A pod with a queue that runs nothing, and one without that runs a lot.
std::string recorded(std::string_view scorer) {
  const auto made = scheduler(scorer);
  const Mono now = ManualClock().now();
  std::vector<schedule::Endpoint> endpoints(2);
  schedule::Snapshot snapshot;
  for (schedule::Slot i = 0; i < 2; ++i) {
    endpoints[i].name = i == 0 ? "queued" : "running";
    endpoints[i].slot = i;
    snapshot.loads.push_back(
        {.waiting = i == 0 ? 9.F : 0.F, .running = i == 0 ? 0.F : 9.F, .updated = now});
  }
  snapshot.reservations = std::make_shared<schedule::Reservations>();
  snapshot.set_endpoints(std::make_shared<const std::vector<schedule::Endpoint>>(endpoints));
  SeededRandom random(1);
  const auto decision = made.schedule({}, snapshot, now, random);
  schedule::Record record;
  schedule::record({}, snapshot, now, *decision, record);
  record.id = "r1";
  return text::json::dump(schedule::to_json(record)) + "\n";
}

std::string replayed(const std::string& records, std::string_view scorer) {
  std::istringstream in(records);
  std::ostringstream out;
  const auto done = replay_records(in, "file", scheduler(scorer), out);
  return done ? out.str() : std::string(done.error().message());
}

TEST(EppReplay, TheSameConfigurationChangesNothing) {
  EXPECT_EQ(replayed(recorded("queue-scorer"), "queue-scorer"), "0 of 1 decisions change\n");
}

TEST(EppReplay, ADecisionThatAnEvictionEndedCountsOnce) {
  auto ended = recorded("queue-scorer");
  ended.replace(ended.rfind('}'), 1, R"(,"evicted":{"forPriority":1}})");
  EXPECT_EQ(replayed(recorded("queue-scorer") + ended, "queue-scorer"),
            "0 of 1 decisions change\n");
}

TEST(EppReplay, TellsWhichDecisionsAnotherConfigurationChanges) {
  EXPECT_EQ(replayed(recorded("queue-scorer") + recorded("running-requests-size-scorer"),
                     "running-requests-size-scorer"),
            "r1: running -> queued\n1 of 2 decisions change\n");
}

TEST(EppReplay, NamesTheLineThatIsNoRecord) {
  EXPECT_THAT(replayed(recorded("queue-scorer") + "no json\n", "queue-scorer"),
              HasSubstr("file:2: "));
}

}  // namespace
}  // namespace baton::cli
