#include "net/grpc/status.hpp"

#include <gtest/gtest.h>

namespace baton::grpc {
namespace {

TEST(Timeout, IsReadInEveryUnit) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_timeout("2H"), 2h);
  EXPECT_EQ(parse_timeout("3M"), 3min);
  EXPECT_EQ(parse_timeout("10S"), 10s);
  EXPECT_EQ(parse_timeout("250m"), 250ms);
  EXPECT_EQ(parse_timeout("7u"), 7us);
  EXPECT_EQ(parse_timeout("99999999n"), 99'999'999ns);
  EXPECT_GT(*parse_timeout("99999999H"), 24h * 365 * 200);  // what a Nanos holds
  for (const char* wrong : {"", "S", "5", "5s", "-5S", "+5S", "123456789S", "1.5S", "5 S"}) {
    EXPECT_FALSE(parse_timeout(wrong)) << wrong;
  }
}

TEST(Timeout, IsWrittenWithEightDigitsRoundedUp) {
  using namespace std::chrono_literals;
  EXPECT_EQ(timeout_text(5ns), "5n");
  EXPECT_EQ(timeout_text(100'000'001ns), "100001u");
  EXPECT_EQ(timeout_text(24h), "86400000m");
  EXPECT_EQ(timeout_text(-1s), "0n");
}

TEST(Status, MessagesSurviveTheWire) {
  const std::string text = "50% of \xc3\xa4\n";

  EXPECT_EQ(percent_encode(text), "50%25 of %C3%A4%0A");
  EXPECT_EQ(percent_decode(percent_encode(text)), text);
  EXPECT_EQ(percent_decode("a%zz%4"), "a%zz%4");
}

TEST(Status, ErrorsKeepWhatTheCallerCanDo) {
  for (const Code code : {Code::kInvalid, Code::kDenied, Code::kNotFound, Code::kConflict,
                          Code::kExhausted, Code::kUnavailable, Code::kTimeout, Code::kCancelled,
                          Code::kUnsupported, Code::kInternal}) {
    EXPECT_EQ(to_error(to_status(Error(code, "x"))).code(), code) << baton::name(code);
  }
}

}  // namespace
}  // namespace baton::grpc
