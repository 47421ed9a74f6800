#include "engine/tensor/pages.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

namespace baton::tensor {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kMegabytes = std::size_t{1} << 20;

// Bytes under a name of the mapping's paragraph in /proc/self/smaps.
std::size_t smaps(const Pages& pages, std::string_view name) {
  std::ifstream in("/proc/self/smaps");
  const std::string head = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(pages.data()));
  std::string line;
  for (bool inside = false; std::getline(in, line);) {
    if (line.find(" kB") == std::string::npos && line.find('-') < 17)
      inside = line.starts_with(head);
    if (inside && line.starts_with(name)) return std::stoull(line.substr(name.size() + 1)) << 10;
  }
  return 0;
}

class EachKind : public ::testing::TestWithParam<Pages (*)(std::size_t)> {};

TEST_P(EachKind, IsZeroAndPaidForWhenItIsWritten) {
  const Pages pages = GetParam()(64 * kMegabytes);
  EXPECT_GE(pages.bytes(), 64 * kMegabytes);
  if (pages.kind() == PageKind::kReserved) GTEST_SKIP() << "reserved pages are not in Rss";
  EXPECT_EQ(smaps(pages, "Rss:"), 0U);

  std::memset(pages.data(), 1, 4 * kMegabytes);

  EXPECT_EQ(pages.data()[4 * kMegabytes], std::byte{0});
  EXPECT_GE(smaps(pages, "Rss:"), 4 * kMegabytes);
  EXPECT_LE(smaps(pages, "Rss:"), 4 * kMegabytes + 2 * kHuge);
}

TEST_P(EachKind, IsInHugePagesWhenItSaysSo) {
  const Pages pages = GetParam()(16 * kMegabytes);

  std::memset(pages.data(), 1, 16 * kMegabytes);

  const std::size_t huge = smaps(pages, "AnonHugePages:") + smaps(pages, "ShmemPmdMapped:") +
                           smaps(pages, "Private_Hugetlb:") + smaps(pages, "Shared_Hugetlb:");
  if (pages.kind() == PageKind::kSmall) {
    EXPECT_EQ(huge, 0U);
  } else {
    EXPECT_GE(huge, 8 * kMegabytes);  // all of it but where memory is short, and the ends
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EachKind, ::testing::Values(&Pages::of_own, &Pages::to_share));

TEST(Pages, AnotherReadsWhatIsWrittenAndCannotWriteOrCut) {
  const Pages ours = Pages::to_share(kHuge);
  ASSERT_GE(ours.descriptor(), 0);
  const auto theirs = Pages::of_another(ours.descriptor(), kHuge);
  ASSERT_TRUE(theirs) << theirs.error().message();

  ours.data()[5] = std::byte{7};

  EXPECT_EQ(theirs->data()[5], std::byte{7});
  EXPECT_EQ(mmap(nullptr, kHuge, PROT_WRITE, MAP_SHARED, ours.descriptor(), 0), MAP_FAILED);
  EXPECT_EQ(write(ours.descriptor(), "x", 1), -1);
  EXPECT_NE(ftruncate(ours.descriptor(), 0), 0);
}

TEST(Pages, OfAnotherAreNotTakenWhenTheyAreSmallerOrCouldShrink) {
  const Pages ours = Pages::to_share(kHuge);
  EXPECT_FALSE(Pages::of_another(ours.descriptor(), ours.bytes() + 1));
  const int open = memfd_create("unsealed", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(open, kHuge), 0);
  EXPECT_FALSE(Pages::of_another(open, kHuge));
  close(open);
  EXPECT_FALSE(Pages::of_another(STDIN_FILENO, kHuge));
}

TEST(Pages, OfItsOwnHaveNoDescriptor) { EXPECT_EQ(Pages::of_own(1).descriptor(), -1); }

}  // namespace
}  // namespace baton::tensor
