// The certificate of a service's pods: made once, anew only for a reason.

#include "control/reconcile/apply.hpp"
#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class CertificateTest : public ReconcileTest {
 protected:
  static std::vector<std::string> keys() { return {"certificates.kserve.io/expiration", "old"}; }
  kube::Object frame() {
    auto out = parse("{apiVersion: v1, kind: Secret, metadata: {name: certs, namespace: default}}");
    out["metadata"]["ownerReferences"].push_back(kube::controller_reference(owner_));
    return out;
  }
  kube::Object keep(const CertificateNames& names) {
    catch_up();
    Applier applier({troubled_, reconciler_.cache(), ledger_}, owner_, soon(),
                    [](std::string_view, const kube::Object&) {});
    const auto kept =
        keeper_.keep(applier, frame(), names,
                     reconciler_.cache().get({kSecret, "default", "certs"}), keys(), soon());
    EXPECT_TRUE(kept) << kept.error().message();
    return secret();
  }
  kube::Object secret() { return *cluster_.get({kSecret, "default", "certs"}, soon()); }
  void SetUp() override {
    create_quickstart();
    owner_ = service();
  }

  kube::Object owner_;
  Ledger ledger_;
  SecretKeeper keeper_{troubled_, clock_};
};

TEST_F(CertificateTest, IsMadeAnewOnlyForAReason) {  // llmisvc:H15
  const CertificateNames names{{"localhost"}, {"127.0.0.1"}};
  const auto made = keep(names);
  EXPECT_EQ(renewal_reason(made, names, keys(), clock_.wall()), "");
  const auto reason = [&](const std::function<void(kube::Object&)>& change) {
    auto object = made;
    change(object);
    return renewal_reason(object, names, keys(), clock_.wall());
  };
  EXPECT_THAT(reason([](kube::Object& o) {
                o["metadata"]["annotations"][keys().front()] = "2020-01-01T00:00:00Z";
              }),
              HasSubstr("due"));
  EXPECT_THAT(reason([](kube::Object& o) {
                o["metadata"]["annotations"] = parse("{old: '2020-01-01T00:00:00Z'}");
              }),
              HasSubstr("due"));
  EXPECT_NE(renewal_reason(made, names, {}, clock_.wall() + std::chrono::hours(24 * 365 * 13)), "");
  for (const auto* key : {"tls.key", "tls.crt"}) {
    EXPECT_NE(reason([&](kube::Object& o) { o["data"].if_object()->erase(key); }), "") << key;
    EXPECT_NE(reason([&](kube::Object& o) { o["data"][key] = "bm8gUEVN"; }), "") << key;
  }
  EXPECT_NE(renewal_reason(made, {{"other"}, {}}, keys(), clock_.wall()), "");
  EXPECT_NE(renewal_reason(made, {{}, {"10.0.0.1"}}, keys(), clock_.wall()), "");

  // llmisvc:H16
  EXPECT_EQ(renewal_reason(made, {{}, {"127.0.0.1"}}, keys(), clock_.wall()), "");
  EXPECT_EQ(reason([](kube::Object& o) { o["data"].if_object()->erase("ca.crt"); }), "");
  EXPECT_EQ(reason([](kube::Object& o) {
              auto& map = o["metadata"]["annotations"];
              map["old"] = map.string_at({keys().front()});
              map.if_object()->erase(keys().front());
            }),
            "");
}

TEST_F(CertificateTest, StaysAsPodsComeAndGoAndCoversNewAddresses) {
  const auto first = keep({{"localhost"}, {"10.0.0.1", "10.0.0.2"}});
  EXPECT_EQ(keep({{"localhost"}, {"10.0.0.2"}}), first);
  const auto second = keep({{"localhost"}, {"10.0.0.2", "10.0.0.3"}});
  EXPECT_NE(second.string_at({"data", "tls.crt"}), first.string_at({"data", "tls.crt"}));
  const int gets = troubled_.count["get"];
  EXPECT_EQ(keep({{"localhost"}, {"10.0.0.2", "10.0.0.3"}}), second);
  EXPECT_EQ(troubled_.count["get"], gets);
}

TEST_F(CertificateTest, OfANewServiceIsMadeWithoutALook) {
  keep({{"localhost"}, {"10.0.0.1"}});
  EXPECT_EQ(troubled_.count["get"], 0);
}

// The watch has not told of it.
TEST_F(CertificateTest, StaysThoughTheCacheDoesNotShowIt) {
  const CertificateNames names{{"localhost"}, {"10.0.0.1"}};
  const auto first = keep(names);
  Applier applier({troubled_, reconciler_.cache(), ledger_}, owner_, soon(),
                  [](std::string_view, const kube::Object&) {});
  SecretKeeper restarted(troubled_, clock_);
  ASSERT_TRUE(restarted.keep(applier, frame(), names, nullptr, keys(), soon()));
  EXPECT_EQ(secret(), first);
}

TEST_F(CertificateTest, LeavesOutWhatIsNoAddress) {
  plan::Wish wish{};
  wish.dns_names = {"localhost"};
  wish.addresses = {"127.0.0.1"};
  const auto snapshot = [](const std::string& text) {
    return std::make_shared<const kube::Snapshot>(kube::Snapshot{parse(text)});
  };
  const auto names = certificate_names(
      wish,
      {snapshot("{status: {podIP: ''}}"), snapshot("{status: {podIP: 10.0.0.7}}"),
       snapshot("{metadata: {labels: {app.kubernetes.io/component: "
                "llminferenceservice-router-scheduler}}, status: {podIP: 10.0.0.8}}")},
      {snapshot("{kind: Service, spec: {clusterIP: None}}"),
       snapshot("{kind: Service, spec: {clusterIP: 10.96.0.1}}")});
  EXPECT_THAT(names.ips, UnorderedElementsAre("10.0.0.7", "10.96.0.1", "127.0.0.1"));
}

}  // namespace
}  // namespace baton::reconcile
