#include "net/grpc/gzip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/grpc/testing/gzip.hpp"

namespace baton::grpc {
namespace {

using testing::gzip;
using ::testing::HasSubstr;

constexpr std::size_t kPlenty = 1 << 20;

TEST(Gunzip, GivesBackWhatWasCompressed) {
  Gunzip gunzip;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, kPlenty}) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * i % 23);
    const auto expanded = gunzip.expand(gzip(text), kPlenty);
    ASSERT_TRUE(expanded) << expanded.error().message();
    EXPECT_EQ(*expanded, text);
  }
}

TEST(Gunzip, JoinsTheMembersOfAMessage) {
  Gunzip gunzip;
  EXPECT_EQ(*gunzip.expand(gzip("one, ") + gzip("") + gzip("two"), kPlenty), "one, two");
}

TEST(Gunzip, StopsAtTheLimitHoweverSmallTheMessageLooks) {
  Gunzip gunzip;
  const auto bomb = gzip(std::string(kPlenty, 'x'));
  ASSERT_LT(bomb.size(), 2000U);
  const auto refused = gunzip.expand(bomb, kPlenty - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("more than 1048575 bytes"));
  EXPECT_EQ(gunzip.expand(bomb, kPlenty)->size(), kPlenty);  // exactly the limit; usable again
}

TEST(Gunzip, RefusesWhatIsNoGzipOrIsCutOff) {
  Gunzip gunzip;
  const auto good = gzip("some text that is long enough to be cut");
  auto broken = good;
  broken[good.size() - 5] = static_cast<char>(broken[good.size() - 5] ^ 1);  // the checksum
  for (const auto& bad : {std::string("no gzip"), std::string(), good.substr(0, good.size() - 1),
                          good.substr(0, 12), broken, good + "more"}) {
    const auto refused = gunzip.expand(bad, kPlenty);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kInvalid);
  }
  EXPECT_TRUE(gunzip.expand(good, kPlenty));
}

}  // namespace
}  // namespace baton::grpc
