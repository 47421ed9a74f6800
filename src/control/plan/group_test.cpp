#include "control/plan/group.hpp"

#include <gmock/gmock.h>

#include "control/plan/describe.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kMine =
    "{model: {uri: 'hf://a/b', name: m}, router: {route: {group: g, weight: 90}, scheduler: {}}}";

// A service of the group as the cluster has it: routable, with a pool, serving `model`.
Value peer(std::string_view name, int weight, std::string_view model = "m") {
  Value out = service("{router: {route: {group: g}, scheduler: {}}}");
  out["metadata"]["name"] = name;
  out["metadata"]["uid"] = name;
  out["spec"]["model"]["name"] = model;
  out["spec"]["router"]["route"]["weight"] = weight;
  out["status"] = yaml(
      "{conditions: [{type: RouterReady, status: 'True'}], workloads: {primary: {readyReplicas: "
      "1}, "
      "prefill: {readyReplicas: 2}, scheduler: {readyReplicas: 1}}, router: {scheduler: "
      "{inferencePool: {group: inference.networking.k8s.io}}}}");
  out["status"]["router"]["scheduler"]["inferencePool"]["name"] =
      std::string(name) + "-inference-pool";
  out["status"]["addresses"] = yaml("[{models: [{name: publishers/ns/models/" + std::string(model) +
                                    "}, {name: " + std::string(model) + "}]}]");
  return out;
}

Plan with(std::vector<Value> peers, std::string_view spec = kMine) {
  ServiceView v = view(spec);
  v.peers = std::move(peers);
  return planned(v);
}

// "name:weight" of the backends of the rule with that name, own order.
std::vector<std::string> backends(const Plan& plan, std::string_view rule_name) {
  std::vector<std::string> out;
  const Value route = child(plan, "HTTPRoute", "s-kserve-route");
  for (const Value& rule : items(route.find_path({"spec", "rules"}))) {
    if (rule.string_at({"name"}) != rule_name) continue;
    for (const Value& backend : items(rule.find("backendRefs"))) {
      out.push_back(std::string(backend.string_at({"name"})) + ":" + dump(*backend.find("weight")));
    }
  }
  return out;
}

std::vector<std::string> members(const Plan& plan) {
  std::vector<std::string> out;
  if (!plan.group) return out;
  for (const Group::Member& one : plan.group->members) {
    out.push_back(one.name + ":" + std::to_string(one.weight) + (one.stopped ? ":stopped" : ""));
  }
  return out;
}

// llmisvc:J04
TEST(Group, SplitsTheTrafficOfTheModelAndLeavesTheServicesOwnPaths) {
  const Plan p = with({peer("canary", 10)});

  for (const std::string_view rule :
       {"v1-model-routing", "v1-chat-completions-publisher-path", "v1-publisher-path-catch-all",
        "v1-catch-all-model-routing"}) {
    EXPECT_THAT(backends(p, rule), ElementsAre("canary-inference-pool:10", "s-inference-pool:90"))
        << rule;
  }
  for (const std::string_view rule : {"v1-chat-completions-path", "v1-completions-path"}) {
    EXPECT_THAT(backends(p, rule), ElementsAre("s-inference-pool:1")) << rule;
  }
  EXPECT_THAT(backends(p, "v1-catch-all-path"), ElementsAre("s-kserve-workload-svc:1"));
  EXPECT_EQ(child(p, "HTTPRoute", "s-kserve-route")
                .string_at({"metadata", "labels", "serving.kserve.io/routing-group"}),
            "g");

  EXPECT_THAT(members(p), ElementsAre("canary:10", "s:90"));
  EXPECT_EQ(dump(p.group->members[0].backend_ref),
            R"({"group":"inference.networking.x-k8s.io","kind":"InferencePool",)"
            R"("name":"canary-inference-pool","port":8000})");

  EXPECT_THAT(backends(with({peer("canary", 50)}), "v1-model-routing"),
              ElementsAre("canary-inference-pool:50", "s-inference-pool:90"));

  // The canary's own route, planned from its side, carries the same backends.
  ServiceView other = view(kMine);
  other.peers = {peer("s", 90)};
  other.service["metadata"]["name"] = "canary";
  other.service["spec"]["router"]["route"]["weight"] = 10;
  Plan mirrored = planned(other);
  const Value theirs = child(mirrored, "HTTPRoute", "canary-kserve-route");
  const Value ours = child(p, "HTTPRoute", "s-kserve-route");
  const auto split_of = [](const Value& route) {
    return dump(*(*route.find_path({"spec", "rules"})->if_array())[4].find("backendRefs"));
  };
  EXPECT_EQ(split_of(theirs), split_of(ours));
}

TEST(Group, IsShownWithItsWeights) {
  EXPECT_THAT(describe(with({peer("canary", 10)})),
              HasSubstr("/publishers/ns/models/m -> InferencePool canary-inference-pool (10), "
                        "InferencePool s-inference-pool (90)"));
}

TEST(Group, SendsToTheServiceOfMembersWithoutAPool) {
  Value plain = peer("plain", 5);
  plain["spec"]["router"].if_object()->erase("scheduler");
  plain["status"].if_object()->erase("router");
  plain["status"]["workloads"].if_object()->erase("scheduler");
  Value referring = peer("theirs", 6);
  referring["spec"]["router"]["scheduler"]["pool"] = yaml("{ref: {name: shared}}");
  const Plan p = with({plain, referring});

  EXPECT_THAT(backends(p, "v1-model-routing"),
              ElementsAre("plain-kserve-workload-svc:5", "s-inference-pool:90", "shared:6"));
  EXPECT_EQ(dump(p.group->members[0].backend_ref),
            R"({"group":"","kind":"Service","name":"plain-kserve-workload-svc","port":8000})");
}

TEST(Group, LeavesRulesThatGoElsewhere) {
  const Plan p = with({peer("canary", 10)},
                      "{router: {route: {group: g, weight: 90, http: {spec: {rules: [{name: mine, "
                      "backendRefs: [{name: x, weight: 1}]}]}}}, scheduler: {}}}");
  EXPECT_THAT(backends(p, "mine"), ElementsAre("x:1"));
}

// llmisvc:J05
TEST(Group, KeepsOneSubGroupForEachSetOfModels) {
  const Plan p = with({peer("same", 10), peer("other", 50, "n")});
  EXPECT_THAT(members(p), ElementsAre("s:90", "same:10"));
  EXPECT_THAT(p.group->divergent, ElementsAre("other"));
  EXPECT_THAT(backends(p, "v1-model-routing"),
              ElementsAre("s-inference-pool:90", "same-inference-pool:10"));
  ASSERT_FALSE(p.warnings.empty());
  EXPECT_EQ(p.warnings[0].reason, "MemberDivergence");
  EXPECT_THAT(p.warnings[0].message, HasSubstr("other"));

  // Adapters count: the same base model with another adapter is another set.
  Value adapted = peer("adapted", 1);
  adapted["status"]["addresses"].push_back(yaml("{models: [{name: tuned}]}"));
  EXPECT_THAT(with({adapted}).group->divergent, ElementsAre("adapted"));
  EXPECT_THAT(members(with({adapted},
                           "{model: {uri: 'hf://a/b', name: m, lora: {adapters: [{name: tuned, "
                           "uri: 'hf://c/d'}]}}, router: {route: {group: g, weight: 90}}}")),
              ElementsAre("adapted:1", "s:90"));
}

TEST(Group, DropsMembersThatLeaveOrGo) {
  Value leaving = peer("leaving", 10);
  leaving["spec"]["router"]["route"]["group"] = "h";
  Value going = peer("going", 10);
  going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_THAT(members(with({leaving, going})), ElementsAre("s:90"));
}

// llmisvc:J07
TEST(Group, ShowsAStoppedMemberButSendsItNothing) {
  Value stopped = peer("stopped", 10);
  stopped["metadata"]["annotations"] = yaml("{serving.kserve.io/stop: 'TRUE'}");
  stopped["status"] = yaml("{}");
  Plan p = with({stopped});
  EXPECT_THAT(members(p), ElementsAre("s:90", "stopped:10:stopped"));
  EXPECT_THAT(backends(p, "v1-model-routing"), ElementsAre("s-inference-pool:90"));

  // What runs of it while it stops may answer to more names than its spec says.
  stopped["status"] = yaml("{addresses: [{models: [{name: m}, {name: more}]}]}");
  p = with({stopped});
  EXPECT_THAT(members(p), ElementsAre("s:90", "stopped:10:stopped"));
  EXPECT_THAT(p.group->divergent, IsEmpty());
}

// llmisvc:J08
TEST(Group, LeavesOutWhatCannotAnswerExceptTheServiceItself) {
  const auto is_member = [](const Value& one) { return members(with({one})).size() == 2; };
  EXPECT_TRUE(is_member(peer("p", 1)));

  Value not_ready = peer("p", 1);
  not_ready["status"]["conditions"] = yaml("[{type: RouterReady, status: 'False'}]");
  EXPECT_FALSE(is_member(not_ready));
  // Gateways have yet to accept its route: nothing that who sends to its pool waits for.
  not_ready["status"]["conditions"].push_back(
      yaml("{type: HTTPRoutesReady, status: 'False', reason: HTTPRoutesNotReady}"));
  EXPECT_TRUE(is_member(not_ready));
  not_ready["status"]["conditions"].push_back(
      yaml("{type: InferencePoolReady, status: 'False', reason: InferencePoolNotReady}"));
  EXPECT_FALSE(is_member(not_ready));
  for (const std::string_view workload : {"primary", "prefill", "scheduler"}) {
    Value empty = peer("p", 1);
    empty["status"]["workloads"][workload]["readyReplicas"] = 0;
    EXPECT_FALSE(is_member(empty)) << workload;
    empty["status"]["workloads"][workload].if_object()->erase("readyReplicas");
    EXPECT_FALSE(is_member(empty)) << workload;
  }
  Value without_prefill = peer("p", 1);
  without_prefill["status"]["workloads"].if_object()->erase("prefill");
  EXPECT_TRUE(is_member(without_prefill));
  Value fresh = peer("p", 1);
  fresh["status"].if_object()->erase("workloads");
  EXPECT_FALSE(is_member(fresh));
  Value going = peer("p", 1);
  going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_FALSE(is_member(going));

  EXPECT_THAT(members(with({})), ElementsAre("s:90"));
}

}  // namespace
}  // namespace baton::plan
