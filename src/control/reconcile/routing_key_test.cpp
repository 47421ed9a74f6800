#include "control/reconcile/routing_key.hpp"

#include "base/text/base64.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using RoutingKeyTest = ReconcileTest;

TEST_F(RoutingKeyTest, IsMadeOnceAndKept) {
  create_quickstart();
  settle();
  const auto secret = [&] {
    const auto got = cluster_.get({kSecret, "default", "storyteller-kserve-routing-key"}, soon());
    return got ? *got : kube::Object();
  };
  const auto key = std::string(secret().string_at({"data", "key"}));
  const auto bytes = text::parse_base64(key);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->size(), 64U);
  EXPECT_EQ(kube::label(secret(), plan::kRoutingKeyLabel), "true");
  EXPECT_EQ(kube::controller_uid(secret()), kube::uid_of(service()));

  edit([](kube::Object& o) { o["spec"]["replicas"] = 2; });
  settle();
  EXPECT_EQ(secret().string_at({"data", "key"}), key);
  Reconciler restarted{{troubled_, clock_, registry_}, {Installation(), 0}};
  EXPECT_TRUE(pass(restarted));
  EXPECT_EQ(secret().string_at({"data", "key"}), key);
  auto changed = secret();
  changed["data"]["key"] = "c29tZWJvZHkncyBvd24ga2V5";
  ASSERT_TRUE(cluster_.update(changed, kube::DryRun::kNo, soon()));
  settle();
  EXPECT_EQ(secret().string_at({"data", "key"}), "c29tZWJvZHkncyBvd24ga2V5");

  ASSERT_TRUE(cluster_.remove(*kube::key_of(secret()), {}, soon()));
  settle();
  EXPECT_NE(secret().string_at({"data", "key"}), key) << "a removed one is made anew";
  edit([](kube::Object& o) { o["spec"].if_object()->erase("prefill"); });
  settle();
  EXPECT_TRUE(secret().is_null());
}

}  // namespace
}  // namespace baton::reconcile
