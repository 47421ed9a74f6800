#include "control/local/leader_worker_set.hpp"

#include <gmock/gmock.h>

#include "base/text/yaml.hpp"
#include "net/kube/object.hpp"

namespace baton::local {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

kube::Object yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

// Two groups of two pods.
kube::Object set_of(std::string_view more = "") {
  return yaml(
      "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: set, "
      "namespace: ns, uid: u, generation: 3}, spec: {replicas: 2, startupPolicy: LeaderCreated, "
      "leaderWorkerTemplate: {size: 2, restartPolicy: RecreateGroupOnPodRestart, leaderTemplate: "
      "{metadata: {labels: {role: leader}}, spec: {initContainers: [{name: i}], containers: "
      "[{name: "
      "main, env: [{name: A, value: $(LWS_WORKER_INDEX)}, {name: LWS_GROUP_SIZE, value: '9'}]}]}}, "
      "workerTemplate: {spec: {containers: [{name: main}]}}}" +
      std::string(more) + "}}");
}

kube::Object with(kube::Object set, std::string_view member, const kube::Object& value) {
  set["spec"][member] = value;
  return set;
}

kube::Object newer(kube::Object set) {
  set["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"] =
      yaml("[{name: main, image: newer}]");
  return set;
}

// As the node reports a pod that runs.
kube::Object running(kube::Object pod) {
  pod["status"] = yaml(
      "{phase: Running, podIP: 127.77.0.9, conditions: [{type: Ready, status: 'True'}], "
      "containerStatuses: [{name: main, restartCount: 0}]}");
  return pod;
}

// What the set comes to when every pod runs at once.
std::vector<kube::Object> settled(const kube::Object& set, std::vector<kube::Object> pods = {}) {
  for (int i = 0; i < 20; ++i) {
    const auto step = next_group_step(set, pods);
    if (step.create.empty() && step.remove.empty()) return pods;
    std::erase_if(pods, [&](const kube::Object& pod) {
      return std::ranges::find(step.remove, kube::name_of(pod)) != step.remove.end();
    });
    for (const auto& pod : step.create) pods.push_back(running(pod));
  }
  ADD_FAILURE() << "does not settle";
  return pods;
}

std::vector<std::string> names(const std::vector<kube::Object>& pods) {
  std::vector<std::string> out;
  for (const auto& pod : pods) out.emplace_back(kube::name_of(pod));
  std::ranges::sort(out);
  return out;
}

kube::Object* named(std::vector<kube::Object>& pods, std::string_view name) {
  for (auto& pod : pods) {
    if (kube::name_of(pod) == name) return &pod;
  }
  return nullptr;
}

TEST(Groups, BeginWithTheirLeadersAndGetWorkersOnceThoseHaveAnAddress) {
  const auto set = set_of();
  const auto first = next_group_step(set, {});
  EXPECT_THAT(names(first.create), ElementsAre("set-0", "set-1"));

  auto pods = first.create;
  EXPECT_THAT(next_group_step(set, pods).create, IsEmpty());
  pods[1]["status"] = yaml("{podIP: 127.77.0.7}");
  EXPECT_THAT(names(next_group_step(set, pods).create), ElementsAre("set-1-1"));

  const auto patient = with(set, "startupPolicy", "LeaderReady");
  EXPECT_THAT(next_group_step(patient, pods).create, IsEmpty());
  pods[1] = running(pods[1]);
  EXPECT_THAT(names(next_group_step(patient, pods).create), ElementsAre("set-1-1"));

  EXPECT_THAT(names(settled(set)), ElementsAre("set-0", "set-0-1", "set-1", "set-1-1"));
}

TEST(Groups, TellTheirPodsWhoTheyAre) {
  auto pods = settled(set_of());
  const auto& leader = *named(pods, "set-1");
  const auto& worker = *named(pods, "set-1-1");
  const auto label = [](const kube::Object& pod, const std::string& key) {
    return std::string(kube::label(pod, "leaderworkerset.sigs.k8s.io/" + key));
  };
  EXPECT_EQ(label(leader, "name"), "set");
  EXPECT_EQ(label(worker, "name"), "set");
  EXPECT_EQ(label(worker, "group-index"), "1");
  EXPECT_EQ(label(leader, "worker-index"), "0");
  EXPECT_EQ(label(worker, "worker-index"), "1");
  EXPECT_EQ(label(leader, "group-key"), label(worker, "group-key"));
  EXPECT_NE(label(leader, "group-key"), label(*named(pods, "set-0"), "group-key"));
  EXPECT_EQ(label(leader, "template-revision-hash"), label(worker, "template-revision-hash"));
  EXPECT_EQ(kube::label(leader, "role"), "leader");
  EXPECT_EQ(kube::annotation(leader, "leaderworkerset.sigs.k8s.io/size"), "2");
  EXPECT_EQ(kube::annotation(worker, "leaderworkerset.sigs.k8s.io/leader-name"), "set-1");
  EXPECT_EQ(kube::controller_uid(worker), "u");

  const auto env = [](const kube::Object& pod, std::string_view list) {
    return text::json::dump(*pod.find_path({"spec", list})->if_array()->front().find("env"));
  };
  EXPECT_EQ(env(worker, "containers"),
            R"([{"name":"LWS_LEADER_ADDRESS","value":"127.77.0.9"},)"
            R"({"name":"LWS_GROUP_SIZE","value":"2"},{"name":"LWS_WORKER_INDEX","value":"1"}])");
  // Before the container's own, which may refer to them; and in init containers too.
  const std::string leaders =
      R"([{"name":"LWS_LEADER_ADDRESS","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},)"
      R"({"name":"LWS_GROUP_SIZE","value":"2"},{"name":"LWS_WORKER_INDEX","value":"0"})";
  EXPECT_EQ(env(leader, "containers"),
            leaders + R"-(,{"name":"A","value":"$(LWS_WORKER_INDEX)"}])-");
  EXPECT_EQ(env(leader, "initContainers"), leaders + "]");
}

TEST(Groups, AreDividedIntoSubgroups) {
  auto set = set_of();
  set["spec"]["leaderWorkerTemplate"]["size"] = 4;
  set["spec"]["leaderWorkerTemplate"]["subGroupPolicy"] = yaml("{subGroupSize: 2}");
  auto pods = settled(set);
  std::string indexes;
  for (const auto* name : {"set-0", "set-0-1", "set-0-2", "set-0-3"}) {
    indexes += kube::label(*named(pods, name), "leaderworkerset.sigs.k8s.io/subgroup-index");
  }
  EXPECT_EQ(indexes, "0011");
}

TEST(Groups, ScaleByIndex) {
  const auto pods = settled(set_of());
  EXPECT_THAT(next_group_step(with(set_of(), "replicas", 1), pods).remove,
              UnorderedElementsAre("set-1", "set-1-1"));
  EXPECT_THAT(names(settled(with(set_of(), "replicas", 3), pods)),
              ElementsAre("set-0", "set-0-1", "set-1", "set-1-1", "set-2", "set-2-1"));
  EXPECT_THAT(settled(with(set_of(), "replicas", 0), pods), IsEmpty());
}

TEST(Groups, RestartAsAWhole) {
  const auto set = set_of();
  const auto removed_after = [&](const std::function<void(kube::Object&)>& change) {
    auto pods = settled(set);
    change(*named(pods, "set-0-1"));
    return next_group_step(set, pods);
  };
  for (const auto* status :
       {"{podIP: 127.77.0.9, containerStatuses: [{name: main, restartCount: 1}]}",
        "{podIP: 127.77.0.9, initContainerStatuses: [{name: i, restartCount: 1}]}",
        "{podIP: 127.77.0.9, phase: Failed}"}) {
    const auto step = removed_after([&](kube::Object& pod) { pod["status"] = yaml(status); });
    EXPECT_THAT(step.remove, UnorderedElementsAre("set-0", "set-0-1")) << status;
    EXPECT_THAT(step.create, IsEmpty()) << status;
  }
  // One is going already: the other goes too, and nothing is made until both are gone.
  const auto step = removed_after(
      [](kube::Object& pod) { pod["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"; });
  EXPECT_THAT(step.remove, ElementsAre("set-0"));
  EXPECT_THAT(step.create, IsEmpty());
  // A leader lost without a trace.
  auto pods = settled(set);
  std::erase_if(pods, [](const kube::Object& pod) { return kube::name_of(pod) == "set-0"; });
  EXPECT_THAT(next_group_step(set, pods).remove, ElementsAre("set-0-1"));

  auto lenient = set;
  lenient["spec"]["leaderWorkerTemplate"]["restartPolicy"] = "None";
  pods = settled(lenient);
  (*named(pods, "set-0-1"))["status"]["containerStatuses"] = yaml("[{restartCount: 4}]");
  EXPECT_THAT(next_group_step(lenient, pods).remove, IsEmpty());
}

TEST(Groups, AreReplacedFromTheTopWhileEnoughStayReady) {
  const auto old = set_of();
  const auto next = newer(old);
  auto pods = settled(old);
  auto step = next_group_step(next, pods);
  EXPECT_THAT(step.remove, UnorderedElementsAre("set-1", "set-1-1"));
  EXPECT_THAT(step.create, IsEmpty());

  // The next one waits for it.
  std::erase_if(pods,
                [](const kube::Object& pod) { return kube::name_of(pod).starts_with("set-1"); });
  step = next_group_step(next, pods);
  EXPECT_THAT(step.remove, IsEmpty());
  EXPECT_THAT(names(step.create), ElementsAre("set-1"));

  pods = settled(next, settled(old));
  EXPECT_THAT(names(pods), ElementsAre("set-0", "set-0-1", "set-1", "set-1-1"));
  for (const auto& pod : pods) {
    EXPECT_EQ(kube::label(pod, "leaderworkerset.sigs.k8s.io/template-revision-hash"),
              kube::label(pods[0], "leaderworkerset.sigs.k8s.io/template-revision-hash"));
  }
  // What is not ready costs nothing.
  auto stuck = settled(old);
  for (auto& pod : stuck) pod["status"] = yaml("{podIP: 127.77.0.9}");
  EXPECT_EQ(next_group_step(next, stuck).remove.size(), 4U);
}

TEST(Groups, LoseNoReadyOneWithASurge) {
  const auto rollout =
      yaml("{type: RollingUpdate, rollingUpdateConfiguration: {maxUnavailable: 0, maxSurge: 50%}}");
  const auto old = with(set_of(), "rolloutStrategy", rollout);
  const auto next = newer(old);
  auto pods = settled(old);
  auto step = next_group_step(next, pods);
  EXPECT_THAT(step.remove, IsEmpty());
  EXPECT_THAT(names(step.create), ElementsAre("set-2"));
  for (int i = 0; i < 2; ++i) {  // the leader, then its worker
    for (const auto& pod : next_group_step(next, pods).create) pods.push_back(running(pod));
  }
  EXPECT_THAT(next_group_step(next, pods).remove, UnorderedElementsAre("set-1", "set-1-1"));
  EXPECT_THAT(names(settled(next, settled(old))),
              ElementsAre("set-0", "set-0-1", "set-1", "set-1-1"));
}

TEST(GroupStatus, CountsWholeGroupsAndSaysWhatKeepsOneFromBeingReady) {
  auto set = set_of();
  auto pods = settled(set);
  set["status"] = leader_worker_set_status(set, pods, Wall{});
  EXPECT_TRUE(kube::condition_is(set, "Available", "True"));
  EXPECT_EQ(set.find_path({"status", "readyReplicas"})->if_int(), 2);
  EXPECT_EQ(set.find_path({"status", "updatedReplicas"})->if_int(), 2);
  EXPECT_EQ(set.find_path({"status", "observedGeneration"})->if_int(), 3);

  (*named(pods, "set-1-1"))["status"] = yaml(
      "{podIP: 127.77.0.9, containerStatuses: [{name: main, state: {waiting: {reason: "
      "CrashLoopBackOff, message: code 7}}}]}");
  set["status"] = leader_worker_set_status(set, pods, Wall{});
  EXPECT_EQ(set.find_path({"status", "readyReplicas"})->if_int(), 1);
  EXPECT_EQ(kube::find_condition(set, "Available")->string_at({"message"}),
            "pod set-1-1: container main: CrashLoopBackOff: code 7");
  EXPECT_EQ(kube::find_condition(set, "Available")->string_at({"reason"}), "GroupsProgressing");

  std::erase_if(pods,
                [](const kube::Object& pod) { return kube::name_of(pod).starts_with("set-1"); });
  set["status"] = leader_worker_set_status(set, pods, Wall{});
  EXPECT_EQ(kube::find_condition(set, "Available")->string_at({"message"}),
            "Replicas are progressing, with 1 groups ready of total 2 groups");
}

}  // namespace
}  // namespace baton::local
