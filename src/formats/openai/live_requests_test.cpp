#include "formats/openai/live_requests.hpp"

#include <gtest/gtest.h>

namespace baton::openai {
namespace {

TEST(LiveRequests, ComeBackAsTheyWereTold) {
  const std::vector<LiveRequest> told = {{"a", Phase::kQueue, 0, 0, 0},
                                         {"b", Phase::kTransfer, 2048, 512, 0},
                                         {"c\"\n", Phase::kPrefill, 7, 3, 0},
                                         {"d", Phase::kDecode, 7, 7, 19}};

  const auto read = read_live_requests(live_requests_json(told));

  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, told);
}

TEST(LiveRequests, AreLegibleAndBounded) {
  const std::vector<LiveRequest> told(kMostLiveRequests + 1,
                                      {std::string(300, 'x') + "\xc3\xa9", Phase::kQueue, 1, 0, 0});

  const auto read = read_live_requests(live_requests_json(told));

  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->size(), kMostLiveRequests);
  EXPECT_EQ(read->front().id, std::string(128, 'x'));
  EXPECT_EQ(legible("mod\xc3\xa8le"), "mod??le");
}

TEST(LiveRequests, AreNotReadOutOfSomethingElse) {
  EXPECT_FALSE(read_live_requests("{"));
  EXPECT_FALSE(read_live_requests("[]"));
  EXPECT_FALSE(read_live_requests(R"({"requests":{}})"));
  EXPECT_FALSE(read_live_requests(R"({"requests":[{"id":"a","phase":"sleep"}]})"));
  EXPECT_FALSE(read_live_requests(R"({"requests":[7]})"));
  EXPECT_TRUE(read_live_requests(R"({"requests":[{"phase":"queue","promptTokens":-1}]})"));
}

}  // namespace
}  // namespace baton::openai
