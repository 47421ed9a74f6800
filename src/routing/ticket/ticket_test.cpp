#include "routing/ticket/ticket.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "routing/ticket/key_file.hpp"
#include "routing/ticket/verifier.hpp"

namespace baton::ticket {
namespace {

constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";
const Claims kClaims{"req-1", "10.0.0.7:8000"};
const Wall kNow{std::chrono::seconds(1'800'000'000)};

class TicketTest : public ::testing::Test {
 protected:
  std::string good() { return issue(kKey, kClaims, kNow, random_); }
  Verdict verdict(std::string_view text, const Claims& claims = kClaims, Wall at = kNow) {
    return verifier_.verify(kKey, text, claims, at);
  }
  SeededRandom random_{1};
  Verifier verifier_;
};

// RFC 4231, test case 2.
TEST(Hmac, MatchesItsReference) {
  auto mac = tls::hmac_sha256("Jefe", "what do ya want for nothing?");
  EXPECT_EQ(mac[0], 0x5b);
  EXPECT_EQ(mac[1], 0xdc);
  EXPECT_EQ(mac[31], 0x43);
  auto other = mac;
  EXPECT_TRUE(tls::equal_in_constant_time(mac, other));
  other[31] ^= 1;
  EXPECT_FALSE(tls::equal_in_constant_time(mac, other));
}

TEST_F(TicketTest, IsGoodOnce) {
  const std::string ticket = good();
  EXPECT_LE(ticket.size(), kMaxTicket);
  EXPECT_EQ(verdict(ticket), Verdict::kGood);
  EXPECT_EQ(verdict(ticket), Verdict::kReplayed);
  EXPECT_EQ(verdict(good()), Verdict::kGood);
}

TEST_F(TicketTest, IsGoodAgainWhenItIsGivenBack) {
  const std::string ticket = good();
  const std::string other = good();
  EXPECT_EQ(verdict(ticket), Verdict::kGood);
  EXPECT_EQ(verdict(other), Verdict::kGood);
  verifier_.give_back(ticket);
  verifier_.give_back("v1.x");
  EXPECT_EQ(verifier_.remembered(), 1U);
  EXPECT_EQ(verdict(ticket), Verdict::kGood);
  EXPECT_EQ(verdict(ticket), Verdict::kReplayed);
  EXPECT_EQ(verdict(other), Verdict::kReplayed);
}

TEST_F(TicketTest, IsForgedWhenAnythingSignedDiffers) {
  EXPECT_EQ(verdict(good(), {"req-2", kClaims.endpoints}), Verdict::kForged);
  EXPECT_EQ(verdict(good(), {kClaims.request_id, "10.0.0.7:8001"}), Verdict::kForged);
  EXPECT_EQ(verdict(good(), {kClaims.request_id, "10.0.0.7:8000,10.0.0.8:8000"}), Verdict::kForged);
  EXPECT_EQ(verdict(issue("another key of good length", kClaims, kNow, random_)), Verdict::kForged);
  const std::string ticket = good();
  for (std::size_t i = 3; i < ticket.size(); ++i) {
    std::string other = ticket;
    other[i] = other[i] == '1' ? '2' : '1';
    if (other != ticket) EXPECT_NE(verdict(other), Verdict::kGood) << i;
  }
  EXPECT_EQ(verdict(ticket), Verdict::kGood);
}

TEST_F(TicketTest, ExpiresWithSomeSkewAllowed) {
  EXPECT_EQ(verdict(good(), kClaims, kNow + kLifetime + kSkew), Verdict::kGood);
  EXPECT_EQ(verdict(good(), kClaims, kNow + kLifetime + kSkew + Millis(1)), Verdict::kExpired);
  EXPECT_EQ(verdict(good(), kClaims, kNow - kSkew), Verdict::kGood);
  EXPECT_EQ(verdict(good(), kClaims, kNow - kSkew - Millis(1)), Verdict::kExpired);
}

TEST_F(TicketTest, IsReadStrictly) {
  EXPECT_EQ(verdict(""), Verdict::kMissing);
  const std::string ticket = good();
  const std::string mac = ticket.substr(ticket.rfind('.') + 1);
  const std::string nonce(32, '0');
  for (const std::string& other :
       {std::string("x"), "v2" + ticket.substr(2), ticket + "0", ticket + ".", " " + ticket,
        "v1.01." + nonce + "." + mac, "v1.-1." + nonce + "." + mac, "v1.+1." + nonce + "." + mac,
        "v1.99999999999999999999." + nonce + "." + mac, "v1.1.00." + mac, "v1.1." + nonce + ".00",
        "v1.1." + nonce + "." + std::string(64, 'A'), std::string(300, 'v')}) {
    EXPECT_EQ(verdict(other), Verdict::kMalformed) << other;
  }
}

// A replay is told from a fresh one for as long as the ticket lives; a full memory refuses.
TEST_F(TicketTest, RemembersWithinItsBound) {
  verifier_ = Verifier(2);
  const std::string first = good();
  EXPECT_EQ(verdict(first), Verdict::kGood);
  EXPECT_EQ(verdict(good()), Verdict::kGood);
  EXPECT_EQ(verdict(good()), Verdict::kFull);
  EXPECT_EQ(verdict(first), Verdict::kReplayed);

  const Wall later = kNow + kLifetime + kSkew + Millis(1);
  EXPECT_EQ(verdict(issue(kKey, kClaims, later, random_), kClaims, later), Verdict::kGood);
  EXPECT_EQ(verifier_.remembered(), 1U);
  EXPECT_EQ(verdict(first, kClaims, later), Verdict::kExpired);
}

TEST(KeyFile, IsReadAgainWhenItChanges) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("baton-key-" + std::to_string(::getpid()));
  auto write = [&](std::string_view text) { std::ofstream(path) << text; };
  Mono now{};
  EXPECT_EQ(KeyFile::open("/no/such", now).error().code(), Code::kNotFound);
  write("short");
  EXPECT_EQ(KeyFile::open(path, now).error().code(), Code::kInvalid);
  write(std::string(kMaxKeyFile + 1, 'x'));
  EXPECT_EQ(KeyFile::open(path, now).error().code(), Code::kInvalid);
  write("\n a key of good length \n");
  auto file = KeyFile::open(path, now);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->key(now), "a key of good length");

  write("another key of good length");
  EXPECT_EQ(file->key(now), "a key of good length");
  now += std::chrono::seconds(2);
  EXPECT_EQ(file->key(now), "another key of good length");
  std::filesystem::remove(path);
  now += std::chrono::seconds(2);
  EXPECT_EQ(file->key(now), "another key of good length");
}

}  // namespace
}  // namespace baton::ticket
