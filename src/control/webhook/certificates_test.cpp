#include "control/webhook/certificates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/tls/certificate.hpp"

namespace baton::webhook {
namespace {

const ServedNames kNames{{"hook.ns.svc", "hook.ns.svc.cluster.local"}, {}};

class CertificatesTest : public ::testing::Test {
 protected:
  // Takes the next step; whether there was one.
  bool step(Trust trust = Trust::kComplete) {
    const auto next = next_credentials(have_, kNames, trust, clock_.wall());
    EXPECT_TRUE(next) << next.error().message();
    if (!next || !*next) return false;
    have_ = **next;
    return true;
  }
  std::vector<tls::CertificateInfo> authorities() const {
    return *tls::read_certificates(have_.authorities);
  }
  tls::CertificateInfo certificate() const {
    return tls::read_certificates(have_.certificate)->front();
  }

  ManualClock clock_;
  Credentials have_;
};

TEST_F(CertificatesTest, AreMadeFromNothingInOneStep) {
  EXPECT_TRUE(step(Trust::kPending));

  EXPECT_TRUE(tls::check_pair(have_.certificate, have_.key, clock_.wall()));
  EXPECT_TRUE(tls::check_pair(have_.authorities, have_.authority_key, clock_.wall()));
  EXPECT_TRUE(certificate().covers(kNames.dns, {}));
  EXPECT_EQ(certificate().issuer, authorities()[0].subject);
  EXPECT_TRUE(authorities()[0].authority);
  EXPECT_FALSE(step(Trust::kPending));
  EXPECT_FALSE(step(Trust::kComplete));
}

TEST_F(CertificatesTest, AreRenewedByTheSameAuthorityWhenAThirdOfTheirLifeIsLeft) {
  step();
  const Credentials first = have_;

  clock_.advance(kCertificateLife * 2 / 3 - std::chrono::hours(1));
  EXPECT_FALSE(step());
  clock_.advance(std::chrono::hours(2));
  EXPECT_TRUE(step());

  EXPECT_EQ(have_.authorities, first.authorities);
  EXPECT_NE(have_.certificate, first.certificate);
  EXPECT_GT(certificate().not_after - clock_.wall(), kCertificateLife - std::chrono::hours(1));
}

TEST_F(CertificatesTest, OfAnOldAuthorityStayUntilTheNewOneIsTrustedEverywhere) {
  step();
  // The authority grows old; its certificate is renewed meanwhile, as it would be.
  for (int month = 0; month < 16; ++month) {
    clock_.advance(std::chrono::hours(24 * 30));
    while (step()) {
    }
  }
  const Credentials before = have_;
  ASSERT_EQ(authorities().size(), 1U);

  clock_.advance(std::chrono::hours(24 * 10));
  ASSERT_TRUE(step(Trust::kPending));
  // The new authority is announced, the old certificate still served and still trusted.
  ASSERT_EQ(authorities().size(), 2U);
  EXPECT_EQ(have_.certificate, before.certificate);
  EXPECT_EQ(certificate().issuer, authorities()[1].subject);
  EXPECT_FALSE(step(Trust::kComplete));
  clock_.advance(kAnnounced);
  EXPECT_FALSE(step(Trust::kPending));

  ASSERT_TRUE(step(Trust::kComplete));
  EXPECT_EQ(certificate().issuer, authorities()[0].subject);
  EXPECT_EQ(authorities().size(), 2U);

  // Replicas that still serve the old certificate are trusted for a while.
  EXPECT_FALSE(step());
  clock_.advance(kOverlap + std::chrono::minutes(1));
  ASSERT_TRUE(step());
  EXPECT_EQ(authorities().size(), 1U);
  EXPECT_EQ(certificate().issuer, authorities()[0].subject);
  EXPECT_FALSE(step());
}

TEST_F(CertificatesTest, AreTrustedInEveryStateOfTenYears) {
  step();
  for (int day = 0; day < 3650; day += 10) {
    clock_.advance(std::chrono::hours(24 * 10));
    // Sometimes the API server could not be told at once.
    step(day % 30 == 0 ? Trust::kPending : Trust::kComplete);
    ASSERT_TRUE(tls::check_pair(have_.certificate, have_.key, clock_.wall())) << day;
    bool trusted = false;
    for (const auto& authority : authorities()) {
      trusted = trusted ||
                (authority.subject == certificate().issuer && clock_.wall() < authority.not_after);
    }
    ASSERT_TRUE(trusted) << day;
    ASSERT_LE(authorities().size(), 2U);
  }
}

TEST_F(CertificatesTest, ThatAreOfNoUseAreReplaced) {
  step();
  const Credentials good = have_;
  const auto replaced = [&](auto&& spoil) {
    have_ = good;
    spoil(have_);
    EXPECT_TRUE(step());
    EXPECT_TRUE(tls::check_pair(have_.certificate, have_.key, clock_.wall()));
    EXPECT_TRUE(tls::check_pair(have_.authorities, have_.authority_key, clock_.wall()));
    EXPECT_EQ(certificate().issuer, authorities()[0].subject);
  };
  replaced([](Credentials& c) { c.certificate.clear(); });
  replaced([](Credentials& c) { c.key = "x"; });
  replaced([](Credentials& c) { c.certificate = c.authorities; });
  replaced([](Credentials& c) {
    c.authorities.clear();
    c.certificate.clear();
  });
  replaced([](Credentials& c) { c = {"a", "b", "c", "d"}; });
  // Every certificate expired, as after a year with everything switched off.
  have_ = good;
  clock_.advance(kAuthorityLife + std::chrono::hours(1));
  EXPECT_TRUE(step());
  EXPECT_EQ(authorities().size(), 1U);
  EXPECT_EQ(certificate().issuer, authorities()[0].subject);
}

TEST_F(CertificatesTest, ForOtherNamesAreReplaced) {
  step();
  const auto next =
      next_credentials(have_, {{"other.ns.svc"}, {"10.0.0.1"}}, Trust::kComplete, clock_.wall());
  ASSERT_TRUE(next && *next);
  EXPECT_TRUE(
      tls::read_certificates((*next)->certificate)->front().covers({"other.ns.svc"}, {"10.0.0.1"}));
}

TEST_F(CertificatesTest, WithALostAuthorityKeyStayServedUntilTheNewOneIsTrusted) {
  step();
  const std::string served = have_.certificate;
  have_.authority_key.clear();
  clock_.advance(std::chrono::minutes(1));

  ASSERT_TRUE(step(Trust::kPending));
  EXPECT_EQ(have_.certificate, served);
  EXPECT_EQ(authorities().size(), 2U);
  clock_.advance(kAnnounced);
  ASSERT_TRUE(step(Trust::kComplete));
  EXPECT_EQ(certificate().issuer, authorities()[0].subject);
}

}  // namespace
}  // namespace baton::webhook
