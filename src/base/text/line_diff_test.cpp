#include "base/text/line_diff.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace baton::text {
namespace {

TEST(LineDiff, EqualTextsDoNotDiffer) {
  EXPECT_EQ(line_diff("", ""), "");
  EXPECT_EQ(line_diff("a\nb\n", "a\nb\n"), "");
}

TEST(LineDiff, AChangedLineHasThreeLinesOfContext) {
  EXPECT_EQ(line_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(LineDiff, NothingBecomesSomethingAndBack) {
  EXPECT_EQ(line_diff("", "a\nb\n"), "@@ -0,0 +1,2 @@\n+a\n+b\n");
  EXPECT_EQ(line_diff("a\nb\n", ""), "@@ -1,2 +0,0 @@\n-a\n-b\n");
}

TEST(LineDiff, ChangesThatAreFarApartAreTwoHunks) {
  std::string before;
  for (int i = 1; i <= 20; ++i) before += fmt::format("{}\n", i);
  auto after = before;
  after.replace(after.find("3\n"), 1, "three");
  after.replace(after.find("18\n"), 2, "eighteen");
  EXPECT_EQ(line_diff(before, after),
            "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+three\n 4\n 5\n 6\n"
            "@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+eighteen\n 19\n 20\n");
}

TEST(LineDiff, ChangesWithSixEqualLinesBetweenThemAreOneHunk) {
  EXPECT_EQ(line_diff("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n"),
            "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
  EXPECT_EQ(line_diff("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n"),
            "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

TEST(LineDiff, InsertedLinesAreAllThatIsTold) {
  EXPECT_EQ(line_diff("a\nb\nc\n", "a\nx\nb\ny\nc\n"), "@@ -1,3 +1,5 @@\n a\n+x\n b\n+y\n c\n");
}

TEST(LineDiff, VeryLongDifferencesAreTold) {
  std::string before;
  std::string after;
  for (int i = 0; i < 3000; ++i) {
    before += fmt::format("a{}\n", i);
    after += fmt::format("b{}\n", i);
  }
  const auto diff = line_diff(before, after);
  EXPECT_EQ(std::ranges::count(diff, '\n'), 6001);
  EXPECT_TRUE(diff.starts_with("@@ -1,3000 +1,3000 @@\n-a0\n"));
}

}  // namespace
}  // namespace baton::text
