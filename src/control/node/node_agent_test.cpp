#include "control/node/node_agent.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/core/testing/temporary_folder.hpp"
#include "control/node/testing/processes.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::node {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const kube::Type kPod{"", "v1", "Pod"};

kube::Object parse(const std::string& text) {
  auto value = text::json::parse(text);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : kube::Object();
}

// A decode pod as the planner makes it: initializer, sidecar, engine.
constexpr const char* kDecodePod = R"({"apiVersion":"v1","kind":"Pod",
  "metadata":{"name":"decode","namespace":"ns","labels":{"app.kubernetes.io/name":"svc",
    "llm-d.ai/role":"decode"}},
  "spec":{"terminationGracePeriodSeconds":5,
    "volumes":[{"name":"m","emptyDir":{}},{"name":"cm","configMap":{"name":"settings"}}],
    "initContainers":[
      {"name":"storage-initializer","image":"example/storage-initializer:1",
       "args":["baton://src","/mnt/models"],"volumeMounts":[{"name":"m","mountPath":"/mnt/models"}]},
      {"name":"sidecar","image":"x","restartPolicy":"Always","command":["/app/pd-sidecar"],
       "args":["--port=8000","--inference-pool=ns/p"],
       "startupProbe":{"httpGet":{"path":"/health","port":8000}}}],
    "containers":[{"name":"main","image":"x","command":["vllm","serve","/mnt/models"],
       "args":["--port=8001"],"ports":[{"containerPort":8001}],
       "lifecycle":{"preStop":{"exec":{"command":["/bin/sleep","15"]}}},
       "volumeMounts":[{"name":"m","mountPath":"/mnt/models"},{"name":"cm","mountPath":"/etc/cm"}],
       "readinessProbe":{"httpGet":{"path":"/health","port":8001},"periodSeconds":1,
         "failureThreshold":1},
       "livenessProbe":{"httpGet":{"path":"/health","port":8001},"periodSeconds":1,
         "failureThreshold":1}}]}})";

// A pod that prints the ConfigMap `settings` at /etc/baton-test and writes into /baton-test/deep.
std::string reader(const std::string& name, const std::string& settings, const fs::path& host) {
  auto pod = parse(R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"ns"},
    "spec":{"volumes":[{"name":"w","emptyDir":{}},{"name":"cm","configMap":{}},
                       {"name":"m","hostPath":{}}],
      "containers":[{"name":"main","image":"x","command":["vllm"],
        "args":["--print","/etc/baton-test/key","--write","/baton-test/deep/file",
                "--write","/mnt/models/baton-test-file"],
        "readinessProbe":{"httpGet":{"path":"/health","port":8000}},
        "volumeMounts":[{"name":"w","mountPath":"/baton-test/deep"},
                        {"name":"cm","mountPath":"/etc/baton-test"},
                        {"name":"m","mountPath":"/mnt/models","readOnly":true}]}]}})");
  pod["metadata"]["name"] = name;
  auto& volumes = *pod["spec"]["volumes"].if_array();
  volumes[1]["configMap"]["name"] = settings;
  volumes[2]["hostPath"]["path"] = host.string();
  return text::json::dump(pod);
}

// Every test runs with real mount paths and with rewritten ones.
class NodeAgentTest : public ::testing::TestWithParam<Mounts> {
 protected:
  NodeAgentTest() {
    config_.state_dir = state_.string();
    host_ = state_ / "host";
    fs::create_directory(host_);
    config_.baton = NODE_TEST_PROGRAM;
    config_.path = "/usr/bin:/bin";
    config_.models_dirs = {BATON_SOURCE_DIR};
    config_.restart_base = Millis(10);
    config_.mounts = GetParam();
    create(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"ns"},
      "data":{"key":"value"}})");
  }
  ~NodeAgentTest() override { agent_.reset(); }

  void SetUp() override {
    if (GetParam() == Mounts::kRewrite) return;
    const auto started = NodeAgent::start({cluster_, clock_, random_}, config_);
    if (!started && started.error().code() == Code::kUnsupported) {
      GTEST_SKIP() << started.error().message();
    }
  }
  void start() {
    auto started = NodeAgent::start({cluster_, clock_, random_}, config_);
    ASSERT_TRUE(started) << started.error().message();
    agent_ = *std::move(started);
  }
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  void create(const std::string& text) {
    const auto made = cluster_.create(parse(text), kube::DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
  }
  static kube::ObjectKey key(const std::string& name) { return {kPod, "ns", name}; }

  // The pod as soon as `holds`; fails the test at the deadline.
  kube::Object await(const std::string& name,
                     const std::function<bool(const kube::Object&)>& holds) {
    const auto deadline = soon();
    const auto list = cluster_.list({kPod, "ns", {}}, deadline);
    auto watch = cluster_.watch({kPod, "ns", {}}, list->version, deadline);
    while (!deadline.passed(clock_.now())) {
      const auto pod = cluster_.get(key(name), deadline);
      if (pod && holds(*pod)) return *pod;
      EXPECT_TRUE((*watch)->next(deadline));
    }
    const auto last = cluster_.get(key(name), soon());
    ADD_FAILURE() << "waited in vain; last: " << (last ? text::json::pretty(*last) : "no pod");
    return {};
  }
  void await_gone(const std::string& name) {
    const auto deadline = soon();
    const auto list = cluster_.list({kPod, "ns", {}}, deadline);
    auto watch = cluster_.watch({kPod, "ns", {}}, list->version, deadline);
    while (cluster_.get(key(name), deadline) && !deadline.passed(clock_.now())) {
      EXPECT_TRUE((*watch)->next(deadline));
    }
    EXPECT_FALSE(cluster_.get(key(name), deadline));
  }
  static bool is_ready(const kube::Object& pod) { return kube::condition_is(pod, "Ready", "True"); }
  static const kube::Object* container(const kube::Object& pod) {
    const auto* list = pod.find_path({"status", "containerStatuses"});
    return list == nullptr || list->if_array()->empty() ? nullptr : &list->if_array()->front();
  }
  static std::string_view waiting(const kube::Object& pod, std::string_view member) {
    const auto* status = container(pod);
    return status == nullptr ? "" : status->string_at({"state", "waiting", member});
  }
  std::string ask(const kube::Object& pod, std::uint16_t port, const std::string& path) {
    const auto answer =
        blocking_get({std::string(pod.string_at({"status", "podIP"})), port, path}, soon(), clock_);
    return answer ? std::to_string(answer->status) : answer.error().message();
  }
  std::string log(const std::string& pod, const std::string& name) {
    std::ifstream in(state_ / "logs" / "ns" / pod / (name + ".log"));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  int processes() const { return testing::processes_of(state_); }

  SystemClock clock_;
  SystemRandom random_;
  kube::MemoryCluster cluster_{clock_, random_};
  TemporaryFolder folder_;
  const fs::path& state_ = folder_.path();
  fs::path host_;
  Config config_;
  std::unique_ptr<NodeAgent> agent_;
};

TEST_P(NodeAgentTest, RunsADecodePodWithInitializerSidecarAndEngine) {
  start();
  create(kDecodePod);
  const auto pod = await("decode", is_ready);

  EXPECT_EQ(pod.string_at({"status", "phase"}), "Running");
  EXPECT_EQ(pod.string_at({"spec", "nodeName"}), "baton");
  EXPECT_TRUE(pod.string_at({"status", "podIP"}).starts_with("127.77."));
  EXPECT_EQ(ask(pod, 8000, "/health"), "200");
  EXPECT_EQ(ask(pod, 8001, "/health"), "200");

  const auto model = state_ / "pods" / "ns_decode" / "volumes" / "m";
  EXPECT_EQ(fs::read_symlink(model), BATON_SOURCE_DIR "/src");
  const auto seen = GetParam() == Mounts::kRewrite ? model.string() : "/mnt/models";
  EXPECT_THAT(log("decode", "main"), HasSubstr("/bin/vllm serve " + seen + " --port=8001"));
  EXPECT_THAT(log("decode", "sidecar"),
              HasSubstr("--allowlist-file=" + (state_ / "allowlists" / "ns_svc").string()));
  std::ifstream setting(state_ / "pods" / "ns_decode" / "volumes" / "cm" / "key");
  std::string text;
  setting >> text;
  EXPECT_EQ(text, "value");
}

TEST_P(NodeAgentTest, LinksAModelAndItsAdaptersIntoOneVolume) {
  start();
  auto pod = parse(kDecodePod);
  auto& initializer = (*pod["spec"]["initContainers"].if_array())[0];
  initializer["args"] =
      parse(R"(["baton://src","/mnt/models","baton://docs","/mnt/lora/a","baton://fuzz",
        "/mnt/lora/b"])");
  initializer["volumeMounts"] = parse(R"([{"name":"m","mountPath":"/mnt"}])");
  (*pod["spec"]["containers"].if_array())[0]["volumeMounts"] =
      parse(R"([{"name":"m","mountPath":"/mnt","readOnly":true}])");
  create(text::json::dump(pod));
  await("decode", is_ready);

  const auto volume = state_ / "pods" / "ns_decode" / "volumes" / "m";
  EXPECT_EQ(fs::read_symlink(volume / "models"), BATON_SOURCE_DIR "/src");
  EXPECT_EQ(fs::read_symlink(volume / "lora/a"), BATON_SOURCE_DIR "/docs");
  EXPECT_EQ(fs::read_symlink(volume / "lora/b"), BATON_SOURCE_DIR "/fuzz");
}

TEST_P(NodeAgentTest, NeverReplacesAFolderOfTheMachineByAModel) {
  std::ofstream(host_ / "mine") << "text";
  const auto claim = state_ / "pvc" / "c";
  fs::create_directories(claim);
  start();
  for (const auto& [name, volume] :
       {std::pair{"host", R"({"name":"m","hostPath":{"path":")" + host_.string() + R"("}})"},
        {"claim", R"({"name":"m","persistentVolumeClaim":{"claimName":"c"}})"}}) {
    auto pod = parse(kDecodePod);
    pod["metadata"]["name"] = name;
    (*pod["spec"]["volumes"].if_array())[0] = parse(volume);
    create(text::json::dump(pod));
    const auto refused = await(name, [](const kube::Object& p) {
      return std::string(waiting(p, "message")).find("no volume of the pod's own") !=
             std::string::npos;
    });
    EXPECT_EQ(refused.string_at({"status", "phase"}), "Pending");
  }
  EXPECT_TRUE(fs::exists(host_ / "mine"));
  EXPECT_FALSE(fs::is_symlink(claim));
}

TEST_P(NodeAgentTest, PutsNoModelWhereTheInitializerMayNotWrite) {
  start();
  auto pod = parse(kDecodePod);
  auto& initializer = (*pod["spec"]["initContainers"].if_array())[0];
  (*initializer["volumeMounts"].if_array())[0]["readOnly"] = true;
  create(text::json::dump(pod));
  await("decode", [](const kube::Object& p) {
    return waiting(p, "message").find("/mnt/models is mounted read-only") != std::string_view::npos;
  });
}

TEST_P(NodeAgentTest, LeavesAPodToTheSchedulerThatItNames) {
  start();
  auto other = parse(kDecodePod);
  other["metadata"]["name"] = "other";
  other["spec"]["schedulerName"] = "another";
  ASSERT_TRUE(cluster_.create(other, kube::DryRun::kNo, soon()));
  create(kDecodePod);
  await("decode", is_ready);

  EXPECT_EQ(cluster_.get(key("other"), soon())->string_at({"spec", "nodeName"}), "");
}

TEST_P(NodeAgentTest, StopsAPodAndLeavesNothingRunning) {
  start();
  create(kDecodePod);
  await("decode", is_ready);
  EXPECT_EQ(processes(), 2);

  ASSERT_TRUE(cluster_.remove(key("decode"), kube::Grace::kDefault, soon()));
  await_gone("decode");

  EXPECT_EQ(processes(), 0);
  EXPECT_FALSE(fs::exists(state_ / "pods" / "ns_decode"));
  EXPECT_THAT(log("decode", "main"), HasSubstr("argv:"));
}

TEST_P(NodeAgentTest, KillsWhatIgnoresTheTermSignalAtTheEndOfTheGrace) {
  start();
  auto pod = parse(kDecodePod);
  pod["spec"]["terminationGracePeriodSeconds"] = 1;
  (*pod["spec"]["containers"].if_array())[0]["args"].push_back("--ignore-term");
  create(text::json::dump(pod));
  await("decode", is_ready);
  ASSERT_TRUE(cluster_.remove(key("decode"), kube::Grace::kDefault, soon()));
  await_gone("decode");
  EXPECT_EQ(processes(), 0);
}

TEST_P(NodeAgentTest, LetsAnIdleContainersPreStopSleepAsLongAsItIsToldAtLeast) {
  config_.pre_stop_least = Millis(400);
  start();
  create(kDecodePod);
  await("decode", is_ready);
  const Mono before = clock_.now();
  ASSERT_TRUE(cluster_.remove(key("decode"), kube::Grace::kDefault, soon()));
  await_gone("decode");
  EXPECT_GE(clock_.now() - before, Nanos(Millis(400)));
}

TEST_P(NodeAgentTest, RestartsACrashedContainerAndCounts) {
  start();
  create(kDecodePod);
  const auto pod = await("decode", is_ready);
  ask(pod, 8001, "/crash");

  const auto again = await("decode", [](const kube::Object& p) {
    return is_ready(p) && container(p)->find("restartCount")->if_int() == 1;
  });
  const auto* status = container(again);
  EXPECT_EQ(status->find_path({"lastState", "terminated", "exitCode"})->if_int(), 3);
  EXPECT_THAT(std::string(status->string_at({"lastState", "terminated", "message"})),
              HasSubstr("env:"));
}

TEST_P(NodeAgentTest, RestartsAContainerWhoseLivenessProbeFails) {
  start();
  create(kDecodePod);
  const auto pod = await("decode", is_ready);
  ask(pod, 8001, "/sick");
  await("decode", [](const kube::Object& p) { return !is_ready(p); });
  await("decode", [](const kube::Object& p) {
    return is_ready(p) && container(p)->find("restartCount")->if_int() == 1;
  });
}

TEST_P(NodeAgentTest, BacksOffFromAContainerThatKeepsEnding) {
  config_.restart_base = std::chrono::seconds(100);
  start();
  auto pod = parse(kDecodePod);
  (*pod["spec"]["containers"].if_array())[0]["args"] = parse(R"(["--exit-code","7"])");
  create(text::json::dump(pod));
  const auto waiting_pod = await(
      "decode", [](const kube::Object& p) { return waiting(p, "reason") == "CrashLoopBackOff"; });
  EXPECT_EQ(waiting(waiting_pod, "message"), "ended with code 7");
}

TEST_P(NodeAgentTest, KeepsTheAllowlistOfAServiceUpToDate) {
  start();
  auto prefill = parse(kDecodePod);
  prefill["metadata"]["name"] = "prefill";
  prefill["metadata"]["labels"]["llm-d.ai/role"] = "prefill";
  prefill["spec"].if_object()->erase("initContainers");
  (*prefill["spec"]["containers"].if_array())[0]["ports"] = parse(R"([{"containerPort":8001}])");
  create(text::json::dump(prefill));
  const auto pod = await("prefill", is_ready);

  std::ifstream in(state_ / "allowlists" / "ns_svc");
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, std::string(pod.string_at({"status", "podIP"})) + ":8001");

  ASSERT_TRUE(cluster_.remove(key("prefill"), kube::Grace::kDefault, soon()));
  await_gone("prefill");
  EXPECT_EQ(fs::file_size(state_ / "allowlists" / "ns_svc"), 0u);
}

TEST_P(NodeAgentTest, SaysWhyAModelIsNotThere) {
  start();
  auto pod = parse(kDecodePod);
  (*pod["spec"]["initContainers"].if_array())[0]["args"] =
      parse(R"(["baton://absent","/mnt/models"])");
  create(text::json::dump(pod));
  const auto stuck = await("decode", [](const kube::Object& p) {
    const auto* init = p.find_path({"status", "initContainerStatuses"});
    return init != nullptr && init->if_array()->front().string_at({"state", "waiting", "reason"}) ==
                                  "ModelUnavailable";
  });
  EXPECT_EQ(stuck.string_at({"status", "phase"}), "Pending");
}

TEST_P(NodeAgentTest, HoldsAModelOnceHoweverOftenItsPodIsTried) {
  config_.model_dirs = {BATON_SOURCE_DIR};
  config_.hub.cache = state_ / "hub";
  fs::create_directory(state_ / "hub");
  start();
  auto pod = parse(kDecodePod);
  (*pod["spec"]["initContainers"].if_array())[0]["args"] =
      parse(R"(["hf://org/src","/mnt/models"])");
  (*pod["spec"]["containers"].if_array())[0]["env"] =
      parse(R"([{"name":"A","valueFrom":{"configMapKeyRef":{"name":"later","key":"a"}}}])");
  create(text::json::dump(pod));
  await("decode", [](const kube::Object& p) {
    return waiting(p, "message").find("later") != std::string_view::npos;
  });
  create(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"later","namespace":"ns"},
    "data":{"a":"1"}})");
  await("decode", is_ready);

  int locks = 0;
  for (const auto& open : fs::directory_iterator("/proc/self/fd")) {
    std::error_code closed;
    const auto file = fs::read_symlink(open, closed).string();
    if (file.find(state_.filename() / "hub") != std::string::npos) ++locks;
  }
  EXPECT_EQ(locks, 1);
}

TEST_P(NodeAgentTest, LeavesAPodPendingWhenGpusAreMissing) {
  start();
  auto pod = parse(kDecodePod);
  (*pod["spec"]["containers"].if_array())[0]["resources"]["limits"]["nvidia.com/gpu"] = "1";
  create(text::json::dump(pod));
  const auto pending = await("decode", [](const kube::Object& p) {
    return kube::condition_is(p, "PodScheduled", "False");
  });
  EXPECT_THAT(std::string(kube::find_condition(pending, "PodScheduled")->string_at({"message"})),
              HasSubstr("insufficient nvidia.com/gpu: 1 wanted"));
}

TEST_P(NodeAgentTest, RefusesAProgramThatIsNotAllowed) {
  start();
  auto pod = parse(kDecodePod);
  (*pod["spec"]["containers"].if_array())[0]["command"] = parse(R"(["/usr/bin/id"])");
  create(text::json::dump(pod));
  const auto refused = await(
      "decode", [](const kube::Object& p) { return waiting(p, "reason") == "ProgramNotAllowed"; });
  EXPECT_THAT(std::string(waiting(refused, "message")), HasSubstr("--allow-exec"));
}

TEST_P(NodeAgentTest, StopsEveryPodWithinTheDeadline) {
  start();
  create(kDecodePod);
  await("decode", is_ready);
  agent_->stop(soon());
  EXPECT_EQ(processes(), 0);
}

TEST_P(NodeAgentTest, KillsEverythingWhenItsProcessIsKilled) {
  const pid_t run = ::fork();
  if (run == 0) {  // a run of its own, killed without a chance to clean up
    SystemClock clock;
    SystemRandom random;
    kube::MemoryCluster cluster(clock, random);
    auto config = parse(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings",
      "namespace":"ns"}})");
    (void)cluster.create(config, kube::DryRun::kNo, Deadline{});
    (void)cluster.create(parse(kDecodePod), kube::DryRun::kNo, Deadline{});
    const auto list = cluster.list({kPod, "ns", {}}, Deadline{});
    auto watch = cluster.watch({kPod, "ns", {}}, list->version, Deadline{});
    const auto agent = NodeAgent::start({cluster, clock, random}, config_);
    while (!is_ready(*cluster.get(key("decode"), Deadline{}))) (void)(*watch)->next(Deadline{});
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(run, nullptr, 0), run);
  const auto deadline = soon();
  while (processes() > 0 && !deadline.passed(clock_.now())) std::this_thread::yield();
  EXPECT_EQ(processes(), 0);
}

TEST_P(NodeAgentTest, GivesEachPodItsOwnContentAtTheSamePath) {
  start();
  create(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"others","namespace":"ns"},
    "data":{"key":"other value"}})");
  create(reader("one", "settings", host_));
  create(reader("two", "others", host_));
  await("one", is_ready);
  await("two", is_ready);

  EXPECT_THAT(log("one", "main"), HasSubstr("key: value\n"));
  EXPECT_THAT(log("two", "main"), HasSubstr("key: other value\n"));
  for (const std::string name : {"one", "two"}) {
    EXPECT_THAT(log(name, "main"), HasSubstr("/file: written"));
    EXPECT_TRUE(fs::exists(state_ / "pods" / ("ns_" + name) / "volumes" / "w" / "file"));
  }
  EXPECT_FALSE(fs::exists("/baton-test"));
  EXPECT_FALSE(fs::exists("/etc/baton-test"));
  EXPECT_EQ(fs::exists(host_ / "baton-test-file"), GetParam() == Mounts::kRewrite);
}

TEST_P(NodeAgentTest, RewritesThePathsOfAPodWhoseMountsAreNotPossible) {
  if (GetParam() == Mounts::kNamespace) config_.mounts = Mounts::kAuto;
  start();
  auto pod = parse(reader("one", "settings", host_));
  auto& main = (*pod["spec"]["containers"].if_array())[0];
  (*main["volumeMounts"].if_array())[1]["mountPath"] = "/proc/baton-test";
  (*main["args"].if_array())[1] = "/proc/baton-test/key";
  create(text::json::dump(pod));
  await("one", is_ready);
  EXPECT_THAT(log("one", "main"), HasSubstr("/volumes/cm/key: value\n"));
}

TEST_P(NodeAgentTest, RunsExecProbesWhereTheContainerIs) {
  config_.allow_exec = AllowExec::kYes;
  start();
  auto pod = parse(reader("one", "settings", host_));
  (*pod["spec"]["containers"].if_array())[0]["readinessProbe"] = parse(
      R"({"exec":{"command":["sh","-c","test -f /baton-test/deep/file && ! test -f /no/$$"]}})");
  create(text::json::dump(pod));
  await("one", is_ready);
}

TEST_P(NodeAgentTest, RefusesAnExecProbeThatIsNotAllowed) {
  start();
  auto pod = parse(reader("one", "settings", host_));
  (*pod["spec"]["containers"].if_array())[0]["readinessProbe"] =
      parse(R"({"exec":{"command":["/usr/bin/id"]}})");
  create(text::json::dump(pod));
  const auto refused = await(
      "one", [](const kube::Object& p) { return waiting(p, "reason") == "ProgramNotAllowed"; });
  EXPECT_THAT(std::string(waiting(refused, "message")), HasSubstr("exec probe"));
}

INSTANTIATE_TEST_SUITE_P(, NodeAgentTest, ::testing::Values(Mounts::kNamespace, Mounts::kRewrite),
                         [](const auto& info) {
                           return info.param == Mounts::kRewrite ? "Rewriting" : "Namespaces";
                         });

}  // namespace
}  // namespace baton::node
