#include "routing/schedule/objectives.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::schedule {
namespace {

using ::testing::ElementsAre;

text::json::Value json(std::string_view text) { return *text::json::parse(text); }

text::json::Value rewrite(std::string_view name, std::string_view created, std::string_view rules) {
  return json(R"({"metadata": {"name": ")" + std::string(name) + R"(", "creationTimestamp": ")" +
              std::string(created) + R"("}, "spec": {"poolRef": {"name": "pool"}, "rules": )" +
              std::string(rules) + "}}");
}

std::string model(const ModelRewrites& rewrites, std::string_view asked, Random& random) {
  const auto done = rewrites.rewrite(asked, random);
  return done ? done->model : "-";
}

const PoolRef kPool = {.name = "pool"};

TEST(Objectives, GiveRequestsTheirPriority) {
  Objectives objectives(kPool);
  ASSERT_TRUE(objectives.set(json(
      R"({"metadata": {"name": "batch"}, "spec": {"priority": -2, "poolRef": {"name": "pool"}}})")));
  ASSERT_TRUE(objectives.set(
      json(R"({"metadata": {"name": "unset"}, "spec": {"poolRef": {"name": "pool"}}})")));
  EXPECT_EQ(objectives.priority("batch"), -2);
  EXPECT_EQ(objectives.priority("unset"), 0);
  EXPECT_EQ(objectives.priority("unknown"), 0);
  EXPECT_THAT(objectives.priorities(), ElementsAre(-2, 0));

  // It moved to another pool.
  ASSERT_TRUE(objectives.set(json(
      R"({"metadata": {"name": "batch"}, "spec": {"priority": -2, "poolRef": {"name": "other"}}})")));
  EXPECT_EQ(objectives.priority("batch"), 0);
  ASSERT_TRUE(objectives.set(json(R"({"metadata": {"name": "batch"}, "spec": {"priority": 5,
      "poolRef": {"group": "example.com", "name": "pool"}}})")));
  EXPECT_EQ(objectives.priority("batch"), 0);
  EXPECT_FALSE(objectives.set(json(R"({"metadata": {"name": "batch"}, "spec": {"priority": "high",
      "poolRef": {"name": "pool"}}})")));
  ASSERT_TRUE(objectives.set(json(R"({"metadata": {"name": "unset", "deletionTimestamp": "now"},
      "spec": {"poolRef": {"name": "pool"}}})")));
  EXPECT_TRUE(objectives.priorities().empty());
}

TEST(ModelRewrites, ExactBeatsGenericThenTheOldestObjectThenTheFirstRule) {  // epp:L005
  ModelRewrites rewrites(kPool);
  SeededRandom random(1);
  EXPECT_EQ(model(rewrites, "a", random), "-");
  const auto exact = [](std::string_view from, std::string_view to) {
    return R"({"matches": [{"model": {"type": "Exact", "value": ")" + std::string(from) +
           R"("}}], "targets": [{"modelRewrite": ")" + std::string(to) + R"("}]})";
  };
  ASSERT_TRUE(
      rewrites.set(rewrite("young", "2026-02-01T00:00:00Z", "[" + exact("a", "young") + "]")));
  ASSERT_TRUE(rewrites.set(rewrite("old", "2026-01-01T00:00:00Z",
                                   R"([{"targets": [{"modelRewrite": "any"}]}, )" +
                                       exact("a", "old") + "," + exact("a", "second") + "]")));
  EXPECT_EQ(model(rewrites, "a", random), "old");
  EXPECT_EQ(model(rewrites, "b", random), "any");
  EXPECT_EQ(model(rewrites, "", random), "any") << "a request without model";
  EXPECT_THAT(rewrites.models(), ElementsAre("a", "any", "old", "second", "young"));
  EXPECT_EQ(rewrites.rewrite("a", random)->by, "old");
  rewrites.erase("old");
  EXPECT_EQ(model(rewrites, "a", random), "young");
  EXPECT_EQ(model(rewrites, "b", random), "-");
}

TEST(ModelRewrites, SpreadByWeight) {  // epp:L005
  SeededRandom random(1);
  const auto share = [&](std::string_view targets) {
    ModelRewrites rewrites(kPool);
    EXPECT_TRUE(rewrites.set(rewrite("r", "", R"([{"targets": )" + std::string(targets) + "}]")));
    int first = 0;
    for (int i = 0; i < 10'000; ++i) first += model(rewrites, "m", random) == "x" ? 1 : 0;
    return first;
  };
  EXPECT_NEAR(share(R"([{"modelRewrite": "x", "weight": 3}, {"modelRewrite": "y", "weight": 1}])"),
              7'500, 250);
  EXPECT_NEAR(share(R"([{"modelRewrite": "x"}, {"modelRewrite": "y"}])"), 5'000, 250);
  EXPECT_EQ(share(R"([{"modelRewrite": "x"}, {"modelRewrite": "y", "weight": 1}])"), 0);
  EXPECT_NEAR(share(R"([{"modelRewrite": "x", "weight": 0}, {"modelRewrite": "y"}])"), 5'000, 250);
}

TEST(ModelRewrites, RefuseRulesThatSayNothing) {
  ModelRewrites rewrites(kPool);
  const auto problem = [&](std::string_view rules) {
    const auto set = rewrites.set(rewrite("r", "", rules));
    return set ? "" : set.error().message();
  };
  EXPECT_EQ(problem(R"([{"targets": []}])"),
            "InferenceModelRewrite r: /spec/rules/0/targets: a rule needs a target");
  EXPECT_NE(problem(R"([{"targets": [{"modelRewrite": "x", "weight": -1}]}])"), "");
  EXPECT_NE(problem(R"([{"matches": [{"model": {"type": "Regex", "value": "x"}}],
                         "targets": [{"modelRewrite": "x"}]}])"),
            "");
}

}  // namespace
}  // namespace baton::schedule
