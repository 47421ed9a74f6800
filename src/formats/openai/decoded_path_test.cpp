#include "formats/openai/decoded_path.hpp"

#include <gtest/gtest.h>

namespace baton::openai {
namespace {

std::string decoded(std::string_view target) {
  std::string room = "from before";
  return std::string(decoded_path(target, room));
}

TEST(DecodedPath, UndoesEveryEscapeOnceAsAnEngineDoes) {
  EXPECT_EQ(decoded("/v1/chat/completion%73"), "/v1/chat/completions");
  EXPECT_EQ(decoded("/v1/%63hat%2fcompletions"), "/v1/chat/completions");
  EXPECT_EQ(decoded("/v1%2Fcompletions?a=%62"), "/v1/completions");
  EXPECT_EQ(decoded("/a%2573"), "/a%73");
  EXPECT_EQ(decoded("/%C3%A9"), "/é");
}

TEST(DecodedPath, EndsBeforeAQueryOrFragmentThatIsWrittenPlainly) {
  EXPECT_EQ(decoded("/v1/models?a=/v1/completions"), "/v1/models");
  EXPECT_EQ(decoded("/v1/models#/v1/completions"), "/v1/models");
  EXPECT_EQ(decoded("/v1/models%3Fa"), "/v1/models?a");
}

TEST(DecodedPath, LeavesWhatIsNoEscape) {
  for (const std::string_view path : {"", "/", "%", "/%", "/%7", "/%zz", "/%7z", "/%-1", "/% 1"}) {
    EXPECT_EQ(decoded(path), path);
  }
  EXPECT_EQ(decoded("/%%41"), "/%A");
}

TEST(DecodedPath, CopiesNothingWithoutAnEscape) {
  const std::string_view target = "/v1/completions?a";
  std::string room;
  EXPECT_EQ(decoded_path(target, room).data(), target.data());
}

}  // namespace
}  // namespace baton::openai
