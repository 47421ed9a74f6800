#include "cli/model_manifest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/yaml.hpp"
#include "cli/manifest_files.hpp"

namespace baton::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(ServeModel, IsAFolderAHubsModelOrOneThatComesWithBaton) {
  EXPECT_EQ(choose_model("storyteller")->uri, "baton://storyteller");
  EXPECT_EQ(choose_model("baton://storyteller")->name, "storyteller");
  EXPECT_EQ(choose_model("Qwen/Qwen3-0.6B")->uri, "hf://Qwen/Qwen3-0.6B");
  EXPECT_EQ(choose_model("Qwen/Qwen3-0.6B@v1")->uri, "hf://Qwen/Qwen3-0.6B:v1");
  EXPECT_EQ(choose_model("hf://Qwen/Qwen3-0.6B")->name, "Qwen/Qwen3-0.6B");
  const std::string folder = BATON_SOURCE_DIR "/models/storyteller";
  EXPECT_EQ(choose_model(folder + "/")->uri, "file://" + folder);
  EXPECT_EQ(choose_model("file://" + folder)->name, "storyteller");
  for (const char* wrong : {"a/b/c", "s3://a/b", "./absent", "/absent", "../x"}) {
    EXPECT_FALSE(choose_model(wrong)) << wrong;
  }
}

TEST(ServeModel, TakesALongContextOnlyWhenAsked) {
  EXPECT_EQ(context_for(R"({"max_position_embeddings": 131072})"), 8192);
  EXPECT_EQ(context_for(R"({"max_position_embeddings": 2048})"), std::nullopt);
  EXPECT_EQ(context_for("{}"), std::nullopt);
  EXPECT_EQ(context_for("no JSON"), std::nullopt);
}

// Of a manifest: what `serve` would run.
plan::Plan planned(const std::string& yaml) {
  const std::vector<api::Source> sources = {{"test", yaml}};
  const auto manifests = api::read_manifests(sources);
  EXPECT_TRUE(manifests) << manifests.error().message();
  const auto plans = plan_manifests(*manifests, {});
  EXPECT_TRUE(plans) << plans.error().message() << "\n" << yaml;
  EXPECT_TRUE(check_picker(plans->at(0)));
  return plans->at(0);
}

TEST(ServeModel, TheManifestCanBePlannedStandardAndSplit) {
  for (const char* model : {"storyteller", "Qwen/Qwen2.5-0.5B-Instruct@v1", "01-ai/1_Yi-6B"}) {
    for (const auto topology : {Topology::kStandard, Topology::kSplit}) {
      const auto yaml = model_manifest(*choose_model(model), topology, 8192);

      const auto plan = planned(yaml);

      EXPECT_EQ(plan.merged.string_at({"spec", "model", "name"}), choose_model(model)->name);
      EXPECT_EQ(yaml.contains("prefill:"), topology == Topology::kSplit);
    }
  }
}

TEST(ServeModel, TheResourceIsNamedAfterTheModel) {
  const auto name = [](const char* model) {
    return std::string(
        text::yaml::parse(model_manifest(*choose_model(model), Topology::kSplit, {}), "test")
            ->string_at({"metadata", "name"}));
  };
  EXPECT_EQ(name("Qwen/Qwen2.5-0.5B"), "qwen2-5-0-5b");
  EXPECT_EQ(name("a/1_x"), "m-1-x");
  EXPECT_THAT(model_manifest(*choose_model("a/b"), Topology::kSplit, {}),
              Not(HasSubstr("max-model-len")));
}

}  // namespace
}  // namespace baton::cli
