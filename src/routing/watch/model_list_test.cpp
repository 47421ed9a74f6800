#include "routing/watch/model_list.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::watch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

TEST(ModelList, NamesTheModelsThatAnEngineServes) {
  EXPECT_THAT(read_model_list(R"({"object":"list","data":[{"id":"base","parent":null},)"
                              R"({"id":"adapter","parent":"base"}]})"),
              Optional(ElementsAre("base", "adapter")));
  EXPECT_THAT(read_model_list(R"({"data":[]})"), Optional(IsEmpty()));
}

TEST(ModelList, PassesOverWhatIsNoModelAndKeepsItsBounds) {
  EXPECT_THAT(read_model_list(R"({"data":[7,{},{"id":3},{"id":""},{"id":"m"}]})"),
              Optional(ElementsAre("m")));
  EXPECT_THAT(read_model_list(R"({"data":[{"id":")" + std::string(kMostModelName + 1, 'x') +
                              R"("},{"id":"m"}]})"),
              Optional(ElementsAre("m")));
  std::string many = R"({"data":[{"id":"m"})";
  for (std::size_t i = 0; i < kMostModels; ++i) many += R"(,{"id":"m"})";
  EXPECT_THAT(read_model_list(many + "]}"), Optional(SizeIs(kMostModels)));
  for (const auto* other : {"", "{", "[]", R"({"data":{}})", R"({"models":[]})"}) {
    EXPECT_FALSE(read_model_list(other)) << other;
  }
}

}  // namespace
}  // namespace baton::watch
