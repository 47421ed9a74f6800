#include "net/http/time_limit.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace baton::http {
namespace {

TEST(TimeLimit, IsClampedToOurOwn) {
  auto limit = [](std::string value) {
    return time_limit({{"X-Request-Timeout-Ms", std::move(value)}}, kClientLimit, Millis(500));
  };
  EXPECT_EQ(*time_limit({}, kClientLimit, Millis(500)), std::nullopt);
  EXPECT_EQ(**limit("20"), Millis(20));
  EXPECT_EQ(**limit("501"), Millis(500));
  EXPECT_EQ(**limit("99999999999999999999999"), Millis(500));
  for (const char* wrong : {"", "0", "-1", "1.5", "10s", " 1", "0x10"}) {
    EXPECT_FALSE(limit(wrong)) << wrong;
  }
}

TEST(TimeLimit, IsHandedOnAsWhatIsLeft) {
  Headers headers{{std::string(kRouteLimit), "9"}};

  set_time_limit(headers, kRouteLimit, Millis(40) + Nanos(999'999));
  EXPECT_EQ(headers.get(kRouteLimit), "40");
  set_time_limit(headers, kRouteLimit, Nanos(1));
  EXPECT_EQ(headers.get_all(kRouteLimit), std::vector<std::string_view>{"1"});
}

}  // namespace
}  // namespace baton::http
