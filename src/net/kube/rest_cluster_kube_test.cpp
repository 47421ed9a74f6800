// RestCluster against the API server that $BATON_KUBECONFIG names.

#include <gtest/gtest.h>

#include <cstdlib>

#include "net/kube/in_cluster.hpp"
#include "net/kube/object.hpp"
#include "net/kube/rest_cluster.hpp"
#include "net/kube/testing/conformance.hpp"

namespace baton::kube {
namespace {

const Type kNamespace{"", "v1", "Namespace"};

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

  std::unique_ptr<RestCluster> open(const std::string& kubeconfig) {
    AccessHints hints;
    hints.kubeconfig = kubeconfig;
    const auto access = find_access(hints);
    EXPECT_TRUE(access) << access.error().message();
    if (!access) return nullptr;
    RestCluster::Config config;
    config.api.access = *access;
    config.page = 2;
    auto made = RestCluster::open(std::move(config), clock_, random_);
    EXPECT_TRUE(made) << made.error().message();
    return made ? *std::move(made) : nullptr;
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

}  // namespace
}  // namespace baton::kube
