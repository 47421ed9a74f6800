#include "control/webhook/keeper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/text/base64.hpp"
#include "control/webhook/configurations.hpp"
#include "formats/api/crd.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"
#include "net/tls/certificate.hpp"

namespace baton::webhook {
namespace {

using kube::Object;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const kube::ObjectKey kSecret{{"", "v1", "Secret"}, "kserve", "llmisvc-webhook-server-cert"};

class KeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (Object one : api::crds({})) {
      one["spec"].if_object()->erase("versions");  // large, and nothing to do with it
      definitions_.push_back(one);
      create(one);
    }
    for (const Object& one : configurations({})) create(one);
  }
  void create(const Object& object) {
    ASSERT_TRUE(cluster_.create(object, kube::DryRun::kNo, Deadline()));
  }
  Keeper keeper() {
    return Keeper(cluster_, clock_, {.names = {{"llmisvc-webhook-server-service.kserve.svc"}, {}}});
  }
  Object secret() { return *cluster_.get(kSecret, Deadline()); }

  // Every caBundle in the cluster, decoded.
  std::set<std::string> bundles() {
    std::set<std::string> out;
    const auto take = [&](const Object& config) {
      out.insert(*text::parse_base64(config.string_at({"caBundle"})));
    };
    for (const Object& one : definitions_) {
      take(*cluster_.get(*kube::key_of(one), Deadline())
                ->find_path({"spec", "conversion", "webhook", "clientConfig"}));
    }
    for (const Object& one : configurations({})) {
      const Object live = *cluster_.get(*kube::key_of(one), Deadline());
      for (const Object& hook : *live.find("webhooks")->if_array()) {
        take(*hook.find("clientConfig"));
      }
    }
    return out;
  }

  ManualClock clock_;
  SeededRandom random_{1};
  kube::MemoryCluster cluster_{clock_, random_};
  std::vector<Object> definitions_;
};

TEST_F(KeeperTest, MakesASecretAndTellsTheApiServerWhomToTrust) {
  Keeper first = keeper();
  const auto made = first.pass(Deadline());

  ASSERT_TRUE(made) << made.error().message();
  EXPECT_TRUE(tls::check_pair(made->certificate, made->key, clock_.wall()));
  EXPECT_EQ(bundles(), std::set<std::string>{made->authorities});
  EXPECT_EQ(secret().string_at({"type"}), "kubernetes.io/tls");
  EXPECT_THAT(first.missing(), IsEmpty());

  // A second pass, and another replica, change nothing.
  const Object before = secret();
  EXPECT_EQ(*first.pass(Deadline()), *made);
  Keeper second = keeper();
  EXPECT_EQ(*second.pass(Deadline()), *made);
  EXPECT_EQ(secret(), before);
}

TEST_F(KeeperTest, RenewsInStepsThatBothReplicasFollow) {
  Keeper first = keeper();
  Keeper second = keeper();
  ASSERT_TRUE(first.pass(Deadline()));
  bool two_authorities = false;
  std::set<std::string> certificates;
  for (int day = 0; day < 800; day += 10) {
    clock_.advance(std::chrono::hours(24 * 10));
    const auto one = first.pass(Deadline());
    const auto other = second.pass(Deadline());
    ASSERT_TRUE(one && other);
    // Whatever either of them serves is signed by somebody the API server trusts.
    ASSERT_EQ(bundles().size(), 1U);
    const auto trusted = *tls::read_certificates(*bundles().begin());
    for (const Credentials& served : {*one, *other}) {
      ASSERT_TRUE(tls::check_pair(served.certificate, served.key, clock_.wall()));
      const std::string issuer = tls::read_certificates(served.certificate)->front().issuer;
      ASSERT_TRUE(std::ranges::any_of(trusted, [&](const tls::CertificateInfo& info) {
        return info.subject == issuer;
      })) << day;
    }
    two_authorities = two_authorities || trusted.size() == 2;
    certificates.insert(other->certificate);
  }
  EXPECT_TRUE(two_authorities);
  EXPECT_GT(certificates.size(), 8U);
}

Object foreign_secret(const ManualClock& clock, const char* annotation, Wall until) {
  tls::CertificateSpec spec;
  spec.common_name = "theirs";
  spec.dns = {"llmisvc-webhook-server-service.kserve.svc"};
  spec.not_before = clock.wall() - std::chrono::hours(1);
  spec.not_after = until;
  const auto authority = *tls::make_authority(spec);
  const auto pair = *tls::make_signed(spec, authority);
  Object out = text::json::Object{
      {"apiVersion", "v1"},
      {"kind", "Secret"},
      {"metadata", text::json::Object{{"name", kSecret.name}, {"namespace", kSecret.ns}}},
      {"data", text::json::Object{{"ca.crt", text::base64(authority.certificate_pem)},
                                  {"tls.crt", text::base64(pair.certificate_pem)},
                                  {"tls.key", text::base64(pair.key_pem)}}}};
  if (annotation != nullptr) out["metadata"]["annotations"][annotation] = "x";
  return out;
}

TEST_F(KeeperTest, ServesWhatCertManagerMadeAndNeverWritesIt) {
  for (const char* annotation : {"cert-manager.io/certificate-name", "somebody/else"}) {
    const Object theirs =
        foreign_secret(clock_, annotation, clock_.wall() + std::chrono::hours(100));
    create(theirs);
    const Object before = secret();
    Keeper mine = keeper();

    const auto served = mine.pass(Deadline());

    ASSERT_TRUE(served) << served.error().message();
    EXPECT_EQ(text::base64(served->certificate), theirs.string_at({"data", "tls.crt"}));
    EXPECT_EQ(secret(), before);
    EXPECT_EQ(bundles(), std::set<std::string>{served->authorities});

    clock_.advance(std::chrono::hours(101));
    const auto late = mine.pass(Deadline());
    EXPECT_THAT(late.error().message(), HasSubstr("Secret kserve/llmisvc-webhook-server-cert"));
    EXPECT_EQ(secret(), before);
    ASSERT_TRUE(cluster_.remove(kSecret, kube::Grace::kDefault, Deadline()));
  }
}

TEST_F(KeeperTest, LeavesToCertManagerWhatItInjects) {
  Object hooks = *cluster_.get(*kube::key_of(configurations({})[0]), Deadline());
  hooks["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] = "kserve/x";
  ASSERT_TRUE(cluster_.update(hooks, kube::DryRun::kNo, Deadline()));
  create(foreign_secret(clock_, "cert-manager.io/certificate-name",
                        clock_.wall() + std::chrono::hours(100)));
  Keeper mine = keeper();

  ASSERT_TRUE(mine.pass(Deadline()));

  const Object after = *cluster_.get(*kube::key_of(hooks), Deadline());
  EXPECT_EQ((*after.find("webhooks")->if_array())[0].find_path({"clientConfig", "caBundle"}),
            nullptr);
  EXPECT_EQ(bundles().size(), 2U);  // "" there, theirs everywhere else
}

TEST_F(KeeperTest, NamesWhatIsNotInstalledAndServesAllTheSame) {
  const kube::ObjectKey key = *kube::key_of(configurations({})[2]);
  ASSERT_TRUE(cluster_.remove(key, kube::Grace::kDefault, Deadline()));
  Keeper mine = keeper();

  EXPECT_TRUE(mine.pass(Deadline()));
  EXPECT_THAT(
      mine.missing(),
      ::testing::ElementsAre("ValidatingWebhookConfiguration llminferenceserviceconfig.serving."
                             "kserve.io"));
}

TEST_F(KeeperTest, CertifiesTheHostsByWhichWebhooksAreCalled) {
  ASSERT_TRUE(keeper().pass(Deadline()));
  for (const char* url : {"https://10.1.2.3:9443", "https://[::1]:9443", "https://hooks.example"}) {
    for (const Object& one : configurations({.url = url})) {
      ASSERT_TRUE(cluster_.update(one, kube::DryRun::kNo, Deadline()));
    }
    const auto made = keeper().pass(Deadline());
    ASSERT_TRUE(made) << made.error().message();
    const auto info = tls::read_certificates(made->certificate)->front();
    const std::string host = std::string(url).contains("10.1") ? "10.1.2.3" : "::1";
    if (std::string(url).contains("example")) {
      EXPECT_TRUE(info.covers({"hooks.example"}, {}));
    } else {
      EXPECT_TRUE(info.covers({}, {host})) << url;
    }
    EXPECT_TRUE(info.covers({"llmisvc-webhook-server-service.kserve.svc"}, {}));
    EXPECT_EQ(bundles(), std::set<std::string>{made->authorities});
  }
}

TEST_F(KeeperTest, TakesOverASecretThatHoldsNothing) {
  Object empty = foreign_secret(clock_, nullptr, clock_.wall() + std::chrono::hours(1));
  empty["data"] = text::json::Object{};
  create(empty);
  Keeper mine = keeper();

  ASSERT_TRUE(mine.pass(Deadline()));
  EXPECT_EQ(kube::label(secret(), "app.kubernetes.io/managed-by"), "baton");
}

}  // namespace
}  // namespace baton::webhook
