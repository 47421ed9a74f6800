#include "control/local/local_controllers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "control/local/deployment.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"
#include "net/kube/testing/conformance.hpp"

namespace baton::local {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

const kube::Type kPod{"", "v1", "Pod"};
const kube::Type kDeployment{"apps", "v1", "Deployment"};

kube::Object parse(const std::string& text) {
  auto value = text::json::parse(text);
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : kube::Object();
}

enum class Ready : bool { kNo, kYes };

// A pod the Deployment made, as the node agent reports it.
kube::Object pod(const kube::Object& deployment, const std::string& name, Ready ready) {
  auto out = pod_of(deployment);
  out["metadata"]["name"] = name;
  const char* truth = ready == Ready::kYes ? "True" : "False";
  kube::set_condition(out["status"]["conditions"], {"Ready", truth, "", "", ""}, Wall{});
  return out;
}

kube::Object scaled(kube::Object deployment, const std::string& image) {
  (*deployment["spec"]["template"]["spec"]["containers"].if_array())[0]["image"] = image;
  return deployment;
}

TEST(Rollout, MakesWhatIsMissingAndRemovesWhatIsTooMany) {
  const auto two = kube::testing::deployment("ns", "d", 2);
  EXPECT_EQ(next_step(two, {}).create, 2);
  const auto three = std::vector{pod(two, "a", Ready::kYes), pod(two, "b", Ready::kNo),
                                 pod(two, "c", Ready::kYes)};
  const auto step = next_step(two, three);
  EXPECT_EQ(step.create, 0);
  EXPECT_THAT(step.remove, ::testing::ElementsAre("b"));
}

TEST(Rollout, ReplacesOneByOneWithoutLosingAReadyPod) {
  const auto old = kube::testing::deployment("ns", "d", 2);
  const auto next = scaled(old, "example/x:2");
  std::vector pods{pod(old, "a", Ready::kYes), pod(old, "b", Ready::kYes)};

  auto step = next_step(next, pods);
  EXPECT_EQ(step.create, 1);
  EXPECT_THAT(step.remove, SizeIs(0));

  pods.push_back(pod(next, "n1", Ready::kNo));
  step = next_step(next, pods);
  EXPECT_EQ(step.create, 0);
  EXPECT_THAT(step.remove, SizeIs(0));

  pods.back() = pod(next, "n1", Ready::kYes);
  step = next_step(next, pods);
  EXPECT_EQ(step.create, 0);
  EXPECT_THAT(step.remove, SizeIs(1));
}

TEST(Rollout, RecreatesOnlyWhenTheOldOnesAreGone) {
  auto old = kube::testing::deployment("ns", "d", 1);
  old["spec"]["strategy"]["type"] = "Recreate";
  const auto next = scaled(old, "example/x:2");
  auto going = pod(old, "a", Ready::kYes);
  EXPECT_THAT(next_step(next, {going}).remove, SizeIs(1));
  EXPECT_EQ(next_step(next, {going}).create, 0);
  going["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z";
  EXPECT_EQ(next_step(next, {going}).create, 0);
  EXPECT_EQ(next_step(next, {}).create, 1);
}

TEST(DeploymentStatus, SaysWhatKeepsItFromBeingAvailable) {
  const auto one = kube::testing::deployment("ns", "d", 1);
  auto stuck = pod(one, "a", Ready::kNo);
  stuck["status"]["containerStatuses"] = parse(
      R"([{"name":"main","state":{"waiting":{"reason":"CrashLoopBackOff","message":"code 7"}}}])");
  kube::Object object = one;
  object["status"] = deployment_status(one, {stuck}, Wall{});
  EXPECT_EQ(kube::find_condition(object, "Available")->string_at({"message"}),
            "pod a: container main: CrashLoopBackOff: code 7");
  object["status"] = deployment_status(one, {pod(one, "a", Ready::kYes)}, Wall{});
  EXPECT_TRUE(kube::condition_is(object, "Available", "True"));
  EXPECT_EQ(object.find_path({"status", "readyReplicas"})->if_int(), 1);
}

TEST(HostedGateway, ListensAsItSpeaks) {
  const auto clear = hosted_gateway({"ns", "gw"}, {.host = "127.0.0.1", .port = 80});
  EXPECT_EQ(*clear.find_path({"spec", "listeners"}),
            parse(R"([{"name":"http","protocol":"HTTP","port":80}])"));
  const auto tls = hosted_gateway({"ns", "gw"}, {.host = "127.0.0.1", .port = 443, .is_tls = true});
  EXPECT_EQ(*tls.find_path({"spec", "listeners"}),
            parse(R"([{"name":"https","protocol":"HTTPS","port":443}])"));
}

class FakeGateway final : public HostedGateway {
 public:
  std::optional<GatewayAt> serving_at() const override {
    if (!serving) return std::nullopt;
    return GatewayAt{"127.0.0.1", 8080};
  }
  bool picker_synced(std::string_view, std::string_view) const override { return synced; }
  std::atomic<bool> serving = false;
  std::atomic<bool> synced = false;
};

class LocalTest : public ::testing::Test {
 protected:
  void start(Scope scope = Scope::kEverything) {
    controllers_ = std::make_unique<LocalControllers>(
        LocalControllers::Deps{cluster_, clock_, gateway_}, GatewayRef{"kserve", "gw"}, scope);
  }
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  kube::Object create(const kube::Object& object) {
    auto made = cluster_.create(object, kube::DryRun::kNo, soon());
    EXPECT_TRUE(made) << made.error().message();
    return made ? *made : kube::Object();
  }
  // Waits until `holds`, looking again at every change of that type.
  void await(const kube::Type& type, const std::function<bool()>& holds) {
    const auto deadline = soon();
    const auto list = cluster_.list({type, "", {}}, deadline);
    auto watch = cluster_.watch({type, "", {}}, list->version, deadline);
    while (!holds()) {
      ASSERT_FALSE(deadline.passed(clock_.now())) << "waited in vain";
      ASSERT_TRUE((*watch)->next(deadline));
    }
  }
  std::vector<kube::Object> pods() { return cluster_.list({kPod, "ns", {}}, soon())->items; }
  void make_ready() {
    for (auto one : pods()) {
      kube::set_condition(one["status"]["conditions"], {"Ready", "True", "", "", ""}, Wall{});
      (void)cluster_.update_status(one, soon());
    }
  }

  SystemClock clock_;
  SeededRandom random_{3};
  kube::MemoryCluster cluster_{clock_, random_};
  FakeGateway gateway_;
  std::unique_ptr<LocalControllers> controllers_;
};

TEST_F(LocalTest, RunsADeploymentUpAndDownAndReportsIt) {
  start();
  auto deployment = create(kube::testing::deployment("ns", "web", 3));
  await(kPod, [&] { return pods().size() == 3; });
  EXPECT_THAT(std::string(kube::name_of(pods()[0])),
              ::testing::MatchesRegex("web-[a-z0-9]{10}-[a-z0-9]{5}"));
  make_ready();
  const kube::ObjectKey key{kDeployment, "ns", "web"};
  await(kDeployment,
        [&] { return kube::condition_is(*cluster_.get(key, soon()), "Available", "True"); });

  kube::Object fewer;
  fewer["spec"]["replicas"] = 1;
  ASSERT_TRUE(cluster_.patch(key, fewer, kube::DryRun::kNo, soon()));
  await(kPod, [&] { return pods().size() == 1; });

  ASSERT_TRUE(cluster_.remove(key, kube::Grace::kDefault, soon()));
  EXPECT_TRUE(pods().empty());
}

TEST_F(LocalTest, RunsAGroupLeaderFirstAndRemovesItWithItsSet) {
  start();
  create(parse(R"({"apiVersion":"leaderworkerset.x-k8s.io/v1","kind":"LeaderWorkerSet",
    "metadata":{"name":"set","namespace":"ns"},"spec":{"replicas":1,"leaderWorkerTemplate":{"size":2,
    "workerTemplate":{"spec":{"containers":[{"name":"main","image":"x"}]}}}}})"));
  await(kPod, [&] { return pods().size() == 1; });
  auto leader = pods()[0];
  EXPECT_EQ(kube::name_of(leader), "set-0");
  leader["status"]["podIP"] = "127.77.0.5";
  ASSERT_TRUE(cluster_.update_status(leader, soon()));
  await(kPod, [&] { return pods().size() == 2; });
  make_ready();
  const kube::ObjectKey key{{"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"}, "ns", "set"};
  await(key.type,
        [&] { return kube::condition_is(*cluster_.get(key, soon()), "Available", "True"); });

  ASSERT_TRUE(cluster_.remove(key, kube::Grace::kDefault, soon()));
  EXPECT_TRUE(pods().empty());
}

TEST_F(LocalTest, RollsToANewTemplate) {
  start();
  create(kube::testing::deployment("ns", "web", 2));
  await(kPod, [&] { return pods().size() == 2; });
  make_ready();
  const auto next = scaled(kube::testing::deployment("ns", "web", 2), "example/x:2");
  ASSERT_TRUE(cluster_.update(next, kube::DryRun::kNo, soon()));
  await(kPod, [&] {
    make_ready();
    const auto now = pods();
    return now.size() == 2 && std::ranges::all_of(now, [](const kube::Object& p) {
             return p.find_path({"spec", "containers"})->if_array()->front().string_at({"image"}) ==
                    "example/x:2";
           });
  });
}

TEST_F(LocalTest, MarksThePickersDeploymentAvailableOnceTheGatewaysPickerIsSynced) {
  start();
  auto picker = kube::testing::deployment("ns", "svc-kserve-router-scheduler", 1);
  picker["metadata"]["labels"] = parse(
      R"({"app.kubernetes.io/component":"llminferenceservice-router-scheduler",
          "app.kubernetes.io/name":"svc"})");
  create(picker);
  const kube::ObjectKey key{kDeployment, "ns", "svc-kserve-router-scheduler"};
  await(kDeployment,
        [&] { return kube::condition_is(*cluster_.get(key, soon()), "Available", "False"); });
  EXPECT_TRUE(pods().empty());

  gateway_.synced = true;
  await(kDeployment,
        [&] { return kube::condition_is(*cluster_.get(key, soon()), "Available", "True"); });
  const auto hosted = *cluster_.get(key, soon());
  EXPECT_EQ(kube::find_condition(hosted, "Available")->string_at({"reason"}), "HostedByGateway");
  // What the controller that owns it applies stays as it is.
  EXPECT_EQ(hosted.find_path({"metadata", "annotations"}), nullptr);
}

TEST_F(LocalTest, AcceptsRoutesAndPoolsAndMakesNamedGatewaysOnceTheGatewayServes) {
  start();
  create(parse(R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute",
    "metadata":{"name":"r","namespace":"ns"},"spec":{
    "parentRefs":[{"name":"my-gateway","namespace":"istio-system"}],
    "rules":[{"backendRefs":[{"kind":"InferencePool","name":"p"}]}]}})"));
  create(parse(R"({"apiVersion":"inference.networking.k8s.io/v1","kind":"InferencePool",
    "metadata":{"name":"p","namespace":"ns"},"spec":{}})"));
  const kube::Type pool{"inference.networking.k8s.io", "v1", "InferencePool"};
  gateway_.serving = true;
  await(pool, [&] {
    return cluster_.get({pool, "ns", "p"}, soon())->find_path({"status", "parents"}) != nullptr;
  });

  const auto seen = cluster_.get({pool, "ns", "p"}, soon());
  const auto& parent = seen->find_path({"status", "parents"})->if_array()->front();
  EXPECT_EQ(parent.string_at({"parentRef", "name"}), "my-gateway");
  const auto gateway = cluster_.get(
      {{"gateway.networking.k8s.io", "v1", "Gateway"}, "istio-system", "my-gateway"}, soon());
  ASSERT_TRUE(gateway);
  EXPECT_TRUE(kube::condition_is(*gateway, "Programmed", "True"));
}

TEST_F(LocalTest, KeepsToTheGatewaysPartBesideAnApiServer) {
  gateway_.serving = true;
  create(kube::testing::deployment("ns", "web", 1));
  create(parse(R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute",
    "metadata":{"name":"r","namespace":"ns"},"spec":{"parentRefs":[{"name":"absent"}]}})"));
  create(parse(R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway",
    "metadata":{"name":"there","namespace":"ns"},"spec":{}})"));
  start(Scope::kGateways);
  const kube::Type gateway{"gateway.networking.k8s.io", "v1", "Gateway"};
  await(gateway, [&] {
    return kube::condition_is(*cluster_.get({gateway, "ns", "there"}, soon()), "Programmed",
                              "True");
  });
  await({"gateway.networking.k8s.io", "v1", "HTTPRoute"}, [&] {
    const auto route =
        cluster_.get({{"gateway.networking.k8s.io", "v1", "HTTPRoute"}, "ns", "r"}, soon());
    return route->find_path({"status", "parents"}) != nullptr;
  });
  controllers_.reset();

  EXPECT_TRUE(pods().empty());
  EXPECT_EQ(cluster_.list({gateway, "", {}}, soon())->items.size(), 1U);
}

}  // namespace
}  // namespace baton::local
