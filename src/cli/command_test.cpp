#include "cli/command.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

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

TEST(Help, OfProgramsThatReplaceUpstreamsTellsTheExitCodes) {
  for (std::string name : {"epp", "sidecar"}) {
    std::string help = "--help";
    char* argv[] = {name.data(), help.data()};

    ::testing::internal::CaptureStdout();
    EXPECT_EQ(std::ranges::find(commands(), name, &Command::name)->run(2, argv), 0);

    EXPECT_TRUE(::testing::internal::GetCapturedStdout().contains("\nExit codes: 0 ")) << name;
  }
}

TEST(OpenFiles, AreAllThatThereMayBeForWhateverServes) {
  for (std::string name : {"serve", "engine"}) {
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max / 2;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    std::string help = "--help";
    char* argv[] = {name.data(), help.data()};

    ::testing::internal::CaptureStdout();
    EXPECT_EQ(std::ranges::find(commands(), name, &Command::name)->run(2, argv), 0);
    ::testing::internal::GetCapturedStdout();

    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(limit.rlim_cur, limit.rlim_max) << name;
  }
}

}  // namespace
}  // namespace baton::cli
