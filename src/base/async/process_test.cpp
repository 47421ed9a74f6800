#include "base/async/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/async/file_watch.hpp"
#include "base/core/testing/temporary_folder.hpp"

namespace baton::async {
namespace {

const std::vector<std::string> kEnv = {"PATH=/usr/bin:/bin"};

class ProcessTest : public ::testing::Test {
 protected:
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(10)); }
  std::unique_ptr<Process> shell(const std::string& script, int output = -1) {
    auto started = Process::start({{"sh", "-c", script}, kEnv, folder_.string(), output});
    EXPECT_TRUE(started) << started.error().message();
    return started ? *std::move(started) : nullptr;
  }
  std::string content(const std::string& name) {
    std::ifstream in(folder_ / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  SystemClock clock_;
  TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

TEST_F(ProcessTest, TellsTheExitCodeOr128PlusTheSignal) {
  EXPECT_EQ(shell("exit 3")->wait(soon(), clock_), Exit{3});
  EXPECT_EQ(shell("kill -TERM $$")->wait(soon(), clock_), Exit{128 + SIGTERM});
}

TEST_F(ProcessTest, WritesOutputAndErrorWhereItIsTold) {
  const int out =
      ::open((folder_ / "out").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  EXPECT_EQ(shell("echo one; echo two >&2", out)->wait(soon(), clock_), Exit{0});
  ::close(out);
  EXPECT_EQ(content("out"), "one\ntwo\n");
}

TEST_F(ProcessTest, SaysWhyAProgramDoesNotStart) {
  const auto missing = Process::start({{"no-such-program"}, kEnv, "", -1});
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  const auto folder = Process::start({{"sh"}, kEnv, "/no/such/folder", -1});
  EXPECT_EQ(folder.error().code(), Code::kNotFound);
  EXPECT_NE(folder.error().message().find("/no/such/folder"), std::string::npos);
}

TEST_F(ProcessTest, StartsTheProgramThroughALauncher) {
  auto started = Process::start(
      {{"sh", "-c", "echo $0 $$ > out; exit 3", "x"},
       kEnv,
       folder_.string(),
       -1,
       {"sh", "-c", "exec \"$@\" 3>&-", "launcher"}});  // closes what failures would come through
  ASSERT_TRUE(started) << started.error().message();
  const auto pid = (*started)->pid();
  EXPECT_EQ((*started)->wait(soon(), clock_), Exit{3});
  EXPECT_EQ(content("out"), "x " + std::to_string(pid) + "\n");
}

TEST_F(ProcessTest, KillsTheWholeGroupWhenDestroyed) {
  // The background shell keeps the write end open; end of file comes when it is gone.
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  auto process = shell("sleep 1000 & sleep 1000", ends[1]);
  ::close(ends[1]);
  process.reset();

  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

TEST_F(ProcessTest, KillsWhatIsLeftOfTheGroupWhenTheFirstProcessEnds) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  auto process = shell("sleep 1000 & exit 0", ends[1]);
  ::close(ends[1]);
  EXPECT_EQ(process->wait(soon(), clock_), Exit{0});

  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

TEST_F(ProcessTest, HandsNoDescriptorOfItsStarterDown) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);  // as libraries make them: without close-on-exec
  auto process = shell("sleep 1000");
  ::close(ends[1]);

  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  ::close(ends[0]);
}

TEST_F(ProcessTest, ComesBackFromWaitingAtTheDeadline) {
  auto process = shell("sleep 1000");
  EXPECT_EQ(process->wait(Deadline::in(clock_, Millis(5)), clock_), std::nullopt);
  process->signal(SIGTERM);
  EXPECT_EQ(process->wait(soon(), clock_), Exit{128 + SIGTERM});
}

TEST_F(ProcessTest, WatchesAFileThroughReplacement) {
  const auto file = (folder_ / "watched").string();
  auto watch = FileWatch::open({file});
  ASSERT_TRUE(watch) << watch.error().message();
  EXPECT_EQ(*(*watch)->wait(Deadline::in(clock_, Millis(1)), clock_), FileWatch::Change::kNone);

  std::ofstream(folder_ / "unrelated") << "x";
  std::ofstream(folder_ / "new") << "x";
  EXPECT_EQ(*(*watch)->wait(Deadline::in(clock_, Millis(1)), clock_), FileWatch::Change::kNone);
  std::filesystem::rename(folder_ / "new", file);
  EXPECT_EQ(*(*watch)->wait(soon(), clock_), FileWatch::Change::kChanged);

  (*watch)->close();
  EXPECT_EQ((*watch)->wait(soon(), clock_).error().code(), Code::kCancelled);
  EXPECT_EQ(FileWatch::open({"/no/such/folder/file"}).error().code(), Code::kNotFound);
}

TEST_F(ProcessTest, WatchesAFileOfAMountedVolumeWhoseContentsAreSwapped) {
  auto watch = FileWatch::open({(folder_ / "watched").string()});
  ASSERT_TRUE(watch) << watch.error().message();
  std::filesystem::create_directory_symlink("..2", folder_ / "..new");
  std::filesystem::rename(folder_ / "..new", folder_ / "..data");
  EXPECT_EQ(*(*watch)->wait(soon(), clock_), FileWatch::Change::kChanged);
}

}  // namespace
}  // namespace baton::async
