// The node agent as the kubelet of a server that others write to, too, and that may fail.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/core/testing/temporary_folder.hpp"
#include "control/node/environment.hpp"
#include "control/node/node_agent.hpp"
#include "control/node/pod_writer.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::node {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const kube::Type kPod{"", "v1", "Pod"};

// A store that gives tokens and can be told to answer nothing.
class ApiServer final : public kube::Cluster {
 public:
  ApiServer(const Clock& clock, Random& random) : inner_(clock, random) {}
  std::atomic<bool> silent = false;
  std::atomic<int> unanswered = 0;

  Result<kube::Object> get(const kube::ObjectKey& key, Deadline deadline) override {
    return silent ? down() : inner_.get(key, deadline);
  }
  Result<kube::List> list(const kube::Query& query, Deadline deadline) override {
    return inner_.list(query, deadline);
  }
  Result<kube::Object> create(const kube::Object& object, kube::DryRun dry,
                              Deadline deadline) override {
    return inner_.create(object, dry, deadline);
  }
  Result<kube::Object> update(const kube::Object& object, kube::DryRun dry,
                              Deadline deadline) override {
    return inner_.update(object, dry, deadline);
  }
  Result<kube::Object> update_status(const kube::Object& object, Deadline deadline) override {
    return silent ? down() : inner_.update_status(object, deadline);
  }
  Result<kube::Object> patch(const kube::ObjectKey& key, const kube::Object& merge_patch,
                             kube::DryRun dry, Deadline deadline) override {
    return inner_.patch(key, merge_patch, dry, deadline);
  }
  Result<kube::Object> create_subresource(const kube::ObjectKey& key, std::string_view subresource,
                                          const kube::Object& body, Deadline deadline) override {
    if (subresource != "token") return inner_.create_subresource(key, subresource, body, deadline);
    kube::Object answer = body;
    answer["status"]["token"] = "token of " + key.name;
    return answer;
  }
  Status remove(const kube::ObjectKey& key, const kube::Removal& how, Deadline deadline) override {
    return inner_.remove(key, how, deadline);
  }
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& query, const kube::Version& from,
                                             Deadline deadline) override {
    return inner_.watch(query, from, deadline);
  }

 private:
  Result<kube::Object> down() {
    ++unanswered;
    return unavailable("the server does not answer");
  }
  kube::MemoryCluster inner_;
};

kube::Object parse(std::string_view text) {
  auto value = text::json::parse(text);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : kube::Object();
}

// An engine with the volume that a ServiceAccount's admission adds.
kube::Object engine_pod() {
  return parse(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"engine","namespace":"ns"},
    "spec":{"serviceAccountName":"runner","terminationGracePeriodSeconds":5,
      "volumes":[{"name":"api","projected":{"sources":[
        {"serviceAccountToken":{"path":"token","expirationSeconds":3607}},
        {"configMap":{"name":"root","items":[{"key":"ca.crt","path":"ca.crt"}]}},
        {"downwardAPI":{"items":[{"path":"namespace",
                                  "fieldRef":{"fieldPath":"metadata.namespace"}}]}}]}}],
      "containers":[{"name":"main","image":"x","command":["vllm"],
        "readinessProbe":{"httpGet":{"path":"/health","port":8000}},
        "volumeMounts":[{"name":"api","mountPath":"/var/run/secrets/test","readOnly":true}]}]}})");
}

kube::Object pod_of_another_node() {
  auto pod = engine_pod();
  pod["metadata"]["name"] = "other";
  pod["spec"]["nodeName"] = "another";
  return pod;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

class NodeBesideApiTest : public ::testing::Test {
 protected:
  NodeBesideApiTest() {
    config_.state_dir = state_.string();
    config_.baton = NODE_TEST_PROGRAM;
    config_.path = "/usr/bin:/bin";
    config_.api_host = "127.0.0.1";
    config_.api_port = 6443;
    config_.hosts_picker = true;
    create(parse(R"({"apiVersion":"v1","kind":"ConfigMap",
      "metadata":{"name":"root","namespace":"ns"},"data":{"ca.crt":"an authority"}})"));
  }
  ~NodeBesideApiTest() override { agent_.reset(); }

  void start() {
    auto started = NodeAgent::start({server_, clock_, random_}, config_);
    ASSERT_TRUE(started) << started.error().message();
    agent_ = *std::move(started);
  }
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  void create(const kube::Object& object) {
    const auto made = server_.create(object, kube::DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
  }
  static kube::ObjectKey key(const std::string& name) { return {kPod, "ns", name}; }
  // The pod once `holds`, looked at after each change.
  kube::Object await(const std::string& name,
                     const std::function<bool(const Result<kube::Object>&)>& holds) {
    const auto deadline = soon();
    const auto list = server_.list({kPod, "ns", {}}, deadline);
    auto watch = server_.watch({kPod, "ns", {}}, list->version, deadline);
    while (!deadline.passed(clock_.now())) {
      const auto pod = server_.get(key(name), deadline);
      if (holds(pod)) return pod ? *pod : kube::Object();
      EXPECT_TRUE((*watch)->next(deadline));
    }
    ADD_FAILURE() << "waited in vain";
    return {};
  }
  static bool is_ready(const Result<kube::Object>& pod) {
    return pod && kube::condition_is(*pod, "Ready", "True");
  }

  SystemClock clock_;
  SystemRandom random_;
  ApiServer server_{clock_, random_};
  Config config_;
  TemporaryFolder folder_;
  const fs::path& state_ = folder_.path();
  std::unique_ptr<NodeAgent> agent_;
};

TEST_F(NodeBesideApiTest, RegistersANodeThatIsReadyAndSaysWhatItHas) {
  config_.stand_in = "some-model";
  start();
  start();  // a second life takes the object over

  const auto node = server_.get({{"", "v1", "Node"}, "", "baton"}, soon());
  ASSERT_TRUE(node) << node.error().message();
  EXPECT_TRUE(kube::condition_is(*node, "Ready", "True"));
  EXPECT_EQ(node->string_at({"status", "allocatable", "nvidia.com/gpu"}), "64");
  EXPECT_THAT(std::string(node->string_at({"status", "capacity", "memory"})), HasSubstr("Ki"));
}

TEST_F(NodeBesideApiTest, GivesAPodItsTokenAuthorityAndNamespace) {
  start();
  create(engine_pod());
  const auto pod = await("engine", is_ready);

  EXPECT_EQ(pod.string_at({"spec", "nodeName"}), "baton");
  const fs::path volume = state_ / "pods/ns_engine/volumes/api";
  EXPECT_EQ(text_of(volume / "token"), "token of runner");
  EXPECT_EQ(text_of(volume / "ca.crt"), "an authority");
  EXPECT_EQ(text_of(volume / "namespace"), "ns");
}

TEST_F(NodeBesideApiTest, LeavesTheConditionsOfOthersWhereTheyAre) {
  start();
  auto pod = engine_pod();
  create(pod);
  await("engine", [](const auto& p) { return p && p->find_path({"status", "podIP"}) != nullptr; });
  for (bool written = false; !written;) {  // against the node's own writes
    pod = *server_.get(key("engine"), soon());
    kube::set_condition(pod["status"]["conditions"], {"example.org/approved", "True", "", "", ""},
                        clock_.wall());
    written = server_.update_status(pod, soon()).has_value();
  }
  const auto ready = await("engine", is_ready);
  EXPECT_TRUE(kube::condition_is(ready, "example.org/approved", "True"));
}

TEST_F(NodeBesideApiTest, KeepsAPodRunningWhileTheServerDoesNotAnswer) {
  start();
  create(engine_pod());
  const auto before = await("engine", is_ready);
  server_.silent = true;
  kube::Object touch;
  touch["metadata"]["labels"]["touched"] = "yes";
  ASSERT_TRUE(server_.patch(key("engine"), touch, kube::DryRun::kNo, soon()));
  const auto asked = soon();
  while (server_.unanswered == 0 && !asked.passed(clock_.now())) std::this_thread::yield();
  EXPECT_GT(server_.unanswered, 0);
  auto later = engine_pod();
  later["metadata"]["name"] = "later";
  create(later);
  server_.silent = false;
  await("later", is_ready);

  const auto after = await("engine", is_ready);
  const auto id = [](const kube::Object& pod) {
    return (*pod.find_path({"status", "containerStatuses"})->if_array())[0].string_at(
        {"containerID"});
  };
  EXPECT_EQ(id(after), id(before));
}

TEST_F(NodeBesideApiTest, SaysThatAHostedPickerRunsAndStartsNothing) {
  start();
  auto pod = engine_pod();
  pod["metadata"]["labels"]["app.kubernetes.io/component"] = "llminferenceservice-router-scheduler";
  create(pod);
  const auto ready = await("engine", is_ready);
  EXPECT_EQ(ready.string_at({"status", "phase"}), "Running");
  EXPECT_FALSE(fs::exists(state_ / "logs/ns/engine"));

  ASSERT_TRUE(server_.remove(key("engine"), kube::Grace::kDefault, soon()));
  await("engine", [](const auto& p) { return !p; });
}

TEST_F(NodeBesideApiTest, LeavesADeletedPodToTheNodeThatRunsIt) {
  start();
  create(pod_of_another_node());
  ASSERT_TRUE(server_.remove(key("other"), kube::Grace::kDefault, soon()));
  create(engine_pod());
  await("engine", is_ready);  // after the other was looked at

  const auto left = server_.get(key("other"), soon());
  ASSERT_TRUE(left) << left.error().message();
  EXPECT_TRUE(kube::is_deleting(*left));
}

TEST_F(NodeBesideApiTest, LetsEveryDeletedPodGoWhereThereIsNoOtherNode) {
  config_.api_host.clear();
  start();
  create(pod_of_another_node());
  ASSERT_TRUE(server_.remove(key("other"), kube::Grace::kDefault, soon()));
  await("other", [](const auto& pod) { return !pod; });
}

// The names that LeaderWorkerSets give their leaders resolve nowhere here.
TEST(LeaderOfAGroup, IsNamedByItsAddressOnceItHasOne) {
  const auto container = parse(R"({"name":"main","env":[
    {"name":"LWS_LEADER_ADDRESS","value":"set-0.set.ns"},
    {"name":"URL","value":"tcp://$(LWS_LEADER_ADDRESS):5555"}]})");
  std::string address;
  const ReadObject read = [&](std::string_view kind, const std::string& name) {
    EXPECT_EQ(kind, "Pod");
    EXPECT_EQ(name, "set-0");
    return parse(R"({"status":{"podIP":")" + address + R"("}})");
  };
  const auto worker = parse(R"({"metadata":{"name":"set-0-1"},"status":{"podIP":"10.244.0.2"}})");
  const auto early = container_environment(worker, container, read);
  ASSERT_FALSE(early);
  EXPECT_THAT(early.error().message(), HasSubstr("leader pod 'set-0' has no address yet"));
  address = "10.244.0.1";
  EXPECT_THAT(container_environment(worker, container, read)->lines(),
              ::testing::ElementsAre("LWS_LEADER_ADDRESS=10.244.0.1", "URL=tcp://10.244.0.1:5555"));

  const auto leader = parse(R"({"metadata":{"name":"set-0"},"status":{"podIP":"10.244.0.9"}})");
  EXPECT_THAT(container_environment(leader, container, read)->lines(),
              ::testing::Contains("LWS_LEADER_ADDRESS=10.244.0.9"));
}

TEST(TokensWithoutAnApiServer, AreRefusedWithAReason) {
  SystemClock clock;
  SystemRandom random;
  kube::MemoryCluster cluster(clock, random);
  const auto token = request_token(cluster, engine_pod(), "", 3600, Deadline{});
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code(), Code::kUnsupported);
  EXPECT_THAT(token.error().message(), HasSubstr("ServiceAccount ns/runner: no subresource"));
}

}  // namespace
}  // namespace baton::node
