#include "control/node/mount_launcher.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/async/process.hpp"
#include "base/core/testing/temporary_folder.hpp"

namespace baton::node {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class MountLauncher : public ::testing::Test {
 protected:
  MountLauncher() {
    fs::permissions(state_, fs::perms(0755));
    config_.state_dir = state_.string();
    config_.baton = NODE_TEST_PROGRAM;
    config_.path = "/usr/bin:/bin";
    fs::create_directories(state_ / "bin");
    fs::create_symlink(config_.baton, state_ / "bin" / kMountLauncher);
  }
  void SetUp() override {
    const auto works = probe_mount_launcher(config_, clock_);
    if (!works) GTEST_SKIP() << works.error().message();
  }

  // A folder of the machine with one file, `key`.
  std::string folder(const std::string& name, const std::string& content) {
    fs::create_directories(state_ / name);
    std::ofstream(state_ / name / "key") << content;
    return (state_ / name).string();
  }
  Result<std::string> run_with(std::vector<std::string> launcher, const std::string& script) {
    const auto file = state_ / "out";
    const int out = ::open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
    auto started = async::Process::start(
        {{"sh", "-c", script}, {"PATH=/usr/bin:/bin"}, state_.string(), out, std::move(launcher)});
    ::close(out);
    if (!started) return std::move(started).error();
    pid_ = (*started)->pid();
    exit_ = (*started)->wait(Deadline::in(clock_, std::chrono::seconds(10)), clock_);
    std::ifstream in(file);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  }
  // What a shell script prints that sees these mounts.
  Result<std::string> run(const std::string& script, const std::vector<Mount>& mounts) {
    return run_with(mount_launcher(config_, mounts), script);
  }

  SystemClock clock_;
  TemporaryFolder folder_;
  const fs::path& state_ = folder_.path();
  Config config_;
  pid_t pid_ = 0;
  std::optional<async::Exit> exit_;
};

TEST_F(MountLauncher, ShowsMountsAtPathsThatTheMachineHasNot) {
  const auto got = run(
      "cat /etc/baton-x/key; echo -n mine > /baton-x/deep/made; ls /etc/passwd",
      {{"/etc/baton-x", folder("cm", "setting\n"), true}, {"/baton-x/deep", folder("empty", "")}});

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, "setting\n/etc/passwd\n");
  EXPECT_TRUE(fs::exists(state_ / "empty" / "made"));
  EXPECT_FALSE(fs::exists("/etc/baton-x"));
  EXPECT_FALSE(fs::exists("/baton-x"));
}

TEST_F(MountLauncher, KeepsProcessGroupDirectoryAndExitCode) {
  const auto got = run("echo $$ $(ps -o pgid= -p $$) $PWD; exit 7", {{"/x", folder("x", "")}});

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, std::to_string(pid_) + " " + std::to_string(pid_) + " " + state_.string() + "\n");
  EXPECT_EQ(exit_, async::Exit{7});
}

TEST_F(MountLauncher, MakesLinkedModelsReadOnly) {
  folder("model", "weights");
  fs::create_directory_symlink(state_ / "model", state_ / "volume");
  const auto got = run("cat /mnt/models/key; touch /mnt/models/new 2>&1",
                       {{"/mnt/models", (state_ / "volume").string()}});

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_THAT(*got, HasSubstr("weights"));
  EXPECT_THAT(*got, HasSubstr("Read-only"));
  EXPECT_FALSE(fs::exists(state_ / "model" / "new"));
}

TEST_F(MountLauncher, ShowsTheStateFolderEvenWhereAMountCoversIt) {
  folder("inner", "still here");
  const auto of_the_host = fs::path("/tmp") / ("baton-" + std::to_string(::getpid()) + "-host");
  fs::create_directory(of_the_host);
  const auto got = run("cat " + (state_ / "inner" / "key").string() + "; ls -d " +
                           of_the_host.string() + " 2>&1 | grep -c 'cannot access'",
                       {{"/tmp", folder("tmp-volume", "")}});
  fs::remove(of_the_host);

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, "still here1\n");
}

TEST_F(MountLauncher, NestsMountsWithoutWritingIntoAReadOnlyVolume) {
  const auto got =
      run("cat /outer/key /outer/inner/key",
          {{"/outer/inner", folder("b", "inner"), true}, {"/outer", folder("a", "outer "), true}});

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, "outer inner");
  EXPECT_FALSE(fs::exists(state_ / "a" / "inner"));
}

TEST_F(MountLauncher, MountsSingleFilesAndMemory) {
  const auto got = run(
      "cat /etc/baton-file; echo x > /dev/shm/baton-x; ls /dev/shm",
      {{"/etc/baton-file", folder("a", "one\n") + "/key", true}, {"/dev/shm", "", false, true}});

  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(*got, "one\nbaton-x\n");
  EXPECT_FALSE(fs::exists("/dev/shm/baton-x"));
}

TEST_F(MountLauncher, SaysWhatIsMissingOrNotPossible) {
  const auto missing = run("true", {{"/x", (state_ / "no").string()}});
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr("/no is missing"));
  for (const std::string path : {"/proc/x", "/"}) {
    EXPECT_EQ(run("true", {{path, folder("x", "")}}).error().code(), Code::kUnsupported) << path;
  }
  auto unknown = mount_launcher(config_, {});
  const auto program = async::Process::start(
      {{"no-such-program"}, {"PATH=/usr/bin:/bin"}, state_.string(), -1, unknown});
  EXPECT_EQ(program.error().code(), Code::kNotFound);
}

TEST_F(MountLauncher, RefusesMountsThatCouldReplaceAProgramUnlessAllowed) {
  for (const std::string path : {"/usr/bin", "/bin/sh", "/etc", "/etc/ld.so.preload",
                                 "/etc/../lib/new", "/var/../usr/lib"}) {
    const auto got = run("true", {{path, folder("x", ""), true}});
    EXPECT_EQ(got.error().code(), Code::kDenied) << path << ": " << got.error().message();
  }
  const auto state = run("true", {{(state_ / "bin").string(), folder("x", "")}});
  EXPECT_THAT(state.error().message(), HasSubstr("--allow-exec"));
  config_.allow_exec = AllowExec::kYes;
  EXPECT_TRUE(run("true", {{"/usr/baton-x", folder("x", ""), true}}));
}

TEST_F(MountLauncher, WorksWithoutPrivilegesWhereUserNamespacesAreThere) {
  if (::geteuid() != 0) GTEST_SKIP() << "every test here runs without privileges";
  std::vector<std::string> launcher{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  const auto mounts = mount_launcher(config_, {{"/etc/baton-x", folder("cm", "setting "), true}});
  launcher.insert(launcher.end(), mounts.begin(), mounts.end());
  const auto got = run_with(std::move(launcher), "cat /etc/baton-x/key; id -u");
  if (!got) GTEST_SKIP() << got.error().message();
  EXPECT_EQ(*got, "setting 65534\n");
}

}  // namespace
}  // namespace baton::node
