#include "cli/free_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::cli {
namespace {

TEST(FreeMemory, IsReadFromTheKernelsFiles) {
  EXPECT_EQ(available_of_machine("MemTotal:  100 kB\nMemAvailable:    42 kB\n"), 42U * 1024);
  EXPECT_EQ(available_of_machine("MemTotal: 1 kB\n"), std::nullopt);
  EXPECT_EQ(available_of_machine(""), std::nullopt);
  EXPECT_EQ(available_of_group("1000\n", "700\n", "anon 1\ninactive_file 200\n"), 500U);
  EXPECT_EQ(available_of_group("1000\n", "1700\n", ""), 0U);
  EXPECT_EQ(available_of_group("max\n", "700\n", ""), std::nullopt);
  EXPECT_EQ(available_of_group("", "", ""), std::nullopt);
}

TEST(FreeMemory, WhatDoesNotFitIsRefusedWithBothNumbersAndAdvice) {
  EXPECT_TRUE(fits(5, 5, "x", "y"));
  EXPECT_TRUE(fits(5, std::nullopt, "x", "y"));
  const auto refused = fits(3'000'000'000, 1'500'000'000, "the KV cache", "give less");
  EXPECT_EQ(refused.error().code(), Code::kExhausted);
  EXPECT_EQ(refused.error().message(),
            "the KV cache: 3.0 GB are needed, 1.5 GB of memory are free: give less");
}

TEST(FreeMemory, LooksAtEveryGroupTheProcessIsIn) {
  using ::testing::ElementsAre;
  EXPECT_THAT(
      group_folders("0::/a.slice/b.service\n"),
      ElementsAre("/sys/fs/cgroup/a.slice/b.service", "/sys/fs/cgroup/a.slice", "/sys/fs/cgroup"));
  EXPECT_THAT(group_folders("4:memory:/x\n0::/y\n"),
              ElementsAre("/sys/fs/cgroup/y", "/sys/fs/cgroup"));
  EXPECT_THAT(group_folders("0::/\n"), ElementsAre("/sys/fs/cgroup"));
  EXPECT_THAT(group_folders(""), ElementsAre("/sys/fs/cgroup"));
}

}  // namespace
}  // namespace baton::cli
