#include "control/node/models.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/core/testing/temporary_folder.hpp"

namespace baton::node {
namespace {

namespace fs = std::filesystem;

TEST(Models, AreLookedForWhereTheirSchemeSaysAndTheErrorTellsWhere) {
  Config config;
  config.state_dir = "/state";
  config.models_dirs = {"/no/models", BATON_SOURCE_DIR};
  config.model_dirs = {"/no/dir"};
  config.hub.cache = "/no/hf/hub";
  EXPECT_EQ(*find_model("baton://src", config), BATON_SOURCE_DIR "/src");
  EXPECT_EQ(*find_model("file://" BATON_SOURCE_DIR, config), BATON_SOURCE_DIR);
  EXPECT_EQ(
      find_model("hf://org/name", config).error().message(),
      "model hf://org/name is not on this machine; looked for /no/dir/org/name, /no/dir/name, "
      "/no/hf/hub/models--org--name; `baton pull` gets it; or give --model-dir DIR that holds it");
  EXPECT_EQ(find_model("hf://org/name/part", config).error().code(), Code::kInvalid);
  EXPECT_EQ(find_model("baton://../x", config).error().code(), Code::kInvalid);
  EXPECT_EQ(find_model("s3://b/x", config).error().code(), Code::kUnsupported);
  EXPECT_EQ(find_model("pvc://claim/x", config).error().code(), Code::kNotFound);
  config.stand_in = "/models/storyteller";
  EXPECT_EQ(*find_model("s3://b/x", config), "/models/storyteller");
}

TEST(Models, OfTheHubAreDownloadedByACommandUnlessOffline) {
  Config config;
  config.baton = "/bin/baton";
  EXPECT_FALSE(pull_command("hf://org/name", config, ""));  // no cache to put it
  config.hub.cache = "/c";
  EXPECT_EQ(*pull_command("hf://org/name", config, "/v"),
            (std::vector<std::string>{"/bin/baton", "pull", "--cached", "hf://org/name", "--link",
                                      "/v"}));
  EXPECT_FALSE(pull_command("file:///x", config, ""));
  config.hub.is_offline = true;
  EXPECT_FALSE(pull_command("hf://org/name", config, ""));
}

TEST(Models, AreDownloadedWithTheContainersTokenFromThisMachinesHub) {
  Config config;
  config.hub.cache = "/c";
  config.pull_environment = {"HF_TOKEN=ours", "PATH=/bin"};
  Environment container;
  container.set("LD_PRELOAD", "/evil.so");
  EXPECT_EQ(pull_environment(container, config)->lines(),
            (std::vector<std::string>{"HF_TOKEN=ours", "PATH=/bin", "HF_HUB_CACHE=/c"}));
  container.set("HF_TOKEN", "theirs");
  EXPECT_EQ(pull_environment(container, config)->get("HF_TOKEN"), "theirs");
  container.set("HF_ENDPOINT", "http://elsewhere");
  EXPECT_EQ(pull_environment(container, config).error().code(), Code::kDenied);
}

TEST(Models, OfRelativeLinksAreLinkedFileByFile) {
  const TemporaryFolder folder;
  const fs::path& base = folder.path();
  fs::create_directories(base / "blobs");
  fs::create_directories(base / "snapshots/c");
  fs::create_directories(base / "plain");
  std::ofstream(base / "blobs/b") << "x";
  fs::create_symlink("../../blobs/b", base / "snapshots/c/config.json");

  ASSERT_TRUE(link_model(base / "volume", base / "snapshots/c"));
  EXPECT_EQ(fs::read_symlink(base / "volume/config.json"), fs::canonical(base / "blobs/b"));
  ASSERT_TRUE(link_model(base / "volume", base / "plain"));
  EXPECT_EQ(fs::read_symlink(base / "volume"), base / "plain");
}

TEST(Models, TakeThePlaceOfNothingThatMayBeAUsers) {
  const TemporaryFolder folder;
  const fs::path& base = folder.path();
  fs::create_directories(base / "model");
  fs::create_directories(base / "full/deep");
  fs::create_directories(base / "relative");
  fs::create_directories(base / "empty");
  std::ofstream(base / "full/deep/file") << "mine";
  std::ofstream(base / "file") << "mine";
  fs::create_symlink("../file", base / "relative/link");

  const auto full = link_model(base / "full", base / "model");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kInvalid);
  EXPECT_EQ(full.error().message(),
            (base / "full").string() +
                " is there already, with deep in it: the model is linked only to a folder that is "
                "missing, empty or of links from before; name another, or move it away");
  EXPECT_TRUE(fs::exists(base / "full/deep/file"));
  for (const auto* name : {"full/", "file", "relative"}) {
    EXPECT_FALSE(link_model(base / name, base / "model")) << name;
    EXPECT_FALSE(can_link_model(base / name)) << name;
  }
  EXPECT_TRUE(fs::is_regular_file(base / "file"));
  EXPECT_TRUE(fs::is_symlink(base / "relative/link"));
  EXPECT_TRUE(link_model(base / "empty/", base / "model"));
  EXPECT_EQ(fs::read_symlink(base / "empty"), base / "model");
}

TEST(Models, AreLinkedOnlyInVolumesOfThePodsOwn) {
  const TemporaryFolder folder;
  const fs::path& base = folder.path();
  fs::create_directories(base / "volumes/m");
  fs::create_directories(base / "elsewhere");
  fs::create_symlink(base / "elsewhere", base / "volumes/linked");
  const std::string volumes = base / "volumes";

  EXPECT_TRUE(is_in_own_volume(volumes + "/m", volumes));
  EXPECT_TRUE(is_in_own_volume(volumes + "/m/lora/a", volumes));
  EXPECT_TRUE(is_in_own_volume(volumes + "/linked", volumes));
  for (const auto* other : {"/linked/lora", "/m/../../elsewhere", "2/m", "/../elsewhere"}) {
    EXPECT_FALSE(is_in_own_volume(volumes + other, volumes)) << other;
  }
  EXPECT_FALSE(is_in_own_volume(base / "elsewhere", volumes));
}

TEST(Models, AreRefusedInTheSameWordsWhereAPodHasNoVolumeOfItsOwn) {
  const TemporaryFolder folder;
  fs::create_directories(folder.file("claim"));

  const auto refused = is_in_own_volume(folder.file("claim/m"), folder.file("pod/volumes"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_NE(refused.error().message().find("no volume of the pod's own"), std::string::npos);
}

}  // namespace
}  // namespace baton::node
