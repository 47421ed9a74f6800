#include "net/tls/certificate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/tls/context.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::must;
using testing::spec_of;
using ::testing::StartsWith;

const SystemClock kClock;

TEST(Certificate, HasTheNamesTheTimesAndTheKeyThatWereAskedFor) {
  auto spec = spec_of("pod", kClock, {"a.b.svc", "*.c"}, {"10.0.0.1", "fd00::1"});
  spec.organization = "Someone";

  const CertifiedKey made = must(make_self_signed(spec));
  const auto chain = must(read_certificates(made.certificate_pem));

  ASSERT_EQ(chain.size(), 1U);
  EXPECT_EQ(chain[0].subject, "O=Someone, CN=pod");
  EXPECT_EQ(chain[0].issuer, chain[0].subject);
  EXPECT_THAT(chain[0].dns, ElementsAre("a.b.svc", "*.c"));
  EXPECT_THAT(chain[0].ips, ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(chain[0].key, "EC 256");
  EXPECT_EQ(chain[0].serial.size(), 32U);
  EXPECT_FALSE(chain[0].authority);
  EXPECT_EQ(chain[0].not_after, std::chrono::floor<std::chrono::seconds>(spec.not_after));
  EXPECT_THAT(made.key_pem, StartsWith("-----BEGIN PRIVATE KEY-----"));
  EXPECT_TRUE(chain[0].covers({"a.b.svc"}, {"fd00::1"}));
  EXPECT_FALSE(chain[0].covers({"x.c"}, {}));
}

TEST(Certificate, OfAnAuthorityIsFollowedByIt) {
  const auto root = must(make_authority(spec_of("root", kClock, {}, {})));

  const auto leaf = must(make_signed(spec_of("leaf", kClock), root));
  const auto chain = must(read_certificates(leaf.certificate_pem));

  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[0].issuer, "CN=root");
  EXPECT_FALSE(chain[0].authority);
  EXPECT_TRUE(chain[1].authority);
  EXPECT_NE(chain[0].serial, chain[1].serial);
}

TEST(Certificate, CanHaveAnRsaKey) {
  auto spec = spec_of("rsa", kClock);
  spec.key = KeyKind::kRsa2048;

  const auto made = must(make_self_signed(spec));

  EXPECT_EQ(must(read_certificates(made.certificate_pem))[0].key, "RSA 2048");
  EXPECT_TRUE(check_pair(made.certificate_pem, made.key_pem, kClock.wall()));
}

TEST(Certificate, IsNotMadeForNamesThatAreNone) {
  const auto message = [](CertificateSpec spec) {
    return make_self_signed(spec).error().message();
  };
  auto backwards = spec_of("x", kClock);
  std::swap(backwards.not_before, backwards.not_after);

  EXPECT_EQ(message(spec_of("x", kClock, {"a,IP:1.2.3.4"})), "'a,IP:1.2.3.4' is not a DNS name");
  EXPECT_EQ(message(spec_of("x", kClock, {}, {"None"})), "'None' is not an IP address");
  EXPECT_EQ(message(backwards), "a certificate that is never valid");
}

TEST(Certificate, IsNotSignedByWhatIsNoAuthority) {
  const auto leaf = must(make_self_signed(spec_of("leaf", kClock)));
  const auto root = must(make_authority(spec_of("root", kClock)));

  EXPECT_EQ(make_signed(spec_of("x", kClock), leaf).error().message(),
            "'CN=leaf' is not a certificate authority");
  EXPECT_EQ(
      make_signed(spec_of("x", kClock), {root.certificate_pem, leaf.key_pem}).error().message(),
      "the private key is not that of the certificate 'CN=root'");
}

TEST(CertificatePair, SaysWhatIsWrongWithIt) {
  const auto one = must(make_self_signed(spec_of("one", kClock)));
  const auto two = must(make_self_signed(spec_of("two", kClock)));
  const auto message = [&](std::string_view certificate, std::string_view key, Nanos later = {}) {
    const Wall now = kClock.wall() + std::chrono::duration_cast<Wall::duration>(later);
    const Status status = check_pair(certificate, key, now);
    return status ? "good" : status.error().message();
  };
  using std::chrono::hours;

  EXPECT_EQ(message(one.certificate_pem, one.key_pem), "good");
  EXPECT_EQ(message(one.certificate_pem, two.key_pem),
            "the private key is not that of the certificate 'CN=one'");
  EXPECT_THAT(message(one.certificate_pem, one.key_pem, hours(48)),
              HasSubstr("the certificate 'CN=one' expired at 20"));
  EXPECT_THAT(message(one.certificate_pem, one.key_pem, -hours(48)),
              HasSubstr("the certificate 'CN=one' is valid only from 20"));
  EXPECT_EQ(message("", one.key_pem), "no 'BEGIN CERTIFICATE' block in the PEM");
  EXPECT_EQ(message(one.key_pem, one.key_pem), "no 'BEGIN CERTIFICATE' block in the PEM");
  EXPECT_EQ(message(one.certificate_pem, one.certificate_pem),
            "no 'BEGIN PRIVATE KEY' block in the PEM");
  EXPECT_THAT(message(one.certificate_pem.substr(0, 200), one.key_pem),
              HasSubstr("certificate 1 of the PEM cannot be read"));
}

TEST(CertificatePair, WithAnEncryptedKeyIsRefusedWithoutAskingForThePassword) {
  const auto one = must(make_self_signed(spec_of("one", kClock)));
  const std::string encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";

  const Status status = check_pair(one.certificate_pem, encrypted, kClock.wall());

  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message(),
            "the private key is encrypted; only keys without a password are read");
}

TEST(Context, NamesTheFileAndWhatIsWrongWithIt) {  // epp:C012
  const auto one = must(make_self_signed(spec_of("one", kClock)));
  const auto message = [&](Source certificate, std::vector<std::string> suites = {}) {
    auto opened = ServerContext::open({.certificate = std::move(certificate),
                                       .key = Source::of_text(one.key_pem),
                                       .cipher_suites = std::move(suites)},
                                      kClock);
    return opened ? "good" : opened.error().message();
  };

  EXPECT_EQ(message(Source::of_text(one.certificate_pem)), "good");
  EXPECT_EQ(message(Source::of_file("/nowhere/tls.crt")),
            "certificate /nowhere/tls.crt: cannot be opened");
  EXPECT_EQ(message(Source::of_file("/dev/null")),
            "certificate /dev/null: no 'BEGIN CERTIFICATE' block in the PEM");
  EXPECT_EQ(message(Source::of_text(one.certificate_pem), {"TLS_NO_SUCH"}),
            "'TLS_NO_SUCH' is not a cipher suite");
  EXPECT_EQ(
      message(Source::of_text(one.certificate_pem), {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}),
      "good");
  EXPECT_EQ(ClientContext::open({.certificate = Source::of_text(one.certificate_pem)}, kClock)
                .error()
                .message(),
            "a client certificate and its key go together: only one of them is given");
}

}  // namespace
}  // namespace baton::tls
