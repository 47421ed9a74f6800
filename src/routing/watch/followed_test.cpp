#include "routing/watch/followed.hpp"

#include <gtest/gtest.h>

namespace baton::watch {
namespace {

schedule::Endpoint pod(std::string name) {
  schedule::Endpoint out;
  out.name = std::move(name);
  return out;
}

TEST(Followed, AnEndpointThatComesBackHasOneFollower) {
  Followed followed;
  const auto a = pod("a");
  const auto first = followed.begin(a);
  const auto other = followed.begin(pod("b"));
  EXPECT_TRUE(followed.goes_on(a, first));
  followed.end(a);
  EXPECT_FALSE(followed.goes_on(a, first));
  const auto second = followed.begin(a);
  EXPECT_FALSE(followed.goes_on(a, first));
  EXPECT_TRUE(followed.goes_on(a, second));
  EXPECT_TRUE(followed.goes_on(pod("b"), other));
}

TEST(Followed, NobodyGoesOnWhenAllHasEnded) {
  Followed followed;
  const auto turn = followed.begin(pod("a"));
  followed.end_all();
  EXPECT_FALSE(followed.goes_on(pod("a"), turn));
}

}  // namespace
}  // namespace baton::watch
