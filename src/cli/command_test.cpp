#include "cli/command.hpp"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

namespace baton::cli {
namespace {

TEST(Parse, NamesTheNearestFlag) {
  CLI::App app("x", "serve");
  std::string host;
  app.add_option("--host", host);
  std::string words[] = {"serve", "--hsot=x"};
  char* argv[] = {words[0].data(), words[1].data()};
  int exit = 0;
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(parse(app, 2, argv, exit));
  EXPECT_EQ(
      ::testing::internal::GetCapturedStderr(),
      "baton serve: no flag --hsot (did you mean '--host'?)\nRun with --help for the flags.\n");
  EXPECT_EQ(exit, 2);
}

}  // namespace
}  // namespace baton::cli
