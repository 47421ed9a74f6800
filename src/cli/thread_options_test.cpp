#include "cli/thread_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace baton::cli {
namespace {

using tensor::kAnyCpu;
using tensor::ThreadGroups;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<int> kCpus = {0, 1, 2, 3, 4, 5, 6, 7};

ThreadGroups groups(const ThreadOptions& options) {
  auto out = group_threads(options, kCpus);
  EXPECT_TRUE(out) << out.error().message();
  return out ? *std::move(out) : ThreadGroups{};
}

std::string error(const ThreadOptions& options) {
  const auto out = group_threads(options, kCpus);
  return out ? "accepted" : out.error().message();
}

TEST(ThreadOptions, GiveEachCpuAThreadThatMayMove) {
  EXPECT_EQ(groups({}), (ThreadGroups{std::vector<int>(8, kAnyCpu)}));
  EXPECT_EQ(groups({.threads = 3, .bind = "nobind"}), (ThreadGroups{std::vector<int>(3, kAnyCpu)}));
}

TEST(ThreadOptions, SplitThreadsIntoGroups) {
  EXPECT_EQ(groups({.threads = 4, .groups = 2, .bind = ""}),
            (ThreadGroups{{kAnyCpu, kAnyCpu}, {kAnyCpu, kAnyCpu}}));
  EXPECT_THAT(error({.threads = 1, .groups = 2, .bind = ""}), HasSubstr("there are 1 threads"));
}

TEST(ThreadOptions, BindByThemselvesInTheOrderOfTheCpus) {
  EXPECT_EQ(groups({.groups = 2, .bind = "auto"}), (ThreadGroups{{0, 1, 2, 3}, {4, 5, 6, 7}}));
  EXPECT_THAT(error({.threads = 9, .bind = "auto"}), HasSubstr("cannot each have one"));
}

TEST(ThreadOptions, BindAsListed) {
  EXPECT_EQ(groups({.groups = 2, .bind = "0-2|6,4"}), (ThreadGroups{{0, 1, 2}, {6, 4}}));
  EXPECT_EQ(groups({.threads = 2, .bind = "5,6"}), (ThreadGroups{{5, 6}}));
  EXPECT_THAT(error({.groups = 2, .bind = "0-3"}), HasSubstr("1 lists of CPUs"));
  EXPECT_THAT(error({.bind = "0-3|4-7"}), HasSubstr("2 lists of CPUs"));
  EXPECT_THAT(error({.groups = 2, .bind = "0,1|1,2"}), HasSubstr("CPU 1 is there twice"));
  EXPECT_THAT(error({.bind = "7,8"}), HasSubstr("CPU 8 is none of those"));
  EXPECT_THAT(error({.threads = 3, .bind = "0,1"}), HasSubstr("2 CPUs are listed"));
}

TEST(ThreadOptions, ReadListsOfCpus) {
  EXPECT_THAT(*read_cpus("0,2-4,1"), ElementsAre(0, 2, 3, 4, 1));
  for (const std::string_view wrong : {"", ",", "a", "3-1", "-1", "1-", "0-9999", "1 2"})
    EXPECT_FALSE(read_cpus(wrong)) << wrong;
}

TEST(ThreadOptions, KnowTheCpusOfTheProcess) {
  const auto cpus = usable_cpus();
  EXPECT_FALSE(cpus.empty());
  EXPECT_EQ(std::set(cpus.begin(), cpus.end()).size(), cpus.size());
}

}  // namespace
}  // namespace baton::cli
