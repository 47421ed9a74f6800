// RestCluster against the API server that $BATON_KUBECONFIG names.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/core/testing/temporary_folder.hpp"
#include "net/kube/event_recorder.hpp"
#include "net/kube/in_cluster.hpp"
#include "net/kube/leader_election.hpp"
#include "net/kube/modify.hpp"
#include "net/kube/object.hpp"
#include "net/kube/rest_cluster.hpp"
#include "net/kube/small_file.hpp"
#include "net/kube/testing/conformance.hpp"

namespace baton::kube {
namespace {

const Type kNamespace{"", "v1", "Namespace"};
const Type kConfigMap{"", "v1", "ConfigMap"};

// A namespace of its own for each test.
class RestClusterLive : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("BATON_KUBECONFIG");
    ASSERT_NE(path, nullptr) << "BATON_KUBECONFIG must name a kubeconfig; see tests/e2e/kube";
    kubeconfig_ = path;
    cluster_ = open(kubeconfig_);
    ASSERT_TRUE(cluster_);
    Object wanted;
    wanted["apiVersion"] = "v1";
    wanted["kind"] = "Namespace";
    wanted["metadata"]["generateName"] = "rest-";
    const auto made = cluster_->create(wanted, DryRun::kNo, soon());
    ASSERT_TRUE(made) << made.error().message();
    ns_ = name_of(*made);
  }
  void TearDown() override {
    if (!ns_.empty()) EXPECT_TRUE(cluster_->remove({kNamespace, "", ns_}, {}, soon()));
  }

  std::unique_ptr<RestCluster> open(const std::string& kubeconfig, std::size_t page = 2) {
    AccessHints hints;
    hints.kubeconfig = kubeconfig;
    const auto access = find_access(hints);
    EXPECT_TRUE(access) << access.error().message();
    return access ? open(*access, page) : nullptr;
  }
  std::unique_ptr<RestCluster> open(const Access& access, std::size_t page = 2) {
    RestCluster::Config config;
    config.api.access = access;
    config.api.environment = {"PATH=/usr/bin:/bin"};
    config.page = page;
    auto made = RestCluster::open(std::move(config), clock_, random_);
    EXPECT_TRUE(made) << made.error().message();
    return made ? *std::move(made) : nullptr;
  }
  static Object parse(const std::string& text) {
    return text::json::parse(text).value_or(Object());
  }
  // Other parts of the control plane need a moment.
  bool eventually(const std::function<bool()>& condition) {
    for (const auto limit = soon(); !limit.passed(clock_.now());) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }
  void await_service_account() {
    EXPECT_TRUE(eventually([&] {
      return cluster_->get({{"", "v1", "ServiceAccount"}, ns_, "default"}, soon()).has_value();
    }));
  }
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(30)); }

  SystemClock clock_;
  SystemRandom random_;
  std::string kubeconfig_;
  std::unique_ptr<RestCluster> cluster_;
  std::string ns_;
};

TEST_F(RestClusterLive, PassesTheConformanceSuite) {
  testing::run_conformance(*cluster_, clock_, ns_);
}

TEST_F(RestClusterLive, ListsInPagesWhatItListsInOnePiece) {
  for (int i = 0; i < 7; ++i) {
    Object map = testing::config_map(ns_, "m" + std::to_string(i));
    map["metadata"]["labels"]["paged"] = "yes";
    ASSERT_TRUE(cluster_->create(map, DryRun::kNo, soon()));
  }
  const auto whole = open(kubeconfig_, 0);
  const Query query{kConfigMap, ns_, {{"paged", "yes"}}};
  const auto paged = cluster_->list(query, soon());
  const auto at_once = whole->list(query, soon());
  ASSERT_TRUE(paged && at_once);
  ASSERT_EQ(paged->items.size(), 7U);
  EXPECT_EQ(paged->items, at_once->items);
  EXPECT_EQ(paged->items[0].find_path({"metadata", "managedFields"}), nullptr);
}

TEST_F(RestClusterLive, AskingAsSomebodyWithoutRightsIsDenied) {
  auto access = cluster_->access();
  access.token = "nobody's";
  EXPECT_EQ(open(access)->get({kNamespace, "", ns_}, soon()).error().code(), Code::kDenied);
}

TEST_F(RestClusterLive, ComesInWithACertificateAndWithAPlugin) {
  const auto folder = std::filesystem::path(kubeconfig_).parent_path();
  const auto by_certificate = open((folder / "admin-certificate.kubeconfig").string());
  ASSERT_TRUE(by_certificate);
  EXPECT_FALSE(by_certificate->access().certificate.empty());
  EXPECT_TRUE(by_certificate->get({kNamespace, "", ns_}, soon()));

  auto access = cluster_->access();
  ExecPlugin plugin;
  plugin.api_version = "client.authentication.k8s.io/v1";
  plugin.command = "printf";
  plugin.args = {R"({"kind":"ExecCredential","apiVersion":"%s","status":{"token":"%s"}})",
                 plugin.api_version, access.token};
  access.token.clear();
  access.exec.push_back(plugin);
  const auto by_plugin = open(access);
  ASSERT_TRUE(by_plugin);
  EXPECT_TRUE(by_plugin->get({kNamespace, "", ns_}, soon()));
}

TEST_F(RestClusterLive, AServiceAccountComesInAsAPodDoesAndIsHeldToItsRights) {
  await_service_account();
  Object request = parse(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",
    "spec":{"expirationSeconds":600}})");
  const auto made = cluster_->create_subresource({{"", "v1", "ServiceAccount"}, ns_, "default"},
                                                 "token", request, soon());
  ASSERT_TRUE(made) << made.error().message();
  const TemporaryFolder temporary;
  const std::string folder = temporary.path();
  const auto write = [&](const std::string& name, std::string_view text) {
    std::ofstream(folder + "/" + name) << text;
  };
  const auto& server = cluster_->access();
  write("token", made->string_at({"status", "token"}));
  write("namespace", ns_);
  write("ca.crt",
        server.ca.text.empty() ? read_small_file(server.ca.file).value_or("") : server.ca.text);
  const auto access =
      in_cluster_access(server.server.host, std::to_string(server.server.port), folder);
  ASSERT_TRUE(access) << access.error().message();
  const auto pod = open(*access);
  EXPECT_EQ(pod->default_namespace(), ns_);
  const auto denied = pod->list({kConfigMap, ns_, {}}, soon());
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code(), Code::kDenied);
  EXPECT_NE(denied.error().message().find("system:serviceaccount:" + ns_ + ":default"),
            std::string::npos)
      << denied.error().message();

  Object role = parse(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role",
    "metadata":{"name":"reader"},"rules":[{"apiGroups":[""],"resources":["configmaps"],
    "verbs":["list"]}]})");
  role["metadata"]["namespace"] = ns_;
  ASSERT_TRUE(cluster_->create(role, DryRun::kNo, soon()));
  Object binding = parse(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding",
    "metadata":{"name":"reader"},"subjects":[{"kind":"ServiceAccount","name":"default"}],
    "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"reader"}})");
  binding["metadata"]["namespace"] = ns_;
  binding["subjects"].if_array()->front()["namespace"] = ns_;
  ASSERT_TRUE(cluster_->create(binding, DryRun::kNo, soon()));
  EXPECT_TRUE(eventually([&] { return pod->list({kConfigMap, ns_, {}}, soon()).has_value(); }));
}

TEST_F(RestClusterLive, AKindIsKnownOnceItsDefinitionIsInstalled) {
  const std::string group = ns_ + ".example.org";  // of this test alone
  const Type type{group, "v1", "Widget"};
  EXPECT_EQ(cluster_->list({type, ns_, {}}, soon()).error().code(), Code::kNotFound);
  Object definition = parse(R"({"apiVersion":"apiextensions.k8s.io/v1",
    "kind":"CustomResourceDefinition","spec":{"scope":"Namespaced",
    "names":{"plural":"widgets","singular":"widget","kind":"Widget","listKind":"WidgetList"},
    "versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},
      "schema":{"openAPIV3Schema":{"type":"object","properties":{
        "spec":{"type":"object","properties":{"size":{"type":"integer","minimum":1}}},
        "status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}]}})");
  definition["metadata"]["name"] = "widgets." + group;
  definition["spec"]["group"] = group;
  ASSERT_TRUE(cluster_->create(definition, DryRun::kNo, soon()));
  Object widget;
  widget["apiVersion"] = type.api_version();
  widget["kind"] = "Widget";
  widget["metadata"]["name"] = "w";
  widget["metadata"]["namespace"] = ns_;
  widget["spec"]["size"] = 1;
  EXPECT_TRUE(
      eventually([&] { return cluster_->create(widget, DryRun::kNo, soon()).has_value(); }));

  widget["spec"]["size"] = 2;  // without a version, which custom resources want
  const auto updated = cluster_->update(widget, DryRun::kNo, soon());
  ASSERT_TRUE(updated) << updated.error().message();
  EXPECT_EQ(generation_of(*updated), 2);
  widget["spec"]["size"] = 0;
  const auto refused = cluster_->update(widget, DryRun::kYes, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_NE(refused.error().message().find("spec.size"), std::string::npos);
  const auto done = [](Object& o) -> Status {
    o["status"]["phase"] = "done";
    return {};
  };
  EXPECT_TRUE(modify(*cluster_, {type, ns_, "w"}, Part::kStatus, done, soon()));
  const auto list = cluster_->list({type, "", {}}, soon());
  ASSERT_TRUE(list);
  EXPECT_EQ(list->items.size(), 1U);
  EXPECT_EQ(list->items[0].string_at({"status", "phase"}), "done");
  EXPECT_TRUE(cluster_->remove(
      {{"apiextensions.k8s.io", "v1", "CustomResourceDefinition"}, "", "widgets." + group}, {},
      soon()));
  EXPECT_TRUE(eventually([&] {
    const auto gone = cluster_->list({type, ns_, {}}, soon());
    return !gone && gone.error().code() == Code::kNotFound;
  }));
}

TEST_F(RestClusterLive, EventsAreTakenAndCounted) {
  const Object map = *cluster_->create(testing::config_map(ns_, "about"), DryRun::kNo, soon());
  EventRecorder recorder(*cluster_, clock_, "tester");
  recorder.record(map, EventType::kWarning, "Trouble", "some", clock_.wall());
  recorder.record(map, EventType::kWarning, "Trouble", "some", clock_.wall());
  const auto list = cluster_->list({{"", "v1", "Event"}, ns_, {}}, soon());
  ASSERT_TRUE(list);
  ASSERT_EQ(list->items.size(), 1U);
  EXPECT_EQ(list->items[0].find("count")->if_int(), 2);
}

TEST_F(RestClusterLive, OneOfTwoLeadsAndTheOtherFollows) {
  const auto config = [&](const std::string& identity) {
    return Lease::Config{.ns = ns_,
                         .name = "leader",
                         .identity = identity,
                         .duration = std::chrono::seconds(3),
                         .renew = std::chrono::seconds(2),
                         .retry = Millis(100)};
  };
  const auto other = open(kubeconfig_);
  auto first = LeaderElection::start(config("first"), *cluster_, clock_, random_, {});
  ASSERT_TRUE(first);
  EXPECT_TRUE(eventually([&] { return (*first)->leads(); }));
  auto second = LeaderElection::start(config("second"), *other, clock_, random_, {});
  ASSERT_TRUE(second);
  EXPECT_TRUE(eventually([&] { return (*second)->holder() == "first"; }));
  EXPECT_FALSE((*second)->leads());
  first->reset();
  EXPECT_TRUE(eventually([&] { return (*second)->leads(); }));
}

}  // namespace
}  // namespace baton::kube
