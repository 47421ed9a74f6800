#include "engine/runtime/kv_rows.hpp"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <array>
#include <string>
#include <vector>

#include "base/core/random.hpp"
#include "engine/runtime/checksum.hpp"

namespace baton::runtime {
namespace {

using model::BlockIndex;

constexpr model::KvShape kShape{.layers = 2, .kv_heads = 1, .head_dim = 4};

TEST(KvRows, CoverTheTokensAskedForAndJoinNeighbours) {
  const model::KvMemory memory(kShape, 8, 4);
  const std::array blocks{BlockIndex{2}, BlockIndex{3}, BlockIndex{0}};

  const auto parts = rows_of(memory, 1, blocks, 3, 7);  // tokens 3 to 9

  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].iov_base, memory.row(1, BlockIndex{2}, 3));
  EXPECT_EQ(parts[0].iov_len, 5 * kShape.row_bytes());
  EXPECT_EQ(parts[1].iov_base, memory.row(1, BlockIndex{0}, 0));
  EXPECT_EQ(parts[1].iov_len, 2 * kShape.row_bytes());
}

TEST(KvRows, AreCopiedWhereverTheirPartsBeginAndEnd) {
  std::string from = "abcdefghij", into(10, '.');
  const std::array sources{iovec{from.data(), 3}, iovec{from.data() + 3, 6},
                           iovec{from.data() + 9, 1}};
  const std::array targets{iovec{into.data() + 4, 5}, iovec{into.data(), 4},
                           iovec{into.data() + 9, 1}};

  copy_areas(sources, targets, Caches::kThrough);

  EXPECT_EQ(into, "fghiabcdej");
}

TEST(KvRows, AreCopiedPastTheCachesByteForByte) {
  SeededRandom random(2);
  std::string from(5000, '\0');
  for (char& c : from) c = static_cast<char>(random.next());
  for (const std::size_t at : {0, 1, 31, 64})
    for (const std::size_t size : {0, 1, 63, 64, 65, 200, 4900}) {
      std::string into(5000, '.');
      const std::array source{iovec{from.data() + 7, size}};
      const std::array target{iovec{into.data() + at, size}};

      copy_areas(source, target, Caches::kPast);

      EXPECT_EQ(into,
                std::string(at, '.') + from.substr(7, size) + std::string(5000 - at - size, '.'));
    }
}

TEST(KvRows, TheChecksumIsXxh3OfTheConcatenationForEveryInstructionSet) {
  std::vector sums{&detail::checksum_portable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) sums.push_back(&detail::checksum_avx2);
  if (__builtin_cpu_supports("avx512f") != 0) sums.push_back(&detail::checksum_avx512);
#endif
  SeededRandom random(1);
  std::string bytes(10000, '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  for (const std::size_t size : {0, 1, 100, 241, 1024, 9999}) {
    const std::uint64_t expected = XXH3_64bits(bytes.data(), size);
    std::array whole{iovec{bytes.data(), size}};
    std::array halves{iovec{bytes.data(), size / 3},
                      iovec{bytes.data() + size / 3, size - size / 3}};

    EXPECT_EQ(checksum(whole), expected);
    EXPECT_EQ(checksum(halves), expected);
    for (const auto sum : sums) {
      EXPECT_EQ(sum(whole.data(), 1), expected);
      EXPECT_EQ(sum(halves.data(), 2), expected);
    }
  }
}

}  // namespace
}  // namespace baton::runtime
