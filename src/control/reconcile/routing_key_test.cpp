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

// An earlier pass wrote it, and the watch has not told of it.
TEST_F(RoutingKeyTest, IsKeptThoughTheCacheDoesNotShowIt) {
  create_quickstart();
  const auto owner = service();
  kube::Cache blind(troubled_, clock_);
  Ledger ledger;
  Applier applier({troubled_, blind, ledger}, owner, soon(),
                  [](std::string_view, const kube::Object&) {});
  auto frame = parse("{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: default}}");
  frame["metadata"]["ownerReferences"].push_back(kube::controller_reference(owner));
  const auto kept = [&] {
    EXPECT_TRUE(keep_routing_key(applier, {troubled_, blind, ledger}, frame, random_, soon()));
    return std::string(
        cluster_.get({kSecret, "default", "key"}, soon())->string_at({"data", "key"}));
  };
  const auto first = kept();
  EXPECT_EQ(troubled_.count["get"], 0) << "what is new is made without a look";
  EXPECT_EQ(kept(), first);
  EXPECT_EQ(troubled_.count["get"], 1);
}

}  // namespace
}  // namespace baton::reconcile
