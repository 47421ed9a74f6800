#include "routing/epp/recorder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/text/json.hpp"

namespace baton::epp {
namespace {

using ::testing::ElementsAre;

void add(Recorder& recorder, std::string id) {
  schedule::Record out;
  out.id = std::move(id);
  schedule::Endpoint endpoint;
  endpoint.name = "pod";
  out.endpoints = std::make_shared<const std::vector<schedule::Endpoint>>(1, endpoint);
  out.loads.resize(1);
  out.matched.resize(1);
  out.held.resize(1);
  out.reserved.resize(1);
  out.tokens.resize(1);
  recorder.add(out);
}

TEST(Recorder, RemembersTheLastOnesNewestFirst) {
  observe::Registry registry;
  Recorder recorder(registry, 2);
  for (const auto* id : {"a", "b", "c"}) add(recorder, id);
  EXPECT_THAT(recorder.ids(), ElementsAre("c", "b"));
  EXPECT_FALSE(recorder.find("a"));
  EXPECT_EQ(recorder.find("b")->string_at({"id"}), "b");
}

TEST(Recorder, WritesALineForEveryDecision) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "records.jsonl";
  std::filesystem::remove(file);
  observe::Registry registry;
  {
    Recorder recorder(registry, 0);
    EXPECT_FALSE(recorder.wanted());
    ASSERT_TRUE(recorder.write_to(file));
    EXPECT_TRUE(recorder.wanted());
    for (const auto* id : {"a", "b"}) add(recorder, id);
  }
  std::ifstream in(file);
  std::vector<std::string> ids;
  for (std::string line; std::getline(in, line);) {
    const auto json = text::json::parse(line);
    ASSERT_TRUE(json);
    ids.emplace_back(json->string_at({"id"}));
  }
  EXPECT_THAT(ids, ElementsAre("a", "b"));
}

TEST(Recorder, AnEvictionIsToldWithTheDecisionItUndid) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "evicted.jsonl";
  std::filesystem::remove(file);
  observe::Registry registry;
  {
    Recorder recorder(registry, 2);
    ASSERT_TRUE(recorder.write_to(file));
    add(recorder, "a");
    recorder.evicted("a", {.priority = 7, .saturation = 2, .ceiling = 1});
    recorder.evicted("unknown", {});
    EXPECT_EQ(text::json::dump(*recorder.find("a")->find("evicted")),
              R"({"forPriority":7,"saturation":2.0,"ceiling":1.0})");
    add(recorder, "b");
    EXPECT_EQ(recorder.find("b")->find("evicted"), nullptr);
  }
  std::ifstream in(file);
  std::vector<bool> evicted;
  for (std::string line; std::getline(in, line);) {
    evicted.push_back(text::json::parse(line)->find("evicted") != nullptr);
  }
  EXPECT_THAT(evicted, ElementsAre(false, true, false));
}

TEST(Recorder, SaysWhyAFileCannotBeOpened) {
  observe::Registry registry;
  Recorder recorder(registry, 0);
  const auto done = recorder.write_to("/nowhere/at/all");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace baton::epp
