#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/core/testing/temporary_folder.hpp"
#include "cli/manifest_files.hpp"
#include "cli/serve_view.hpp"
#include "cli/state_dir.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

kube::Object parse(const std::string& text) {
  auto value = text::json::parse(text);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : kube::Object();
}

TEST(StateDir, IsHeldByOneProcessAtATime) {
  const TemporaryFolder folder;
  auto first = StateDir::open(folder.file("state"));
  ASSERT_TRUE(first) << first.error().message();
  const auto second = StateDir::open(folder.file("state"));
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_THAT(second.error().message(), HasSubstr("pid " + std::to_string(::getpid())));
  first->reset();
  EXPECT_TRUE(StateDir::open(folder.file("state")));
}

TEST(StateDir, TakesAFolderThatIsEmptyAndClosesIt) {
  const TemporaryFolder folder;
  const auto state = folder.file("state");
  std::filesystem::create_directory(state);

  ASSERT_TRUE(StateDir::open(state));

  EXPECT_EQ(std::filesystem::status(state).permissions(), std::filesystem::perms::owner_all);
  std::filesystem::create_directory(state + "/logs");  // as its pods do
  EXPECT_TRUE(StateDir::open(state));
}

TEST(StateDir, TakesAFolderInWhichOnlyClaimsWereFilledAndClosesIt) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const auto state = folder.file("state");
  fs::create_directories(state + "/pvc/store");
  fs::permissions(state, fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read);

  const auto opened = StateDir::open(state);

  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(fs::status(state).permissions(), fs::perms::owner_all);
}

TEST(StateDir, LeavesAFolderOfSomebodyElse) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const auto project = folder.file("project");
  fs::create_directories(project + "/logs");
  fs::permissions(project, fs::perms::owner_all);

  const auto closed = StateDir::open(project);
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message(), HasSubstr("of which pods or logs would be deleted"));

  fs::remove(project + "/logs");
  std::ofstream(project + "/main.py") << "print()";
  EXPECT_TRUE(StateDir::open(project));  // private, and nothing is in the way

  fs::remove(project + "/lock");
  const auto for_all = fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read;
  fs::permissions(project, for_all);
  EXPECT_EQ(StateDir::open(project).error().code(), Code::kConflict);
  EXPECT_EQ(fs::status(project).permissions(), for_all);
}

// A volume of Kubernetes with an fsGroup.
TEST(StateDir, TakesAFolderOfItsGroupThatItMayNotCloseUnlessOthersMayReadIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root makes a folder of another user";
  namespace fs = std::filesystem;
  constexpr ::gid_t kOther = 65534;
  const TemporaryFolder folder;
  fs::permissions(folder.file(""), fs::perms::owner_all | fs::perms::others_exec);
  const auto state = folder.file("state");
  fs::create_directory(state);
  ASSERT_EQ(::chown(state.c_str(), 0, kOther), 0);
  const auto open_as_other = [&](fs::perms permissions) {
    fs::permissions(state, permissions);
    EXPECT_EQ(::setegid(kOther), 0);
    EXPECT_EQ(::seteuid(kOther), 0);
    const auto opened = StateDir::open(state);
    EXPECT_EQ(::seteuid(0), 0);
    EXPECT_EQ(::setegid(0), 0);
    return opened ? "" : opened.error().message();
  };

  const auto for_group = fs::perms::owner_all | fs::perms::group_all;
  EXPECT_EQ(open_as_other(for_group), "");
  EXPECT_THAT(open_as_other(for_group | fs::perms::others_read), HasSubstr("not permitted"));
}

TEST(StateDir, RefusesPathsThatAScriptCouldNotTake) {
  EXPECT_EQ(StateDir::open("/tmp/a b").error().code(), Code::kInvalid);
  EXPECT_EQ(StateDir::open("/tmp/$(x)").error().code(), Code::kInvalid);
}

TEST(ManifestFiles, PlanTheCompiledInQuickstartWithoutFiles) {
  const auto manifests = read_manifest_files({});
  ASSERT_TRUE(manifests) << manifests.error().message();
  const auto plans = plan_manifests(*manifests, {});
  ASSERT_TRUE(plans) << plans.error().message();
  ASSERT_EQ(plans->size(), 1u);
  EXPECT_TRUE(check_picker(plans->front()));
}

TEST(ManifestFiles, RefuseAPickerThatCannotBeMade) {
  const TemporaryFolder folder;
  std::ifstream in(BATON_SOURCE_DIR "/examples/quickstart.yaml");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  text.replace(text.find("load-aware-scorer"), 17, "load-awear-scorer");
  std::ofstream(folder.file("m.yaml")) << text;
  const auto manifests = read_manifest_files({folder.file("m.yaml")});
  const auto plans = plan_manifests(*manifests, {});
  ASSERT_TRUE(plans) << plans.error().message();
  const auto checked = check_picker(plans->front());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kInvalid);
  EXPECT_THAT(checked.error().message(), HasSubstr("load-aware-scorer"));
}

api::Manifests manifests(const std::string& text) {
  const api::Source source{"m.yaml", text};
  return *api::read_manifests({&source, 1});
}

const kube::Type kConfigMap{"", "v1", "ConfigMap"};

TEST(ManifestSync, AddsUpdatesAndRemovesWithTheFiles) {
  const SystemClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(clock, random);
  ManifestSync sync(cluster, clock);
  const std::string two = R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {k: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: other}
)";
  ASSERT_TRUE(sync.apply(manifests(two)));
  EXPECT_TRUE(cluster.get({kConfigMap, "default", "a"}, {}));
  EXPECT_TRUE(cluster.get({kConfigMap, "other", "b"}, {}));

  ASSERT_TRUE(
      sync.apply(manifests("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, "
                           "data: {k: '2'}}")));
  EXPECT_EQ(cluster.get({kConfigMap, "default", "a"}, {})->string_at({"data", "k"}), "2");
  EXPECT_FALSE(cluster.get({kConfigMap, "other", "b"}, {}));
}

TEST(ManifestSync, TakesBackWhatAnEditDidThatFailedLater) {
  const SystemClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(clock, random);
  ManifestSync sync(cluster, clock);
  const std::string before =
      "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: '1'}}";
  ASSERT_TRUE(sync.apply(manifests(before)));

  EXPECT_FALSE(
      sync.apply(manifests("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: '2'}}"
                           "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}"
                           "\n---\n{apiVersion: v1, kind: Secret, metadata: {name: My_Key}}")));
  EXPECT_TRUE(cluster.get({kConfigMap, "default", "b"}, {}));

  ASSERT_TRUE(sync.apply(manifests(before)));
  EXPECT_EQ(cluster.get({kConfigMap, "default", "a"}, {})->string_at({"data", "k"}), "1");
  EXPECT_FALSE(cluster.get({kConfigMap, "default", "b"}, {}));
}

TEST(ManifestSync, MakesAnObjectAnewThatCameBackWhileItWasDeleted) {
  const SystemClock clock;
  SeededRandom random(1);
  kube::MemoryCluster cluster(clock, random);
  ManifestSync sync(cluster, clock);
  const std::string other = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}";
  const std::string both =
      other + "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a, finalizers: [x.y/z]}}";
  ASSERT_TRUE(sync.apply(manifests(both)));
  ASSERT_TRUE(sync.apply(manifests(other)));  // the finalizer holds it
  EXPECT_EQ(sync.apply(manifests(both)).error().code(), Code::kUnavailable);

  const kube::ObjectKey key{kConfigMap, "default", "a"};
  auto live = *cluster.get(key, {});
  live["metadata"].if_object()->erase("finalizers");
  ASSERT_TRUE(cluster.update(live, kube::DryRun::kNo, {}));
  EXPECT_FALSE(cluster.get(key, {}));
  ASSERT_TRUE(sync.apply(manifests(both)));
  EXPECT_FALSE(kube::is_deleting(*cluster.get(key, {})));
}

TEST(ServeView, TellsWhyAPodWaitsAndWhichProcessesItHas) {
  const auto pod = parse(R"({"metadata":{"name":"p","namespace":"ns",
    "labels":{"llm-d.ai/role":"decode"}},"status":{"podIP":"127.77.1.2","containerStatuses":[
    {"name":"main","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff",
      "message":"ended with code 7"}},"lastState":{"terminated":{"message":"before\nboom"}}},
    {"name":"x","restartCount":0,"containerID":"process://42","state":{"running":{}}}]}})");
  const auto view = view_of({}, {pod});

  ASSERT_EQ(view.pods.size(), 1u);
  EXPECT_EQ(view.pods[0].state, "CrashLoopBackOff");
  EXPECT_EQ(view.pods[0].detail, "container main: ended with code 7: boom");
  EXPECT_EQ(view.pods[0].restarts, 2);
  EXPECT_EQ(view.pods[0].containers[1].pid, 42);
  EXPECT_THAT(changes({}, view),
              ElementsAre("pod p: CrashLoopBackOff: container main: ended with code 7: boom"));
  EXPECT_TRUE(changes(view, view).empty());
  EXPECT_THAT(changes(view, {}), ElementsAre("pod p: gone"));

  const auto file = parse(status_file({"http://x/v1", "", false}, view, {}));
  const auto& entry = file.find("pods")->if_array()->front();
  EXPECT_EQ(entry.string_at({"role"}), "decode");
  EXPECT_EQ(entry.find("containers")->if_array()->back().find("pid")->if_int(), 42);
  EXPECT_THAT(status_table({"http://x/v1", "s", false}, view, {}, 80),
              ::testing::AllOf(HasSubstr("127.77.1.2"), HasSubstr("stand-in s")));
}

TEST(ServeView, TellsServicesAndPodsOfOneNameInTwoNamespacesApart) {
  StackView view;
  view.services.resize(2);
  view.services[0].ns = "a";
  view.services[0].ready = true;
  view.services[1].ns = "b";
  view.services[1].reason = "x";
  view.pods.resize(2);
  view.pods[0].ns = "a";
  view.pods[0].state = "Ready";
  view.pods[1].ns = "b";
  view.pods[1].state = "Starting";
  for (auto& service : view.services) service.name = "llm";
  for (auto& pod : view.pods) pod.name = "p";
  EXPECT_TRUE(changes(view, view).empty());
  EXPECT_THAT(changes({}, view),
              ElementsAre("pod a/p: Ready", "pod b/p: Starting", "service a/llm: Ready",
                          "service b/llm: not ready: x"));

  auto later = view;
  later.pods.pop_back();
  EXPECT_THAT(changes(view, later), ElementsAre("pod b/p: gone"));
}

TEST(ServeView, FitsItsTableIntoTheTerminal) {
  StackView view;
  auto& pod = view.pods.emplace_back();
  pod.name = "storyteller-kserve-prefill-zvdc9l66d9-m6r74";
  pod.role = "prefill";
  pod.address = "127.77.228.254";
  pod.state = "Ready";
  for (const std::size_t columns : {80u, 100u, 200u}) {
    const auto table = status_table({"http://x/v1", "", true}, view, {}, columns);
    for (std::size_t at = 0; at < table.size();) {
      const auto end = table.find('\n', at);
      EXPECT_LT(end - at, columns) << table;
      at = end + 1;
    }
    EXPECT_THAT(table, HasSubstr("m6r74"));
    EXPECT_EQ(table.contains(view.pods[0].name), columns == 200);
  }
}

TEST(ServeView, NamesTheContainerOnce) {
  const auto pod = parse(R"({"metadata":{"name":"p","namespace":"ns"},"status":{
    "containerStatuses":[{"name":"main","state":{"waiting":{"reason":"ProgramNotAllowed",
      "message":"container other: runs 'python3'"}}}]}})");

  EXPECT_EQ(view_of({}, {pod}).pods.at(0).detail, "container other: runs 'python3'");
}

TEST(ServeView, TellsWhatAProbeFound) {
  auto service = parse(R"({"metadata":{"name":"s","namespace":"n"},"status":{"conditions":[
    {"type":"KVTransferVerified","status":"Unknown","message":"m"}]}})");
  const auto before = view_of({service}, {});
  EXPECT_TRUE(changes({}, before).empty()) << "not known yet";
  service["status"]["conditions"].if_array()->front()["status"] = "False";
  const auto now = view_of({service}, {});
  EXPECT_THAT(changes(before, now), ElementsAre("service n/s: probe failed: m"));
  EXPECT_TRUE(changes(now, now).empty());
  const auto file = *text::json::parse(status_file({}, now, {}));
  EXPECT_EQ(text::json::dump(*file.find("services")->if_array()->front().find("kvTransfer")),
            R"({"status":"False","message":"m"})");
}

TEST(ServeView, IsReadyWhenEveryServiceIsForItsCurrentGeneration) {
  const auto service = [](int seen) {
    auto out = parse(R"({"metadata":{"generation":2},"status":{"conditions":[
      {"type":"Ready","status":"True"}]}})");
    out["status"]["observedGeneration"] = seen;
    return out;
  };
  EXPECT_FALSE(all_ready({}));
  EXPECT_TRUE(all_ready({service(2)}));
  EXPECT_FALSE(all_ready({service(2), service(1)}));
}

}  // namespace
}  // namespace baton::cli
