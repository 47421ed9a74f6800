// The cache on disk: found, listed and removed as huggingface_hub lays it out.

#include "net/hub/cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/core/testing/temporary_folder.hpp"
#include "net/hub/pull.hpp"
#include "net/hub/settings.hpp"

namespace baton::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kCommit(40, 'c');

class HubCache : public ::testing::Test {
 protected:
  static void write(const std::string& file, std::string_view text) {
    fs::create_directories(fs::path(file).parent_path());
    std::ofstream(file) << text;
  }
  void put(const std::string& path, const std::string& digest, std::string_view text) {
    write(folder_.blob(digest), text);
    ASSERT_TRUE(link_file(folder_, kCommit, path, digest));
  }
  void put_model() {
    put("config.json", "d1", "{}");
    put("model.safetensors", "d2", "1234567");
    put("tokenizer.json", "d4", "1");
    ASSERT_TRUE(write_ref(folder_, "main", kCommit));
  }

  const TemporaryFolder temporary_;
  const std::string cache_ = temporary_.path();
  const ModelId id_{"org/name"};
  const ModelFolder folder_{cache_, "org/name"};
};

TEST_F(HubCache, HasTheLayoutThatOtherProgramsShare) {
  put("sub/dir/x.json", "d0", "x");
  put_model();

  EXPECT_EQ(folder_.root, cache_ + "/models--org--name");
  EXPECT_EQ(fs::read_symlink(folder_.snapshot(kCommit) + "/config.json"), "../../blobs/d1");
  EXPECT_EQ(fs::read_symlink(folder_.snapshot(kCommit) + "/sub/dir/x.json"),
            "../../../../blobs/d0");
  EXPECT_EQ(fs::file_size(folder_.ref("main")), 40);
  EXPECT_EQ(find_complete(cache_, id_), folder_.snapshot(kCommit));
  EXPECT_EQ(find_complete(cache_, {"org/name", kCommit}), folder_.snapshot(kCommit));
  EXPECT_FALSE(find_complete(cache_, {"org/name", "v2"}));
  EXPECT_FALSE(find_complete(cache_, {"org/other"}));
}

TEST_F(HubCache, AModelIsCompleteWithConfigurationTokenizerAndEveryShardOfItsIndex) {
  put("config.json", "d1", "{}");
  ASSERT_TRUE(write_ref(folder_, "main", kCommit));
  put("adapter_model.safetensors", "d5", "x");
  EXPECT_THAT(missing_files(folder_.snapshot(kCommit)),
              ElementsAre("tokenizer.json", "model.safetensors"));
  put("tokenizer.json", "d4", "{}");
  put("model.safetensors.index.json", "d2",
      R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})");
  put("s2.safetensors", "d3", "x");
  EXPECT_THAT(missing_files(folder_.snapshot(kCommit)), ElementsAre("s1.safetensors"));
  fs::remove(folder_.blob("d3"));  // a link into nothing is no file
  EXPECT_THAT(missing_files(folder_.snapshot(kCommit)),
              ElementsAre("s1.safetensors", "s2.safetensors"));
  EXPECT_FALSE(find_complete(cache_, id_));
  EXPECT_TRUE(find_snapshot(cache_, id_));
}

TEST_F(HubCache, ARefThatNamesAnotherFolderIsNotFollowed) {
  put_model();
  write(folder_.ref("main"), "../../../../etc");
  EXPECT_FALSE(find_snapshot(cache_, id_));
}

TEST_F(HubCache, ListsModelsWithSizeAndWhatIsMissing) {
  put_model();
  put("config.json", "d1", "{}");
  write(folder_.blob("d9.incomplete"), "123");
  write(cache_ + "/models--org--begun/blobs/x.incomplete", "12");
  fs::create_directories(cache_ + "/datasets--org--name");
  fs::create_directories(cache_ + "/models--..--x");

  const auto models = list_models(cache_);

  ASSERT_EQ(models.size(), 2);
  EXPECT_EQ(models[0].id.repository, "org/begun");
  EXPECT_EQ(models[0].commit, "");
  EXPECT_EQ(models[0].unfinished, 2);
  EXPECT_EQ(models[1].id, id_);
  EXPECT_EQ(models[1].commit, kCommit);
  EXPECT_EQ(models[1].bytes, 10);
  EXPECT_EQ(models[1].unfinished, 3);
  EXPECT_THAT(models[1].missing, IsEmpty());
  EXPECT_FALSE(models[1].is_used);
  EXPECT_THAT(list_models(cache_ + "/absent"), IsEmpty());
}

TEST_F(HubCache, RemovesAModelUnlessItIsInUse) {
  put_model();
  {
    const auto use = mark_used(cache_, id_);
    const auto second = mark_used(cache_, id_);  // many may use it
    ASSERT_TRUE(use && second);
    EXPECT_TRUE(list_models(cache_)[0].is_used);
    EXPECT_THAT(remove_model(cache_, "org/name").error().message(), HasSubstr("is in use"));
  }
  EXPECT_EQ(*remove_model(cache_, "org/name"), 10);
  EXPECT_FALSE(fs::exists(folder_.root));
  EXPECT_EQ(remove_model(cache_, "org/name").error().code(), Code::kNotFound);
}

TEST_F(HubCache, RemovesNothingOutsideTheCache) {
  const std::string outside = cache_ + "-outside";
  write(outside + "/blob", "precious");
  put_model();
  fs::remove(folder_.blob("d2"));
  fs::create_symlink(outside + "/blob", folder_.blob("d2"));
  EXPECT_TRUE(remove_model(cache_, "org/name"));
  fs::create_directory_symlink(outside, folder_.root);
  EXPECT_EQ(remove_model(cache_, "org/name").error().code(), Code::kDenied);
  EXPECT_TRUE(fs::exists(outside + "/blob"));
  fs::remove_all(outside);
}

TEST_F(HubCache, ALockEndsWithItsHolderAndFollowsAReplacedFile) {
  const auto file = cache_ + "/.locks/x/a.lock";
  {
    auto held = FileLock::try_lock(file, FileLock::Kind::kExclusive);
    ASSERT_TRUE(held && *held);
    (*held)->note("7 8 9");
    EXPECT_EQ(read_note(file), "7 8 9");
    EXPECT_FALSE(*FileLock::try_lock(file, FileLock::Kind::kShared));
    fs::remove(file);  // whoever comes now locks another file
    EXPECT_TRUE(*FileLock::try_lock(file, FileLock::Kind::kExclusive));
  }
  EXPECT_TRUE(*FileLock::try_lock(file, FileLock::Kind::kExclusive));
}

TEST_F(HubCache, TheEnvironmentSaysWhereItIs) {
  std::map<std::string, std::string> set;
  const auto read = [&] { return *read_settings([&](const char* name) { return set[name]; }); };
  EXPECT_EQ(read().cache, "");
  set["HOME"] = "/home/x";
  EXPECT_EQ(read().cache, "/home/x/.cache/huggingface/hub");
  EXPECT_EQ(to_string(read().endpoint), "https://huggingface.co");
  set["XDG_CACHE_HOME"] = "/c";
  EXPECT_EQ(read().cache, "/c/huggingface/hub");
  set["HF_HOME"] = cache_;
  EXPECT_EQ(read().cache, cache_ + "/hub");
  write(cache_ + "/token", "hf_file\n");
  EXPECT_EQ(read().token, "hf_file");
  set["HF_TOKEN"] = "hf_variable";
  EXPECT_EQ(read().token, "hf_variable");
  set["HF_HUB_CACHE"] = "/d/";
  EXPECT_EQ(read().cache, "/d");
  EXPECT_FALSE(read().is_offline);
  set["HF_HUB_OFFLINE"] = "true";
  EXPECT_TRUE(read().is_offline);
  set["HF_ENDPOINT"] = "http://127.0.0.1:9/mirror/";
  EXPECT_EQ(to_string(read().endpoint), "http://127.0.0.1:9/mirror");
  set["HF_ENDPOINT"] = "mirror";
  EXPECT_FALSE(read_settings([&](const char* name) { return set[name]; }));
}

class Silent final : public Listener {
 public:
  void expect(std::uint64_t) override {}
  void have(std::uint64_t) override {}
  void say(std::string_view line) override { said += line; }
  std::string said;
};

TEST_F(HubCache, AnotherProcessThatBringsNothingIsGivenUpAfterTenMinutes) {
  auto held = *FileLock::try_lock(folder_.pull_lock(), FileLock::Kind::kExclusive);
  held->note("4711 0 100");
  ManualClock clock;
  const Mono start = clock.now();
  Silent listener;
  Settings settings;
  settings.cache = cache_;
  Patience patience({.sleep = [&](Nanos time) { clock.advance(time); }});

  const auto pulled = pull(id_, Want::kAny, settings, std::move(patience), listener, clock);

  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code(), Code::kTimeout);
  EXPECT_THAT(pulled.error().message(), HasSubstr("brings nothing: 4711 0 100"));
  EXPECT_THAT(listener.said, HasSubstr("process 4711 downloads it; waiting"));
  EXPECT_GE(clock.now() - start, kStuck);
}

}  // namespace
}  // namespace baton::hub
