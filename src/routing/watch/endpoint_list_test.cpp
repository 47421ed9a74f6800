#include "routing/watch/endpoint_list.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/core/testing/temporary_folder.hpp"

namespace baton::watch {
namespace {

using ::testing::HasSubstr;

const SystemClock kClock;

bool eventually(const std::function<bool()>& condition) {
  const auto limit = Deadline::in(kClock, std::chrono::seconds(20));
  while (!condition()) {
    if (limit.passed(kClock.now())) return false;
    std::this_thread::yield();
  }
  return true;
}

std::string problem(std::string_view entry) {
  const auto read = load_endpoint_list("endpoints: [" + std::string(entry) + "]", "f");
  return read ? "" : std::string(read.error().message());
}

TEST(EndpointList, ReadsWhatLlmdReads) {  // epp:L013
  const auto read = load_endpoint_list(
      "endpoints:\n- {name: d, address: 127.0.1.1, port: \"8001\", labels: {llm-d.ai/role: "
      "decode}}\n"
      "- {name: p, namespace: x, address: '::1', port: 80}\n",
      "f");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->endpoints[0].ns, "default");
  EXPECT_EQ(read->endpoints[0].role(), "decode");
  EXPECT_EQ(read->endpoints[0].port, 8001);
  EXPECT_EQ(read->endpoints[1].host, "::1");
  EXPECT_TRUE(read->objectives.empty() && read->rewrites.empty());
}

constexpr std::string_view kRules = R"(
endpoints: []
objectives: [{name: batch, priority: -10}, {name: chat, priority: 5}]
modelRewrites:
- {name: z, rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: first}]}]}
- {name: a, rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: second}]}]}
)";

TEST(EndpointList, PrioritiesAndRewritesCountForThePoolAsAClustersWould) {
  const schedule::PoolRef pool{.group = "g", .name = "laptop"};
  const auto read = load_endpoint_list(kRules, "f", pool);
  ASSERT_TRUE(read) << read.error().message();

  schedule::Objectives objectives(pool);
  for (const auto& object : read->objectives) ASSERT_TRUE(objectives.set(object));
  EXPECT_EQ(objectives.priority("batch"), -10);
  EXPECT_EQ(objectives.priority("chat"), 5);
  schedule::ModelRewrites rewrites(pool);
  for (const auto& object : read->rewrites) ASSERT_TRUE(rewrites.set(object));
  SeededRandom random(1);
  EXPECT_EQ(rewrites.rewrite("m", random)->model, "first");  // as in the file, not by name
}

TEST(EndpointList, SaysWhichObjectiveOrRewriteIsWrong) {
  const auto said = [](const std::string& lists) {
    const auto list = load_endpoint_list("endpoints: []\n" + lists, "f");
    return list ? std::string() : std::string(list.error().message());
  };
  EXPECT_THAT(said("objectives: [{name: a, priority: high}]"),
              HasSubstr("f: /objectives/0: InferenceObjective a: /spec/priority"));
  EXPECT_THAT(said("objectives: [{name: a}]"), HasSubstr("/objectives/0/priority: it is missing"));
  EXPECT_THAT(said("objectives: [{priority: 1}]"),
              HasSubstr("/objectives/0/name: it needs a name"));
  EXPECT_THAT(said("objectives: [{name: a, priority: 1}, {name: a, priority: 2}]"),
              HasSubstr("/objectives/1/name: 'a' is there twice"));
  EXPECT_THAT(said("objectives: [{name: a, prio: 1}]"), HasSubstr("prio"));
  EXPECT_THAT(said("modelRewrites: [{name: a, rules: [{targets: []}]}]"),
              HasSubstr("a rule needs a target"));
}

TEST(EndpointList, SaysWhichEntryIsWrong) {  // epp:L013
  for (const auto* bad : {"::g", "1.2.3", "1.2.3.256", "", "[::1]"}) {
    EXPECT_THAT(problem("{name: a, address: '" + std::string(bad) + "', port: '1'}"),
                HasSubstr("/endpoints/0/address: expected an IP address"))
        << bad;
  }
  for (const auto* bad : {"65536", "-1", "x", "80x", "''"}) {
    EXPECT_THAT(problem("{name: a, address: 1.2.3.4, port: " + std::string(bad) + "}"),
                HasSubstr("/endpoints/0/port: expected"))
        << bad;
  }
  EXPECT_THAT(load_endpoint_list(std::string(kMaxEndpointList + 1, ' '), "f").error().message(),
              HasSubstr("at most 1 MiB"));
  EXPECT_THAT(problem("{name: a, address: host, port: '1'}"),
              HasSubstr("f: /endpoints/0/address: expected an IP address, found 'host'"));
  EXPECT_THAT(problem("{name: a, address: 1.2.3.4, port: '0'}"), HasSubstr("/endpoints/0/port"));
  EXPECT_THAT(problem("{address: 1.2.3.4, port: '1'}"), HasSubstr("needs a name"));
  EXPECT_THAT(problem("{name: a, address: 1.2.3.4, port: '1', lables: {}}"), HasSubstr("labels"));
  EXPECT_THAT(
      problem("{name: a, address: 1.2.3.4, port: '1'}, {name: a, address: 1.2.3.5, port: '1'}"),
      HasSubstr("there twice"));
}

class EndpointFile {
 public:
  EndpointFile() : path_(::testing::TempDir() + "endpoints-" + std::to_string(::getpid())) {}
  ~EndpointFile() { std::remove(path_.c_str()); }
  void write(std::string_view text) const {
    std::ofstream(path_ + ".new") << text;
    std::rename((path_ + ".new").c_str(), path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr std::string_view kOne = "endpoints: [{name: a, address: 1.2.3.4, port: '1'}]";
constexpr std::string_view kTwo =
    "endpoints: [{name: a, address: 1.2.3.4, port: '1'}, {name: b, address: 1.2.3.5, port: '1'}]";

TEST(EndpointListWatch,
     FollowsAFileThatIsReplacedAndKeepsWhatItHasWhenTheFileIsWrong) {  // epp:L013
  const EndpointFile file;
  file.write(kOne);
  std::atomic<std::size_t> count = 0;
  std::atomic<int> told = 0;
  const auto watch = EndpointListWatch::start(file.path(), EndpointListWatch::Again::kYes, kClock,
                                              [&](const EndpointList& given) {
                                                count = given.endpoints.size();
                                                ++told;
                                              });
  ASSERT_TRUE(watch) << watch.error().message();
  EXPECT_EQ(count, 1);
  file.write("endpoints: [{}]");
  file.write(kTwo);
  EXPECT_TRUE(eventually([&] { return count == 2; }));
  EXPECT_GE(told, 2);
  file.write(kOne);
  EXPECT_TRUE(eventually([&] { return count == 1; }));
}

TEST(EndpointListWatch, FollowsAMountedConfigMapWhoseFolderIsSwapped) {  // epp:L013
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const auto fill = [&](const std::string& version, std::string_view text) {
    fs::create_directory(folder.file(version));
    std::ofstream(folder.file(version) + "/endpoints.yaml") << text;
  };
  fill("..1", kOne);
  fs::create_symlink("..1", folder.file("..data"));
  fs::create_symlink("..data/endpoints.yaml", folder.file("endpoints.yaml"));
  std::atomic<std::size_t> count = 0;
  const auto watch = EndpointListWatch::start(
      folder.file("endpoints.yaml"), EndpointListWatch::Again::kYes, kClock,
      [&](const EndpointList& given) { count = given.endpoints.size(); });
  ASSERT_TRUE(watch) << watch.error().message();
  EXPECT_EQ(count, 1);
  fill("..2", kTwo);
  fs::create_symlink("..2", folder.file("..new"));
  fs::rename(folder.file("..new"), folder.file("..data"));
  EXPECT_TRUE(eventually([&] { return count == 2; }));
}

TEST(EndpointListWatch, RefusesToStartOnAFileThatIsWrongOrMissing) {
  const EndpointFile file;
  file.write("endpoints: [{}]");
  const auto watch = EndpointListWatch::start(file.path(), EndpointListWatch::Again::kNo, kClock,
                                              [](const EndpointList&) {});
  ASSERT_FALSE(watch);
  EXPECT_THAT(watch.error().message(), HasSubstr(file.path()));
  const auto missing = EndpointListWatch::start("/nowhere/endpoints", EndpointListWatch::Again::kNo,
                                                kClock, [](const EndpointList&) {});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("cannot read /nowhere/endpoints"));
}

}  // namespace
}  // namespace baton::watch
