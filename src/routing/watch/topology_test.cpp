#include "routing/watch/topology.hpp"

#include <gtest/gtest.h>

#include "routing/watch/testing/objects.hpp"

namespace baton::watch {
namespace {

using testing::parse;

Objects story() {
  Objects objects;
  objects.services = {testing::service("story", "storyteller")};
  objects.pools = {testing::pool("story")};
  objects.deployments = {testing::picker("story", "[--poolName, x, --config-text, the text]")};
  objects.pods = {testing::pod("story", "d1", "decode", "127.77.0.3"),
                  testing::pod("story", "d0", "decode", "127.77.0.2"),
                  testing::pod("story", "p0", "prefill", "127.77.0.1")};
  return objects;
}

TEST(Topology, JoinsServicePoolPickerAndPods) {
  const auto topology = topology_of(story());

  ASSERT_EQ(topology.services.size(), 1);
  const auto& service = topology.services[0];
  EXPECT_EQ(service.ns, "llm");
  EXPECT_EQ(service.models, std::vector<std::string>{"storyteller"});
  EXPECT_EQ(service.picker, "the text");
  EXPECT_EQ(service.picker_source, "Deployment llm/story-kserve-router-scheduler");
  EXPECT_TRUE(service.routed);
  ASSERT_EQ(service.endpoints.size(), 3);
  EXPECT_EQ(service.endpoints[0].name, "d0");
  EXPECT_EQ(service.endpoints[0].host, "127.77.0.2");
  EXPECT_EQ(service.endpoints[0].port, 8000);
  EXPECT_EQ(service.endpoints[2].role(), "prefill");
}

TEST(Topology, KnowsTheKeyOfThePodsThatRoutesLeadTo) {
  auto objects = story();
  objects.keys = {testing::routing_key("other", "b3RoZXI="), testing::routing_key("story", "a2V5")};
  objects.services.push_back(
      testing::service("guest", "g", "{scheduler: {pool: {ref: {name: story-inference-pool}}}}"));
  objects.services.push_back(testing::service("plain", "m", "{}"));

  const auto topology = topology_of(objects);

  ASSERT_EQ(topology.services.size(), 3);
  EXPECT_EQ(topology.services[0].routing_key, "key") << "a guest's pods are the host's";
  EXPECT_EQ(topology.services[1].routing_key, "");
  EXPECT_EQ(topology.services[2].routing_key, "key");
}

TEST(Topology, LeavesOutPodsThatCannotAnswer) {
  auto objects = story();
  objects.pods = {testing::pod("story", "a", "decode", "127.77.0.1", "False"),
                  testing::pod("story", "b", "decode", "''"),
                  testing::pod("other", "c", "decode", "127.77.0.3"),
                  testing::pod("story", "d", "decode", "127.77.0.4")};
  objects.pods.push_back(testing::pod("story", "e", "decode", "127.77.0.5"));
  objects.pods[3]["metadata"]["deletionTimestamp"] = "2025-11-25T07:25:00Z";
  objects.pods[4]["metadata"]["namespace"] = "elsewhere";

  EXPECT_TRUE(topology_of(objects).services[0].endpoints.empty());
}

TEST(Topology, APodsAnnotationLeavesSomeOfItsPoolsPorts) {  // epp:L003
  const Target target{{{"app.kubernetes.io/name", "a"}}, {8000, 8001, 8002}};
  const auto ranks = [&](const char* annotation, const char* key = "llm-d.ai/active-ports") {
    auto pod = testing::pod("a", "d0", "decode", "10.0.0.1");
    if (annotation != nullptr) pod["metadata"]["annotations"][key] = annotation;
    std::string out;
    for (const auto& endpoint : endpoints_of(target, "llm", {pod})) {
      EXPECT_EQ(endpoint.port, 8000 + *endpoint.rank);
      out += endpoint.id() + " ";
    }
    return out;
  };
  EXPECT_EQ(ranks(nullptr), "d0-rank-0 d0-rank-1 d0-rank-2 ");
  EXPECT_EQ(ranks("8002, 8000"), "d0-rank-0 d0-rank-2 ");
  EXPECT_EQ(ranks("8001", "inference.networking.k8s.io/active-ports"), "d0-rank-1 ");
  EXPECT_EQ(ranks(""), "");
  EXPECT_EQ(ranks("none"), "");
}

TEST(Topology, ServesAServiceWithoutRouterThroughItsWorkloadService) {
  Objects objects;
  objects.services = {testing::service("plain", "m", "{}")};
  objects.cores = {testing::workload_service("plain")};
  objects.pods = {testing::pod("plain", "x", "both", "127.77.0.1")};
  const auto topology = topology_of(objects);

  EXPECT_FALSE(topology.services[0].routed);
  EXPECT_FALSE(topology.services[0].picker);
  ASSERT_EQ(topology.services[0].endpoints.size(), 1);
  EXPECT_EQ(topology.services[0].endpoints[0].port, 8000);
}

TEST(Topology, TakesThePoolThatTheServiceNames) {
  auto objects = story();
  objects.services = {testing::service(
      "story", "storyteller", "{scheduler: {pool: {ref: {name: shared-inference-pool}}}}")};
  EXPECT_TRUE(topology_of(objects).services[0].endpoints.empty());
  objects.pools.push_back(testing::pool("shared"));
  objects.pods.push_back(testing::pod("shared", "s0", "decode", "127.77.0.9"));

  EXPECT_EQ(topology_of(objects).services[0].endpoints[0].name, "s0");
}

TEST(Topology, ReadsEverySpellingOfTheConfigurationFlag) {
  for (const auto* args : {"[-config-text, t]", "[--config-text=t]", "[--configText, t]",
                           "[-v, '1', -configText=t]"}) {
    auto objects = story();
    objects.deployments = {testing::picker("story", args)};
    EXPECT_EQ(topology_of(objects).services[0].picker, "t") << args;
  }
}

TEST(Topology, SaysWhenThePickersConfigurationIsOutOfSight) {
  auto objects = story();
  objects.deployments = {testing::picker("story", "[--config-file, /etc/picker.yaml]")};
  const auto topology = topology_of(objects);

  EXPECT_FALSE(topology.services[0].picker);
  EXPECT_NE(topology.services[0].picker_problem.find("/etc/picker.yaml"), std::string::npos);
}

TEST(Topology, NamesModelsByStatusThenSpecThenService) {
  Objects objects;
  objects.services = {testing::service("story", "m")};
  objects.services[0]["status"] = parse("{addresses: [{models: [{name: base}, lora]}]}");
  EXPECT_EQ(topology_of(objects).services[0].models, (std::vector<std::string>{"base", "lora"}));

  objects.services = {testing::service("story", "''")};
  objects.deployments = {testing::picker("story", "[--served-model-name, granite]")};
  objects.deployments[0]["metadata"]["labels"]["app.kubernetes.io/component"] =
      "llminferenceservice-workload";
  EXPECT_EQ(topology_of(objects).services[0].models, std::vector<std::string>{"granite"});

  objects.deployments.clear();
  EXPECT_EQ(topology_of(objects).services[0].models, std::vector<std::string>{"story"});
}

}  // namespace
}  // namespace baton::watch
